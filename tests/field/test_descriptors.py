"""Descriptors run short: waiting clients are served when some come free, and strangers cannot use up what others need."""

import resource

from lib import apps, certs, check
from lib.case import now, slowness
from lib.crowd import Crowd, say
from lib.mooring import Mooring
from lib.ports import free_port
from lib.static import Static, identity_files

EXPECTED_SECONDS = 15


def limited(count):
    """limited are the words that start a program with so many descriptors, and no right to more."""
    return ["/bin/sh", "-c", f'ulimit -n {count} && exec "$0" "$@"']


class Pair:
    """Two sidecars that call each other, payment with few descriptors. Both applications echo."""

    def __init__(self, case, count):
        authority = certs.Authority()
        app = apps.App(case, apps.echo)
        public = free_port()

        def start(service, listen, upstream, endpoint, wrap):
            return Mooring.from_yaml(case, {
                "service": service, "identity": identity_files(case, authority, service),
                "public_listener": {"address": f"127.0.0.1:{listen}", "local_app": f"127.0.0.1:{app.port}"},
                "intentions": {"default": "allow"},
                "upstreams": [{"service": upstream, "listen": "127.0.0.1:0", "endpoints": [f"127.0.0.1:{endpoint}"],
                               "connect_timeout": "30s"}]},
                name=service, level="INFO", wrap=wrap)

        self.db = start("db", 0, "payment", public, ())
        self.payment = start("payment", public, "db", self.db.public[1], limited(count))
        self.to = {"inbound": self.db.upstream("payment"), "outbound": self.payment.upstream("db")}


def take(crowd, message, served, at_once, count):
    """take ends the clients that have had their answer, each of which makes room for the next, and keeps `at_once` under way."""
    for fd, heard in list(crowd.heard.items()):
        if heard == message:
            served.append(fd)
            crowd.finish(fd)
    if at_once > len(crowd.open):
        crowd.join(min(at_once - len(crowd.open), count - crowd.joined), message)
    return len(served) >= count


def served_after_release(case, direction):
    """Connections that are held use up a direction's share; 800 clients wait, and then what is held ends."""
    pair = Pair(case, 250)
    address = pair.to[direction]
    message = b"ping"
    # What 800 calls take on this machine at this moment, 40 at a time and nothing short.
    started = now()
    easy = Crowd(case, address)
    echoed = []
    check.true(easy.serve(30, until=lambda: take(easy, message, echoed, 40, 800)), "800 calls are served")
    easy.close()
    baseline = now() - started
    held = []
    while len(held) < 250:
        one = apps.Client(case, address, seconds=0.3)
        try:
            if one.send(b"hold").receive(4) != b"hold":
                break
        except OSError:
            break
        held.append(one)
    check.true(30 <= len(held) <= 120, f"connections until the share is used up: {len(held)}")
    crowd = Crowd(case, address).join(800, message)
    echoed = []

    def all_served():
        return take(crowd, message, echoed, 0, 800)

    check.true(not crowd.serve(0.3, until=all_served), "they wait")
    check.equal(len(echoed), 0, "clients served while nothing is free")
    for one in held:
        one.close()
    released = now()
    done = crowd.serve(20, until=all_served)
    took = now() - released
    say(f"{direction}: 800 waiting clients served {took:.2f} s after the release, {baseline:.2f} s without a shortage")
    check.true(done, f"800 waiting clients are served; {len(echoed)} were")
    # A machine that is busy with other tests may need longer for the calls themselves.
    check.below(took, max(2.0 * slowness(), 1.5 * baseline), "seconds from the release until all of them are served")


def test_800_waiting_callers_are_served_within_two_seconds_of_the_release(case):
    served_after_release(case, "inbound")


test_800_waiting_callers_are_served_within_two_seconds_of_the_release.limit = 60


def test_800_waiting_clients_of_an_upstream_are_served_within_two_seconds_of_the_release(case):
    served_after_release(case, "outbound")


test_800_waiting_clients_of_an_upstream_are_served_within_two_seconds_of_the_release.limit = 60


def test_1800_silent_strangers_at_a_limit_of_1024_starve_neither_direction(case):
    pair = Pair(case, 1024)
    crowd = Crowd(case, pair.payment.public).join(1800)
    crowd.serve(1.0)
    slowest, failed = 0.0, 0
    for _ in range(12):
        for address in pair.to.values():
            started = now()
            if not apps.ping(address, seconds=3):
                failed += 1
            slowest = max(slowest, now() - started)
        crowd.serve(0.05)
    say(f"1800 silent strangers: {failed} of 24 calls failed, the slowest took {slowest:.2f} s, "
        f"{crowd.ended} strangers were ended")
    check.equal(failed, 0, "calls that failed, outbound and inbound")
    code, _ = pair.payment.admin("/ready")
    check.equal(code, 200, "/ready")
    pair.payment.wait_closed("inbound", "out_of_resources", 800)
    check.below(len(pair.payment.process.descriptors()), 1000, "descriptors in use")
    crowd.reset()
    pair.payment.wait_idle(10)


test_1800_silent_strangers_at_a_limit_of_1024_starve_neither_direction.limit = 60


def quiet(process):
    """quiet are its descriptors, once none has come or gone at twenty looks: one that ends later would be free for a caller,
    who is taken, is dialled for in vain and does not wait any more."""
    looks = []

    def settled():
        looks.append(set(process.descriptors()))
        return len(looks) >= 20 and all(look == looks[-1] for look in looks[-20:])

    check.within(settled, "no descriptor comes or goes", 10 * slowness())
    return looks[-1]


def test_descriptors_that_come_free_elsewhere_are_found_without_a_long_pause(case):
    """The shortage is the whole process's, and lifted from outside: nothing of ours tells of it."""
    static = Static(case, log_level="INFO")
    static.serves(case)
    process = static.mooring.process
    old = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    used = quiet(process)
    least = next(n for n in range(1 << 20) if n not in used)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (least, old[1]))

    def lift():
        if process.running():
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, old)

    case.undo(lift)
    clients = Crowd(case, static.upstream).join(20)
    clients.serve(0.2)
    lift()
    released = now()
    check.within(lambda: static.mooring.active("outbound") >= 20, "clients that waited are taken", 3 * slowness(), step=0.01)
    check.below(now() - released, 1.0 * slowness(), "seconds from the release until they are taken")
