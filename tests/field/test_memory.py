"""A sidecar in 64 MiB: strangers and slow peers cost it connections of theirs, never its life nor those that carry traffic."""

import threading

from lib import apps, certs, check, tlspeer
from lib.case import now, sanitized, slowness
from lib.cgroup import Cgroup
from lib.crowd import Crowd, Holder, say, small_network
from lib.mooring import Mooring
from lib.ports import free_port
from lib.static import Static, identity_files

EXPECTED_SECONDS = 12
MIB = 1 << 20
ALERT_ILLEGAL_PARAMETER = 47


def setup_module(case):
    small_network(case)


def room(case):
    """room is a control group of 64 MiB; a sanitizer's shadow alone is larger than that."""
    if sanitized():
        raise check.Skip("a sanitizer needs more than 64 MiB for itself")
    return Cgroup(case, 64 * MIB)


def hello(announced, length):
    """hello is a ClientHello of which `length` bytes have come and `announced` will, in records of the largest size."""
    message = b"\x01" + announced.to_bytes(3, "big") + b"\x03\x03" + b"r" * 40
    message += b"x" * (length - len(message))
    parts = [message[i:i + 16384] for i in range(0, length, 16384)]
    return b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in parts)


class Carriers:
    """Callers that exchange a message with the application again and again, each on a connection of its own."""

    def __init__(self, case, connect, count=8):
        self.peers = [connect() for _ in range(count)]
        self.turns = 0
        self.slowest = 0.0
        self.error = None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        case.undo(self.stop)

    def _run(self):
        message = apps.pattern(3000)
        while not self.over.is_set():
            for peer in self.peers:
                started = now()
                try:
                    if peer.send(message).receive(len(message)) != message:
                        raise AssertionError("another answer")
                except (OSError, AssertionError) as error:
                    self.error = error
                    return
                self.slowest = max(self.slowest, now() - started)
                self.turns += 1
            self.over.wait(0.05)

    def stop(self):
        self.over.set()
        self.thread.join(20)

    def live(self):
        """live asserts that they move bytes, all of them, from now on."""
        before = self.turns
        check.within(lambda: self.error or self.turns >= before + 2 * len(self.peers), "the live connections move bytes",
                     10 * slowness())
        check.equal(self.error, None, "what happened to a connection that carries traffic")


def survived(group, static, carriers):
    """survived asserts what holds after the attack is over."""
    carriers.live()
    carriers.stop()
    check.true(static.mooring.process.running(), "mooring runs")
    check.equal(group.kills(), 0, "processes that the kernel has killed for want of memory")
    for _ in range(5):
        static.serves()


# ---- ClientHello -----------------------------------------------------------------------------------------------------


def test_a_client_hello_above_32_kib_is_refused_at_its_length_field(case):
    static = Static(case)
    dialled = static.app.count()
    head = b"\x01" + (32769).to_bytes(3, "big")
    in_one_record = b"\x16\x03\x01\x40\x00" + head
    byte_by_byte = b"".join(b"\x16\x03\x01\x00\x01" + bytes([byte]) for byte in head)
    for sent in (in_one_record, byte_by_byte):
        answer, end, took = tlspeer.raw_answer(static.public, sent)
        check.equal(tlspeer.alert_number(answer), ALERT_ILLEGAL_PARAMETER, "alert to the length field alone")
        check.true(end != "timeout", "the connection is closed")
        check.below(took, 2 * slowness(), "seconds until the close")
    static.mooring.wait_closed("inbound", "tls_error", 2)
    # One that may still become good is waited for.
    patient = apps.Client(case, static.public)
    patient.send(b"\x16\x03\x01\x40\x00\x01" + (32768).to_bytes(3, "big"))
    check.equal(patient.drain(0.3), (b"", "timeout"), "what a ClientHello of 32 KiB hears before its end")
    static.serves(case)
    check.equal(static.app.count(), dialled + 1, "connections at the application")


# ---- strangers -------------------------------------------------------------------------------------------------------


