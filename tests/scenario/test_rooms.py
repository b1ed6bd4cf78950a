"""The rooms' direction of knowledge, and which room may name which library: read off the #include lines."""
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# A room may include itself and the rooms named here, and every one of proxy/ what meson makes in proxy/ itself (version.h).
MADE = "proxy"
AUTHZ = {"authz", "authz/consul"}
KNOWS = {
    "authz": set(),
    "authz/consul": {"authz"},
    "tls": AUTHZ,
    "proxy/log": {"authz"},
    "proxy/confine": set(),
    "proxy/net": {"proxy/log", "tls"} | AUTHZ,
    "proxy/http": {"proxy/net", "tls"} | AUTHZ,
    "proxy/handover": {"proxy/net", "proxy/log", "authz"},
    "proxy/config": {"proxy/log", "proxy/net", "tls"} | AUTHZ,
    "proxy/data": {"proxy/net", "proxy/log", "tls", "authz"},
    "proxy/observe": {"proxy/data", "proxy/net", "proxy/log", "tls", "authz"},
    "proxy/state": {"proxy/net", "proxy/log", "tls"} | AUTHZ,
    "proxy/control": {"proxy/state", "proxy/data", "proxy/config", "proxy/http", "proxy/net", "proxy/log", "tls"} | AUTHZ,
    "proxy/admin": {"proxy/http", "proxy/net", "proxy/log", "authz"},
    "proxy/sidecar": {"proxy/admin", "proxy/confine", "proxy/observe", "proxy/control", "proxy/state", "proxy/data", "proxy/config", "proxy/handover",
                      "proxy/http", "proxy/net", "proxy/log", "tls"} | AUTHZ,
    "proxy/dev": {"proxy/http", "proxy/config", "proxy/net", "proxy/log", "tls"} | AUTHZ,
    "proxy/cli": {"proxy/sidecar", "proxy/observe", "proxy/dev", "proxy/control", "proxy/config", "proxy/handover", "proxy/http", "proxy/net",
                  "proxy/log"} | AUTHZ,
}

# Which rooms, or files, may name a library.
LIBRARIES = {
    r"uv\.h": {"proxy/net"},
    r"ares\.h": {"proxy/net/dns.cc"},
    r"netdb\.h": {"proxy/net/name_sources.cc"},
    r"openssl/.*": {"tls"},
    r"seccomp\.h": {"proxy/confine"},
    r"llhttp\.h": {"proxy/http/parser.h", "proxy/http/parser.cc"},
    r"yaml-cpp/.*": {"proxy/config"},
    r"spdlog/.*": {"proxy/log"},
    r"nlohmann/.*": {"authz/consul", "proxy/state", "proxy/control", "proxy/handover", "proxy/sidecar", "proxy/dev"},
}


def unit(path):
    """The file that a reader knows `path` by: a header, its source and its private header (x_impl.h, x_parts.h) are one."""
    return re.sub(r"(_impl|_parts)?\.(h|cc)$", "", path)


def sources():
    for room in KNOWS:
        folder = os.path.join(ROOT, room)
        for name in sorted(os.listdir(folder)):
            if name.endswith((".h", ".cc")):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    yield room, f"{room}/{name}", file.read()


def test_every_source_file_stands_in_a_known_room(case):
    strays = []
    for top in ("authz", "tls", "proxy"):
        for folder, _, names in os.walk(os.path.join(ROOT, top)):
            room = os.path.relpath(folder, ROOT)
            if room not in KNOWS and any(name.endswith((".h", ".cc")) for name in names):
                strays.append(room)
    assert not strays, strays


def test_a_room_includes_only_what_it_may_know(case):
    wrong = []
    for room, path, text in sources():
        for included in re.findall(r'^#include "([^"]+)/[^"/]+"', text, re.M):
            if included != room and included not in KNOWS[room] and not (included == MADE and room.startswith(MADE)):
                wrong.append(f"{path} includes {included}")
    assert not wrong, wrong


def test_no_arrow_points_upwards_between_files_of_one_room(case):
    below = {}
    for room, path, text in sources():
        for included in re.findall(rf'^#include "({re.escape(room)}/[^"/]+)"', text, re.M):
            arrow = (unit(path), unit(included))
            if arrow[0] != arrow[1]:
                below.setdefault(unit(path), set()).add(unit(included))
    state, rings = {}, []

    def visit(one, way):
        state[one] = "open"
        for other in sorted(below.get(one, ())):
            if state.get(other) == "open":
                rings.append(" -> ".join([*way[way.index(other):], other]))
            elif other not in state:
                visit(other, [*way, other])
        state[one] = "done"

    for one in sorted(below):
        if one not in state:
            visit(one, [one])
    assert not rings, "files that include each other, directly or through others: " + "; ".join(rings)


def test_a_library_is_named_only_in_its_room(case):
    wrong = []
    for room, path, text in sources():
        for included in re.findall(r"^#include <([^>]+)>", text, re.M):
            for pattern, allowed in LIBRARIES.items():
                if re.fullmatch(pattern, included) and room not in allowed and path not in allowed:
                    wrong.append(f"{path} includes <{included}>")
    assert not wrong, wrong


def test_every_test_that_the_thread_sanitizer_is_to_see_is_built_for_it(case):
    """tests/run --tsan runs what tests/unit/threads.txt names, out of the files that thread_tests is made of."""
    with open(os.path.join(ROOT, "tests/meson.build"), encoding="utf-8") as file:
        listed = re.search(r"executable\('thread_tests',\s+objects: \[\s+unit_tests\.extract_objects\(files\((.*?)\)",
                           file.read(), re.DOTALL).group(1)
    built = set()
    for name in re.findall(r"'(unit/[^']+)'", listed):
        with open(os.path.join(ROOT, "tests", name), encoding="utf-8") as file:
            # A long name stands in several string literals, as the compiler joins them.
            for literals in re.findall(r'TEST_CASE\(\s*((?:"(?:[^"\\]|\\.)*"\s*)+)', file.read()):
                built.add("".join(re.findall(r'"((?:[^"\\]|\\.)*)"', literals)))
    with open(os.path.join(ROOT, "tests/unit/threads.txt"), encoding="utf-8") as file:
        named = {line.strip() for line in file if line.strip() and not line.startswith("#")}
    assert named <= built, f"named and not built: {sorted(named - built)}"
    unseen = {name for name in built if name.startswith("threads:")} - named
    assert not unseen, f"tests of threads that threads.txt does not name: {sorted(unseen)}"
