"""Host names that do not resolve, or not now: a silent DNS server harms nobody but the names that need it.

The machine's names are the test's (lib/names.py). With MOORING_FAULTS_SUBJECT=go what applies to it runs against
`consul connect proxy`.
"""

import os
import re
import subprocess

from faults.subject import SERVICE, UPSTREAM, Subject, only_mooring
from lib import agent as scripted
from lib import apps, check, clock
from lib.case import now, slowness
from lib.mooring import Mooring
from lib.names import DOMAIN, Machine, name
from lib.ports import free_port
from lib.static import Static

EXPECTED_SECONDS = 30
DUE = 31  # seconds after which a name is looked up again


def dead(count):
    return [(name(f"dead{i}"), 1) for i in range(count)]


def texts(addresses):
    return [f"{host}:{port}" for host, port in addresses]


def endpoints(mooring):
    return mooring.status()["upstreams"][0]["endpoints"]


# ---- the agent, and good instances, beside dead names ----------------------------------------------------


def recovers_beside(case, count):
    """A subject whose agent and one good instance have names in /etc/hosts, among dead ones, loses its agent for a moment."""
    machine = Machine(case, otherwise="silent")
    machine.add_host(name("agent"))
    machine.add_host(name("good"))
    api = scripted.Agent(case)
    api.address = f"{name('agent')}:{api.port}"
    subject = Subject.scripted(case, api)
    good = (name("good"), subject.far.port)
    api.set_instances(UPSTREAM, *dead(count), good)
    if subject.is_mooring:  # the other one asks for a name when a call is to go there
        machine.server.wait_asked(name(f"dead{count - 1}"), seconds=3 * slowness())
    traffic = subject.traffic()
    before = subject.serial() if subject.is_mooring else None
    api.stop()
    subject.wait_log("watch failed" if subject.is_mooring else "Watch errored")
    api.start()
    api.rotate_leaf(SERVICE)
    if subject.is_mooring:
        check.within(lambda: subject.serial() != before, f"the agent is back, beside {count} dead names", 3 * slowness())
        # A new list with a good instance in it is taken up as quickly.
        api.set_instances(UPSTREAM, *dead(count + 1), good)
        machine.server.wait_asked(name(f"dead{count}"), seconds=3 * slowness())
    subject.works_new()
    traffic.stop()


def test_two_dead_names_delay_neither_the_agent_nor_a_good_instance(case):
    recovers_beside(case, 2)


def test_four_dead_names_delay_neither_the_agent_nor_a_good_instance(case):
    if case.reduced:
        raise check.Skip("under --full; 2 and 50 are tried")
    recovers_beside(case, 4)


def test_eight_dead_names_delay_neither_the_agent_nor_a_good_instance(case):
    if case.reduced:
        raise check.Skip("under --full; 2 and 50 are tried")
    recovers_beside(case, 8)


def test_fifty_dead_names_delay_neither_the_agent_nor_a_good_instance(case):
    recovers_beside(case, 50)


# ---- a list of names -------------------------------------------------------------------------------------


def test_a_list_is_used_as_far_as_it_is_resolved_and_status_says_what_it_lacks(case):
    machine = Machine(case, otherwise="silent")
    machine.server.answers.update({name("good"): ["127.0.0.1"], name("none"): "none"})
    machine.server.delays[name("good")] = 0.3
    port = free_port()
    static = Static(case, endpoints=[*texts(dead(50)), f"{name('none')}:1", f"{name('good')}:{port}"])
    check.within(lambda: endpoints(static.mooring) == [f"127.0.0.1:{port}"], "the good name is used", 2 * slowness())
    check.equal(static.mooring.status()["upstreams"][0]["unresolved"],
                [f"cannot resolve {name('none')}: no such name"], "what is known not to resolve")