def besieged(case, announced, length, count=1200):
    group = room(case)
    static = Static(case, wrap=group.wrap, log_level="INFO")
    static.mooring.wait_log(r"memory: limit=64MiB from=\S*/mooring-budget-\S*/memory\.(limit_in_bytes|max) ")
    static.serves()
    quiet = static.mooring.process.anonymous()
    carriers = Carriers(case, lambda: static.caller(case))
    crowd = Crowd(case, static.public).join(count, hello(announced, length))
    served = []

    def a_caller_comes_in():
        if len(served) < 5:
            served.append(static.serves())
        return True

    crowd.serve(2, until=lambda: not any(len(left) for left in crowd.left.values()))
    a_caller_comes_in()
    carriers.live()
    crowd.serve(0.5)
    check.true(static.mooring.process.running(), "mooring runs")
    most = group.most()
    say(f"{count} strangers with {length} bytes: at most {most / MIB:.1f} MiB charged, {crowd.ended} ended, "
          f"slowest exchange {carriers.slowest:.2f} s")
    check.true(crowd.ended > 0, "strangers are refused")
    refusals = static.mooring.closed("inbound")
    crowd.reset()
    survived(group, static, carriers)
    # The allocator gives back what nobody uses at the second sweep of five seconds.
    check.within(lambda: static.mooring.process.anonymous() < quiet + 6 * MIB, "memory falls afterwards", 20)
    return static, refusals


def test_1200_strangers_with_65000_bytes_of_a_client_hello_are_refused_in_64_mib(case):
    static, refusals = besieged(case, 65500, 65000)
    # In a burst more are under way than may be, before their length fields are seen.
    refused = refusals.get("tls_error", 0) + refusals.get("out_of_resources", 0)
    check.true(refused >= 1000, f"refused at the length field or to make room: {refusals}")


test_1200_strangers_with_65000_bytes_of_a_client_hello_are_refused_in_64_mib.limit = 60


def test_2400_strangers_with_all_but_the_end_of_a_client_hello_are_shed_in_64_mib(case):
    static, refusals = besieged(case, 32768, 32000, 2400)
    check.true(refusals.get("out_of_resources", 0) >= 1000, f"ended to make room: {refusals}")
    static.mooring.wait_log("unproven callers ended to make room")


test_2400_strangers_with_all_but_the_end_of_a_client_hello_are_shed_in_64_mib.limit = 60


# ---- slow peers ------------------------------------------------------------------------------------------------------


class Meshed:
    """Two sidecars that call each other: payment, in the control group, and db, without a limit."""

    def __init__(self, case, group, payment_app, db_app):
        authority = certs.Authority()
        public = free_port()

        def start(service, app, listen, upstream, endpoint, wrap):
            return Mooring.from_yaml(case, {
                "service": service, "identity": identity_files(case, authority, service),
                "public_listener": {"address": f"127.0.0.1:{listen}", "local_app": f"127.0.0.1:{app.port}"},
                "intentions": {"default": "allow"},
                "upstreams": [{"service": upstream, "listen": "127.0.0.1:0", "endpoints": [f"127.0.0.1:{endpoint}"]}]},
                name=service, level="INFO", wrap=wrap)

        self.db = start("db", db_app, 0, "payment", public, ())
        self.payment = start("payment", payment_app, public, "db", self.db.public[1], group.wrap)


def slow_peers(case, side):
    count = case.scale(1300, 2800)
    group = room(case)
    holder, echo = Holder(case), apps.App(case, apps.echo)
    outbound = side == "outbound"
    mesh = Meshed(case, group, echo if outbound else holder, holder if outbound else echo)
    to_payment, to_db = mesh.db.upstream("payment"), mesh.payment.upstream("db")
    carriers = Carriers(case, lambda: apps.Client(case, to_payment if outbound else to_db))
    carriers.live()
    crowd = Crowd(case, to_db if outbound else to_payment, reads=False)
    block = b"c" * (1 << 20)
    while crowd.joined < count:
        crowd.join(min(100, count - crowd.joined), block)
        crowd.serve(0.1)
    crowd.serve(1.5)
    carriers.live()
    check.true(mesh.payment.process.running(), "mooring runs")
    check.equal(group.kills(), 0, "processes that the kernel has killed for want of memory")
    moved = holder.sent
    say(f"{side}: {count} connections with two slow sides: at most {group.most() / MIB:.1f} MiB charged, "
          f"{len(crowd.open)} live, {crowd.ended} refused, {moved / MIB:.0f} MiB sent by the application, "
          f"slowest exchange {carriers.slowest:.2f} s, admission {mesh.payment.status().get('admission')}")
    crowd.reset()
    holder.drop()
    carriers.live()
    check.within(lambda: apps.ping(to_payment if outbound else to_db), "a fresh caller is served", 5 * slowness())
    carriers.stop()


def test_connections_with_two_slow_sides_do_not_kill_a_sidecar_of_64_mib_inbound(case):
    slow_peers(case, "inbound")


test_connections_with_two_slow_sides_do_not_kill_a_sidecar_of_64_mib_inbound.limit = 90


def test_connections_with_two_slow_sides_do_not_kill_a_sidecar_of_64_mib_outbound(case):
    slow_peers(case, "outbound")


test_connections_with_two_slow_sides_do_not_kill_a_sidecar_of_64_mib_outbound.limit = 90
