"""Files that no reload may take up: each is refused whole, with its place, and what was in force goes on."""

import os
import signal

from lib import apps, certs, check, tlspeer
from lib.mooring import Mooring, run
from lib.ports import free_port

EXPECTED_SECONDS = 40

GOOD = """service: payment
identity: {{certificate: leaf.pem, private_key: leaf.key, roots: roots.pem}}
public_listener:
  address: 127.0.0.1:{public}
  local_app: 127.0.0.1:{app}
intentions:
  default: deny
  rules:
    - {{source: web, action: allow}}
upstreams:
  - service: db
    listen: 127.0.0.1:{upstream}
    endpoints: [127.0.0.1:1]
admin:
  address: 127.0.0.1:{admin}
drain_time: 0s
drain_delay: 0s
access_log: {{to: {log}}}
allow_core: true
max_connection_age: {age}
"""
NEXT = GOOD.count("\n") + 1  # the line behind it


def end(line):
    return lambda text, port: text + line + "\n"


def put(old, new):
    def edit(text, port):
        old_, new_ = (word.replace("{public}", port["public"]).replace("{upstream}", port["upstream"])
                      .replace("{admin}", port["admin"]).replace("{app}", port["app"]) for word in (old, new))
        check.true(old_ in text, f"{old_!r} in the good file")
        return text.replace(old_, new_)
    return edit


# What is wrong, where it is said to be, and a word of what is said.
BROKEN = [
    (end("colour: red"), f"{NEXT}:1", "colour"),
    (end("drain_time: 1s"), f"{NEXT}:1", "given twice"),
    (end("\tworkers: 1"), f"{NEXT}:1", "tab"),
    (end("agent: {token: x"), f"{NEXT + 1}:1", "not YAML"),
    (end('log_level: "INFO'), f"{NEXT}:12", "log_level"),
    (put("  local_app:", "   local_app:"), "5:13", "not YAML"),
    (lambda text, port: "- service: payment\n", "1:1", "a list"),
    (lambda text, port: "payment\n", "1:1", "single value"),
    (end("---\nservice: x"), f"{NEXT}:1", "second document"),
    (end("state_dir: *nowhere"), f"{NEXT}:12", "anchor"),
    (end("log_level: \x01"), f"{NEXT}:12", "log_level"),
    (lambda text, port: text[:text.index("endpoints") + 4], "13:5", "endp"),  # written in part
    (put("drain_time: 0s", "drain_time: 30"), "16:13", "no unit"),
    (put("drain_time: 0s", "drain_time: -3s"), "16:13", "negative"),
    (put("drain_delay: 0s", "public_listener: {handshake_timeout: 0s}"), "17:1", "given twice"),
    (put("127.0.0.1:{app}\n", "127.0.0.1:{app}\n  handshake_timeout: 0s\n"), "6:22", "longer than 0"),
    (end("workers: 0"), f"{NEXT}:10", "from 1 to 256"),
    (end("workers: 1000"), f"{NEXT}:10", "from 1 to 256"),
    (end("workers: two"), f"{NEXT}:10", "from 1 to 256"),
    (end("log_level: LOUD"), f"{NEXT}:12", "LOUD"),
    (end("log_json: perhaps"), f"{NEXT}:11", "boolean"),
    (end("memory_limit: 64QB"), f"{NEXT}:15", "KiB"),
    (end("memory_limit: 1KiB"), f"{NEXT}:15", "32MiB"),
    (end("on_revoke: maybe"), f"{NEXT}:12", "maybe"),
    (end("balance: fairest"), f"{NEXT}:10", "fairest"),
    (end("prefer_near: 101"), f"{NEXT}:14", "from 0 to 100"),
    (end("max_stale: 5s"), f"{NEXT}:12", "2m"),
    (end("tls_groups: [X25519, P-257]"), f"{NEXT}:13", "P-257"),
    (put("127.0.0.1:{public}", "127.0.0.1:99999"), "4:12", "99999"),
    (put("address: 127.0.0.1:{public}", "address: 127.0.0.1"), "4:12", "no port"),
    (put("127.0.0.1:{app}", "127.0.0.1:0"), "5:14", "cannot be dialled"),
    (put("127.0.0.1:{app}", "127.0.0.1:{public}"), "5:14", "call itself"),
    (put("127.0.0.1:{upstream}", "127.0.0.1:{public}"), "12:13", "clashes"),
    (put("127.0.0.1:{admin}", "127.0.0.1:{upstream}"), "15:12", "clashes"),
    (put("  local_app: 127.0.0.1:{app}\n", ""), "4:3", "local_app"),
    (put("  address: 127.0.0.1:{public}\n", ""), "4:3", "address"),
    (put("default: deny", "default: maybe"), "7:12", "maybe"),
    (put("action: allow", "action: let"), "9:29", "let"),
    (put(", action: allow", ""), "9:7", "action"),
    (put("action: allow}\n", "action: allow}\n    - {source: web, action: deny}\n"), "10:16", "has a rule already"),
    (put("source: web", "source: we/b"), "9:16", "we/b"),
    (put("admin:", "  - {service: db, listen: 127.0.0.1:8002}\nadmin:"), "14:15", "an upstream already"),
    (put("    listen: 127.0.0.1:{upstream}\n", ""), "11:5", "listen"),
    (put("  - service: db\n    listen", "  - listen"), "11:5", "names neither"),
    (put("[127.0.0.1:1]", "[127.0.0.1:0]"), "13:16", "cannot be dialled"),
    (put("    endpoints", "    spiffe_id: spiffe://x\n    endpoints"), "13:16", "spiffe://x"),
    (put("    endpoints", '    socket_mode: "0600"\n    endpoints'), "13:18", "unix:/path"),
    (put("    endpoints", "    attempts: 0\n    endpoints"), "13:15", "from 1 to 100"),
    (put("leaf.key", "nowhere.key"), "2:48", "nowhere.key"),
    (put("leaf.key", "other.key"), "2:25", "does not match"),
    (put("roots.pem", "leaf.key"), "2:25", "leaf.key"),
    (put("127.0.0.1:{admin}", "0.0.0.0:{admin}"), "15:12", "beyond loopback"),
    (put("127.0.0.1:{admin}", "127.0.0.1:{admin}\n  tap: true"), "16:8", "unix socket"),
    (end("agent: {token: x, token_file: leaf.pem}"), f"{NEXT}:16", "token_file"),
    (end("services: [{service: x}]"), "1:10", "cannot stand beside services"),
    (end("register_id: a"), f"{NEXT}:14", "register: true"),
    (end("no_wait: true"), f"{NEXT}:10", "sidecar_for"),
    (put("{to: ", "{to: somewhere, format: text} #"), "18:18", "somewhere"),
    (put("{to: ", "{format: text} #"), "18:13", "to: is required"),
]


