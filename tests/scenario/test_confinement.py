"""What a running sidecar is held to by the kernel, in each of its threads, and that it does its work so."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from lib import agent as scripted
from lib import apps, check, metrics
from lib.case import sanitized, slowness
from lib.generations import Sidecar, StaticSidecar, handover_dir
from lib.mooring import Mooring, run, yaml_text
from lib.names import Machine, name
from lib.ports import free_port
from lib.static import Static
from lib.strace import threads

EXPECTED_SECONDS = 20
PARTS = ("no_new_privileges", "drop_capabilities", "seccomp", "landlock")
BIND = 1 << 10  # CAP_NET_BIND_SERVICE
# Loaded first: at the start of each thread, and where one listens, it tries what it must not, and says what became of
# it.
PROBE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *opened(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno == EACCES ? "EACCES" : "another error";
  close(fd);
  return "opened";
}

static void probe(const char *thread) {
  const char *outside = getenv("MOORING_TEST_OUTSIDE");
  const char *file = outside == NULL ? "not tried" : opened(outside);
  char line[256];
  char *words[] = {"true", NULL};
  int size;
  syscall(SYS_execve, "/bin/true", words, words + 1);
  size = snprintf(line, sizeof line, "probe %s exec=%s file=%s\n", thread, errno == ENOSYS ? "ENOSYS" : "another error",
                  file);
  if (write(2, line, size) != size) abort();
}

int pthread_setname_np(pthread_t thread, const char *name) {
  int (*real)(pthread_t, const char *) = dlsym(RTLD_NEXT, "pthread_setname_np");
  probe(name);
  return real(thread, name);
}

int listen(int fd, int backlog) {
  int (*real)(int, int) = dlsym(RTLD_NEXT, "listen");
  if (syscall(SYS_gettid) == getpid()) probe("main");
  return real(fd, backlog);
}
"""


def confined():
    if sanitized():
        raise check.Skip("a build with a sanitizer is not confined: it needs more than a sidecar does")


def state_of(mooring):
    """The lines of proc_pid_status(5) of each thread, by its number."""
    found = {}
    for thread in threads(mooring.pid):
        lines = Path(f"/proc/{mooring.pid}/task/{thread}/status").read_text().splitlines()
        found[thread] = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return found


def holds(mooring):
    """The parts that /status says hold, and why the others do not."""
    said = mooring.status()["confinement"]
    return ({part for part in PARTS if said[part]["holds"]},
            {part: said[part]["why"] for part in PARTS if not said[part]["holds"]})


def test_each_part_holds_for_each_thread(case):
    confined()
    static = Static(case, state_dir=str(case.directory / "state"),
                    access_log={"to": str(case.directory / "access.log")}, workers=2)
    static.serves()
    check.equal(holds(static.mooring)[1], {}, "what does not hold")
    every = state_of(static.mooring)
    check.true(len(every) >= 5, f"threads: {every.keys()}")
    for thread, lines in every.items():
        check.equal((lines["NoNewPrivs"], lines["Seccomp"]), ("1", "2"), f"thread {thread}")
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            check.true(int(lines[name], 16) & ~BIND == 0, f"thread {thread}: {name} {lines[name]}")
    scrape = metrics.scrape(static.mooring)
    for part in PARTS:
        check.equal(scrape.value("mooring_confined", part=part), 1, part)
    check.equal(scrape.value("mooring_system_calls_refused_total"), 0, "calls refused")


def test_what_a_thread_must_not_is_refused_in_each_and_named_once(case):
    confined()
    library = case.directory / "probe.so"
    done = subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, case.write("probe.c", PROBE), "-ldl"],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise check.Skip(f"no probe can be compiled: {done.stderr}")
    outside = Path("/usr/bin/env")  # where nothing of a sidecar's is
    env = {"LD_PRELOAD": str(library), "MOORING_TEST_OUTSIDE": str(outside), "MOORING_SECCOMP": "on"}
    static = Static(case, env=env, state_dir=str(case.directory / "state"),
                    access_log={"to": str(case.directory / "access.log")})
    static.serves()
    found = {}
    for line in static.mooring.process.whole_lines():
        if line.startswith("probe "):
            _, thread, execution, file = line.split()
            found[thread] = (execution, file)
    wanted = {"main", "log", "worker", "state", "recorder", "access-log"}
    check.true(wanted <= set(found), f"threads that were tried: {found}")
    check.equal({what for what in found.values()}, {("exec=ENOSYS", "file=EACCES")}, "what came of it")
    static.mooring.wait_log("a system call was refused.*execve")
    count = metrics.scrape(static.mooring).value("mooring_system_calls_refused_total")
    check.true(count >= len(found), f"{count} refused")
    check.equal(static.mooring.status()["confinement"]["seccomp"]["refused"], count, "as /status has it")
    said = [line for line in static.mooring.process.whole_lines() if "a system call was refused" in line]
    check.equal(len(said), 1, f"lines about it: {said}")


