"""Row 29: no byte of key or token leaves the process but into the one documented file, and what is no longer
needed does not stay in memory."""

import base64
import json
import os
import re
import resource
import shutil

from cryptography.hazmat.primitives import serialization

from faults.subject import SERVICE, Subject, only_mooring
from lib import agent as scripted
from lib import check, statefile
from lib.case import Process, sanitized, slowness
from lib.mooring import run

EXPECTED_SECONDS = 10
TOKEN = "5ec2e7aa-0c0f-4f5b-9d55-7d9f1c1b2a30"


def pem_lines(pem):
    """pem_lines are the base64 lines of a PEM text."""
    return [line for line in pem.splitlines() if line and not line.startswith("-----")]


def forms_of(key_pem):
    """forms_of names every form of a P-256 key in which memory or a file could hold it."""
    key = serialization.load_pem_private_key(key_pem.encode(), None)
    scalar = key.private_numbers().private_value
    forms = {f"PEM line {n}": line.encode() for n, line in enumerate(pem_lines(key_pem))}
    forms["DER"] = base64.b64decode("".join(pem_lines(key_pem)))
    forms["scalar"] = scalar.to_bytes(32, "big")
    forms["scalar, little-endian"] = scalar.to_bytes(32, "little")
    return forms


def found_in(data, forms):
    return [name for name, form in forms.items() if form in data]


