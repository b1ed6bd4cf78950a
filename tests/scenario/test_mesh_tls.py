"""The TLS section of Consul's mesh config entry: it narrows what is offered, and nothing widens it.

The agent is the scripted one: Consul 1.8.7 knows no such entry. It is polled every half minute, which the test's clock makes
pass at once.
"""

from lib import agent as scripted
from lib import apps, check, clock, tlspeer
from lib.case import slowness
from lib.consul import Consul
from lib.dev import Dev
from lib.mooring import Mooring
from lib.static import identity_files

EXPECTED_SECONDS = 12
POLL = 31
POLL_OLD = 301
PATH = "/v1/config/mesh/mesh"
AES_128 = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
AES_256 = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
WIDE = ("TLSv1.2", "TLSv1.3")


class Sidecar:
    """A mooring for `payment` beside a scripted agent, with an instance of `db` that the test plays."""

    def __init__(self, case, **entry):
        self.case, self.time = case, clock.Clock(case)
        self.api = scripted.Agent(case)
        self.roots = self.api.authority.pem
        self.web, self.db = self.api.authority.leaf("web"), self.api.authority.leaf("db")
        self.endpoint = tlspeer.Endpoint(case)
        self.api.set_instances("db", self.endpoint.address)
        self.app = apps.App(case, apps.echo)
        if entry:
            self.write(**entry)
        self.start()

    def write(self, **sides):
        self.api.set_entry("mesh", "mesh", TransparentProxy={"MeshDestinationsOnly": False}, TLS=sides)

    def start(self):
        self.mooring = Mooring.connect_proxy(
            self.case, "-http-addr", self.api.address, "-service", "payment", "-service-addr", f"127.0.0.1:{self.app.port}",
            "-listen", "127.0.0.1:0", "-upstream", "db:127.0.0.1:0", "-state-dir", self.case.directory / "state",
            env=self.time.env)
        check.within(lambda: self.watch()["source"] != "none", "the first answer about the mesh entry", 5 * slowness())

    def tls(self):
        return self.mooring.status()["tls"]

    def watch(self):
        return next(w for w in self.mooring.status()["watches"] if w["name"] == "mesh")

    def degraded(self):
        """degraded is what /status says there of the mesh entry; the clock, which is shifted, has its own line."""
        return [reason for reason in self.mooring.status()["degraded"] if "mesh config entry" in reason]

    def versions(self):
        """versions are those of both directions as /status has them: (min, max) of incoming and of outgoing."""
        said = self.tls()
        return tuple((said[side]["min"], said[side]["max"]) for side in ("incoming", "outgoing"))

    def poll(self, seconds=POLL, good=True):
        """poll has the next question asked and waits until its answer has been taken up, or with good=False refused."""
        before = self.watch()
        self.time.elapse(seconds)

        def look():
            now = self.watch()
            if good:
                return now["updates"] > before["updates"]
            # The time that passes at once is that of questions under way, too.
            return now["errors"] > before["errors"] and " within " not in now["last_error"]

        check.within(look, "the mesh entry is asked for again", 15 * slowness())

    def accepts(self, tls):
        """accepts calls in one version: the suite, or the alert that says no."""
        peer = tlspeer.connect(self.case, self.mooring.public, self.web, self.roots, tls)
        try:
            peer.handshake()
            check.equal(peer.send(b"ping").receive(4), b"ping", "echo")
            return peer.cipher()
        except tlspeer.Refused:
            return peer.alert()
        finally:
            peer.close()

    def offers(self):
        """offers are the versions and the TLS 1.2 suites of the ClientHello that an instance gets."""
        client = apps.Client(self.case, self.mooring.upstream("db"))
        peer = self.endpoint.accept(self.db, self.roots)
        peer.handshake()
        hello = peer.hello
        client.close()
        peer.close()
        # Who speaks TLS 1.2 at most sends no list of versions.
        versions = sorted(v for v in hello.versions if v in (0x0303, 0x0304)) or [0x0303]
        return versions, [c for c in hello.ciphers if c >> 8 in (0xC0, 0xCC)]


