#!/usr/bin/env python3
"""The website: one page, and the pictures to choose from. It loads nothing from elsewhere; nginx routes /api.

  GET /   /style.css   /page.js   /pictures   /pictures/ID   /health
"""

import argparse
import pathlib
import sys

import pictures
from web import Raw, Refused, Server, argument, own, serve

FOLDER = pathlib.Path(__file__).resolve().parent / "website"
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
POLICY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
                               "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", type=argument(own), required=True, help="127.0.0.1:PORT")
    parser.add_argument("--pictures", action="append", default=[], metavar="FOLDER",
                        help="a folder into which Debian's packages were unpacked")
    parser.add_argument("--drawn", action="store_true",
                        help="offer the drawn picture alone, as facebox --without-opencv knows it")
    options = parser.parse_args()
    have = pictures.found(options.pictures, options.drawn)

    def file(name):
        path = FOLDER / name
        return lambda _: Raw(path.read_bytes(), KINDS[path.suffix] + "; charset=utf-8", POLICY)

    def listed(_):
        return {"pictures": [{"id": one.id, "title": one.title, "faces": one.faces, "source": one.source}
                             for one in have.values()]}

    def picture(request):
        name = request.path.partition("?")[0].removeprefix("/pictures/")
        if name not in have:
            raise Refused(404, "there is no such picture", "not_found")
        data = have[name].read()
        return Raw(data, pictures.kind(data), {**POLICY, "Cache-Control": "max-age=300"})

    serve(Server("website", options.listen, {
        ("GET", "/"): file("index.html"),
        ("GET", "/style.css"): file("style.css"),
        ("GET", "/page.js"): file("page.js"),
        ("GET", "/pictures"): listed,
        ("GET", "/pictures/*"): picture,
        ("GET", "/health"): lambda _: {"ok": True}}))


if __name__ == "__main__":
    sys.exit(main())