def searched(process, forms):
    """searched are the forms found in the memory of a process, and the bytes looked through."""
    found, size = set(), 0
    longest = max(len(form) for form in forms.values())
    with open(f"/proc/{process.pid}/maps") as maps, open(f"/proc/{process.pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            fields = line.split()
            if "r" not in fields[1] or fields[-1] in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
                continue
            start, end = (int(text, 16) for text in fields[0].split("-"))
            tail = b""
            for at in range(start, end, 1 << 22):
                try:
                    memory.seek(at)
                    data = memory.read(min(1 << 22, end - at))
                except OSError:  # a guard page, or a mapping that has gone meanwhile
                    tail = b""
                    continue
                found.update(found_in(tail + data, forms))
                tail = data[-longest:]
                size += len(data)
    return found, size


def current_key(subject):
    """current_key is the key of the leaf that the agent gives out now."""
    return subject.api.leaves[SERVICE].key_pem


def rotate(subject):
    serial = subject.status()["leaf"]["serial"]
    subject.api.rotate_leaf(SERVICE)
    check.within(lambda: subject.status()["leaf"]["serial"] != serial, "the new leaf is in use", 5 * slowness())


def forgotten_in_memory(case, **options):
    only_mooring("its memory is not ours to judge")
    if os.geteuid() != 0:
        raise check.Skip("only root can read the memory of a process that has made itself non-dumpable")
    if sanitized():
        raise check.Skip("a sanitizer's shadow memory is too large to be searched")
    subject = Subject.scripted(case, scripted.Agent(case), level="TRACE", **options)
    first = forms_of(current_key(subject))
    # The search finds what is there: the key in use is in memory in one of its raw forms.
    found, size = searched(subject.process, first)
    check.true(found & {"scalar", "scalar, little-endian", "DER"}, f"the key in use is found in {size} bytes: {found}")
    subject.hold()
    rotate(subject)
    second = forms_of(current_key(subject))
    rotate(subject)
    subject.works_new()
    for held in subject.held:
        held.close()
    subject.program.wait_idle()
    current = {name: form for name, form in forms_of(current_key(subject)).items() if name.startswith("PEM")}
    for title, forms in (("the first key", first), ("the second key", second), ("the current key's text", current)):
        def gone(forms=forms):
            found, _ = searched(subject.process, forms)
            check.equal(sorted(found), [], "found in memory")
            return True

        # Saved within a second, and held for that long.
        check.within(gone, f"{title} is gone from memory", 4 * slowness(), step=0.3)
    return subject


def test_row_29_memory_holds_no_key_that_is_out_of_use(case):
    forgotten_in_memory(case)


def test_row_29_memory_holds_no_key_that_is_out_of_use_with_a_state_directory(case):
    forgotten_in_memory(case, state_dir=case.directory / "state")


def test_row_29_memory_holds_no_key_that_came_from_disk(case):
    """A restart from disk while the agent is dead, then the agent's return and a rotation."""
    only_mooring("its memory is not ours to judge")
    if os.geteuid() != 0 or sanitized():
        raise check.Skip("needs root and no sanitizer")
    subject = Subject.scripted(case, scripted.Agent(case), state_dir=case.directory / "state")
    statefile.wait_whole(statefile.of_service(case.directory / "state", SERVICE))
    subject.kill()
    subject.api.stop()
    subject.start(ready=False)
    check.within(subject.works_new, "it serves from its state", 3 * slowness())
    text = {name: form for name, form in forms_of(current_key(subject)).items() if name.startswith("PEM")}
    check.within(lambda: not searched(subject.process, text)[0], "the key's text is gone from memory", 4, step=0.3)
    old = forms_of(current_key(subject))
    subject.api.start()
    subject.wait_log("watch recovered")
    rotate(subject)
    subject.program.wait_idle()
    check.within(lambda: not searched(subject.process, old)[0], "the old key is gone from memory", 4, step=0.3)


def files_with(directory, forms):
    """files_with lists the files below a directory that hold one of the forms."""
    found = []
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                if found_in(file.read(), forms):
                    found.append(os.path.relpath(path, directory))
    return found


def test_row_29_on_disk_the_key_is_in_one_file_and_with_cache_private_key_false_in_none(case):
    only_mooring("it keeps no state")
    directory = case.directory / "state"
    subject = Subject.scripted(case, scripted.Agent(case), state_dir=directory)
    path = statefile.of_service(directory, SERVICE)
    statefile.wait_whole(path)
    first = forms_of(current_key(subject))
    check.equal(files_with(directory, first), [f"service.{SERVICE}/state"], "files with the key")
    check.equal(oct(path.stat().st_mode & 0o7777), "0o600", "the file's mode")
    check.true(subject.status()["state_file"]["private_key"], "/status says that the key is there")
    rotate(subject)
    check.within(lambda: not files_with(directory, first), "the old key is gone from the disk", 3 * slowness())
    subject.kill()
    # The setting also takes off what an earlier run has left.
    subject.flags.append("-cache-private-key=false")
    subject.start()
    check.true("cache_private_key" in subject.wait_log(r"\[WARN\].*private key is not kept.*").group(0), "its price")
    second = forms_of(current_key(subject))
    check.within(lambda: not files_with(directory, {**first, **second}), "no key is on the disk", 3 * slowness())
    rotate(subject)
    check.within(lambda: statefile.read(path).document("roots"), "the other documents are there", 3 * slowness())
    check.equal(files_with(directory, forms_of(current_key(subject))), [], "files with the newest key")
    check.equal(subject.status()["state_file"]["private_key"], False, "/status says that the key is not there")
    subject.kill()
    subject.api.stop()
    subject.start(ready=False)
    subject.wait_log("watch failed")
    check.equal(subject.program.admin("/ready")[0], 503, "/ready after a restart without an agent")
    check.true(subject.refused_inbound(listens=False), "a caller is refused")


def said_by(subject):
    """said_by is everything that others can read of it."""
    texts = [subject.process.log().encode()]
    for path in ("/status", "/ready", "/live", "/metrics", "/"):
        texts.append(subject.program.admin(path)[1].encode())
    with open(f"/proc/{subject.process.pid}/cmdline", "rb") as file:
        texts.append(file.read())
    code, said, errors = run("status", "-admin-addr", "%s:%d" % subject.program.listener("admin"))
    check.equal(code, 0, f"mooring status: {errors}")
    return b"\n".join(texts + [said.encode(), errors.encode()])


def test_row_29_logs_admin_pages_arguments_and_errors_hold_no_key_and_no_token(case):
    api = scripted.Agent(case, token=TOKEN)
    subject = Subject.scripted(case, api, state_dir=case.directory / "state", token=TOKEN, level="TRACE")
    if not subject.is_mooring:
        with open(f"/proc/{subject.process.pid}/cmdline", "rb") as file:
            check.equal(found_in(subject.process.log().encode() + file.read(), {"token": TOKEN.encode()}), [],
                        "secrets in log and arguments")
        return
    secrets = dict(forms_of(current_key(subject)), token=TOKEN.encode())
    path = statefile.of_service(case.directory / "state", SERVICE)
    statefile.wait_whole(path)
    leaf = f"/v1/agent/connect/ca/leaf/{SERVICE}"
    good = {"CertPEM": api.leaves[SERVICE].chain_pem, "PrivateKeyPEM": current_key(subject)}
    for body in (json.dumps(good)[:-20].encode(), json.dumps({**good, "CertPEM": "nonsense"}).encode(),
                 json.dumps({**good, "CertPEM": good["PrivateKeyPEM"]}).encode(),
                 json.dumps({**good, "PrivateKeyPEM": good["PrivateKeyPEM"].replace("\n", "", 3)}).encode(),
                 json.dumps({**good, good["PrivateKeyPEM"]: 1, "ServiceURI": [good["PrivateKeyPEM"]]}).encode()):
        failures = subject.process.stderr().count("watch failed")
        fault = api.fault(leaf, body=body)
        api.rotate_leaf(SERVICE)
        check.within(lambda: subject.process.stderr().count("watch failed") > failures
                     or fault.met > 1, "the bad leaf has been met", 12 * slowness())
        api.lift(fault)
    refusal = api.fault("/v1/connect/*", status=403, body=b"Permission denied")
    api.touch("intentions")
    subject.wait_log(r"agent refuses.*token=\"?the token", 12)
    api.lift(refusal)
    check.equal(found_in(said_by(subject), secrets), [], "secrets in logs, pages and arguments")
    # The file itself, broken in the middle of the key, and what a start says of it.
    subject.kill()
    api.stop()
    text = path.read_bytes()
    path.write_bytes(text.replace(b"PrivateKeyPEM", b"PrivateKeyPEm"))
    subject.start(ready=False)
    subject.wait_log("saved state not used")
    check.equal(found_in(said_by(subject), secrets), [], "secrets in what it says of a broken file")


test_row_29_logs_admin_pages_arguments_and_errors_hold_no_key_and_no_token.limit = 90


def test_row_29_an_agent_that_repeats_our_token_does_not_bring_it_into_the_log(case):
    only_mooring("its log is not ours to judge")
    api = scripted.Agent(case, token=TOKEN)
    subject = Subject.scripted(case, api, token=TOKEN, level="TRACE")
    refusal = api.fault("/v1/connect/*", status=403, body=f"token {TOKEN} lacks a permission".encode())
    api.touch("intentions")
    subject.wait_log("agent refuses", 12)
    api.lift(refusal)
    check.equal(found_in(subject.process.log().encode(), {"token": TOKEN.encode()}), [], "secrets in the log")


def core_facts(case, *flags):
    """core_facts starts it as a user who is not root, with core files allowed: its core limits, and the owner of
    /proc/PID/mem, which is root when the process is not dumpable."""
    resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
    user = os.geteuid() or 65534
    command = [os.environ["MOORING_BIN"], "connect", "proxy", "-http-addr", "127.0.0.1:9", "-service", SERVICE,
               "-upstream", "store:127.0.0.1:0", "-admin-addr", "127.0.0.1:0", *flags]
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            raise check.Skip("no setpriv, to run it as a user who is not root")
        command = ["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups", *command]
    process = Process(case, command, "mooring-core", cwd="/")
    try:
        process.wait_log("listener open")
    except RuntimeError as error:
        if "Permission denied" in str(error):
            raise check.Skip(f"user {user} cannot run {os.environ['MOORING_BIN']}") from error
        raise
    with open(f"/proc/{process.pid}/limits") as limits:
        core = re.search(r"Max core file size\s+(\S+)\s+(\S+)", limits.read()).groups()
    return user, core, os.stat(f"/proc/{process.pid}/mem").st_uid, process


def test_row_29_no_core_is_written_and_nobody_but_root_reads_the_memory(case):
    only_mooring("its memory is not ours to judge")
    user, core, owner, _ = core_facts(case)
    check.equal(core, ("0", "0"), "core limits")
    check.equal(owner, 0, f"owner of its /proc/PID/mem, run by user {user}")


def test_row_29_allow_core_leaves_both_as_they_were_and_says_what_that_means(case):
    only_mooring("no such setting there")
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    user, core, owner, process = core_facts(case, "-allow-core")
    shown = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
    if not sanitized():  # the sanitizer's own start lowers the soft limit
        check.equal(core, (shown, shown), "core limits")
    check.equal(owner, user, "owner of its /proc/PID/mem")
    process.wait_log(r"\[WARN\].*allow_core")
