"""Bad input: every message names the place and the cure, and what cannot go on ends with a non-zero code."""

import os
import socket

from lib import certs, check
from lib.mooring import Mooring, run

FIVE_MISTAKES = """service: payment
colour: red
identity: {certificate: leaf.pem, private_key: leaf.key, roots: roots.pem}
public_listener: {address: 0.0.0.0:99999, local_app: 127.0.0.1:9090}
intentions: {default: maybe}
drain_time: 30
upstreams:
  - {service: facebox, listen: 127.0.0.1:8002}
  - {service: facebox, listen: 127.0.0.1:8003}
"""


BAD = 78  # of a configuration that a person has to mend: RestartPreventExitStatus=78 in a unit


def fails(*arguments, says=(), code=None, **options):
    """fails is a start that ends with BAD unless it says otherwise, or another command, which ends with 1."""
    expected = code or (1 if arguments[0] == "validate" else BAD)
    code, output, errors = run(*arguments, **options)
    check.equal(code, expected, f"exit code of {arguments}; it said {errors!r}")
    check.true(any(line.startswith("==> ") for line in errors.splitlines()), f"a line with ==> in {errors!r}")
    for text in says:
        check.true(text in errors, f"{text!r} in {errors!r}")
    return output, errors


def test_wrong_flags(case):
    fails("connect", "proxy", says=["-service or -proxy-id must be specified"])
    fails("connect", "proxy", "-service", "x", "-listen", ":1", says=["-service-addr"])
    fails("connect", "proxy", "-service", "x", "-register", says=["-register may only be specified with"])
    fails("connect", "proxy", "-service", "x", "-upstream", "db", says=["db"])
    fails("connect", "proxy", "-service", "x", "-upstream", "db.peer:9000", says=["db.peer"])
    fails("connect", "proxy", "-service", "x", "-log-level", "FOO", says=["FOO"])
    fails("connect", "proxy", "-service", "x", "-http-addr", "ftp://h", says=["Unknown protocol scheme: ftp"])
    fails("connect", "proxy", "-service", "x", "-drain-time", "30", says=["30s"])
    fails("connect", "proxy", "-service", "x", "-no-such-flag", says=["no-such-flag"])
    fails("connect", "proxy", "-service", "x", "rest", says=["no non-flag arguments"])


def test_an_unknown_command(case):
    code, _, errors = run("conect")
    check.equal(code, 1, "exit code")
    check.true("conect" in errors and "connect proxy" in errors, errors)


def test_five_mistakes_in_yaml_are_all_reported_with_line_and_column(case):
    path = case.write("bad.yaml", FIVE_MISTAKES)
    code, _, errors = run("validate", path)
    check.equal(code, 1, "exit code")
    for place, word in ((":2:1:", "colour"), (":4:", "99999"), (":5:", "maybe"), (":6:", "30"), (":9:", "facebox")):
        check.true(any(place in line and word in line for line in errors.splitlines()),
                   f"a line with {place} and {word} in\n{errors}")
    # Running it says the same and does not start.
    fails("proxy", "-config", path, says=["colour", "99999", "maybe", "facebox"])


def test_a_configuration_that_does_not_exist(case):
    fails("proxy", "-config", "/nonexistent/x.yaml", says=["/nonexistent/x.yaml", "No such file"])
    fails("validate", "/nonexistent/x.yaml", says=["/nonexistent/x.yaml"])


def yaml_with(case, files, **more):
    return case.write("good.yaml", f"""service: web
identity: {{certificate: {files[0]}, private_key: {files[1]}, roots: {files[2]}}}
public_listener: {{address: '127.0.0.1:0', local_app: '127.0.0.1:1'}}
intentions: {{default: allow}}
""" + "".join(f"{key}: {value}\n" for key, value in more.items()))


def write_set(case, authority, prefix=""):
    identity = authority.leaf("web")
    return (case.write(prefix + "leaf.pem", identity.chain_pem),
            case.write(prefix + "leaf.key", identity.key_pem),
            case.write(prefix + "roots.pem", authority.pem))