def test_a_name_that_fails_keeps_what_it_had_and_is_used_anew_once_it_resolves(case):
    machine, time = Machine(case), clock.Clock(case)
    answers = machine.server.answers
    answers.update({name("a"): ["127.0.0.1"], name("b"): ["127.0.0.2"]})
    mooring = Static(case, endpoints=[f"{name('a')}:1", f"{name('b')}:2", f"{name('A').upper()}:3"], env=time.env).mooring

    def come(*wanted):
        def seen():
            time.elapse(DUE)
            return endpoints(mooring) == list(wanted)
        check.within(seen, f"the endpoints are {wanted}", 10 * slowness(), step=0.1)

    check.within(lambda: len(endpoints(mooring)) == 3, "all names resolve", 3 * slowness())
    check.equal(machine.server.times(name("a")), 1, "look-ups of a name that is in the list in two spellings")
    for failure in ("again", "none"):
        answers[name("a")], answers[name("b")] = failure, ["127.0.0.3"]
        come("127.0.0.1:1", "127.0.0.3:2", "127.0.0.1:3")
        answers[name("a")], answers[name("b")] = ["127.0.0.4"], ["127.0.0.2"]
        come("127.0.0.4:1", "127.0.0.2:2", "127.0.0.4:3")
        answers[name("a")] = ["127.0.0.1"]
        come("127.0.0.1:1", "127.0.0.2:2", "127.0.0.1:3")
    answers[name("b")] = ["127.0.0.2", "::1"]
    check.within(lambda: time.elapse(DUE) or sorted(endpoints(mooring)) == sorted(
        ["127.0.0.1:1", "127.0.0.2:2", "[::1]:2", "127.0.0.1:3"]), "every record is used", 10 * slowness(), step=0.1)


def test_a_changed_resolv_conf_holds_for_names_that_are_being_looked_up(case):
    old = Machine(case, otherwise="silent")
    mooring = Static(case, endpoints=[f"{name('moved')}:1", "short:2"]).mooring
    old.server.wait_asked(name("moved"), seconds=3 * slowness())
    new = old.another_server()
    new.answers.update({name("moved"): ["127.0.0.1"], name("short"): ["127.0.0.2"]})
    old.set("resolv.conf", f"search nowhere.test {DOMAIN}\nnameserver {new.address}\n")
    check.within(lambda: endpoints(mooring) == ["127.0.0.1:1", "127.0.0.2:2"],
                 "the new server's answers are used, and its domains searched", 5 * slowness())


# ---- our own names ---------------------------------------------------------------------------------------


def test_an_agent_whose_name_is_not_answered_for_at_the_start_is_found_once_it_is(case):
    machine = Machine(case, otherwise="silent")
    api = scripted.Agent(case)
    mooring = Mooring.connect_proxy(case, "-http-addr", f"{name('agent')}:{api.port}", "-service", SERVICE, "-upstream",
                                    f"{UPSTREAM}:127.0.0.1:0", ready=False)
    machine.server.wait_asked(name("agent"), seconds=5 * slowness())
    check.equal(mooring.admin("/live")[0], 200, "/live meanwhile")
    machine.server.answers[name("agent")] = ["127.0.0.1"]
    check.within(lambda: len(api.requests) > 0, "the agent is asked", 5 * slowness())


def test_a_local_app_whose_name_dies_is_served_where_it_was(case):
    machine, time = Machine(case), clock.Clock(case)
    machine.server.answers[name("app")] = ["127.0.0.1"]
    app = apps.App(case, apps.echo)
    static = Static(case, public={"local_app": f"{name('app')}:{app.port}"}, env=time.env)
    static.serves(case)
    for failure in ("none", "silent"):
        machine.server.answers[name("app")] = failure
        before = machine.server.times(name("app"))
        check.within(lambda: time.elapse(DUE) or static.mooring.status() and machine.server.times(name("app")) > before,
                     "the name is looked up again", 5 * slowness(), step=0.1)
        static.serves(case)


