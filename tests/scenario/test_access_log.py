"""The access log and /recent: one line a connection, exact, and nobody waits for whoever does not read it."""

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request

from lib import check, tlspeer
from lib.case import slowness
from lib.metrics import scrape
from lib.mooring import Mooring, run
from lib.namespaces import own_mounts
from lib.static import Static

EXPECTED_SECONDS = 35
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
F_SETPIPE_SZ = 1031
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
MEASURED = ("time", "duration_ms", "connect_ms", "handshake_ms", "first_byte_ms")
MISSING = r"\[WARN\]  observe: lines are missing in the access log: lines=(\d+)"


def logs(case, to=None, **options):
    """logs are the settings of an access log in JSON, by default in a file of the case."""
    return {"access_log": {"to": to or str(case.directory / "access.log"), "format": "json", **options}}


def lines(case, count, name="access.log"):
    """lines waits for that many, and returns all that there are then."""
    path = case.directory / name

    def look():
        text = path.read_text() if path.exists() else ""
        whole = [json.loads(line) for line in text.rpartition("\n")[0].splitlines()]
        check.true(len(whole) >= count, f"{len(whole)} lines of {count}")
        return whole

    found = check.within(look, f"{count} lines in {name}", 10 * slowness())
    check.equal(len(found), count, f"lines: {found}")
    return found


def without_times(line):
    """without_times is the line without what no two runs have alike; those are looked at here."""
    check.true(TIME.fullmatch(line["time"]), f"time {line['time']}")
    for name in MEASURED[1:]:
        check.true(0 <= line.get(name, 0) < 60_000, f"{name} is {line.get(name)}")
    return {key: value for key, value in line.items() if key not in MEASURED}


def text(address):
    return f"{address[0]}:{address[1]}"


def test_a_call_from_the_mesh_has_one_line_with_all_that_is_known_of_it(case):
    static = Static(case, **logs(case))
    caller = static.caller()
    check.equal(caller.send(b"x" * 10).receive(10), b"x" * 10, "echo")
    peer = caller.socket.getsockname()
    caller.notify()
    line, = lines(case, 1)
    check.equal(set(MEASURED) - set(line), set(), "each time that there is")
    seen = without_times(line)
    check.true(seen.pop("tls_group") in ("X25519MLKEM768", "X25519", "P-256"), "the group")
    check.true("web" in seen.pop("decided_by"), "what let it in")
    check.true(seen.pop("tls_cipher").startswith("TLS_"), "the cipher suite")
    check.equal(seen, {
        "event": "end", "id": 1, "direction": "inbound", "service": "payment", "source": "web", "destination": "payment",
        "datacenter": "dc1", "identity": static.web.uri, "peer": text(peer), "local": text(static.public),
        "endpoint": f"127.0.0.1:{static.app.port}", "attempts": 1, "bytes_received": 10, "bytes_sent": 10, "reason": "done",
        "tls_version": "TLSv1.3", "tls_resumed": False}, "the line")


def test_a_call_of_the_app_has_its_line_and_so_has_one_whose_instance_is_somebody_else(case):
    static = Static(case, **logs(case))
    client, peer = static.called()
    client.send(b"question")
    check.equal(peer.receive(8), b"question", "what came")
    peer.send(b"ok")
    check.equal(client.receive(2), b"ok", "answer")
    client.finish()
    peer.notify()
    peer.close()
    seen = without_times(lines(case, 1)[0])
    for name in ("tls_group", "tls_cipher", "local", "peer"):
        check.true(seen.pop(name), name)
    check.equal(seen, {
        "event": "end", "id": 1, "direction": "outbound", "service": "payment", "source": "payment", "destination": "db",
        "datacenter": "dc1", "identity": static.db.uri, "endpoint": f"127.0.0.1:{static.endpoint.port}", "attempts": 1,
        "bytes_received": 8, "bytes_sent": 2, "reason": "done", "tls_version": "TLSv1.3", "tls_resumed": False}, "the line")
    client = static.client()
    other = static.endpoint.accept(static.authority.leaf("other"), static.roots)
    tlspeer.try_in_vain(other)
    check.equal(client.drain(), (b"", "reset"), "what the application gets")
    seen = without_times(lines(case, 2)[1])
    check.equal((seen["reason"], seen["destination"], seen["attempts"], seen["bytes_received"]), ("san_mismatch", "db", 1, 0),
                "of the other")
    check.true(f"127.0.0.1:{static.endpoint.port}: " in seen["detail"] and "other" in seen["detail"], seen["detail"])


