"""The bill of materials that the build writes beside the program: well-formed, and true."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

from lib import check, elf

EXPECTED_SECONDS = 3
ROOT = Path(__file__).resolve().parents[2]
# An archive that the linker is given: whose it is. Those of meson are our own, but for llhttp's.
ARCHIVES = {"libssl.a": "boringssl", "libcrypto.a": "boringssl", "libuv_a.a": "libuv", "libcares.a": "c-ares", "libyaml-cpp.a": "yaml-cpp",
            "libseccomp.a": "libseccomp", "libllhttp.a": "llhttp"}
OURS = {"libdev.a", "libtls.a", "libauthz.a", "libproxy.a", "liblog.a"}
SHARED = {"libc.so.6": "glibc", "libm.so.6": "glibc", "ld-linux-x86-64.so.2": "glibc", "libstdc++.so.6": "libstdc++", "libgcc_s.so.1": "libgcc"}
SANITIZERS = re.compile(r"lib(?:a|ub|t)san\.so")
# The version that a header states: the macros are what a file of ours sees that includes it.
HEADERS = {
    "libuv": ("uv/version.h", "UV_VERSION_MAJOR . UV_VERSION_MINOR . UV_VERSION_PATCH"),
    "c-ares": ("ares_version.h", "ARES_VERSION_MAJOR . ARES_VERSION_MINOR . ARES_VERSION_PATCH"),
    "libseccomp": ("seccomp.h", "SCMP_VER_MAJOR . SCMP_VER_MINOR . SCMP_VER_MICRO"),
    "llhttp": ("llhttp.h", "LLHTTP_VERSION_MAJOR . LLHTTP_VERSION_MINOR . LLHTTP_VERSION_PATCH"),
    "spdlog": ("spdlog/version.h", "SPDLOG_VER_MAJOR . SPDLOG_VER_MINOR . SPDLOG_VER_PATCH"),
    "nlohmann-json": ("nlohmann/json.hpp", "NLOHMANN_JSON_VERSION_MAJOR . NLOHMANN_JSON_VERSION_MINOR . NLOHMANN_JSON_VERSION_PATCH"),
    "glibc": ("features.h", "__GLIBC__ . __GLIBC_MINOR__"),
}


def folder():
    found = Path(os.environ["MOORING_BIN"]).parent
    if not (found / "mooring.cdx.json").exists() or not (found / "build.ninja").exists():
        raise check.Skip("the program stands in no build folder with a bill of materials")
    return found


def bill():
    return json.loads((folder() / "mooring.cdx.json").read_text())


def components():
    return {entry["name"]: entry for entry in bill()["components"]}


def commands(target):
    done = subprocess.run(["ninja", "-C", str(folder()), "-t", "commands", "-s", target], capture_output=True, text=True, check=True)
    return shlex.split(done.stdout.strip().splitlines()[-1])


def test_it_has_the_form_of_cyclonedx(case):
    document = bill()
    check.equal((document["bomFormat"], document["specVersion"], document["version"]), ("CycloneDX", "1.5", 1), "form")
    check.true(re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", document["serialNumber"]), document["serialNumber"])
    with open(ROOT / "meson.build", encoding="utf-8") as file:
        version = re.search(r"^  version: '([^']+)'", file.read(), re.M)[1]
    check.equal((document["metadata"]["component"]["name"], document["metadata"]["component"]["version"]), ("mooring", version), "of what it is")
    references = ["mooring"]
    for entry in document["components"]:
        check.true(entry["type"] == "library" and entry["name"] and re.match(r"\d|API \d", entry["version"]), entry)
        check.true(entry["licenses"][0]["expression"], entry)
        check.true(re.fullmatch(r"pkg:(deb/debian|cargo)/[a-z0-9+.-]+@[A-Za-z0-9.~%_-]+(\?arch=source)?", entry.get("purl", "pkg:cargo/none@0")), entry)
        check.true(all(h["alg"] == "SHA-256" and re.fullmatch("[0-9a-f]{64}", h["content"]) for h in entry.get("hashes", [])), entry)
        references.append(entry["bom-ref"])
    check.equal(len(references), len(set(references)), "each reference is of one component")
    check.equal([(d["ref"], sorted(d["dependsOn"])) for d in document["dependencies"]], [("mooring", sorted(references[1:]))], "what depends on what")


def test_each_library_that_the_linker_and_the_loader_are_given_is_in_it(case):
    named = components()
    archives = {Path(word).name for word in commands("mooring") if word.endswith(".a")}
    check.true("libssl.a" in archives or "libllhttp.a" in archives, f"archives in the link: {archives}")
    strange = {name for name in archives - OURS if ARCHIVES.get(name) not in named}
    shared = {name for name in elf.Elf(os.environ["MOORING_BIN"]).needed() if SHARED.get(name) not in named and not SANITIZERS.match(name)}
    check.equal((strange, shared), (set(), set()), "libraries that the bill does not name")
    linked = {ARCHIVES[name] for name in archives - OURS}
    static = {name for name, entry in named.items() if entry["properties"] == [{"name": "mooring:linkage", "value": "static"}]}
    check.equal(static - linked - {"libstdc++", "libgcc"}, set(), "libraries that the bill calls static, and nobody links")


def test_the_versions_are_those_of_the_headers(case):
    words = commands("proxy/libproxy.a.p/http_parser.cc.o")
    search = [word for i, word in enumerate(words) if word.startswith("-isystem") or (i and words[i - 1] == "-isystem")]
    wrong = []
    for name, (header, macros) in HEADERS.items():
        text = f"#include <{header}>\nversion_is {macros}\n"
        done = subprocess.run(["c++", "-std=c++20", "-E", "-P", "-x", "c++", "-", *search], input=text, capture_output=True, text=True, check=False)
        found = re.search(r"^version_is (.*)", done.stdout, re.M)
        version = found[1].replace(" ", "") if found else done.stderr[-200:]
        said = components()[name]["version"].split(":")[-1]
        if not re.match(rf"{re.escape(version)}(?![\d.])", said):
            wrong.append(f"{name}: {said} in the bill, {version} in {header}")
    check.equal(wrong, [], "versions that differ")


def test_the_pinned_ones_are_those_of_the_pins(case):
    pins = {}
    for line in (ROOT / "proxy/libraries/pin").read_text().splitlines():
        if not line.startswith(("#", "release ")):
            package, version, sha256 = line.split()
            pins["libuv" if package == "libuv1" else package] = (version, sha256)
    if "hashes" not in components()["libuv"]:
        raise check.Skip("built with other libraries")
    for name, (version, sha256) in pins.items():
        entry = components()[name]
        check.true(entry["version"].rpartition("-")[0] == version and entry["hashes"][0]["content"] == sha256, f"{name}: {entry}, pinned {version}")
    pin = dict(line.split() for line in (ROOT / "tls/boringssl/pin").read_text().splitlines() if not line.startswith("#"))
    entry = components()["boringssl"]
    if not entry["version"].startswith("API"):
        check.equal((entry["version"], entry["hashes"][0]["content"]), (pin["version"], pin["sha256"]), "BoringSSL")


def test_it_is_the_same_again_and_says_the_time_that_it_is_told(case):
    words = commands("mooring.cdx.json")
    words = words[words.index("/usr/bin/python3") if "/usr/bin/python3" in words else 0:]
    place = words.index("--output") + 1
    texts = []
    for name, epoch in (("a", None), ("b", None), ("c", "1700000000")):
        words[place] = str(case.directory / name)
        environment = {k: v for k, v in os.environ.items() if k != "SOURCE_DATE_EPOCH"} | ({"SOURCE_DATE_EPOCH": epoch} if epoch else {})
        subprocess.run(words, cwd=folder(), env=environment, check=True, timeout=60)
        texts.append(json.loads(Path(words[place]).read_text()))
    check.equal(texts[0], texts[1], "the same, twice")
    check.equal(texts[2]["metadata"]["timestamp"], "2023-11-14T22:13:20Z", "with SOURCE_DATE_EPOCH")
