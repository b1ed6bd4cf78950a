"""The state directory when things are wrong with it (rows 24 to 28), and what is started beside it.

Row 23 is in test_torn_write.py, row 29 in test_secrets.py, row 69 in test_restart.py.
"""

import hashlib
import json
import os
import re
import subprocess
import time

from faults.subject import SERVICE, UPSTREAM, Subject, only_mooring
from lib import agent as scripted
from lib import certs, check, clock, namespaces, statefile
from lib import mooring as program
from lib.case import slowness
from lib.ports import free_port

EXPECTED_SECONDS = 18


def saved(case, flags=(), **options):
    """saved is a subject that has run and been killed, and whose agent is dead: its state is on disk.
    Returns (subject, path of the file)."""
    only_mooring("it keeps no state")
    api = scripted.Agent(case)
    directory = case.directory / "state"
    subject = Subject.scripted(case, api, state_dir=directory, flags=flags, **options)
    path = statefile.of_service(directory, SERVICE)
    statefile.wait_whole(path, f"upstream:{UPSTREAM}")
    subject.kill()
    api.stop()
    return subject, path


def starts_cold(subject, reason=None):
    """starts_cold starts it with its agent dead: it says why it does not use its state, and serves nobody.
    Ends with its death."""
    subject.start(ready=False)
    line = subject.wait_log(r"\[ERROR\].*saved state not used.*").group(0)
    if reason:
        check.true(reason in line, f"the line names {reason!r}: {line}")
    # Whatever it would load it has loaded once it has met the dead agent.
    subject.wait_log("watch failed")
    check.equal(subject.program.admin("/ready")[0], 503, "/ready")
    count = subject.app.count()
    check.true(subject.refused_inbound(listens=False), "a caller is not served")
    check.equal(subject.app.count(), count, "connections at the application")
    check.equal(subject.status()["leaf"], None, "the leaf")
    subject.kill()


def starts_warm(subject):
    """starts_warm starts it with its agent dead, and it serves both ways."""
    subject.start(ready=False)
    check.within(subject.works_new, "it serves from its state", 3 * slowness())
    subject.wait_log("serving from saved state")


def recovers(subject, path):
    """recovers has the agent back: it serves, and the file is good again."""
    subject.start(ready=False)
    subject.api.start()
    check.within(subject.works_new, "it serves with the agent's answers", 12 * slowness())
    statefile.wait_whole(path, f"upstream:{UPSTREAM}")
    subject.kill()
    subject.api.stop()
    starts_warm(subject)


def test_row_24_a_file_with_a_flipped_bit_is_not_used(case):
    subject, path = saved(case)
    good = path.read_bytes()
    header = good.index(b"{")
    body = good.index(b"\n", header) + 1
    for place in (3, 20, header + 5, body + 40, len(good) - 1):
        bad = bytearray(good)
        bad[place] ^= 0x04
        path.write_bytes(bad)
        starts_cold(subject)
    path.write_bytes(good)
    starts_warm(subject)


