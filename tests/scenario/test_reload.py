"""A reload: the file is read again, checked whole, and applied while the process runs; nobody who is not meant notices."""

import http.client
import os
import signal
import socket

from lib import apps, certs, check, tlspeer
from lib.mooring import Mooring, run, yaml_text
from lib.ports import free_port
from lib.static import identity_files

EXPECTED_SECONDS = 60


class Reloaded:
    """A static mooring whose file is changed: `settings` is what it says now."""

    def __init__(self, case, name="payment", **settings):
        self.case = case
        self.authority = certs.Authority()
        self.web = self.authority.leaf("web")
        self.app = apps.App(case, apps.echo)
        self.endpoint = tlspeer.Endpoint(case)
        self.settings = {
            "admin": {"address": "127.0.0.1:0"}, "log_level": "DEBUG", "drain_delay": "0s", "drain_time": "0s",
            "allow_core": True, **self.service(name), **settings}
        self.path = case.write("mooring.yaml", yaml_text(self.settings) + "\n")
        self.mooring = Mooring(case, ["proxy", "-config", self.path])

    def service(self, name, **more):
        return {"service": name, "identity": identity_files(self.case, self.authority, name),
                "public_listener": {"address": f"127.0.0.1:{free_port()}", "local_app": f"127.0.0.1:{self.app.port}"},
                "intentions": {"default": "deny", "rules": [{"source": "web", "action": "allow"}]}, **more}

    def write(self, text=None):
        self.case.write("mooring.yaml", text if text is not None else yaml_text(self.settings) + "\n")

    def last(self):
        return self.mooring.status()["reload"]

    def reload(self, text=None):
        """reload has the file read again, and returns what became of it."""
        before = self.last()
        self.write(text)
        self.mooring.process.send(signal.SIGHUP)

        def done():
            now = self.last()
            return now if now["good"] + now["refused"] > before["good"] + before["refused"] else None

        return check.within(done, "the reload is over", 10)["last"]

    def caller(self, address=None, identity=None):
        peer = tlspeer.connect(self.case, address or self.mooring.public, identity or self.web, self.authority.pem)
        peer.handshake()
        return peer

    def diff(self, path=None):
        host, port = self.mooring.listener("admin")
        return run("diff", "-admin-addr", f"{host}:{port}", str(path or self.path))


def texts(differences):
    return [each["text"] for each in differences]


def answers(peer, data=b"ping"):
    check.equal(peer.send(data).receive(len(data)), data, "echo")
    return True


def test_what_changes_is_said_applied_and_nobody_else_notices(case):
    it = Reloaded(case, drain_quiet="200ms", workers=1)
    peer = it.caller()
    answers(peer)
    check.equal(it.last()["last"], None, "no reload yet")
    it.settings.update(drain_time="3s", workers=2, max_connection_age="1h", log_level="INFO")
    said = it.reload()
    check.equal(said["outcome"], "applied", f"{said}")
    check.equal(texts(said["applied"]), ["log_level: DEBUG -> INFO", "drain_time: 0 -> 3s", "max_connection_age: 0 -> 1h"], "applied")
    check.equal(texts(said["needs_upgrade"]), ["workers: 1 -> 2"], "needs an upgrade")
    check.equal(said["why"], "SIGHUP", "why")
    for line in (*texts(said["applied"]), *texts(said["needs_upgrade"])):
        it.mooring.wait_log(f"reload: (applied|needs an upgrade): change=.{line}")
    answers(peer)
    said = it.reload()
    check.equal((said["outcome"], texts(said["needs_upgrade"])), ("applied", ["workers: 1 -> 2"]), "again")
    it.settings.update(drain_time="0s", workers=1)
    it.reload()
    check.equal(it.reload()["outcome"], "unchanged", "nothing is different")
    answers(peer)


def test_an_intention_that_changes_cuts_within_a_second(case):
    it = Reloaded(case)
    peer = it.caller()
    answers(peer)
    it.settings["intentions"] = {"default": "allow", "rules": [{"source": "web", "action": "deny"}]}
    said = it.reload()
    check.equal(len(said["applied"]), 2, f"{said}")
    it.mooring.wait_closed("inbound", "revoked", seconds=1.0)
    api = it.caller(identity=it.authority.leaf("api"))
    answers(api)


