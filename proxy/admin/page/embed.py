#!/usr/bin/env python3
"""Writes the status page as a C++ header: one document, and the Content-Security-Policy that lets in nothing but it.

usage: embed.py PAGE.html PAGE.css PAGE.js OUTPUT.h
"""

import base64
import hashlib
import sys

PIECE = 12_000  # bytes of one string literal; compilers take 64 KiB


def source(text):
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def literal(text):
    """literal is `text` as raw string literals, one below the other."""
    assert ')page"' not in text
    return "\n".join(f'    R"page({text[at:at + PIECE]})page"' for at in range(0, len(text), PIECE))


def main():
    html, css, js = (open(path, encoding="utf-8").read() for path in sys.argv[1:4])
    assert "</style" not in css and "</script" not in js and "<!--" not in js
    page = html.replace("@STYLE@", css).replace("@SCRIPT@", js)
    policy = "; ".join(["default-src 'none'", f"style-src {source(css)}", f"script-src {source(js)}", "connect-src 'self'",
                        "img-src data:", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
                        "require-trusted-types-for 'script'", "trusted-types 'none'"])
    with open(sys.argv[4], "w", encoding="utf-8") as out:
        out.write("// Made by proxy/admin/page/embed.py of the files beside it.\n#pragma once\n\n#include <string_view>\n\n"
                  "namespace mooring::admin {\n\n"
                  f"inline constexpr std::string_view kPage =\n{literal(page)};\n\n"
                  f"inline constexpr char kPagePolicy[] = R\"page({policy})page\";\n\n"
                  "}  // namespace mooring::admin\n")


main()