def test_each_part_is_switched_off_by_its_name(case):
    confined()
    for part, value in (("no_new_privileges", False), ("drop_capabilities", False), ("seccomp", "off"),
                        ("landlock", False)):
        static = Static(case, confine={part: value})
        there, why = holds(static.mooring)
        check.equal(why.pop(part), "switched off in the settings", part)
        if part == "no_new_privileges":  # then the kernel allows a filter with a capability alone, and Landlock as well
            why.pop("seccomp", None)
            why.pop("landlock", None)
        check.equal(why, {}, f"what else does not hold without {part}")
        lines = state_of(static.mooring)[static.mooring.pid]
        check.equal(lines["NoNewPrivs"] == "1", part != "no_new_privileges", "NoNewPrivs")
        if part == "seccomp":
            check.equal(lines["Seccomp"], "0", "Seccomp")
        if part == "drop_capabilities" and os.geteuid() == 0:
            check.true(int(lines["CapEff"], 16) & ~BIND, f"CapEff {lines['CapEff']}")
        static.serves()
        said = [line for line in static.mooring.lines("WARN") if "not confined in one way" in line]
        check.equal([line for line in said if part in line], [], "what was switched off is not complained of")
        static.mooring.stop()


def test_flags_and_the_variable_say_the_same(case):
    confined()
    mooring = Mooring.connect_proxy(case, "-service", "web", "-upstream", f"db:127.0.0.1:{free_port()}",
                                    "-confine-landlock=false", ready=False, env={"MOORING_SECCOMP": "off"})
    check.equal(holds(mooring)[0], {"no_new_privileges", "drop_capabilities"}, "what holds")
    code, _, said = run("connect", "proxy", "-service", "web", "-upstream", "db:1", env={"MOORING_SECCOMP": "maybe"})
    check.true(code != 0 and "MOORING_SECCOMP: \"maybe\" is none of on, kill and off" in said, said)
    path = case.write("bad.yaml", "service: web\nconfine: {folders: [here]}\n"
                      "upstreams: [{service: db, listen: '127.0.0.1:1'}]\n")
    code, _, said = run("validate", path)
    check.true(code != 0 and "confine.folders: \"here\" is no absolute path" in said, said)


def test_names_are_found_in_hosts_and_dns_and_by_localhost(case):
    machine = Machine(case)
    machine.add_host(name("here"))
    machine.server.answers[name("there")] = ["127.0.0.4"]
    static = Static(case, endpoints=[f"{name('here')}:7", f"{name('there')}:8", "localhost:9"])
    found = ["127.0.0.1:7", "127.0.0.4:8", "127.0.0.1:9"]
    check.within(lambda: set(found) <= set(static.mooring.status()["upstreams"][0]["endpoints"]),
                 "all names are found", 10 * slowness())


def test_a_secret_and_a_log_that_are_replaced_are_found_again(case):
    """As kubelet replaces secrets: the file is a link to one in a folder that is a link, and another folder is put in
    its place."""
    folder = case.directory / "secret"
    for number, token in enumerate(("first", "second")):
        (folder / f"..{number}").mkdir(parents=True)
        (folder / f"..{number}" / "token").write_text(token)
    (folder / "..data").symlink_to("..0")
    (folder / "token").symlink_to("..data/token")
    logs = case.directory / "logs"
    logs.mkdir()
    api = scripted.Agent(case, token="first")
    app = apps.App(case, apps.echo)
    mooring = Mooring.connect_proxy(case, "-http-addr", api.address, "-token-file", folder / "token", "-service", "web",
                                    "-service-addr", f"127.0.0.1:{app.port}", "-listen", "127.0.0.1:0",
                                    "-access-log", logs / "access.log")
    api.token = "second"
    (folder / "..new").symlink_to("..1")
    os.rename(folder / "..new", folder / "..data")
    begun = len(api.requests)
    api.hang_up()
    check.within(lambda: any(request.token == "second" for request in api.requests[begun:]), "the new token is used",
                 30 * slowness())
    os.rename(logs / "access.log", logs / "access.log.1")
    mooring.process.send(signal.SIGHUP)
    check.within((logs / "access.log").exists, "the log is opened again", 10 * slowness())