def test_a_listener_moves_and_live_connections_stay(case):
    it = Reloaded(case)
    peer = it.caller()
    answers(peer)
    old = it.settings["public_listener"]["address"]
    new = f"127.0.0.1:{free_port()}"
    it.settings["public_listener"]["address"] = new
    said = it.reload()
    check.equal(texts(said["applied"]), [f"public_listener.address: {old} -> {new}"], "applied")
    moved = ("127.0.0.1", int(new.rsplit(":", 1)[1]))
    check.within(lambda: answers(it.caller(moved)), "the new port serves", 5)
    answers(peer)
    try:
        socket.create_connection(("127.0.0.1", int(old.rsplit(":", 1)[1])), 2).close()
        check.fail("the old port is still open")
    except ConnectionRefusedError:
        pass


def test_services_come_and_go_and_the_others_do_not_notice(case):
    it = Reloaded(case)
    first = {key: it.settings.pop(key) for key in ("service", "identity", "public_listener", "intentions")}
    it.settings["services"] = [first]
    peer = it.caller()
    answers(peer)
    for turn in range(case.scale(3, 20)):
        second = it.service("second")
        it.settings["services"] = [first, second]
        check.equal(texts(it.reload()["applied"]), ["services[second]: added"], f"turn {turn}")
        address = second["public_listener"]["address"].rsplit(":", 1)
        place = (address[0], int(address[1]))
        it.mooring.wait_ready()
        other = check.within(lambda: it.caller(place), "the added service serves", 5)
        answers(other)
        check.equal([each["name"] for each in it.mooring.status()["services"]], ["payment", "second"], "services")
        it.settings["services"] = [first]
        check.equal(texts(it.reload()["applied"]), ["services[second]: removed"], f"turn {turn}")
        check.within(lambda: not it.last()["leaving"], "it is gone", 10)
        answers(peer)
    it.mooring.wait_ready()


def test_a_file_that_changes_is_reloaded_by_itself_where_it_says_so_and_only_once_it_is_whole(case):
    it = Reloaded(case)
    it.settings["max_connection_age"] = "1h"
    it.write()
    check.stays(lambda: it.last()["last"] is None, "a change alone does nothing by default", 4)
    it.settings["reload_on_change"] = True
    it.reload()

    # An editor that renames a whole file over the old one.
    it.settings["max_connection_age"] = "2h"
    it.write()
    check.within(lambda: it.last()["good"] == 2, "it is reloaded", 10)
    check.equal((it.last()["last"]["why"], texts(it.last()["last"]["applied"])), ("the file has changed", ["max_connection_age: 1h -> 2h"]), "why")

    # One that writes in place, and pauses where what is there is a file of its own.
    it.settings["max_connection_age"] = "3h"
    text = yaml_text(it.settings) + "\n"
    with open(it.path, "w", encoding="utf-8") as file:
        for piece in (text[:len(text) // 3], text[len(text) // 3:-20], text[-20:]):
            file.write(piece)
            file.flush()
            check.stays(lambda: it.last()["good"] == 2 and it.last()["refused"] == 0, "it is not whole", 3)
    check.within(lambda: it.last()["good"] == 3, "it is reloaded once it is whole", 10)
    check.equal(it.last()["refused"], 0, "nothing was refused meanwhile")

    # A broken one is said once, and not every second.
    it.write("colour: red\n")
    check.within(lambda: it.last()["refused"] == 1, "it is refused", 10)
    os.remove(it.path)
    check.stays(lambda: it.last()["refused"] == 1, "it is refused once, and one that is away is no change", 4)


def test_the_comparison_is_for_who_can_say_what_it_is(case):
    it = Reloaded(case)
    host, port = it.mooring.listener("admin")

    def post(path, body, **headers):
        connection = http.client.HTTPConnection(host, port, timeout=10)
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    text = yaml_text(it.settings)
    check.equal(post("/diff?file=/x.yaml", text, **{"content-type": "application/yaml"})[0], 200, "as mooring diff asks")
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):  # what a page's form can send
        check.equal(post("/diff?file=/x.yaml", text, **{"content-type": kind})[0], 400, kind)
    check.equal(post("/diff?file=/x.yaml", text, **{"content-type": "application/yaml", "host": "evil.example"})[0], 403, "another name")
    check.equal(it.mooring.admin("/diff")[0], 404, "GET")
    flags = Mooring.connect_proxy(case, "-service", "x", "-upstream", "db:127.0.0.1:0", ready=False)
    where = flags.listener("admin")
    code, _, errors = run("diff", "-admin-addr", f"{where[0]}:{where[1]}", it.path)
    check.true(code == 2 and "started by flags" in errors, f"{code} {errors}")
    flags.process.send(signal.SIGHUP)
    flags.wait_log("there is no file of settings to read again")
    check.equal(run("diff", "-admin-addr", "127.0.0.1:1", it.path)[0], 2, "nobody is there")
