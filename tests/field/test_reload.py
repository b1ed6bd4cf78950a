"""Reloads beside a real Consul and under load: nothing fails, nothing is disturbed, nothing is left behind."""

import signal

from lib import apps, check
from lib.callers import Pool, Session, Stream
from lib.case import sanitized, slowness
from lib.consul import Consul
from lib.mooring import Mooring, run, yaml_text
from lib.ports import free_port

EXPECTED_SECONDS = 60


class Filed:
    """A mooring by a file that is changed: `settings` is what it says now."""

    def __init__(self, case, name, settings):
        self.case, self.name = case, f"{name}.yaml"
        self.settings = {"admin": {"address": "127.0.0.1:0"}, "drain_delay": "0s", "drain_time": "0s", "allow_core": True,
                         **settings}
        self.path = self.write()
        self.mooring = Mooring(case, ["proxy", "-config", self.path], name=name)
        self.reloads = 0

    def write(self):
        return self.case.write(self.name, yaml_text(self.settings) + "\n")

    def reload(self, seconds=10):
        self.write()
        self.mooring.process.send(signal.SIGHUP)
        self.reloads += 1
        last = check.within(lambda: (now := self.mooring.status()["reload"])["good"] + now["refused"] >= self.reloads and now,
                            "the reload is over", seconds)["last"]
        check.true(last["outcome"] != "refused", f"{last}")
        return [each["text"] for each in last["applied"]]

    def settled(self):
        """settled waits until what a reload has removed is gone."""
        check.within(lambda: not self.mooring.status()["reload"]["leaving"], "what was removed is gone", 20)


class Mesh:
    """web calls payment: two files, two moorings, one agent. Each has its entry in the catalog by itself."""

    def __init__(self, case, **more):
        self.case = case
        self.consul = Consul(case)
        self.app = apps.App(case, apps.echo)
        self.payment = Filed(case, "payment", {
            "agent": {"address": self.consul.address}, **more,
            "services": [self.service("payment")]})
        self.web = Filed(case, "web", {
            "agent": {"address": self.consul.address},
            "services": [{"service": "web", "upstreams": [{"service": "payment", "listen": f"127.0.0.1:{free_port()}"}]}]})
        host, port = self.web.settings["services"][0]["upstreams"][0]["listen"].split(":")
        self.address = (host, int(port))
        self.call()

    def service(self, name, **more):
        return {"service": name, "register": True, "public_listener": {
            "address": f"127.0.0.1:{free_port()}", "local_app": f"127.0.0.1:{self.app.port}"}, **more}

    def call(self):
        def served():
            try:
                return apps.ping(self.address)
            except (OSError, AssertionError):
                return False
        check.within(served, "a call is served", 20, step=0.05)


def variants(mesh):
    """variants are the changes that the files go through, in a circle; each undoes what the one before did."""
    payment, web = mesh.payment.settings, mesh.web.settings
    first, upstream = payment["services"][0], web["services"][0]["upstreams"][0]
    extra = mesh.service("extra")
    spare = {"service": "spare", "listen": f"127.0.0.1:{free_port()}"}

    def limits(on):
        first["public_listener"].update({"max_inbound_connections": 1000 if on else 2000, "max_connections_per_identity": 500 if on else 900})
        payment.update(rate_per_address=5000 if on else 9000, max_total_connections=5000 if on else 6000, memory_limit="512MiB" if on else "600MiB")

    def timeouts(on):
        payment.update(drain_time="1s" if on else "0s", on_revoke="keep" if on else "close", max_stale="1h" if on else "0s")
        upstream.update({"attempts": 3 if on else 10, "connect_timeout": "2s" if on else "5s", "balance": "round_robin" if on else "least_time"})

    def services(on):
        payment["services"] = [first, extra] if on else [first]
        web["services"][0]["upstreams"] = [upstream, spare] if on else [upstream]

    def words(on):
        payment.update(log_level="WARN" if on else "INFO", tls_resumption="off" if on else "on")
        web.update(access_log={"to": str(mesh.case.directory / "access.log"), "format": "json" if on else "text"})

    return [limits, timeouts, services, words]