def test_who_is_refused_has_a_line_that_says_by_what_and_one_in_so_many_is_told(case):
    static = Static(case, **logs(case, refused_one_in=5))
    mallory = static.authority.leaf("mallory")
    for i in range(6):
        peer = static.dial(identity=mallory)
        tlspeer.try_in_vain(peer)
        peer.close()
        static.mooring.wait_closed("inbound", "denied", i + 1)
    tlspeer.try_in_vain(static.dial(identity=None))
    static.mooring.wait_closed("inbound", "no_client_certificate")
    seen = [without_times(line) for line in lines(case, 3)]
    check.equal([(line["source"], line["reason"], line["one_in"]) for line in seen],
                [("mallory", "denied", 5)] * 2 + [("unproven", "no_client_certificate", 5)], "who, why and how many")
    check.equal(seen[0]["identity"], mallory.uri, "who has proven it")
    check.true("default" in seen[0]["decided_by"], f"what refused it: {seen[0]['decided_by']}")
    check.equal([line["id"] for line in seen], [1, 6, 7], "the first of each reason, and each fifth")


def test_what_metrics_count_is_what_the_lines_sum_up_to(case):
    static = Static(case, **logs(case))
    number = case.scale(150, 1000)
    for i in range(number):
        size = 1 + i * 37 % 5000
        caller = static.caller()
        check.equal(len(caller.send(b"x" * size).receive(size)), size, "echo")
        caller.notify()
        caller.close()
    static.mooring.wait_closed("inbound", {"done", "reset"}, number, seconds=20)
    seen, told = scrape(static.mooring), lines(case, number)
    web = {"direction": "inbound", "source_service": "web"}
    check.equal(seen.value("mooring_connections_opened_total", **web), number, "opened")
    check.equal(sum(line["bytes_received"] for line in told), sum(1 + i * 37 % 5000 for i in range(number)), "bytes that went")
    for metric, field in (("received", "bytes_received"), ("sent", "bytes_sent")):
        check.equal(seen.value(f"mooring_{metric}_bytes_total", **web), sum(line[field] for line in told), field)
    for reason in {line["reason"] for line in told}:
        check.equal(seen.value("mooring_connections_closed_total", reason=reason, **web),
                    sum(line["reason"] == reason for line in told), reason)
    check.equal(len({line["id"] for line in told}), number, "each connection once")
    check.equal(seen.value("mooring_access_log_lines_dropped_total"), 0, "dropped")


def test_a_file_that_was_moved_away_is_opened_again_on_sighup(case):
    static = Static(case, **logs(case))
    static.serves()
    lines(case, 1)
    os.rename(case.directory / "access.log", case.directory / "access.log.1")
    static.serves()
    lines(case, 2, "access.log.1")
    static.mooring.process.send(signal.SIGHUP)
    static.mooring.wait_log(r"SIGHUP: the access log is being opened again")
    check.within(lambda: (case.directory / "access.log").exists(), "a new file")
    check.equal((case.directory / "access.log").stat().st_mode & 0o777, 0o640, "its mode")
    static.serves()
    lines(case, 1)
    lines(case, 2, "access.log.1")


def test_nobody_reads_standard_output_and_traffic_goes_on(case):
    read, write = os.pipe()
    case.undo(lambda: os.close(read))
    fcntl.fcntl(write, F_SETPIPE_SZ, 4096)
    static = Static(case, process={"stdout": write}, **logs(case, "stdout", format="text"))
    os.close(write)
    for _ in range(3000):
        socket.create_connection(static.public).close()
    said = static.mooring.wait_log(MISSING + r" to=stdout why=\"they were not taken in time\"", 20)
    check.true(int(said[1]) > 0, "how many")
    static.serves()
    dropped = scrape(static.mooring).value("mooring_access_log_lines_dropped_total")
    check.true(dropped >= int(said[1]), f"{dropped} counted")
    check.true(os.read(read, 200).startswith(b"time="), "nothing stands before the first line")


def test_a_full_disk_costs_lines_and_is_said(case):
    static = Static(case, **logs(case, "/dev/full"))
    for _ in range(3):
        static.serves()
    static.mooring.wait_log(MISSING + r" to=/dev/full why=\"No space left on device\"")
    static.serves()
    check.within(lambda: scrape(static.mooring).value("mooring_access_log_lines_dropped_total") == 4, "each is counted")


def entry(datagram):
    """entry reads an entry of systemd's journal."""
    fields = {}
    while datagram:
        line, _, datagram = datagram.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(datagram[:8], "little")
            value, datagram = datagram[8:8 + size], datagram[8 + size + 1:]
        fields[name.decode()] = value.decode()
    return fields


