"""`mooring dev` under the real consul command and its built-in proxy, and the quickstart itself."""

import json
import os
import re
import shutil
import subprocess
import sys

from lib import apps, check
from lib.case import Process, peer_binary, slowness
from lib.dev import Dev
from lib.mooring import Mooring
from lib.ports import free_port

EXPECTED_SECONDS = 20
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def test_the_consul_command_registers_and_decides(case):
    dev = Dev(case)
    app = apps.App(case, apps.echo)
    pay, shop = free_port(), free_port()
    definition = case.write("pay.hcl", f"""service {{
  name = "pay"
  id = "pay-1"
  port = {app.port}
  connect {{ sidecar_service {{ port = {pay} checks = [] }} }}
}}""")
    other = case.write("shop.hcl", f"""service {{
  name = "shop"
  id = "shop-1"
  port = 1
  connect {{ sidecar_service {{ port = {free_port()} checks = []
    proxy {{ upstreams = [{{ destination_name = "pay" local_bind_port = {shop} }}] }} }} }}
}}""")
    for path in (definition, other):
        code, said = dev.consul("services", "register", str(path))
        check.equal(code, 0, said)
    for instance in ("pay-1", "shop-1"):
        Mooring.connect_proxy(case, "-http-addr", dev.address, "-sidecar-for", instance, name=f"mooring-{instance}")
    check.within(lambda: apps.ping(("127.0.0.1", shop)), "a call goes through", 15)
    code, said = dev.consul("intention", "create", "-deny", "shop", "pay")
    check.equal(code, 0, said)
    check.within(lambda: not apps.ping(("127.0.0.1", shop)), "the deny is in force", 5)
    check.equal(dev.consul("intention", "check", "shop", "pay")[0], 1, "intention check")
    code, said = dev.consul("intention", "delete", "shop", "pay")
    check.equal(code, 0, said)
    check.within(lambda: apps.ping(("127.0.0.1", shop)), "the call is back", 5)
    code, said = dev.consul("services", "deregister", "-id", "pay-1-sidecar-proxy")
    check.equal(code, 0, said)


def test_the_built_in_proxy_and_mooring_talk_through_it(case):
    dev = Dev(case)
    app = apps.App(case, apps.echo)
    public, mount = free_port(), free_port()
    Process(case, [peer_binary("consul"), "connect", "proxy", "-http-addr", dev.address, "-service", "db",
                   "-service-addr", f"127.0.0.1:{app.port}", "-listen", f"127.0.0.1:{public}", "-register"], "go-db")
    web = Mooring.connect_proxy(case, "-http-addr", dev.address, "-service", "web", "-upstream", f"db:{mount}")
    check.within(lambda: apps.ping(("127.0.0.1", mount)), "mooring calls the built-in proxy", 20)
    check.equal(web.attempts_failed().get("san_mismatch", 0), 0, "identity")


def the_commands_of_an_operator(case, *arguments):
    dev = Dev(case, *arguments)
    definition = case.write("web.json", json.dumps({"service": {
        "name": "web", "id": "web-1", "port": 1, "connect": {"sidecar_service": {"checks": []}}}}))
    defaults = case.write("defaults.hcl", 'Kind = "service-defaults"\nName = "web"\nProtocol = "http"\n')
    for command, said in (
            ("services register " + str(definition), "Registered service: web"),
            ("members", "alive"), ("info", "leader_addr = 127.0.0.1:8300"), ("catalog nodes", "127.0.0.1"),
            ("catalog services", "web-sidecar-proxy"), ("connect ca get-config", '"Provider": "consul"'),
            ("config write " + str(defaults), "Config entry written: service-defaults/web"),
            ("config read -kind service-defaults -name web", '"Protocol": "http"'),
            ("config list -kind service-defaults", "web"),
            ("config delete -kind service-defaults -name web", "Config entry deleted"),
            ("intention create -deny web db", "Created: web => db (deny)"),
            ("intention create -replace -allow web db", ""),
            ("intention get web db", "allow"), ("intention match db", "web => db (allow)"),
            ("intention check web db", "Allowed"), ("intention delete web db", "Intention deleted"),
            ("maint -enable -service web-1", "Service maintenance is now enabled"),
            ("maint -disable -service web-1", "Service maintenance is now disabled"),
            ("services deregister -id web-1", "Deregistered service: web-1")):
        code, text = dev.consul(*command.split())
        check.equal(code, 0, f"consul {command}: {text}")
        check.true(said in text, f"consul {command}: {text}")
    check.true("No key exists at: x" in dev.consul("kv", "get", "x")[1], "kv get")


