"""What the harness holds against a test, whatever the test itself makes of it: ends of processes and threads, questions nobody understood."""

import http.client
import os
import signal
import threading

from lib import agent as scripted
from lib import check, runner
from lib.static import Static

EXPECTED_SECONDS = 2


def test_who_crashed_is_not_forgiven_by_being_killed(case):
    mooring = Static(case).mooring
    mooring.process.send(signal.SIGABRT)  # what a sanitizer leaves to the system
    mooring.process.wait()
    mooring.kill()
    said = mooring.close() or ""
    check.true("ended with -6 before it was killed" in said and runner.STANDS.search(said), said)


def test_who_is_killed_by_the_test_is_well(case):
    mooring = Static(case).mooring
    mooring.kill()
    check.equal(mooring.close(), None, "a crash that is meant")


def test_who_ends_by_itself_is_not_well_even_with_0(case):
    mooring = Static(case).mooring
    os.kill(mooring.pid, signal.SIGTERM)  # the harness does not know
    check.within(lambda: not mooring.process.running(), "it has ended", 10)
    check.true("had ended by itself" in (mooring.close() or ""), "what is said of it")


def test_a_question_that_the_scripted_agent_does_not_understand_is_a_fault(case):
    api = scripted.Agent(case)
    host, port = api.address.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    connection.request("GET", "/v1/connect/intentions/match?by=destination")
    try:
        connection.getresponse()
    except OSError:
        pass
    check.within(lambda: "KeyError" in (api.complaint() or ""), "what it says in the end")
    api.problems.clear()
    check.equal(api.complaint(), None, "and otherwise")


def test_a_thread_that_ends_by_an_error_is_a_fault(case):
    before = threading.excepthook
    try:
        threads = runner.Threads()
        for error in (ValueError("half a line"), ConnectionResetError("gone")):
            def end(error=error):
                raise error
            one = threading.Thread(target=end, name="looks")
            one.start()
            one.join()
        seen = threads.take()
        check.true(len(seen) == 1 and "looks" in seen[0] and "half a line" in seen[0], f"what is said of them: {seen}")
        check.equal(threads.take(), [], "said once")
    finally:
        threading.excepthook = before
