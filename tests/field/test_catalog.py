"""An upstream that follows the catalog of a real agent: tags that move, instances that leave, agents that are away."""

import itertools
import json
import time

from field.roles import Node, Pool, caller, catalog
from lib import apps, check
from lib.case import now, slowness
from lib.consul import Consul
from lib.ports import free_port

EXPECTED_SECONDS = 55
MOVED = 2.0  # seconds from the retag until nothing reaches the old one any more

_names = (f"db{number}" for number in itertools.count(1))


def setup_module(case):
    global consul
    consul = Consul(case, node_meta={"zone": "z1"})


def pair(case, agent=None, first=("primary",), second=("replica",)):
    """pair is a service of two: a, the primary, and b."""
    service = next(_names)
    agent = agent or consul
    return service, Node(case, agent, service, "a", first), Node(case, agent, service, "b", second)


def swap(old, new):
    old.retag("replica")
    new.retag("primary")
    return now()


def test_a_retag_moves_sessions_within_2_s_and_no_statement_reaches_the_old_one_after_that(case):
    service, a, b = pair(case)
    web = caller(case, consul, service, select="primary", on_departure="close")
    pool = Pool(case, web.upstream(service))
    idle = [apps.Client(case, web.upstream(service)) for _ in range(3)]
    for client in idle:
        check.equal(client.send(b"q").receive(1), b"a", "the primary answers")
    pool.wait_answered_by("a")
    check.equal(pool.answered_by("b"), [], "answers of the replica")
    retagged = swap(a, b)
    pool.wait_answered_by("b")
    for client in idle:
        check.equal(client.drain(MOVED)[1], "eof", "the end of an idle session")
    check.within(lambda: now() > retagged + MOVED * slowness() + 1, "a while", 10 * slowness(), step=0.1)
    late = [when - retagged for when in a.statements if when > retagged + MOVED * slowness()]
    check.equal(late, [], "statements at the old one after that")
    check.equal(set(web.closed("outbound")), {"departed"}, "reasons of ends")
    said = json.loads(web.admin("/recent?match=departed")[1])["ended"]
    check.equal(said[0]["detail"], "it has no tag primary any more", "detail of the end")
    follows = catalog(web)
    check.equal(follows["select"], {"tag": "primary", "known": True, "listed": 2, "held_back": 0}, "/status")
    check.equal(follows["departed"], [{"node": "n1", "id": a.sidecar_id, "why": "it has no tag primary any more"}], "/status")
    check.equal(follows["sees_changes"], "at once", "/status")


def test_five_flaps_in_10_s_move_the_sessions_once(case):
    service, a, b = pair(case)
    web = caller(case, consul, service, select="primary", on_departure="close")
    pool = Pool(case, web.upstream(service))
    pool.wait_answered_by("a")
    began = swap(a, b)
    pool.wait_answered_by("b")
    moved = len(pool.lost)
    for old, new in ((b, a), (a, b), (b, a), (a, b)):
        check.within(lambda: now() > began + 2, "the next flap", 10)
        began = swap(old, new)
    # b again: all others were held back, and are forgotten
    check.within(lambda: catalog(web)["select"]["held_back"] == 0, "nothing is held back", 10 * slowness())
    check.equal(len(pool.lost), moved, "sessions lost after the first change")
    check.true(not pool.answered_by("a", began), "the answers are of b")
    swap(b, a)
    check.within(lambda: catalog(web)["select"]["held_back"] == 2, "the next change is held back", 5 * slowness())
    check.stays(lambda: len(pool.lost) == moved, "no session is lost meanwhile", 2)


test_five_flaps_in_10_s_move_the_sessions_once.limit = 90


def test_an_agent_outage_and_its_restart_cut_nothing_and_what_follows_is_obeyed(case):
    own = Consul(case, keep_state=True)
    service, a, b = pair(case, own)
    web = caller(case, own, service, select="primary", on_departure="close")
    pool = Pool(case, web.upstream(service))
    pool.wait_answered_by("a")
    own.kill()
    pool.wait_answered_by("a", 60)
    own.start()
    check.within(lambda: all(w["state"] == "ok" for w in web.status()["watches"]), "the agent is heard again", 20 * slowness())
    pool.wait_answered_by("a", 60)
    check.equal(pool.lost, [], "sessions lost")
    swap(a, b)
    pool.wait_answered_by("b", seconds=MOVED + 1)