def test_the_commands_of_1_8_work_though_the_agent_answers_as_1_21(case):
    the_commands_of_an_operator(case)


def test_the_commands_of_1_8_work_like_1_8(case):
    the_commands_of_an_operator(case, "-like", "1.8")


def quickstart(*arguments, env=None):
    return subprocess.run([sys.executable, os.path.join(ROOT, "examples", "quickstart", "quickstart.py"),
                           "--mooring", os.environ["MOORING_BIN"], *arguments], text=True, capture_output=True,
                          timeout=90 * slowness(), env=env, check=False)


def test_the_quickstart_passes_its_seven_steps_and_leaves_nothing(case):
    done = quickstart()
    check.equal(done.returncode, 0, done.stdout + done.stderr)
    check.true("all seven steps passed" in done.stdout, done.stdout)


def kept_up(*arguments, env=None):
    """kept_up plays with what --keep leaves: each command that it prints is run as it stands, in another folder."""
    done = quickstart("--keep", *arguments, env=env)
    check.equal(done.returncode, 0, done.stdout + done.stderr)
    printed = dict(re.findall(r"^  ([a-z ]+): +(.*)$", done.stdout.split("Left running.")[1], re.M))

    def shell(what):
        return subprocess.run(["bash", "-c", printed[what]], text=True, capture_output=True, timeout=30 * slowness(), cwd="/",
                              check=False)

    try:
        check.equal(shell("pay").stdout, "paid: order 1\n", printed["pay"])
        for service in ("payment", "api"):
            said = shell(service)
            check.true(said.returncode == 0 and f"  {service}  ready  " in said.stdout, f"{printed[service]}: {said}")
        check.equal(shell("deny").returncode, 0, printed["deny"])
        check.within(lambda: shell("pay").stdout == "", "it is denied", 10 * slowness())
        check.equal(shell("allow again").returncode, 0, printed["allow again"])
        check.within(lambda: shell("pay").stdout == "paid: order 1\n", "it is allowed again", 10 * slowness())
    finally:
        check.equal(shell("stop it all").returncode, 0, printed["stop it all"])
    folder = printed["stop it all"].split("rm -r ")[1]
    check.true(not os.path.exists(folder), folder)
    pids = [int(word) for word in printed["stop it all"].split(";")[0].split()[1:]]
    check.within(lambda: not any(os.path.exists(f"/proc/{pid}/exe") for pid in pids), "all have ended", 20 * slowness())
    return printed


def test_the_commands_that_the_quickstart_leaves_work_as_they_stand(case):
    check.true("consul intention create" in kept_up()["deny"], "with consul where there is one")


def test_without_consul_the_quickstart_leaves_commands_of_curl(case):
    if not shutil.which("curl", path="/usr/bin:/bin"):
        raise check.Skip("no curl")
    printed = kept_up(env={**os.environ, "MOORING_CACHE": str(case.directory), "PATH": "/usr/bin:/bin"})
    check.true(printed["deny"].startswith("curl "), printed["deny"])


def test_without_consul_and_curl_the_quickstart_leaves_commands_of_python(case):
    tools = case.directory / "tools"
    tools.mkdir()
    for tool in ("bash", "cat", "head", "timeout", "rm", "python3", "env", "sh"):
        (tools / tool).symlink_to(shutil.which(tool, path="/usr/bin:/bin"))
    printed = kept_up(env={**os.environ, "MOORING_CACHE": str(case.directory), "PATH": str(tools)})
    check.true(printed["deny"].startswith("python3 -c "), printed["deny"])
