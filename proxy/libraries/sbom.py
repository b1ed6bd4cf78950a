#!/usr/bin/python3
"""Writes the program's bill of materials, CycloneDX 1.5 as JSON: what is linked into it, and of which version.

The build calls it (proxy/libraries/meson.build has the arguments). Nothing in it depends on the place or the time of the
build; with SOURCE_DATE_EPOCH it has that as its time stamp.
"""

import argparse
import json
import os
import re
import subprocess
import uuid
from datetime import datetime, timezone
from pathlib import Path

# What has to be known of each: licence (SPDX), the package of Debian's that it is taken from where our own scripts do not, and
# how it is linked.
KNOWN = {
    "boringssl": ("Apache-2.0 AND ISC AND OpenSSL AND MIT", None, "static"),
    "libuv": ("MIT", "libuv1-dev", "static"),
    "c-ares": ("MIT", "libc-ares-dev", "static"),
    "yaml-cpp": ("MIT", "libyaml-cpp-dev", "static"),
    "libseccomp": ("LGPL-2.1-only", "libseccomp-dev", "static"),
    "llhttp": ("MIT", None, "static"),
    "spdlog": ("MIT", "libspdlog-dev", "headers"),
    "fmt": ("MIT", "libfmt-dev", "headers"),
    "nlohmann-json": ("MIT", "nlohmann-json3-dev", "headers"),
    "libstdc++": ("GPL-3.0-or-later WITH GCC-exception-3.1", None, "static"),
    "libgcc": ("GPL-3.0-or-later WITH GCC-exception-3.1", None, "static"),
    "glibc": ("LGPL-2.1-or-later", "libc6-dev", "dynamic"),
}


def output(*command):
    """What the command prints, or "" where it is not there or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def component(name, version, purl=None, sha256=None, linkage=None):
    spdx, _, usual = KNOWN[name]
    entry = {"type": "library", "bom-ref": name, "name": name, "version": version, "licenses": [{"expression": spdx}]}
    if purl:
        entry["purl"] = purl
    if sha256:
        entry["hashes"] = [{"alg": "SHA-256", "content": sha256}]
    entry["properties"] = [{"name": "mooring:linkage", "value": linkage or usual}]
    return entry


def of_debian(package, version, source=False):
    """The package URL. Debian writes ~ and + in versions, which a URL has escaped."""
    escaped = version.replace("+", "%2B").replace(":", "%3A")
    return f"pkg:deb/debian/{package}@{escaped}{'?arch=source' if source else ''}"


def packaged(name, version, linkage=None):
    """A library out of an installed package of Debian's, by the version of its headers; elsewhere that version alone."""
    package = KNOWN[name][1]
    found = output("dpkg-query", "-W", "-f", "${Version}", package)
    theirs = re.search(rf"(?:^|:){re.escape(version)}(?![\d.])", found)
    return component(name, found if theirs else version, of_debian(package, found) if theirs else None, linkage=linkage)


def built(prefix):
    """libuv, c-ares, yaml-cpp and libseccomp, by the list that proxy/libraries/build leaves."""
    for line in Path(prefix, "versions").read_text().splitlines():
        name, package, version, sha256 = line.split()
        yield component(name, version, of_debian(package, version, source=True), sha256)


def own(prefix):
    """The same of somebody's own prefix: what the headers say. yaml-cpp's say nothing."""
    for name, header, macro in (("libuv", "uv/version.h", "UV_VERSION"), ("c-ares", "ares_version.h", "ARES_VERSION")):
        text = Path(prefix, "include", header).read_text()
        yield component(name, ".".join(re.search(rf"define {macro}_{part}\s+(\d+)", text)[1] for part in ("MAJOR", "MINOR", "PATCH")))
    text = Path(prefix, "include/seccomp.h").read_text()
    yield component("libseccomp", ".".join(re.search(rf"define SCMP_VER_{part}\s+(\d+)", text)[1] for part in ("MAJOR", "MINOR", "MICRO")))
    yield component("yaml-cpp", "unknown")