def test_without_an_entry_all_is_offered(case):
    sidecar = Sidecar(case)
    check.equal(sidecar.versions(), (WIDE, WIDE), "versions in /status")
    check.equal((sidecar.tls()["mesh_entry"], sidecar.tls()["error"]), (False, ""), "entry and error in /status")
    check.true(sidecar.accepts("1.2").startswith("ECDHE-ECDSA-"), "a caller of TLS 1.2")
    check.true(sidecar.accepts("1.3").startswith("TLS_"), "a caller of TLS 1.3")
    versions, suites = sidecar.offers()
    check.equal((versions, len(suites)), ([0x0303, 0x0304], 6), "versions and suites offered to an instance")
    check.equal(sidecar.degraded(), [], "degraded")
    check.equal(len(sidecar.api.asked(PATH)), 1, "questions: it is polled, not watched")


def test_each_direction_is_narrowed_by_its_own_part(case):
    sidecar = Sidecar(case, Incoming={"TLSMinVersion": "TLSv1_3"}, Outgoing={"TLSMaxVersion": "TLSv1_2",
                                                                            "CipherSuites": [AES_256, "TLS_RSA_WITH_NULL"]})
    check.equal(sidecar.versions(), (("TLSv1.3", "TLSv1.3"), ("TLSv1.2", "TLSv1.2")), "versions in /status")
    check.equal(sidecar.tls()["outgoing"]["suites"], [AES_256], "suites in /status")
    check.equal(sidecar.accepts("1.2"), "PROTOCOL_VERSION", "a caller of TLS 1.2")
    check.true(sidecar.accepts("1.3").startswith("TLS_"), "a caller of TLS 1.3")
    check.equal(sidecar.offers(), ([0x0303], [0xC02C]), "versions and suites offered to an instance")