test_an_agent_outage_and_its_restart_cut_nothing_and_what_follows_is_obeyed.limit = 90


def test_maintenance_a_critical_check_and_removal_end_sessions_by_a_reason_of_their_own(case):
    words = {"it is in maintenance": lambda db: db.maintain(True),
             "its checks are critical": lambda db: consul.put(f"/v1/agent/check/fail/{db.id}-ttl?note=down"),
             "the catalog lists it no more": lambda db: consul.deregister(db.sidecar_id)}
    for why, leave in words.items():
        service, a, _ = pair(case)
        a.register_sidecar(Check={"CheckID": f"{a.id}-ttl", "TTL": "10m", "Status": "passing"})
        web = caller(case, consul, service, name=f"web-{service}", on_departure="close")
        check.within(lambda: len(web.status()["upstreams"][0]["endpoints"]) == 2, "both are there", 5 * slowness())
        sessions = [apps.Client(case, web.upstream(service)) for _ in range(6)]
        answers = [client.send(b"q").receive(1) for client in sessions]
        check.equal(set(answers), {b"a", b"b"}, "who is in use")
        leave(a)
        for client, answer in zip(sessions, answers):
            if answer == b"a":
                check.equal(client.drain(MOVED)[1], "eof", f"the end of a session, for {why}")
            else:
                check.equal(client.send(b"q").receive(1), b"b", "the other instance's session goes on")
        web.wait_closed("outbound", "departed", answers.count(b"a"))
        check.equal([one["why"] for one in catalog(web)["departed"]], [why], "/status")


def test_sessions_are_kept_by_default(case):
    service, a, _ = pair(case)
    web = caller(case, consul, service)
    sessions = [apps.Client(case, web.upstream(service)) for _ in range(6)]
    answers = [client.send(b"q").receive(1) for client in sessions]
    a.maintain(True)
    check.within(lambda: len(web.status()["upstreams"][0]["endpoints"]) == 1, "it is out", 5 * slowness())
    time.sleep(0.5)  # for what must not happen
    check.equal([client.send(b"q").receive(1) for client in sessions], answers, "all go on")
    check.equal((catalog(web)["on_departure"], catalog(web)["departed"]), ("keep", []), "/status")


def test_an_exchange_under_way_has_the_grace_and_is_reset_when_it_is_over(case):
    service, a, _ = pair(case)
    web = caller(case, consul, service, select="primary", on_departure="close", departure_grace="1500ms")
    sessions = []
    for number in (1, 2):  # one after the other, so that it is known which is which at the app
        sessions.append(apps.Client(case, web.upstream(service)).send(b"w"))
        check.within(lambda number=number: len(a.statements) == number, "it is asked", 5 * slowness())
    asks, waits = sessions
    began = now()
    a.maintain(True)
    check.within(lambda: catalog(web)["departed"], "it has left", 5 * slowness())
    a.app.seen[0].go.set()  # its answer comes within the grace
    check.equal(asks.receive(1), b"a", "the answer that was owed")
    check.equal(asks.drain()[1], "eof", "its end, between exchanges")
    check.equal(waits.drain()[1], "reset", "the end of the one whose answer did not come")
    check.true(now() - began >= 1.4, f"after the grace: {now() - began:.2f} s")
    web.wait_closed("outbound", "departed", 2)


def test_status_says_how_near_an_instance_is_by_node_and_by_the_zone_of_its_meta(case):
    service, a, b = pair(case)
    consul.deregister(b.sidecar_id)
    for node, zone in (("n2", "z1"), ("n3", "z2")):
        consul.put("/v1/catalog/register", {
            "Node": node, "Address": "127.0.0.1", "NodeMeta": {"zone": zone},
            "Service": {"Kind": "connect-proxy", "ID": f"{service}-{node}", "Service": f"{service}-sidecar-proxy",
                        "Address": "127.0.0.1", "Port": free_port(), "Proxy": {"DestinationServiceName": service}}})
    consul.put("/v1/agent/check/register", {"Name": "any", "TTL": "10m", "Status": "passing"})
    web = caller(case, consul, service)
    check.within(lambda: {one["instance"]["node"]: one["nearness"] for one in
                          web.status()["upstreams"][0]["endpoint_details"]} == {"n1": "node", "n2": "zone", "n3": "far"},
                 "nearness by node", 5 * slowness())