def test_state_is_kept_and_two_upgrades_follow_each_other(case):
    confined()
    api = scripted.Agent(case)
    app = apps.App(case, apps.echo)
    first = Mooring.connect_proxy(case, "-http-addr", api.address, "-service", "web", "-service-addr",
                                  f"127.0.0.1:{app.port}", "-listen", f"127.0.0.1:{free_port()}", "-admin-addr",
                                  f"127.0.0.1:{free_port()}", "-state-dir", case.directory / "state",
                                  "-handover-dir", handover_dir(case))
    sidecar = Sidecar(case, first)

    def saved():
        return {path.name: path.stat().st_mtime_ns for path in (case.directory / "state").glob("*/*")
                if path.name != "lock"}

    check.within(saved, "state is saved", 10 * slowness())
    for generation in (2, 3):
        before, old = saved(), sidecar.newest
        sidecar.upgrade()
        check.equal(old.process.wait(10), 0, "exit code of the one before")
        check.equal(holds(first)[1], {}, f"what does not hold in generation {generation}")
        check.equal(sidecar.status()["generation"], generation, "generation")
        api.rotate_leaf("web")
        check.within(lambda: saved() != before, "state is saved again", 20 * slowness())


def reload(sidecar, *words):
    return run("reload", "-handover-dir", sidecar.directory, *words, seconds=60)


def with_change(sidecar, change):
    """The file of a StaticSidecar with these keys in it as well, which Mooring reads at its next reload."""
    path = Path(sidecar.first.process.argv[-1])
    path.write_text(path.read_text() + yaml_text(change) + "\n")


def test_a_reload_that_names_a_file_elsewhere_needs_an_upgrade_and_gets_it(case):
    confined()
    sidecar = StaticSidecar(case)
    elsewhere = Path(os.environ.get("TMPDIR", "/var/tmp")) / f"mooring-confined-{os.getpid()}"
    elsewhere.mkdir()
    case.undo(lambda: shutil.rmtree(elsewhere))
    with_change(sidecar, {"access_log": {"to": str(elsewhere / "access.log")}, "start_wait": "14s"})
    code, out, err = reload(sidecar)
    check.equal(code, 3, f"exit code of the reload: {out} {err}")
    check.true(f"access_log.to: off -> {elsewhere}/access.log (needs an upgrade)" in out, out)
    check.true("start_wait: 15s -> 14s" in out, f"the rest applies: {out}")
    check.equal((elsewhere / "access.log").exists(), False, "the log is there")
    code, out, err = reload(sidecar, "-upgrade")
    check.equal(code, 0, f"exit code of the upgrade: {out} {err}")
    check.within((elsewhere / "access.log").exists, "the log is there", 5 * slowness())
    os.kill(sidecar.pid(), signal.SIGTERM)
    sidecar.first.process.wait(10)


def test_a_low_port_that_was_taken_is_bound_once_it_is_free(case):
    confined()
    if os.geteuid() != 0:
        raise check.Skip("a port below 1024 needs root, or a capability")
    address = f"127.{os.getpid() // 250 % 250}.{os.getpid() % 250}.7"
    holder = socket.create_server((address, 79))
    case.undo(holder.close)
    static = Static(case, handover_dir=handover_dir(case))
    path = Path(static.mooring.process.argv[-1])
    low = f"  - service: low\n    listen: \"{address}:79\"\n    endpoints: [\"127.0.0.1:1\"]"
    path.write_text(path.read_text().replace("upstreams:", f"upstreams:\n{low}"))
    static.mooring.process.send(signal.SIGHUP)
    static.mooring.wait_log(f"listener not open, will retry.*{address}:79")
    left = static.mooring.status()["confinement"]["drop_capabilities"]["left"]
    check.equal(left, ["net_bind_service"], "capabilities")
    holder.close()
    check.equal(static.mooring.upstream("low"), (address, 79), "where it listens")


def test_a_user_of_its_own_binds_a_low_port_by_the_one_capability_it_is_given(case):
    """As in a unit with User= and AmbientCapabilities=CAP_NET_BIND_SERVICE."""
    confined()
    if not shutil.which("setpriv") or os.geteuid() != 0:
        raise check.Skip("setpriv by root gives another user one capability")
    api = scripted.Agent(case)
    address = f"127.{os.getpid() // 250 % 250}.{os.getpid() % 250}.8"
    only = "-all,+net_bind_service"
    mooring = Mooring.connect_proxy(
        case, "-http-addr", api.address, "-service", "web", "-upstream", f"db:{address}:79", ready=False,
        wrap=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", f"--inh-caps={only}",
              f"--ambient-caps={only}", f"--bounding-set={only}"))
    check.equal(mooring.upstream("db"), (address, 79), "where it listens")
    check.equal(holds(mooring)[1], {}, "what does not hold")
    said = mooring.status()["confinement"]
    left = said["drop_capabilities"]["left"]
    check.equal((said["user"], left), (65534, ["net_bind_service"]), "user and capabilities")
    for lines in state_of(mooring).values():
        check.equal((int(lines["CapEff"], 16), int(lines["CapAmb"], 16)), (BIND, 0), "capabilities of a thread")


