"""Rows 40 and 52: a busy port ends the start and is named; upstreams listen on loopback alone."""

import socket

from lib import agent, apps, certs, check, mooring, ports
from lib.mooring import Mooring
from lib.static import Static, identity_files

EXPECTED_SECONDS = 5


def busy(case):
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    holder.listen()
    case.undo(holder.close)
    return holder.getsockname()[1]


def ends_naming(port, *arguments):
    code, _, stderr = mooring.run(*arguments)
    check.true(code not in (0, None), f"exit code {code} is not 0")
    lines = [line for line in stderr.splitlines() if line.startswith("==> ")]
    check.true(any(str(port) in line for line in lines), f"an error line names port {port}: {lines}")
    check.true(any("in use" in line for line in lines), f"and says that it is in use: {lines}")


def test_row_40_a_busy_public_port_ends_the_start_and_is_named(case):
    port = busy(case)
    ends_naming(port, "connect", "proxy", "-service", "web", "-service-addr", "127.0.0.1:1", "-listen",
                f"127.0.0.1:{port}", "-http-addr", agent.Agent(case).address)


def test_row_40_a_busy_public_port_is_named_although_the_agent_is_away(case):
    port = busy(case)
    ends_naming(port, "connect", "proxy", "-service", "web", "-service-addr", "127.0.0.1:1", "-listen",
                f"127.0.0.1:{port}", "-http-addr", f"127.0.0.1:{ports.free_port()}")


def test_row_40_a_busy_upstream_port_ends_the_start_and_is_named(case):
    port = busy(case)
    ends_naming(port, "connect", "proxy", "-service", "web", "-upstream", f"db:{port}", "-http-addr",
                f"127.0.0.1:{ports.free_port()}")


def test_row_40_a_busy_admin_port_ends_the_start_and_is_named(case):
    port = busy(case)
    ends_naming(port, "connect", "proxy", "-service", "web", "-upstream", "db:127.0.0.1:0", "-admin-addr",
                f"127.0.0.1:{port}", "-http-addr", f"127.0.0.1:{ports.free_port()}")


def test_row_40_a_busy_port_in_a_file_ends_the_start_and_is_named(case):
    port = busy(case)
    authority = certs.Authority()
    path = case.write("busy.yaml", mooring.yaml_text({
        "service": "payment", "identity": identity_files(case, authority, "payment"),
        "public_listener": {"address": f"127.0.0.1:{port}", "local_app": "127.0.0.1:1"},
        "intentions": {"default": "allow"}}) + "\n")
    ends_naming(port, "proxy", "-config", path)


def test_row_52_an_upstream_without_address_listens_on_loopback_alone(case):
    port = ports.free_port()
    program = Mooring.connect_proxy(case, "-service", "web", "-upstream", f"db:{port}", "-http-addr",
                                    f"127.0.0.1:{ports.free_port()}", ready=False)
    program.upstream("db")
    found = ports.listeners(program.process.socket_inodes())
    check.true(("127.0.0.1", port) in found, f"the upstream's port is open: {found}")
    check.true(all(address in ("127.0.0.1", "::1") for address, _ in found), f"loopback alone: {found}")
    try:
        socket.create_connection(("127.0.0.2", port), 2).close()
        check.fail("another address of the machine reaches the upstream's listener")
    except ConnectionRefusedError:
        pass


def test_row_52_only_what_is_configured_listens(case):
    static = Static(case)
    wanted = {static.public, static.upstream, static.mooring.listener("admin")}
    check.equal(set(ports.listeners(static.mooring.process.socket_inodes())), wanted, "listening sockets")


def test_row_52_the_public_listener_takes_no_plaintext_for_the_application(case):
    static = Static(case, apps.greet)
    client = apps.Client(case, static.public).send(b"hello\n")
    data, end = client.drain()
    check.true(b"hello" not in data and end != "timeout", f"plaintext is closed without an answer: {data}")
    check.equal(static.app.count(), 0, "connections at the application")
