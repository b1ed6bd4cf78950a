"""The load that upgrades are judged by (lib/traffic.py) sees what it is for: each kind of failure, each byte. No program of ours is in it."""

import os
import signal
import socket
import threading

from lib import apps, certs, check, traffic
from lib.blocks import SIZE, Reader, Writer
from lib.case import slowness
from lib.ports import free_port

EXPECTED_SECONDS = 15
SESSIONS, RATE = 10, 200


def refuses(reader, data):
    try:
        reader.take(data)
    except AssertionError:
        return True
    return False


def test_a_block_that_is_lost_doubled_changed_or_of_another_session_is_noticed(_):
    writer = Writer(5)
    first, second, last = writer.block(), writer.block(), writer.block(last=True)
    reader = Reader(5)
    check.equal((reader.take(first[:7]), reader.take(first[7:] + second + last[:1]), reader.take(last[1:])), (0, 2, 1), "whole blocks")
    check.equal((reader.received, reader.ended), (3, True), "all of it, and its end")
    changed = bytearray(first)
    changed[SIZE // 2] ^= 1
    for what, data in (("lost", second), ("doubled", first + first), ("changed", bytes(changed)), ("another's", Writer(6).block()),
                       ("shifted", first[1:] + second[:1]), ("behind the end", first + second + last + b"x")):
        check.true(refuses(Reader(5), data), f"a block that is {what} is noticed")


def files(case, authority, service):
    leaf = authority.leaf(service)
    return {"chain": str(case.write(f"{service}.pem", leaf.chain_pem)), "key": str(case.write(f"{service}.key", leaf.key_pem)),
            "roots": str(case.write("roots.pem", authority.pem))}


def served(seen):
    check.true(seen.faultless() and seen.made, f"nothing fails: {seen}")


def test_where_nothing_is_replaced_nothing_fails_and_every_session_ends_in_order(case):
    app = traffic.App(case)
    load = traffic.Load(case, ("127.0.0.1", app.port), [app], SESSIONS)
    load.pace(RATE)
    load.moved()
    load.replace(3)
    seen = load.stop()
    served(seen)
    check.equal((seen.done, seen.made), (SESSIONS + 3, seen.served), "sessions that ended in order; calls")


def test_a_port_that_is_closed_is_seen_as_refusals_and_the_sessions_go_on(case):
    app = traffic.App(case)
    load = traffic.Load(case, ("127.0.0.1", app.port), [app], SESSIONS)
    load.pace(RATE)
    load.moved()
    served(load.report())
    app.terminate()
    seen = traffic.Seen()
    check.within(lambda: seen.add(load.report()).failed.get("refused", 0) >= 20, "calls are refused", 5 * slowness())
    load.moved()
    check.equal((seen.cut, seen.lost), ({}, 0), "sessions")


def swallowing(port, swallow):
    """swallowing is a behaviour of apps.App: it passes all on to the port until swallow is set; then it takes once more, and closes."""
    def copy(source, sink):
        try:
            while (data := source.recv(65536)) and not swallow.is_set():
                sink.sendall(data)
        except OSError:
            pass
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def behaviour(_, seen):
        with socket.create_connection(("127.0.0.1", port)) as behind:
            back = threading.Thread(target=copy, args=(behind, seen.connection), daemon=True)
            back.start()
            copy(seen.connection, behind)
            back.join()

    return behaviour


def test_what_a_proxy_has_taken_and_does_not_pass_on_is_counted(case):
    app, swallow = traffic.App(case), threading.Event()
    proxy = apps.App(case, swallowing(app.port, swallow))
    load = traffic.Load(case, proxy.address, [app], SESSIONS)
    load.moved()
    before = load.report()
    check.equal((before.cut, before.lost), ({}, 0), "while it passes all on")
    swallow.set()
    check.within(lambda: not load.open(), "every session is cut", 10 * slowness())
    seen = load.stop()
    check.equal((seen.cut, seen.done), ({"closed too early": SESSIONS}, 0), "ends of sessions")
    check.true(seen.lost >= SESSIONS * SIZE, f"at least one block of each session is lost: {seen.lost}")


def test_two_servers_at_one_port_that_overlap_without_a_hand_over_lose_connections(case):
    authority = certs.Authority()
    own, port, seen = files(case, authority, "db"), free_port(), traffic.Seen()
    apps = [traffic.App(case, port, own, reuse_port=True)]
    load = traffic.Load(case, ("127.0.0.1", port), apps, SESSIONS, files(case, authority, "web"))
    load.pace(load.capacity(1.0) / 2)

    def overlap():
        apps.append(traffic.App(case, port, own, reuse_port=True))
        os.kill(apps[-2].pid, signal.SIGTERM)
        load.moved()
        return seen.add(load.report()).failed

    check.within(overlap, "one of many overlaps loses a connection", 60 * slowness())
    check.equal((set(seen.failed), seen.cut, seen.lost), ({"reset"}, {}, 0), "what is lost are connections that were queued")


test_two_servers_at_one_port_that_overlap_without_a_hand_over_lose_connections.limit = 90