def escaped(line):
    """escaped is the line as a terminal is shown it."""
    return line.replace("\x01", r"\x01")


class Running:
    def __init__(self, case):
        self.case = case
        self.authority = certs.Authority()
        own, other = self.authority.leaf("payment"), self.authority.leaf("payment")
        for name, text in (("leaf.pem", own.chain_pem), ("leaf.key", own.key_pem), ("other.key", other.key_pem),
                           ("roots.pem", self.authority.pem)):
            case.write(name, text)
        self.app = apps.App(case, apps.echo)
        self.log = case.directory / "access.log"
        self.port = {name: str(free_port()) for name in ("public", "upstream", "admin")}
        self.port["app"] = str(self.app.port)
        self.good = GOOD.format(log=self.log, age="0", **self.port)
        self.path = case.write("mooring.yaml", self.good)
        self.mooring = Mooring(case, ["proxy", "-config", self.path])
        self.peer = tlspeer.connect(case, self.mooring.public, self.authority.leaf("web"), self.authority.pem)
        self.peer.handshake()

    def count(self):
        now = self.mooring.status()["reload"]
        return now["good"] + now["refused"]

    def hang_up(self, text=None):
        if text is not None:
            self.case.write("mooring.yaml", text)
        before = self.count()
        self.mooring.process.send(signal.SIGHUP)
        check.within(lambda: self.count() > before, "the reload is over", 10)
        return self.mooring.status()["reload"]["last"]

    def serves(self):
        check.equal(self.peer.send(b"ping").receive(4), b"ping", "the connection from before")


def test_row_68_each_broken_file_is_refused_with_its_place_and_the_old_one_goes_on(case):
    it = Running(case)
    check.true(len(BROKEN) >= 50, f"{len(BROKEN)} broken files")
    host, port = it.mooring.listener("admin")
    for number, (edit, place, word) in enumerate(BROKEN):
        text = edit(it.good, it.port)
        said = it.hang_up(text)
        check.equal(said["outcome"], "refused", f"file {number}:\n{text}")
        wanted = f"{it.path}:{place}: "
        check.true(any(line.startswith(wanted) and word in line for line in said["problems"]),
                   f"file {number}: {wanted} with {word!r} in {said['problems']}")
        check.equal((said["applied"], said["needs_upgrade"]), ([], []), "nothing of it is applied")
        code, _, errors = run("validate", it.path)
        check.equal(code, 1, "validate says so, too")
        check.equal([line for line in errors.splitlines() if line.startswith(str(it.path))], [escaped(line) for line in said["problems"]],
                    f"file {number}: validate's words are the reload's")
        if number % case.scale(10, 1) == 0:
            code, output, errors = run("diff", "-admin-addr", f"{host}:{port}", it.path)
            check.equal((code, output), (2, ""), "diff")
            check.equal(errors.splitlines(), [escaped(line) for line in said["problems"]], f"file {number}: diff's words are the reload's")
        it.serves()
    for text in ("", "# nothing\n"):  # what has no place
        said = it.hang_up(text)
        check.true("the file is empty" in said["problems"][0], f"{said}")
    os.remove(it.path)
    said = it.hang_up()
    check.true("No such file" in said["problems"][0], f"{said}")
    check.equal(it.hang_up(it.good)["outcome"], "unchanged", "what was in force is what the good file says")
    it.serves()
    check.equal(it.mooring.status()["reload"]["refused"], len(BROKEN) + 3, "refused")


def test_a_hangup_opens_the_access_log_again_also_where_the_file_is_refused(case):
    it = Running(case)
    check.true(it.log.exists(), "the access log is there")
    for turn, text in enumerate((it.good, it.good + "colour: red\n", it.good.replace("max_connection_age: 0", "max_connection_age: 1h"))):
        os.rename(it.log, f"{it.log}.{turn}")
        it.hang_up(text)
        check.within(it.log.exists, f"turn {turn}: a new file", 5)
        peer = tlspeer.connect(case, it.mooring.public, it.authority.leaf("web"), it.authority.pem)
        peer.handshake()
        peer.close()
        check.within(lambda: it.log.read_text().count("\n") > 0, f"turn {turn}: lines go to the new file", 5)
    it.serves()