def test_a_socket_that_a_registration_names_elsewhere_is_refused_with_the_cure(case):
    confined()
    api = scripted.Agent(case)
    folder = case.directory / "sockets"
    folder.mkdir()
    api.set_proxy("web-proxy", "web", port=free_port(), upstreams=[
        {"DestinationType": "service", "DestinationName": "db", "LocalBindSocketPath": str(folder / "db.sock")}])
    flags = ("-http-addr", api.address, "-proxy-id", "web-proxy")
    mooring = Mooring.connect_proxy(case, *flags, ready=False)
    mooring.wait_log(r"cannot listen on .*db\.sock.*add it to confine\.folders \(-confine-folders\)")
    mooring.kill()
    mooring = Mooring.connect_proxy(case, *flags, "-confine-folders", folder, ready=False)
    check.equal(mooring.upstream("db"), str(folder / "db.sock"), "where it listens")
    if not os.access("/run", os.W_OK):
        raise check.Skip("no socket can be made in /run, where it needs no setting; the rest passed")
    path = f"/run/mooring-test-{os.getpid()}.sock"
    case.undo(lambda: Path(path).unlink(missing_ok=True))
    api.set_proxy("web-proxy", "web", port=free_port(), upstreams=[
        {"DestinationType": "service", "DestinationName": "db", "LocalBindSocketPath": path}])
    mooring.wait_log(f"listener open: name=upstream:db address=unix:{path}")


def test_sockets_that_the_settings_name_are_made_and_what_is_left_of_them_is_replaced(case):
    folder = case.directory / "sockets"
    folder.mkdir()
    for _ in range(2):
        static = Static(case, upstream={"listen": f"unix:{folder}/db.sock"})
        client = socket.socket(socket.AF_UNIX)
        case.undo(client.close)
        client.connect(str(folder / "db.sock"))
        static.endpoint.accept(static.db, static.roots).handshake()
        static.mooring.kill()


def test_root_is_warned_of_once_and_others_are_not(case):
    said = "running as root, which a sidecar does not need"
    if os.geteuid() != 0:
        raise check.Skip("this is not root")
    mooring = Static(case).mooring
    mooring.wait_log(said)
    check.equal(sum(said in line for line in mooring.lines("WARN")), 1, "lines about it")
    if subprocess.run(["unshare", "--user", "true"], check=False, stderr=subprocess.DEVNULL).returncode:
        raise check.Skip("no user namespace, in which this is somebody else")
    mooring = Static(case, wrap=("unshare", "--user")).mooring
    check.equal([line for line in mooring.lines("WARN") if said in line], [], "lines about it")


# A filter of ours makes the kernel one without the call: number, error; 0 ends whoever makes it, as systemd's does.
WITHOUT = """
import ctypes, os, struct, sys
call, error = int(sys.argv[1]), int(sys.argv[2])
action = 0x50000 | error if error else 0x80000000
code = [(0x20, 0, 0, 0), (0x15, 0, 1, call), (0x06, 0, 0, action), (0x06, 0, 0, 0x7fff0000)]
program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in code))
header = ctypes.create_string_buffer(struct.pack("@HP", len(code), ctypes.addressof(program)))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, header, 0, 0) == 0
os.execv(sys.argv[3], sys.argv[3:])
"""


def test_a_kernel_without_one_of_them_costs_that_one_and_it_is_said_once(case):
    confined()
    if os.uname().machine != "x86_64":
        raise check.Skip("the filter that stands for an old kernel is x86-64's")
    for part, call, error, why in (("landlock", 444, 95, "Landlock is switched off in this kernel"),
                                   ("landlock", 444, 38, "this kernel has no Landlock"),
                                   ("landlock", 444, 0, "a filter of system calls around this process ends who tries"),
                                   ("seccomp", 317, 38, "seccomp")):
        static = Static(case, wrap=(sys.executable, "-c", WITHOUT, str(call), str(error)))
        there, reasons = holds(static.mooring)
        check.equal(there, set(PARTS) - {part}, f"what holds without {part}")
        check.true(reasons[part].startswith(why), reasons)
        said = [line for line in static.mooring.lines("WARN") if "not confined in one way" in line]
        check.true(len(said) == 1 and part in said[0] and why in said[0], f"what is said: {said}")
        check.equal(metrics.scrape(static.mooring).value("mooring_confined", part=part), 0, "mooring_confined")
        static.serves()
        static.mooring.stop()