def test_a_local_app_whose_name_is_dead_from_the_start_is_served_once_it_resolves(case):
    """Consul's proxy takes calls meanwhile and ends them without a byte; Mooring does not listen yet."""
    machine = Machine(case, otherwise="silent")
    api = scripted.Agent(case)
    subject = Subject.scripted(case, api, app_host=name("app"), ready=False)
    if not subject.is_mooring:
        subject.wait_log("Parsed TLS identity", 20)
        check.within(lambda: subject.refused_inbound(seconds=20), "a call is ended", 30)
    machine.server.wait_asked(name("app"), seconds=5 * slowness())
    machine.server.answers[name("app")] = ["127.0.0.1"]
    check.within(subject.inbound_works, "it serves once the name resolves", 10 * slowness(), step=0.1)


def test_the_first_configuration_with_a_name_to_listen_on_holds_up_nobody(case):
    machine = Machine(case, otherwise="silent")
    mooring = Static(case, public={"address": f"{name('listen')}:0"}, ready=False).mooring
    machine.server.wait_asked(name("listen"), seconds=5 * slowness())
    started = now()
    check.equal(mooring.admin("/live")[0], 200, "/live while the name is looked up")
    check.below(now() - started, 1.0 * slowness(), "seconds that /live took")
    machine.server.answers[name("listen")] = ["127.0.0.1"]
    mooring.wait_ready(5)


def test_a_name_to_listen_on_that_does_not_exist_is_told_and_ends_the_start(case):
    Machine(case)
    for key, public, admin in (("public_listener", f"{name('none')}:0", "127.0.0.1:0"), ("admin", "127.0.0.1:0", f"{name('none')}:0")):
        mooring = Static(case, public={"address": public}, admin={"address": admin, "allow_remote": True}, ready=False).mooring
        mooring.expect_exit = 1
        check.equal(mooring.process.wait(10), 1, "the exit code")
        check.true(re.search(rf"^==> {key}\.address \(line \d+\): cannot listen on {name('none')}:0: cannot resolve {name('none')}: "
                             "no such name", mooring.process.stderr(), re.M), f"it says why: {mooring.process.stderr()[-500:]}")


# ---- the end ---------------------------------------------------------------------------------------------


def test_sigterm_ends_it_at_once_whatever_name_is_being_looked_up(case):
    machine = Machine(case, otherwise="silent")
    api = scripted.Agent(case)
    api.set_instances(UPSTREAM, *dead(20))
    usual = {"-http-addr": api.address, "-service": SERVICE, "-service-addr": "127.0.0.1:1", "-listen": "127.0.0.1:0",
             "-upstream": f"{UPSTREAM}:127.0.0.1:0", "-admin-addr": "127.0.0.1:0"}
    for flag, value, label in (("-http-addr", f"{name('agent')}:1", "agent"), ("-service-addr", f"{name('app')}:1", "app"),
                               ("-listen", f"{name('listen')}:0", "listen"), ("-admin-addr", f"{name('admin')}:0", "admin"),
                               ("-upstream", usual["-upstream"], "dead19")):
        words = [word for pair in {**usual, flag: value}.items() for word in pair] + ["-admin-allow-remote"]
        before = machine.server.times(name(label))
        mooring = Mooring.connect_proxy(case, *words, ready=False, name=f"mooring-{label}")
        machine.server.wait_asked(name(label), before + 1, seconds=5 * slowness())
        started = now()
        check.equal(mooring.stop(), 0, f"the exit code while {label} was looked up")
        check.below(now() - started, 1.0 * slowness(), f"seconds from SIGTERM to the end while {label} was looked up")