def test_the_journal_gets_fields_of_its_own_and_may_come_later(case):
    own_mounts("a journal in the place of the machine's")
    place = case.directory / "run"
    (place / "systemd/journal").mkdir(parents=True)
    subprocess.run(["mount", "--bind", place, "/run"], check=True)
    case.undo(lambda: subprocess.run(["umount", "-l", "/run"], check=True) and None)
    static = Static(case, **logs(case, "journald", format="text"))
    static.serves()
    static.mooring.wait_log(MISSING + r" to=journald why=\"No such file or directory\"")
    journal = case.owns(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    journal.bind(str(place / "systemd/journal/socket"))
    journal.settimeout(10 * slowness())
    static.serves()
    seen = entry(journal.recv(65536))
    check.equal((seen["MESSAGE_ID"], seen["PRIORITY"], seen["SYSLOG_IDENTIFIER"]),
                ("5b7d2f0c6a1e4e3f9a84c1d07b35e692", "6", "mooring"), "what journalctl finds it by")
    check.true("direction=inbound service=payment source=web" in seen["MESSAGE"], seen["MESSAGE"])
    check.equal((seen["MOORING_SOURCE"], seen["MOORING_BYTES_SENT"], seen["MOORING_TLS_VERSION"]), ("web", "4", "TLSv1.3"),
                "fields")


def test_a_long_connection_has_a_line_at_its_start_and_while_it_lives(case):
    static = Static(case, **logs(case, at_start=True, every="5s"))
    caller = static.caller()
    check.equal(caller.send(b"ping").receive(4), b"ping", "echo")
    start, alive = check.within(lambda: (found := lines(case, 2)) and found, "a line while it lives", 12 * slowness())
    check.equal([line["event"] for line in (start, alive)], ["start", "alive"], "events")
    check.equal((start["id"], start["bytes_sent"], start["endpoint"]), (1, 0, f"127.0.0.1:{static.app.port}"), "the first")
    check.equal((alive["id"], alive["bytes_sent"], alive.get("reason")), (1, 4, None), "the second")
    check.true(alive["duration_ms"] >= 5000, f"after {alive['duration_ms']} ms")
    caller.notify()
    caller.close()
    check.equal([line["event"] for line in lines(case, 3)][-1], "end", "the last")


def test_what_the_end_of_the_process_cuts_has_its_line(case):
    static = Static(case, **logs(case))
    caller = static.caller()
    check.equal(caller.send(b"ping").receive(4), b"ping", "echo")
    check.equal(static.mooring.stop(), 0, "exit code")
    line, = lines(case, 1)
    check.equal((line["reason"], line["bytes_sent"]), ("drain_timeout", 4), "the line")


def recent(static, query=""):
    code, body = static.mooring.admin("/recent" + query)
    check.equal(code, 200, "/recent")
    return json.loads(body)


def test_the_last_ends_are_kept_and_refusals_apart_without_any_setting(case):
    static = Static(case)
    tlspeer.try_in_vain(static.dial(identity=static.authority.leaf("mallory")))
    static.mooring.wait_closed("inbound", "denied")
    for _ in range(3):
        static.serves()
    check.within(lambda: len(recent(static)["ended"]) == 4, "all that have ended")
    seen = recent(static)
    check.equal([one["source"] for one in seen["ended"]], ["web", "web", "web", "mallory"], "the newest first")
    check.equal([(one["source"], one["reason"]) for one in seen["failed"]], [("mallory", "denied")], "refusals apart")
    check.true("default" in seen["failed"][0]["decided_by"], "and by what")
    check.equal(seen["missing"], 0, "not kept")
    check.equal([one["source"] for one in recent(static, "?match=mall")["ended"]], ["mallory"], "by a part of a name")
    check.equal(len(recent(static, "?limit=2")["ended"]), 2, "as many as asked for")
    check.equal(len(recent(static, "?service=payment")["ended"]), 4, "of a service")
    check.equal(static.mooring.admin("/recent?limit=many")[0], 400, "no number")
    check.equal(static.mooring.admin("/recent?service=nobody")[0], 404, "no such service")


def test_the_port_for_scrapers_does_not_tell_who_was_refused(case):
    static = Static(case, metrics={"address": "127.0.0.1:0"})
    host, port = static.mooring.listener("metrics")
    try:
        urllib.request.urlopen(f"http://{host}:{port}/recent", timeout=5)
        check.fail("/recent is there")
    except urllib.error.HTTPError as error:
        check.equal(error.code, 404, "/recent")


def test_a_file_that_cannot_be_opened_ends_the_start(case):
    mooring = Mooring.from_yaml(case, {"service": "payment", **logs(case, "/nonexistent/access.log"),
                                       "upstreams": [{"service": "db", "listen": "127.0.0.1:0"}]}, ready=False)
    mooring.expect_exit = 78
    check.equal(mooring.process.wait(), 78, "exit code")
    check.true("access_log cannot be opened: /nonexistent/access.log: No such file or directory" in mooring.process.stderr(),
               mooring.process.stderr())


def test_the_table_of_metrics_and_fields_is_what_the_program_says_and_holds_all_that_it_uses(case):
    code, said, _ = run("help", "metrics")
    check.equal(code, 0, "exit code")
    with open(os.path.join(ROOT, "examples/metrics.md"), encoding="utf-8") as file:
        check.true(file.read() == said, "examples/metrics.md is what `mooring help metrics` says")
    known = set(re.findall(r"^\| `(\w+)` \|", said, re.M))
    static = Static(case, **logs(case, at_start=True))
    static.serves()
    client, peer = static.called()
    peer.close()
    client.close()
    used = {name for line in lines(case, 4) for name in line}
    used |= {re.sub(r"_(bucket|sum|count)$", "", name) for name, _, _ in scrape(static.mooring).samples}
    check.equal(used - known, set(), "used and not in the table")
