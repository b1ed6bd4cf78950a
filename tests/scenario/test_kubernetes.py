"""examples/kubernetes/sidecar.yaml, as far as that can be shown without a cluster: its container's command line serves,
its probes ask for what is there, and what it says of ports, folders and rights fits together."""

import os
import re
from pathlib import Path

from lib import check
from lib.packaged import Peers

EXPECTED_SECONDS = 3
ROOT = Path(__file__).resolve().parents[2]
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def pod():
    try:
        import yaml
    except ImportError:
        raise check.Skip("no PyYAML here (Debian: python3-yaml)") from None
    document, = yaml.safe_load_all((ROOT / "examples/kubernetes/sidecar.yaml").read_text())
    return document["spec"]["template"]["spec"]


def sidecar():
    found, = pod()["initContainers"]
    return found


def flag(name):
    return next(word.partition("=")[2] for word in sidecar()["args"] if word.startswith(f"-{name}="))


def test_it_says_first_that_it_is_paper(case):
    text = (ROOT / "examples/kubernetes/sidecar.yaml").read_text()
    check.true(text.startswith("# Paper: no cluster has run this."), "the first line")


def test_its_command_line_serves_and_its_probes_are_answered(case):
    peers = Peers(case)
    own = {"-listen=$(POD_IP):8443": f"-listen=127.0.0.1:{peers.public}",
           "-metrics-addr=:19101": f"-metrics-addr=127.0.0.1:{peers.metrics}",
           "-service-addr=127.0.0.1:9090": f"-service-addr=127.0.0.1:{peers.app.port}",
           "-upstream=facebox:8002": "-upstream=facebox:0",
           "-http-addr=$(HOST_IP):8500": f"-http-addr={peers.agent.address}",
           "-register-id=$(POD_NAME)": "-register-id=payment-7c5d-x2x9z",
           "-token-file=/etc/mooring/secret/token": f"-token-file={case.write('token', 'the-token', 0o440)}"}
    (case.directory / "volume").mkdir()
    (case.directory / "volume").chmod(0o2777)  # as a kubelet leaves an emptyDir with fsGroup
    own["-state-dir=/var/lib/mooring/state"] = f"-state-dir={case.directory}/volume/state"
    given = sidecar()["args"]
    check.equal(sorted(set(own) - set(given)), [], "what the test puts in the place of stands there")
    peers.agent.token = "the-token"
    probes = peers.serves([os.environ["MOORING_BIN"], *(own.get(word, word) for word in given), "-drain-delay=0s"])
    asked = {sidecar()[name]["httpGet"]["path"] for name in PROBES}
    answers = {path: probes.get(path) for path in asked}
    check.equal(answers, {"/live": 200, "/ready": 200}, "what the probes ask for")
    check.true((case.directory / "volume/state").is_dir(), "the state is in the volume")


def test_its_ports_are_those_of_its_flags(case):
    ports = {port["name"]: port["containerPort"] for port in sidecar()["ports"]}
    flags = {"mesh": "listen", "metrics": "metrics-addr"}
    check.equal(ports, {name: int(flag(each).rpartition(":")[2]) for name, each in flags.items()}, "ports")
    for name in PROBES:
        check.equal(sidecar()[name]["httpGet"]["port"], "metrics", name)
    text = (ROOT / "examples/packaging/oci").read_text()
    exposed = re.search(r"^PORTS = \((.*?)\)", text, re.M)[1]
    check.equal(exposed, f"{ports['mesh']}, {ports['metrics']}", "ports that the image exposes")


def test_it_has_no_right_that_it_does_not_need(case):
    spec, rights = pod(), sidecar()["securityContext"]
    check.equal(sidecar()["restartPolicy"], "Always", "a native sidecar")
    check.equal(spec["securityContext"], {"runAsNonRoot": True, "fsGroup": rights["runAsGroup"],
                                          "seccompProfile": {"type": "RuntimeDefault"}}, "of the pod")
    check.equal(spec["automountServiceAccountToken"], False, "a token of the cluster's")
    check.equal(rights, {"runAsUser": 65532, "runAsGroup": 65532, "allowPrivilegeEscalation": False,
                         "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}, "of the sidecar")
    mounts = {mount["name"]: mount for mount in sidecar()["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    check.equal(sorted(mounts), sorted(volumes), "volumes")
    check.true(flag("token-file").startswith(mounts["token"]["mountPath"] + "/"), "the token is a file")
    check.true(mounts["token"]["readOnly"], "which is read alone")
    check.true(flag("state-dir").startswith(mounts["state"]["mountPath"] + "/"), "the state is in its volume")
    check.true("emptyDir" in volumes["state"], "which ends with the pod")