# ---- other sources of nsswitch.conf ----------------------------------------------------------------------

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <nss.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A source of host names: those that begin with "module" are 127.0.0.1, those that begin with "hangs" take a minute. */
enum nss_status _nss_mooringtest_gethostbyname2_r(const char *name, int family, struct hostent *host, char *buffer,
                                                  size_t size, int *error, int *h_error) {
  if (strncmp(name, "hangs", 5) == 0) sleep(60);
  if (family != AF_INET || strncmp(name, "module", 6) != 0 || size < 64) {
    *error = ENOENT;
    *h_error = HOST_NOT_FOUND;
    return NSS_STATUS_NOTFOUND;
  }
  char **pointers = (char **)(((uintptr_t)buffer + 15) & ~(uintptr_t)15);
  char *address = (char *)(pointers + 2);
  memcpy(address, "\x7f\0\0\1", 4);
  pointers[0] = address;
  pointers[1] = NULL;
  host->h_name = (char *)name;
  host->h_aliases = pointers + 1;
  host->h_addrtype = AF_INET;
  host->h_length = 4;
  host->h_addr_list = pointers;
  return NSS_STATUS_SUCCESS;
}

/* No thread is to be had while the file exists that MOORING_TEST_NO_THREADS names. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) {
  int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
  const char *path = getenv("MOORING_TEST_NO_THREADS");
  if (path != NULL && access(path, F_OK) == 0) return EAGAIN;
  return real(thread, attributes, run, argument);
}
"""


def source_of_names(case):
    """source_of_names is the environment in which the C library has the source `mooringtest`."""
    path = case.directory / "libnss_mooringtest.so.2"
    done = subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", path, case.write("nss.c", SOURCE), "-ldl"],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise check.Skip(f"no source of names can be compiled: {done.stderr}")
    sanitizer = os.environ.get("ASAN_OPTIONS", "")
    return {"LD_PRELOAD": str(path), "LD_LIBRARY_PATH": str(case.directory),
            "MOORING_TEST_NO_THREADS": str(case.directory / "no-threads"),
            "ASAN_OPTIONS": f"{sanitizer}:verify_asan_link_order=0".lstrip(":")}


def test_names_that_only_another_source_knows_are_found_and_its_threads_hold_up_nothing(case):
    machine = Machine(case, sources="files dns mooringtest")
    machine.server.answers[name("quick")] = ["127.0.0.4"]
    hanging = [f"{name(f'hangs{i}')}:9" for i in range(20)]
    app = apps.App(case, apps.echo)
    static = Static(case, endpoints=[f"{name('module')}:7", *hanging, f"{name('quick')}:8"], env=source_of_names(case),
                    public={"local_app": f"{name('module-app')}:{app.port}"})
    check.within(lambda: endpoints(static.mooring) == ["127.0.0.1:7", "127.0.0.4:8"], "the names are found", 5 * slowness())
    static.serves(case)
    threads = len(os.listdir(f"/proc/{static.mooring.pid}/task"))
    check.true(threads <= 2 + os.cpu_count() + 4, f"{threads} threads, though 20 names hang")
    started = now()
    check.equal(static.mooring.stop(), 0, "the exit code while threads wait for a source of names")
    check.below(now() - started, 1.0 * slowness(), "seconds from SIGTERM to the end")


def test_no_thread_to_be_had_is_a_failed_lookup_and_no_more(case):
    Machine(case, sources="files dns mooringtest")
    env = source_of_names(case)
    api = scripted.Agent(case)
    mooring = Mooring.connect_proxy(case, "-http-addr", api.address, "-service", SERVICE, "-upstream",
                                    f"{UPSTREAM}:127.0.0.1:0", "-confine-folders", case.directory, env=env)
    # The threads of the start are there; the first look-up that needs one comes now.
    (case.directory / "no-threads").touch()
    api.set_instances(UPSTREAM, (name("module"), 7))
    check.within(lambda: "no thread can be started" in str(mooring.status()["upstreams"][0]["unresolved"]),
                 "it is told", 5 * slowness())
    (case.directory / "no-threads").unlink()
    check.within(lambda: endpoints(mooring) == ["127.0.0.1:7"], "the name is found once there are threads", 6 * slowness())