def test_row_24_a_file_that_is_cut_short_or_goes_on_is_not_used(case):
    subject, path = saved(case)
    good = path.read_bytes()
    for bad in (b"", good[:10], good[:200], good[:len(good) // 2], good[:-1], good + b"\n"):
        path.write_bytes(bad)
        starts_cold(subject)
    recovers(subject, path)


def with_sum(text):
    return statefile.MAGIC + b"\nsha256 " + hashlib.sha256(text).hexdigest().encode() + b"\n" + text


def test_row_24_a_file_of_nonsense_with_a_right_checksum_is_not_used(case):
    subject, path = saved(case)
    state = statefile.read(path)
    head = {**state.facts, "documents": []}
    entry = {"name": "roots /v1/agent/connect/ca/roots?", "confirmed_ms": 1, "headers": {}, "length": 5}
    for bad in (with_sum(b""), with_sum(b"[]\n"), with_sum(b"[" * 100000 + b"\n"), with_sum(b"{}\n"),
                with_sum(json.dumps({**head, "documents": [{**entry, "length": 2 ** 63}]}).encode() + b"\nabcde"),
                with_sum(json.dumps({**head, "documents": [{**entry, "length": -5}]}).encode() + b"\nabcde"),
                with_sum(json.dumps({**head, "documents": [entry]}).encode() + b"\nabcdef"),
                path.read_bytes().replace(b"mooring state 1", b"mooring state 2")):
        path.write_bytes(bad)
        starts_cold(subject)
    # Documents that are none cost what they are worth: the others would do, but not without a leaf.
    def garble(document):
        def change(whole):
            whole.document(document).body = b'{"half":'
        return change

    for document in ("leaf", "roots"):
        statefile.write(path, state)
        statefile.edit(path, garble(document))
        starts_cold(subject)


def test_row_24_roots_and_leaf_of_two_trust_domains_are_not_used_together(case):
    subject, path = saved(case)
    other = certs.Authority("Other Root", "99999999-2222-3333-4444-555555555555.consul")

    def change(state):
        document = state.document("roots")
        roots = document.json()
        roots["TrustDomain"], roots["Roots"][0]["RootCert"] = other.trust_domain, other.pem
        document.body = json.dumps(roots).encode()

    statefile.edit(path, change)
    subject.start(ready=False)
    subject.wait_log(r"leaf certificate not taken up yet.*unknown_ca")
    check.equal(subject.program.admin("/ready")[0], 503, "/ready")
    check.true(subject.refused_inbound(listens=False), "a caller is not served")


def test_row_25_a_file_of_another_mode_owner_or_kind_is_not_used(case):
    subject, path = saved(case)
    aside = path.with_name("aside")

    def shown_to_others(mode):
        return lambda: os.chmod(path, mode), lambda: os.chmod(path, 0o600)

    def replaced(make):
        def change():
            os.rename(path, aside)
            make()

        def restore():
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()
            os.rename(aside, path)
        return change, restore

    kinds = {"mode 0644": shown_to_others(0o644), "mode 0620": shown_to_others(0o620),
             "a link": replaced(lambda: os.symlink("aside", path)),
             "a FIFO": replaced(lambda: os.mkfifo(path, 0o600)),
             "a directory": replaced(lambda: os.mkdir(path, 0o700))}
    if os.geteuid() == 0:
        kinds["another owner"] = lambda: os.chown(path, 65534, -1), lambda: os.chown(path, 0, -1)
    for change, restore in kinds.values():
        change()
        starts_cold(subject)
        restore()
    starts_warm(subject)
    if os.geteuid() != 0:
        raise check.Skip("a file of another owner was not tried: only root can make one; the other kinds passed")


def start_fails(case, directory, *words):
    """start_fails asserts that an explicit state directory ends the start, with one sentence that says why."""
    code, _, said = program.run("connect", "proxy", "-http-addr", "127.0.0.1:9", "-service", SERVICE,
                                "-upstream", f"{UPSTREAM}:127.0.0.1:{free_port()}", "-state-dir", directory)
    check.equal(code, 78, f"exit code with {directory}; it said {said!r}")
    for word in ("==> state directory", *words):
        check.true(word in said, f"{word!r} in {said!r}")


def test_row_25_a_state_directory_that_others_can_enter_or_that_is_none_ends_the_start(case):
    only_mooring("it keeps no state")
    open_to_all = case.directory / "open"
    open_to_all.mkdir(mode=0o755)
    os.chmod(open_to_all, 0o755)
    start_fails(case, open_to_all, str(open_to_all), "0755", "0700", "chmod")
    file = case.write("file", "x")
    start_fails(case, file, "not a directory")
    start_fails(case, case.directory / "missing" / "below", "does not exist")
    below = case.directory / "good"
    below.mkdir(mode=0o700)
    os.symlink(open_to_all, below / f"service.{SERVICE}")
    start_fails(case, below, "link")
    if os.geteuid() != 0:
        raise check.Skip("a directory of another owner was not tried: only root can make one; the others passed")
    foreign = case.directory / "foreign"
    foreign.mkdir(mode=0o700)
    os.chown(foreign, 65534, -1)
    start_fails(case, foreign, "65534", "chown")


def test_row_25_a_state_directory_is_made_and_may_be_reached_through_a_link(case):
    only_mooring("it keeps no state")
    (case.directory / "real").mkdir(mode=0o700)
    os.symlink("real", case.directory / "link")
    subject = Subject.scripted(case, scripted.Agent(case), state_dir=case.directory / "link" / "made")
    path = statefile.of_service(case.directory / "real" / "made", SERVICE)
    statefile.wait_whole(path, f"upstream:{UPSTREAM}")
    for place, mode in ((path, 0o600), (path.parent, 0o700), (path.parent.parent, 0o700)):
        check.equal(oct(os.stat(place).st_mode & 0o7777), oct(mode), f"mode of {place.name}")
    subject.kill()
    subject.api.stop()
    starts_warm(subject)


def test_row_25_the_directory_that_systemd_names_is_used_and_a_bad_one_is_done_without(case):
    only_mooring("it keeps no state")
    first, second = case.directory / "first", case.directory / "second"
    for one in (first, second):
        one.mkdir(mode=0o700)
    subject = Subject.scripted(case, scripted.Agent(case), env={"STATE_DIRECTORY": f"{first}:{second}"})
    statefile.wait_whole(statefile.of_service(first, SERVICE), f"upstream:{UPSTREAM}")
    check.equal(os.listdir(second), [], "the second directory")
    subject.program.stop()
    os.chmod(first, 0o755)
    subject.start()
    check.true("0755" in subject.wait_log(r"\[WARN\].*no state directory.*").group(0), "the warning says why")
    check.equal(subject.status()["state_file"], None, "state_file")


def test_row_26_whoever_owns_the_file_is_believed(case):
    """An edited file with a right checksum is loaded: a secret to sign it with would lie beside it. That is said in
    the documentation; here it is shown, by an edit that closes a door."""
    subject, path = saved(case)

    def close(state):
        denied = {SERVICE: [scripted.intention("web", SERVICE, "deny")]}
        state.document("intentions").body = json.dumps(denied).encode()

    statefile.edit(path, close)
    subject.start(ready=False)
    check.within(subject.outbound_works, "it serves from its state", 3 * slowness())
    check.true(subject.refused_inbound(), "web is refused")
    subject.program.wait_closed("inbound", "denied")


def small_disk(case, size="64k"):
    """small_disk mounts a file system of that size, in a mount namespace that ends with the test process."""
    namespaces.own_mounts("a full disk, for which a small one is mounted,")
    place = case.directory / "disk"
    place.mkdir(mode=0o700)
    mount("-t", "tmpfs", "-o", f"size={size},mode=0700", "none", place)
    case.undo(lambda: unmount(place))
    return place


def unmount(place):
    subprocess.run(["umount", "-l", place], check=True)


def mount(*arguments):
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise check.Skip(f"mount {' '.join(map(str, arguments))}: {done.stderr.strip()}")


def fill(place):
    """fill takes all the room that is left."""
    with open(place / "filler", "wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return place / "filler"


def goes_on_unsaved(subject, path, what):
    """goes_on_unsaved changes something, and asserts that it counts although it cannot be saved."""
    before, seen = path.read_bytes(), len(subject.program.lines("WARN"))
    serial = subject.status()["leaf"]["serial"]
    subject.api.rotate_leaf(SERVICE)
    check.within(lambda: subject.status()["leaf"]["serial"] != serial, "the new leaf is in use", 5 * slowness())
    subject.wait_log(rf"\[WARN\].*state not saved; going on from memory.*{what}")
    check.within(lambda: what in subject.status()["state_file"]["error"], "/status shows the error", 2)
    subject.works_new()
    check.equal(path.read_bytes(), before, "the old file")
    check.true(len(subject.program.lines("WARN")) - seen <= 3, "it is said, and not all the time")


def test_row_27_a_full_disk_costs_nothing_but_the_state(case):
    only_mooring("it keeps no state")
    place = small_disk(case)
    subject = Subject.scripted(case, scripted.Agent(case), state_dir=place / "state")
    path = statefile.of_service(place / "state", SERVICE)
    statefile.wait_whole(path, f"upstream:{UPSTREAM}")
    filler = fill(place)
    goes_on_unsaved(subject, path, "No space left on device")
    filler.unlink()
    # Nothing changes meanwhile: it tries again by itself.
    subject.wait_log("state is saved now", 12)
    check.equal(subject.status()["state_file"]["error"], "", "the error in /status")
    leaf = subject.api.leaves[SERVICE].chain_pem
    check.equal(statefile.read(path).document("leaf").json()["CertPEM"], leaf, "the leaf in the file")
    subject.kill()
    subject.api.stop()
    fill(place)
    starts_warm(subject)


test_row_27_a_full_disk_costs_nothing_but_the_state.limit = 45


def test_row_27_a_disk_turned_read_only_costs_nothing_but_the_state(case):
    only_mooring("it keeps no state")
    place = small_disk(case, "1m")
    subject = Subject.scripted(case, scripted.Agent(case), state_dir=place / "state")
    path = statefile.of_service(place / "state", SERVICE)
    statefile.wait_whole(path, f"upstream:{UPSTREAM}")
    mount("-o", "remount,ro", place)
    goes_on_unsaved(subject, path, "Read-only file system")
    subject.kill()
    subject.api.stop()
    starts_warm(subject)  # from what it had saved before
    mount("-o", "remount,rw", place)
    subject.api.start()
    subject.wait_log("watch recovered", 12)
    subject.api.rotate_leaf(SERVICE)
    leaf = subject.api.leaves[SERVICE].chain_pem
    check.within(lambda: statefile.read(path).document("leaf").json()["CertPEM"] == leaf, "it saves again", 12)


test_row_27_a_disk_turned_read_only_costs_nothing_but_the_state.limit = 45


def aged(path, minutes):
    def change(state):
        for document in state.documents:
            document.confirmed_ms = int((time.time() - minutes * 60) * 1000)

    statefile.edit(path, change)


def admits_nobody_for_its_age(subject):
    def serving_but_for_its_age():
        status = subject.status()
        return (any("max_stale" in reason for reason in status["not_ready"])
                and all(listener["state"] == "open" for listener in status["listeners"])
                and any(listener["name"] == "public" for listener in status["listeners"]))

    check.within(serving_but_for_its_age, "everything is open, and too old", 3 * slowness(), step=0.02)
    check.true(subject.refused_inbound(), "a caller is refused")
    check.true(subject.refused_outbound(), "an application's call is refused")
    for direction in ("inbound", "outbound"):
        subject.program.wait_closed(direction, "stale")
    code, text = subject.program.admin("/ready")
    check.equal(code, 503, "/ready")
    check.true("max_stale" in text, text)
    watches = {w["name"]: w for w in subject.status()["watches"]}
    check.true(watches["roots"]["stale"] and watches["intentions"]["stale"], f"stale in /status: {watches}")


def test_row_28_state_that_is_older_than_max_stale_admits_nobody_until_the_agent_is_back(case):
    subject, path = saved(case, flags=["-max-stale", "2m"])
    aged(path, 1)
    starts_warm(subject)
    subject.kill()
    aged(path, 10)
    subject.start(ready=False)
    subject.wait_log("serving from saved state")
    admits_nobody_for_its_age(subject)
    subject.api.start()
    check.within(subject.works_new, "it serves once the agent is back", 12 * slowness())


def test_row_28_state_is_as_old_as_the_clock_says_and_a_clock_that_went_back_proves_nothing(case):
    """Ten minutes later by the clock; and half an hour before the state was saved, which tells no age."""
    subject, _ = saved(case, flags=["-max-stale", "2m"])
    for shift in (600, -1800):
        subject.env = clock.Clock(case, shift).env
        subject.start(ready=False)
        subject.wait_log("serving from saved state")
        admits_nobody_for_its_age(subject)
        subject.kill()
    subject.env = None
    starts_warm(subject)


def test_row_28_an_outage_that_outlasts_max_stale_admits_nobody_new_and_cuts_nobody(case):
    only_mooring("it keeps no state")
    api, time = scripted.Agent(case), clock.Clock(case)
    subject = Subject.scripted(case, api, env=time.env, flags=["-max-stale", "2m"])
    held = subject.hold()
    api.stop()
    subject.wait_log("watch failed")
    time.elapse(60)
    subject.works()
    time.elapse(120)
    admits_nobody_for_its_age(subject)
    held.works()
    api.start()
    check.within(subject.works_new, "it serves once the agent is back", 12 * slowness())


def test_row_28_without_a_limit_old_state_serves_and_its_age_is_said(case):
    subject, path = saved(case)
    aged(path, 3 * 24 * 60 - 5)
    starts_warm(subject)
    ages = [int(m) for m in re.findall(r"age_seconds=\"?(\d+)", subject.wait_log(r"(?s).*age_seconds=\"?\d+").group(0))]
    check.true(min(ages) > 250000, f"ages said: {ages}")


def test_row_28_state_of_another_service_or_agent_is_not_used(case):
    subject, path = saved(case)
    good = statefile.read(path)
    for facts, word in (({"id": "service.other"}, "service.other"), ({"agent": "http://127.0.0.1:1"}, "127.0.0.1:1")):
        statefile.write(path, statefile.State({**good.facts, **facts}, good.documents))
        starts_cold(subject, word)
    # The same file in the place of another service's is no better.
    statefile.write(path, good)
    other = path.parent.with_name("service.web")
    os.rename(path.parent, other)
    subject.program = program.Mooring.connect_proxy(
        case, "-http-addr", subject.agent_address, "-service", "web", "-upstream",
        f"{UPSTREAM}:127.0.0.1:{subject.upstream[1]}", "-state-dir", other.parent, ready=False)
    check.true(f"service.{SERVICE}" in subject.wait_log(r"saved state not used.*").group(0), "the line names both")
    check.equal(subject.program.admin("/ready")[0], 503, "/ready")


def test_row_28_a_second_process_does_not_write_into_the_first_ones_state(case):
    only_mooring("it keeps no state")
    api, directory = scripted.Agent(case), case.directory / "state"
    first = Subject.scripted(case, api, state_dir=directory)
    path = statefile.of_service(directory, SERVICE)
    statefile.wait_whole(path, f"upstream:{UPSTREAM}")
    second = Subject.scripted(case, api, state_dir=directory)
    second.wait_log(r"\[WARN\].*state not saved.*another process holds")
    for one, kept in ((first, 1), (second, 0)):
        said = [line for line in one.program.lines("INFO") if "state is kept" in line]
        check.equal(len(said), kept, "lines that say that it is kept")
    check.true("another process" in second.status()["state_file"]["error"], "/status of the second")
    second.works()
    # What the first one has to save is saved.
    api.rotate_leaf(SERVICE)
    leaf = api.leaves[SERVICE].chain_pem
    check.within(lambda: statefile.read(path).document("leaf").json()["CertPEM"] == leaf, "the first one saves", 3)
    check.equal(first.status()["state_file"]["error"], "", "/status of the first")
    # The second one takes over when it is free.
    first.program.stop()
    second.wait_log("state is saved now", 12)


test_row_28_a_second_process_does_not_write_into_the_first_ones_state.limit = 45