def test_missing_identity_files_and_a_mismatched_key_are_named(case):
    authority = certs.Authority()
    files = [str(path) for path in write_set(case, authority)]
    other = [str(path) for path in write_set(case, authority, "other-")]
    run_good = run("validate", yaml_with(case, files))
    check.equal(run_good[0], 0, run_good[2])
    fails("validate", yaml_with(case, ["/nonexistent/leaf.pem", *files[1:]]), says=["/nonexistent/leaf.pem"])
    fails("validate", yaml_with(case, [files[0], other[1], files[2]]), says=[files[0], other[1], "match"])
    fails("proxy", "-config", yaml_with(case, [files[0], other[1], files[2]]), says=[other[1]])
    stranger = certs.Authority()
    roots = case.write("stranger.pem", stranger.pem)
    fails("validate", yaml_with(case, [files[0], files[1], str(roots)]), says=[str(roots)])


def test_validate_names_every_missing_file_at_once_with_its_place(case):
    path = case.write("missing.yaml", """services:
  - {sidecar_for: web-1, token_file: web.token}
  - service: api
    identity: {certificate: leaf.pem, private_key: /nonexistent/leaf.key, roots: roots.pem}
    upstreams: [{service: db, listen: '127.0.0.1:0'}]
agent: {ca_path: /nonexistent/roots, token_file: agent.token}
state_dir: state
colour: red
""")
    case.write("roots.pem", "")
    case.write("agent.token", "")
    code, _, errors = run("validate", path)
    check.equal(code, 1, "exit code")
    lines = [line for line in errors.splitlines() if line.startswith(f"{path}:")]
    wanted = [(":2:38:", "services[0].token_file", "web.token"), (":4:29:", "services[1].identity.certificate", "leaf.pem"),
              (":4:52:", "services[1].identity.private_key", "/nonexistent/leaf.key"),
              (":6:18:", "agent.ca_path", "/nonexistent/roots"), (":8:1:", "colour", "not a known key")]
    check.equal(len(lines), len(wanted), f"problems of\n{errors}")
    for line, (place, key, text) in zip(lines, wanted):
        check.true(place in line and key in line and text in line, f"{place} {key} {text} in {line}")


def test_an_unreadable_token_file(case):
    fails("connect", "proxy", "-service", "x", "-upstream", "db:0", "-token-file", "/nonexistent/token",
          says=["Error loading token file", "/nonexistent/token"])
    fails("connect", "proxy", "-service", "x", "-upstream", "db:0", "-token-file", str(case.directory),
          says=["Error loading token file", str(case.directory)])


def test_an_unreadable_ca_file(case):
    fails("connect", "proxy", "-service", "x", "-upstream", "db:0", "-http-addr", "https://127.0.0.1:1",
          "-ca-file", "/nonexistent/ca.pem", says=["/nonexistent/ca.pem"])


def test_a_busy_port_ends_the_start_and_is_named(case):
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        for flags in (["-upstream", f"db:{port}"],
                      ["-service-addr", "127.0.0.1:1", "-listen", f"127.0.0.1:{port}"],
                      ["-upstream", "db:127.0.0.1:0", "-admin-addr", f"127.0.0.1:{port}"]):
            fails("connect", "proxy", "-service", "x", "-http-addr", "127.0.0.1:1", *flags,
                  says=[f"127.0.0.1:{port}", "in use"], code=1)


def test_mooring_dev_listens_on_loopback_only(case):
    for address in ("0.0.0.0:0", "[::]:0", "192.0.2.1:0"):
        code, _, errors = run("dev", "-addr", address)
        check.equal(code, 1, f"exit code for {address}")
        check.true("loopback" in errors, errors)


def test_a_unix_socket_path_that_is_something_else_is_an_error(case):
    path = case.write("not-a-socket", "text")
    fails("connect", "proxy", "-service", "x", "-http-addr", "127.0.0.1:1", "-upstream", f"db:unix:{path}",
          says=[str(path), "not a socket"], code=1)
    check.equal(open(path).read(), "text", "the file")


def test_a_stale_unix_socket_is_replaced(case):
    path = str(case.directory / "stale.sock")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(path)
    stale.close()
    proxy = Mooring.connect_proxy(case, "-service", "x", "-http-addr", "127.0.0.1:1", "-upstream",
                                  f"db:unix:{path}", ready=False)
    proxy.listener("upstream:db")
    check.equal(oct(os.stat(path).st_mode & 0o777), "0o600", "mode")
    check.equal(proxy.stop(), 0, "exit code")
    check.true(not os.path.exists(path), "the socket is removed at the end")
