"""Row 58: decisions equal Consul's. Random intentions and callers, a real agent's authorize answer to each,
and what our own decoder and decision make of the same match list. None may differ."""

import http.client
import json
import os
import random
import subprocess
import threading
import time
from pathlib import Path

from faults.subject import only_mooring
from lib import check
from lib.consul import Consul

EXPECTED_SECONDS = 8
DESTINATIONS = 1000
# `default` and `ns` look like parts of a SPIFFE ID. Letter case tells callers apart, but Consul takes no two
# intentions that differ in nothing else.
SOURCES = ["web", "api", "api-2", "api_2", "default", "ns", "a"]
NAMESPACES = ["default"] * 9 + ["other"]
TRUST_DOMAIN = "11111111-2222-3333-4444-555555555555.consul"


def program():
    """program is `decide`, which is built with the unit tests, beside the program under test."""
    path = Path(os.environ.get("MOORING_DECIDE") or Path(os.environ["MOORING_BIN"]).parent / "tests" / "decide")
    if not os.access(path, os.X_OK):
        raise check.Skip(f"no {path}; it is built with the unit tests")
    return path


class Asking:
    """One agent, its random intentions and questions; the connection stays open for thousands of calls."""

    def __init__(self, consul, default, seed):
        self.consul, self.default, self.random = consul, default, random.Random(seed)
        self.connection = http.client.HTTPConnection("127.0.0.1", consul.port, timeout=20)
        self.questions, self.answers, self.checks, self.error = [], [], {}, None

    def call(self, method, path, body=None):
        headers = {"X-Consul-Token": self.consul.token} if self.consul.token else {}
        self.connection.request(method, path, body and json.dumps(body), headers)
        answer = self.connection.getresponse()
        text = answer.read().decode()
        check.equal(answer.status, 200, f"{method} {path}: {text}")
        return text

    def write(self, source, destination):
        self.call("POST", "/v1/connect/intentions",
                  {"SourceName": self.spelt(source), "DestinationName": destination, "SourceType": "consul",
                   "Action": self.random.choice(["allow", "deny"])})

    def spelt(self, name):
        return self.random.choice([name] * 4 + [name.upper(), name.capitalize()])

    def authorize(self, question):
        answer = self.call("POST", "/v1/agent/connect/authorize",
                           {"Target": question["name"], "ClientCertURI": question["source_uri"],
                            "ClientCertSerial": "00"})
        return json.loads(answer)

    def ask(self, name):
        """ask adds what the agent lists for a destination, and its verdict on one random caller."""
        # Consul 1.8 looks a destination up without regard to letter case.
        asked = self.random.choice([name] * 9 + [name.upper()])
        namespace, source = self.random.choice(NAMESPACES), self.spelt(self.random.choice(SOURCES))
        uri = f"spiffe://{TRUST_DOMAIN}/ns/{namespace}/dc/dc1/svc/{source}"
        match = self.call("GET", f"/v1/connect/intentions/match?by=destination&name={asked}")
        question = {"name": asked, "match": match, "source_uri": uri, "default": self.default}
        self.questions.append(question)
        self.answers.append(self.authorize(question))
        # The agent's other answer to the same, by name: of its one namespace, and a part, since it costs as much.
        if namespace == "default" and len(self.questions) % 4 == 0:
            answer = json.loads(self.call("GET", f"/v1/connect/intentions/check?source={source}&destination={asked}"))
            self.checks[len(self.questions) - 1] = "allow" if answer["Allowed"] else "deny"

    def run(self):
        try:
            # Before any intention for all destinations, after some, and after one that covers everybody: the
            # default decides much in the first part, and nothing in the last.
            names = [f"db{number}" for number in range(DESTINATIONS)]
            # All of these first: whatever was asked for is asked again inside the agent after every write.
            for name in names:
                for source in self.random.sample(SOURCES + ["*"], self.random.randrange(5)):
                    self.write(source, name)
            parts = [(names[:500], []), (names[500:800], self.random.sample(SOURCES, 4)), (names[800:], ["*"])]
            for part, wildcards in parts:
                for source in wildcards:
                    self.write(source, "*")
                for name in part:
                    self.ask(name)
        except (OSError, http.client.HTTPException, AssertionError) as error:
            self.error = error


def verdict(answer):
    return "allow" if answer["Authorized"] else "deny"


def decide(questions):
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    done = subprocess.run([program()], input=lines, text=True, capture_output=True, timeout=60, check=True)
    answers = done.stdout.splitlines()
    check.equal(len(answers), len(questions), f"answers of decide ({done.stderr[-500:]})")
    return answers


def test_row_58_a_thousand_random_intention_sets_are_decided_as_a_real_agent_does(case):
    only_mooring("it asks the agent itself")
    program()
    seed = int(os.environ.get("MOORING_TEST_SEED") or 58)
    asking = [Asking(Consul(case), "allow", seed), Asking(Consul(case, acl="deny"), "deny", seed + 1)]
    threads = [threading.Thread(target=one.run, daemon=True) for one in asking]
    for thread in threads:
        thread.start()
    for one, thread in zip(asking, threads):
        thread.join()
        if one.error:
            raise one.error
    for one in asking:
        answers = decide(one.questions)
        differing = [n for n in range(len(answers)) if verdict(one.answers[n]) != answers[n].split(" ")[0]]
        if differing:
            # The agent answers from a cache that follows its writes by a moment.
            time.sleep(1)
            for n in differing:
                one.answers[n] = one.authorize(one.questions[n])
        differing = [f"{one.questions[n]}: the agent says {one.answers[n]}, we say {answers[n]}" for n in differing
                     if verdict(one.answers[n]) != answers[n].split(" ")[0]]
        otherwise = [f"{one.questions[n]}: check says {said}, we say {answers[n]}" for n, said in one.checks.items()
                     if said != answers[n].split(" ")[0]]
        check.equal(otherwise[:3], [], f"answers of intentions/check that differ under default {one.default}")
        check.true(len(one.checks) > DESTINATIONS // 8, f"enough were asked: {len(one.checks)}")
        kinds = {(verdict(answer), "Matched" in answer["Reason"]) for answer in one.answers}
        check.equal(len(one.questions), DESTINATIONS, "questions")
        check.true(not differing, f"{len(differing)} of {DESTINATIONS} differ under default {one.default}, first: "
                                  f"{differing[:1]}")
        # The comparison is worth what it compared: all that can happen did.
        check.equal(kinds, {("allow", True), ("deny", True), (one.default, False)},
                    f"kinds of verdicts under default {one.default}")


test_row_58_a_thousand_random_intention_sets_are_decided_as_a_real_agent_does.limit = 90