def test_a_thousand_reloads_under_load_fail_and_disturb_nobody(case):
    mesh = Mesh(case)
    sessions = [Session(case, mesh.address) for _ in range(5)]
    steps = variants(mesh)
    rounds = case.scale(48, 1000)

    def reload(number):
        step, on = steps[number % len(steps)], number // len(steps) % 2 == 0
        step(on)
        both = mesh.payment.reload() + mesh.web.reload()
        check.true(both, f"reload {number} applies something")
        if step.__name__ == "services":
            mesh.payment.settled()
        if number % 50 == 0:  # the app ends one that is silent for a minute
            for session in sessions:
                session.ask()

    streams, filed_ones = [], (mesh.payment, mesh.web)
    third = rounds // 3 // 8 * 8  # whole circles
    held = {}
    for first, last in ((0, third), (third, -(-rounds // 8) * 8)):
        streams.append(Stream(case, mesh.address, pause=0.01))
        for number in range(first, last):
            reload(number)
        streams[-1].stop()  # what is held is looked at without what comes and goes
        for filed in filed_ones:
            filed.settled()
            process = filed.mooring.process
            if first == 0:
                held[filed] = process.anonymous(), len(process.descriptors())
                continue
            memory, files = held[filed]
            if not sanitized():  # what is freed is kept for a while there
                check.below(process.anonymous() - memory, 3 << 20, f"{process.name} has grown by so many bytes")
            # What is kept for a while, such as idle connections to the agent, comes and goes.
            check.within(lambda: len(process.descriptors()) <= files + 2, f"{process.name} has its {files} descriptors", 30)
    for session in sessions:  # that were held all the time
        session.ask()
    calls = [call for stream in streams for call in stream.calls]
    check.equal([call for call in calls if call.outcome != "ok"], [], "calls that failed")
    check.true(len(calls) > 50, f"{len(calls)} calls")
    print(f"{2 * last} reloads, {len(calls)} calls, none failed; held at first {list(held.values())}, at last "
          f"{[(filed.mooring.process.anonymous(), len(filed.mooring.process.descriptors())) for filed in filed_ones]}")


test_a_thousand_reloads_under_load_fail_and_disturb_nobody.limit = 900


def test_a_service_that_is_added_is_in_the_catalog_and_one_that_is_removed_is_not(case):
    mesh = Mesh(case)
    pool, stream = Pool(case, mesh.address, size=2), Stream(case, mesh.address, pause=0.02)
    entry = mesh.consul.instances("payment")
    extra = mesh.service("extra", register_id="a")
    for _ in range(2):
        mesh.payment.settings["services"].append(extra)
        check.equal(mesh.payment.reload(), ["services[extra]: added"], "added")
        mesh.payment.mooring.wait_ready()
        check.within(lambda: [one["Service"]["ID"] for one in mesh.consul.instances("extra")] == ["extra-proxy-a"],
                     "it is in the catalog, and passing", 10)
        mesh.payment.settings["services"].pop()
        check.equal(mesh.payment.reload(), ["services[extra]: removed"], "removed")
        mesh.payment.settled()
        check.equal(mesh.consul.get("/v1/health/connect/extra"), [], "its entry is gone")
    check.equal([one["Service"] for one in mesh.consul.instances("payment")], [one["Service"] for one in entry],
                "the entry of the other one, with its indexes")
    stream.stop()
    check.equal(([call for call in stream.calls if call.outcome != "ok"], pool.counts()), ([], {"open": 2}), "nobody noticed")


def test_a_registration_follows_its_settings(case):
    mesh = Mesh(case)
    service = mesh.payment.settings["services"][0]

    def entries():
        return sorted((one["Service"]["ID"], one["Service"]["Port"]) for one in mesh.consul.instances("payment"))

    old = int(service["public_listener"]["address"].rsplit(":", 1)[1])
    check.equal(entries(), [("payment-proxy", old)], "at first")
    new = free_port()
    service["public_listener"]["address"] = f"127.0.0.1:{new}"
    mesh.payment.reload()
    check.within(lambda: entries() == [("payment-proxy", new)], "it moves with its listener", 10)
    service["register_id"] = "b"
    mesh.payment.reload()
    check.within(lambda: entries() == [("payment-proxy-b", new)], "another ID takes the place of the first", 10)
    mesh.call()
    for key in ("register", "register_id"):
        del service[key]
    mesh.payment.reload()
    check.within(lambda: entries() == [], "it is taken out", 10)


def test_intentions_of_the_file_hold_until_the_agents_are_known(case):
    mesh = Mesh(case)
    service = mesh.payment.settings["services"][0]
    service["intentions"] = {"default": "deny", "rules": [{"source": "web", "action": "allow"}]}
    pool, stream = Pool(case, mesh.address, size=2), Stream(case, mesh.address, pause=0.01)
    for _ in range(case.scale(3, 20)):
        mesh.payment.reload()
        kept = service.pop("intentions")
        check.true(any(text.startswith("intentions.rules") or ".intentions.rules" in text for text in mesh.payment.reload()), "gone")
        mesh.call()
        service["intentions"] = kept
    stream.stop()
    check.equal(([call for call in stream.calls if call.outcome != "ok"], pool.counts()), ([], {"open": 2}), "nobody noticed")


def test_upstreams_keep_what_they_know_while_the_agent_is_away(case):
    mesh = Mesh(case)
    upstream = mesh.web.settings["services"][0]["upstreams"][0]
    mesh.consul.kill()
    for attempts in (3, 4):
        upstream["attempts"] = attempts
        mesh.web.reload()
        mesh.call()


def test_row_67_a_hangup_in_a_drain_changes_nothing(case):
    mesh = Mesh(case)
    mesh.web.settings["drain_time"] = "20s"
    mesh.web.reload()
    held = apps.Client(case, mesh.address)
    held.send(b"x")
    check.equal(held.receive(1), b"x", "echo")
    mesh.app.wait(lambda: True, "the app is there")
    # An exchange is under way as long as its answer is owed: the app echoes what comes, so half of a request keeps it open.
    mesh.web.mooring.process.send(signal.SIGTERM)
    mesh.web.mooring.wait_log("draining")
    mesh.web.settings["drain_time"] = "0s"
    mesh.web.write()
    mesh.web.mooring.process.send(signal.SIGHUP)
    mesh.web.mooring.wait_log("SIGHUP: the settings stay as they are; this process ends")
    check.equal(mesh.web.mooring.process.wait(20), 0, "its exit code")
    check.true("reload: " not in mesh.web.mooring.process.stderr().split("draining")[1], "nothing is reloaded in the drain")


def test_mooring_diff_shows_what_a_reload_then_says_and_a_fresh_start_has(case):
    mesh = Mesh(case)
    first = mesh.payment.settings["services"][0]
    host, port = mesh.payment.mooring.listener("admin")

    def diff(*more, at=None):
        h, p = at or (host, port)
        return run("diff", "-admin-addr", f"{h}:{p}", *more, mesh.payment.path)

    def change(number):
        if number == 0:
            mesh.payment.settings.update(drain_time="3s", workers=2, attempts=4, log_level="DEBUG")
        elif number == 1:
            mesh.payment.settings["services"].append(mesh.service("extra"))
            mesh.payment.settings["agent"]["token"] = "11111111-2222-3333-4444-555555555555"
        elif number == 2:
            first["upstreams"] = [{"service": "bank", "listen": f"127.0.0.1:{free_port()}", "max_pending": 7}]
            first["public_listener"].update(max_inbound_connections=77, address=f"127.0.0.1:{free_port()}")
        else:
            mesh.payment.settings["services"].pop()
            first["upstreams"][0]["attempts"] = 3
            mesh.payment.settings.update(rate_per_address=100, memory_limit="256MiB", tls_groups=["X25519"])

    check.equal(diff()[:2], (0, ""), "nothing is different at first")
    needs = set()
    for number in range(4):
        change(number)
        mesh.payment.write()
        seen = len(mesh.payment.mooring.process.stderr())
        code, shown, errors = diff()
        check.equal((code, errors), (1, ""), "differences")
        check.true("11111111" not in shown, "a secret is not shown")
        mesh.payment.reload()
        # Lines are written by a thread of their own, and this one comes last.
        check.within(lambda: "config: reloaded: " in mesh.payment.mooring.process.stderr()[seen:], "the log has it", 5 * slowness())
        said = mesh.payment.mooring.process.stderr()[seen:]
        last = mesh.payment.mooring.status()["reload"]["last"]
        applied, upgrade = ([each["text"] for each in last[key]] for key in ("applied", "needs_upgrade"))
        check.equal(shown.splitlines(), applied + [f"{text} (needs an upgrade)" for text in upgrade], "diff and /status")
        for text in applied:
            check.true(f'reload: applied: change="{text}"' in said, f"{text} in the log\n{said}")
        for text in upgrade:
            check.true(f'reload: needs an upgrade: change="{text}"' in said, f"{text} in the log\n{said}")
        needs = set(upgrade)
        check.equal(diff()[1].splitlines(), [f"{text} (needs an upgrade)" for text in upgrade], "what is left")
    check.equal(needs, {"agent.token: changed (a secret)", "workers: 1 -> 2"}, "what an upgrade would change")

    # A process that starts by the same file has the same in force.
    del mesh.payment.settings["agent"]["token"]
    mesh.payment.settings["workers"] = 1
    mesh.payment.reload()
    check.equal(diff()[:2], (0, ""), "all is applied")
    mesh.payment.settled()

    def in_force(status):
        status = {key: status[key] for key in ("services", "listeners", "admission")}
        for one in status["services"]:
            status[one["name"]] = {"limits": [(each["limit"], each["most"]) for each in one["limits"]],
                                   "tls": one["tls"], "listeners": sorted((each["name"], each["address"], each["state"]) for each in one["listeners"]),
                                   "upstreams": sorted(each["name"] for each in one["upstreams"])}
        del status["services"]
        status["listeners"] = [each["name"] for each in status["listeners"]]
        admission = status.pop("admission")
        status["admission"] = (admission["memory"], admission["buffers"]["limit"], admission["handshakes"]["limit"],
                               (admission["rate_per_address"] or {}).get("a_second"), admission["connections"]["limit"])
        return status

    # Nobody is in the catalog as bank: its port refuses.
    check.within(lambda: sorted(each["state"] for each in mesh.payment.mooring.status()["listeners"]) == ["open", "open", "refusing"], "all listeners are open", 10)
    reloaded = in_force(mesh.payment.mooring.status())
    mesh.payment.mooring.stop()
    fresh = Mooring(case, ["proxy", "-config", mesh.payment.path], name="fresh")
    check.equal(in_force(fresh.status()), reloaded, "what is in force")
    check.equal(diff(at=fresh.listener("admin"))[:2], (0, ""), "and diff finds nothing")