def boringssl(prefix, pin):
    """By the pin where it is the build of tls/boringssl/build, otherwise by the version of its API."""
    values = dict(line.split() for line in Path(pin).read_text().splitlines() if not line.startswith("#"))
    if Path(prefix).name.startswith(f"boringssl-{values['version']}-{values['sha256'][:12]}"):
        return component("boringssl", values["version"], f"pkg:cargo/{values['package']}@{values['version']}", values["sha256"])
    api = re.search(r"define BORINGSSL_API_VERSION (\d+)", Path(prefix, "include/openssl/base.h").read_text())
    return component("boringssl", f"API {api[1]}")


def llhttp(folder):
    """By Debian's version, which proxy/http/llhttp/fetch leaves beside it, otherwise by its header's."""
    header = Path(folder, "include/llhttp.h").read_text()
    version = ".".join(re.search(rf"define LLHTTP_VERSION_{part} (\d+)", header)[1] for part in ("MAJOR", "MINOR", "PATCH"))
    theirs = Path(folder, "version")
    if not theirs.exists():
        return component("llhttp", version)
    debian = theirs.read_text().strip()
    return component("llhttp", debian, of_debian("node-llhttp", debian))


def runtime(compiler, static):
    """The C++ runtime comes with the compiler; the C library is the machine's."""
    version = output(*compiler, "-dumpfullversion") or output(*compiler, "-dumpversion")
    library = output(*compiler, "-print-file-name=libstdc++.a")
    owner = output("dpkg-query", "-S", os.path.realpath(library)).partition(":")[0] if "/" in library else ""
    found = output("dpkg-query", "-W", "-f", "${Version}", owner) if owner else ""
    for name in ("libstdc++", "libgcc"):
        yield component(name, found or version, of_debian(owner, found) if found else None,
                        linkage="static" if static else "dynamic")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("output", "version", "boringssl", "boringssl-pin", "llhttp", "compiler"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--libraries", default="", help="the prefix of proxy/libraries/build; empty: Debian's packages")
    parser.add_argument("--linkage", default="static", choices=("static", "dynamic"))
    parser.add_argument("--header", action="append", default=[], metavar="NAME=VERSION", help="a library by its installed version")
    arguments = parser.parse_args()
    components = []
    if arguments.boringssl:
        components.append(boringssl(arguments.boringssl, arguments.boringssl_pin))
    else:
        version = output("dpkg-query", "-W", "-f", "${Version}", "android-libboringssl-dev")
        components.append(component("boringssl", version, of_debian("android-libboringssl", version), linkage="dynamic"))
    if arguments.libraries:
        ours = Path(arguments.libraries, "versions").exists()
        components += built(arguments.libraries) if ours else own(arguments.libraries)
    components.append(llhttp(arguments.llhttp))
    for name, version in (text.split("=", 1) for text in arguments.header):
        linked = arguments.linkage if KNOWN[name][2] == "static" else None
        components.append(packaged(name, version, linkage=linked))
    components += runtime(arguments.compiler.split(), arguments.linkage == "static")
    components.sort(key=lambda entry: entry["name"])

    document = {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": "mooring", "name": "mooring", "version": arguments.version,
                                   "licenses": [{"license": {"id": "Apache-2.0"}}]}},
        "components": components,
        "dependencies": [{"ref": "mooring", "dependsOn": [entry["bom-ref"] for entry in components]}],
    }
    if "SOURCE_DATE_EPOCH" in os.environ:
        when = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), timezone.utc)
        document["metadata"]["timestamp"] = when.strftime("%Y-%m-%dT%H:%M:%SZ")
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document, sort_keys=True))
    document["serialNumber"] = f"urn:uuid:{number}"
    Path(arguments.output).write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")


main()