def test_an_entry_cannot_widen(case):
    sidecar = Sidecar(case, Incoming={"TLSMinVersion": "TLSv1_0", "CipherSuites": [AES_128, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"]},
                      Outgoing={"TLSMinVersion": "TLSv1_0"})
    check.equal(sidecar.versions(), (WIDE, WIDE), "versions in /status")
    check.equal(sidecar.tls()["incoming"]["suites"], [AES_128], "suites in /status")
    check.equal(sidecar.accepts("1.1"), "PROTOCOL_VERSION", "a caller of TLS 1.1")
    check.equal(sidecar.accepts("1.2"), "ECDHE-ECDSA-AES128-GCM-SHA256", "a caller of TLS 1.2")


def test_a_change_holds_for_new_handshakes_and_ends_with_the_entry(case):
    sidecar = Sidecar(case)
    live = tlspeer.connect(case, sidecar.mooring.public, sidecar.web, sidecar.roots, "1.2")
    live.handshake()
    check.equal(live.send(b"ping").receive(4), b"ping", "echo of the one that lives")
    sidecar.write(Incoming={"TLSMinVersion": "TLSv1_3"})
    sidecar.poll()
    sidecar.mooring.wait_log("TLS is offered as the mesh config entry has it")
    check.within(lambda: sidecar.accepts("1.2") == "PROTOCOL_VERSION", "a caller of TLS 1.2 is refused", 5 * slowness())
    check.equal(live.send(b"pong").receive(4), b"pong", "echo of the one that lives, after the change")
    check.equal(sidecar.versions()[1], WIDE, "outgoing")
    sidecar.api.set_entry("mesh", "mesh")
    sidecar.poll()
    check.equal(sidecar.versions(), (WIDE, WIDE), "versions in /status without the entry")
    check.within(lambda: sidecar.accepts("1.2").startswith("ECDHE-ECDSA-"), "a caller of TLS 1.2", 5 * slowness())


def test_any_other_answer_keeps_what_held(case):
    sidecar = Sidecar(case, Incoming={"TLSMinVersion": "TLSv1_3"})
    narrow = (("TLSv1.3", "TLSv1.3"), WIDE)
    for fault in ({"status": 500, "body": b"No cluster leader"}, {"status": 403, "body": b"Permission denied"},
                  {"status": 429, "body": b"too many"}, {"body": b"<html>"}, {"body": b'{"Kind": "proxy-defaults"}'},
                  {"status": 404, "body": b"", "headers": {"X-Consul-KnownLeader": "false"}}):
        ordered = sidecar.api.fault(PATH, **fault)
        sidecar.poll(good=False)
        check.equal(sidecar.watch()["state"], "retrying", f"state of the watch with {fault}")
        check.equal(sidecar.versions(), narrow, f"versions with {fault}")
        sidecar.api.lift(ordered)
        check.within(lambda: sidecar.watch()["state"] == "ok", "the watch recovers", 15 * slowness())
    check.equal(sidecar.accepts("1.2"), "PROTOCOL_VERSION", "a caller of TLS 1.2")


def test_an_agent_that_does_not_know_the_kind_asks_for_nothing(case):
    """As Consul 1.8.7 has it. Its log holds an error for each question, so they are few."""
    sidecar = Sidecar(case, Incoming={"TLSMinVersion": "TLSv1_3"})
    old = sidecar.api.fault(PATH, status=500, body=b"invalid config entry kind: mesh")
    sidecar.poll()
    check.equal((sidecar.versions(), sidecar.watch()["state"]), ((WIDE, WIDE), "ok"), "versions and watch")
    asked = len(sidecar.api.asked(PATH))
    sidecar.time.elapse(POLL)
    check.within(lambda: sidecar.mooring.status()["uptime_seconds"] > POLL, "the time has passed", 5 * slowness())
    check.equal(len(sidecar.api.asked(PATH)), asked, "questions after half a minute")
    sidecar.api.lift(old)
    sidecar.poll(POLL_OLD)
    check.equal(sidecar.versions()[0], ("TLSv1.3", "TLSv1.3"), "versions after an upgrade of the agent")


def test_a_rest_of_nothing_is_an_error_by_name(case):
    sidecar = Sidecar(case, Incoming={"TLSMinVersion": "TLSv1_3"})
    narrow = sidecar.versions()
    for sides, named in (({"Incoming": {"TLSMaxVersion": "TLSv1_1"}}, "TLS.Incoming: TLSMaxVersion TLSv1_1 leaves nothing"),
                         ({"Outgoing": {"TLSMinVersion": "TLSv1_3", "TLSMaxVersion": "TLSv1_2"}},
                          "TLS.Outgoing: TLSMinVersion TLSv1_3 and TLSMaxVersion TLSv1_2 leave nothing"),
                         ({"Outgoing": {"TLSMaxVersion": "TLSv1_2", "CipherSuites": ["TLS_RSA_WITH_NULL"]}},
                          "TLS.Outgoing: CipherSuites leave nothing")):
        sidecar.write(**sides)
        sidecar.poll(good=False)
        sidecar.mooring.wait_log(named.replace(".", r"\."))
        check.true(named in sidecar.tls()["error"], f"error in /status: {sidecar.tls()['error']}")
        check.true(any(named in reason for reason in sidecar.degraded()), "degraded says it")
        check.equal(sidecar.versions(), narrow, "what held before holds")
        check.equal(sidecar.mooring.admin("/ready")[0], 200, "/ready")
    sidecar.write(Incoming={"TLSMinVersion": "TLSv1_2"})
    sidecar.poll()
    check.equal((sidecar.tls()["error"], sidecar.degraded()), ("", []), "error and degraded, once it is mended")
    check.equal(sidecar.versions(), (WIDE, WIDE), "versions, once it is mended")


def test_the_last_one_is_in_the_saved_state(case):
    sidecar = Sidecar(case, Incoming={"TLSMinVersion": "TLSv1_3"})

    def restart():
        check.equal(sidecar.mooring.stop(), 0, "exit code")
        sidecar.api.stop()
        sidecar.start()
        check.equal(sidecar.watch()["source"], "disk", "source of the entry")

    restart()
    check.within(lambda: sidecar.accepts("1.2") == "PROTOCOL_VERSION", "a caller of TLS 1.2 is refused", 5 * slowness())
    check.true(sidecar.accepts("1.3").startswith("TLS_"), "a caller of TLS 1.3")
    # That there is none is saved, too.
    sidecar.api.start()
    sidecar.api.set_entry("mesh", "mesh")
    check.within(lambda: sidecar.watch()["source"] == "agent", "the agent is asked again", 15 * slowness())
    check.equal(sidecar.versions(), (WIDE, WIDE), "versions without an entry")
    restart()
    check.equal((sidecar.versions(), sidecar.tls()["mesh_entry"]), ((WIDE, WIDE), False), "versions and entry after a restart")


def test_files_for_an_identity_follow_it_as_well(case):
    """Leaf and roots from files, intentions and instances from the agent."""
    sidecar = Sidecar(case)
    sidecar.write(Outgoing={"TLSMaxVersion": "TLSv1_2"})
    mooring = Mooring.from_yaml(case, {
        "service": "payment", "identity": identity_files(case, sidecar.api.authority, "payment"),
        "agent": {"address": sidecar.api.address}, "upstreams": [{"service": "db", "listen": "127.0.0.1:0"}]}, name="files")
    check.within(lambda: mooring.status()["tls"]["outgoing"]["max"] == "TLSv1.2", "it is taken up", 5 * slowness())
    sidecar.mooring = mooring
    check.equal(sidecar.offers()[0], [0x0303], "versions offered to an instance")


def test_a_real_agent_without_an_entry_asks_for_nothing(case):
    """1.8.7 knows no such kind; later ones have none unless it is written."""
    consul = Consul(case)
    mooring = Mooring.connect_proxy(case, "-http-addr", consul.address, "-service", "payment", "-upstream", "db:127.0.0.1:0")
    watch = check.within(lambda: next((w for w in mooring.status()["watches"] if w["name"] == "mesh" and w["updates"]), None),
                         "an answer about the mesh entry", 5 * slowness())
    check.equal((watch["state"], watch["errors"]), ("ok", 0), "the watch")
    said = mooring.status()["tls"]
    check.equal((said["mesh_entry"], said["error"]), (False, ""), "entry and error in /status")
    check.equal(said["incoming"], {"min": "TLSv1.2", "max": "TLSv1.3", "suites": said["outgoing"]["suites"]}, "incoming")


def test_an_entry_of_mooring_dev_as_the_consul_command_sends_it(case):
    for like, narrow in (("1.21", {"min": "TLSv1.3", "max": "TLSv1.3", "suites": []}), ("1.8", None)):
        dev, time = Dev(case, "-like", like), clock.Clock(case)
        mooring = Mooring.connect_proxy(case, "-http-addr", dev.address, "-service", "payment", "-upstream", "db:127.0.0.1:0",
                                        env=time.env, name=f"mooring-{like}")

        def answered(times):
            return next((w for w in mooring.status()["watches"] if w["name"] == "mesh" and w["updates"] >= times), None)

        check.within(lambda: answered(1), "the first answer", 5 * slowness())
        wide = mooring.status()["tls"]["incoming"]
        code, _, body = dev.ask("PUT", "/v1/config", {
            "Kind": "mesh", "TransparentProxy": {"MeshDestinationsOnly": False}, "CreateIndex": 0, "ModifyIndex": 0,
            "TLS": {"Incoming": {"TLSMinVersion": "TLSv1_3"}, "Outgoing": {"TLSMinVersion": "TLSv1_2"}}})
        check.equal(code, 200 if narrow else 400, f"answer of -like {like} to the entry: {body}")
        time.elapse(POLL_OLD)
        check.equal(check.within(lambda: answered(2), "the next answer", 15 * slowness())["state"], "ok", "the watch")
        check.equal(mooring.status()["tls"]["incoming"], narrow or wide, f"incoming with -like {like}")
        check.equal(mooring.status()["tls"]["mesh_entry"], narrow is not None, "entry in /status")
