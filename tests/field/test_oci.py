"""The image that examples/packaging/oci makes of the Debian package: by the specification, the same twice, and a
sidecar that serves out of nothing but its layers. With --full alone, for the package is built first."""

import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
from datetime import datetime
from pathlib import Path

from lib import check
from lib.chroot import Chroot
from lib.packaged import Peers, packages

EXPECTED_SECONDS = 60
ROOT = Path(__file__).resolve().parents[2]
KINDS = "application/vnd.oci.image."


def setup_module(case):
    global SHARED
    if case.reduced:
        raise check.Skip("--full makes an image of the package")
    SHARED = case.directory


@functools.cache
def package():
    return packages(SHARED)["mooring"]


def made(name):
    """A layout of that name, made once; Debian's packages are fetched once as well."""
    debian, layout = SHARED / "debian", SHARED / name
    if not debian.exists():
        release = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.M)[1]
        debian.mkdir()
        done = subprocess.run([ROOT / "proxy/libraries/from_debian", release, debian, "libc6", "ca-certificates"],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise check.Skip(f"Debian's packages cannot be had: {done.stderr[-300:]}")
    if not layout.exists():
        subprocess.run([ROOT / "examples/packaging/oci", "--deb", package(), "--debian", debian, "--output", layout,
                        "--source", "https://example.invalid/mooring"], check=True, stdout=subprocess.DEVNULL)
    return layout


def blob(image, descriptor, kind):
    """The content that a descriptor names, if it is what it says."""
    check.equal(descriptor["mediaType"], KINDS + kind, "media type")
    text = (image / "blobs" / descriptor["digest"].replace(":", "/")).read_bytes()
    check.equal((f"sha256:{hashlib.sha256(text).hexdigest()}", len(text)), (descriptor["digest"], descriptor["size"]),
                f"digest and size of a {kind}")
    return text


def verified(image):
    """Configuration and paths of the layers, each of them looked up by its digest from the index on."""
    check.equal(json.loads((image / "oci-layout").read_text()), {"imageLayoutVersion": "1.0.0"}, "oci-layout")
    index = json.loads((image / "index.json").read_text())
    check.equal((index["schemaVersion"], index["mediaType"]), (2, KINDS + "index.v1+json"), "index.json")
    descriptor, = index["manifests"]
    manifest = json.loads(blob(image, descriptor, "manifest.v1+json"))
    check.equal((manifest["schemaVersion"], manifest["mediaType"]), (2, KINDS + "manifest.v1+json"), "manifest")
    config = json.loads(blob(image, manifest["config"], "config.v1+json"))
    check.equal({key: config[key] for key in ("architecture", "os")}, descriptor["platform"], "platform")
    layers = []
    for layer, content in zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True):
        blob(image, layer, "layer.v1.tar+gzip")
        path = image / "blobs" / layer["digest"].replace(":", "/")
        done = subprocess.run(["zcat", path], capture_output=True, check=True)
        check.equal(f"sha256:{hashlib.sha256(done.stdout).hexdigest()}", content, "diff_id")
        layers.append(path)
    named = {descriptor["digest"], manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])}
    check.equal({f"sha256:{path.name}" for path in (image / "blobs/sha256").iterdir()}, named,
                "blobs, and those that something names")
    return config, layers


def test_it_is_an_image_by_the_specification(case):
    config, layers = verified(made("image"))
    check.equal({key: config["config"][key] for key in ("User", "Entrypoint", "StopSignal")},
                {"User": "65532:65532", "Entrypoint": ["/usr/bin/mooring"], "StopSignal": "SIGTERM"}, "how it is run")
    labels = config["config"]["Labels"]
    check.true(re.fullmatch("[0-9a-f]{40}", labels["org.opencontainers.image.revision"]), labels)
    check.equal(labels["org.opencontainers.image.source"], "https://example.invalid/mooring", "source")
    check.true(package().name.split("_")[1] == labels["org.opencontainers.image.version"], labels)
    check.true(sum(path.stat().st_size for path in layers) < 8 << 20, "it is small")
    created = int(datetime.fromisoformat(config["created"].replace("Z", "+00:00")).timestamp())
    for path in layers:
        with tarfile.open(path) as archive:
            entries = archive.getmembers()
        names = [entry.name for entry in entries]
        check.equal(names, sorted(names), "order of the files")
        check.equal({entry.mtime for entry in entries}, {created}, "times")
        check.equal({(entry.uname, entry.gname) for entry in entries}, {("", "")}, "owners are numbers")
        strange = [entry.name for entry in entries if entry.mode & 0o6000 or not (entry.isfile() or entry.isdir())]
        check.equal(strange, [], "files that give rights, devices and the like")
    image = made("image")
    for tool, words in (("skopeo", ("inspect", f"oci:{image}")), ("umoci", ("list", "--layout", image))):
        if shutil.which(tool):
            done = subprocess.run([tool, *words], capture_output=True, text=True, check=False, timeout=60)
            check.equal((done.returncode, done.stderr), (0, ""), f"{tool} reads it")


def test_a_blob_that_was_changed_is_not_believed(case):
    image = case.directory / "changed"
    shutil.copytree(made("image"), image)
    _, layers = verified(image)
    with open(layers[1], "r+b") as file:
        file.seek(1000)
        file.write(b"x")
    try:
        verified(image)
    except AssertionError as error:
        check.true("digest and size of a layer" in str(error), error)
    else:
        check.fail("a blob that was changed is believed")


def test_it_is_the_same_again(case):
    done = subprocess.run([ROOT / "examples/packaging/compare.py", made("image"), made("again")], capture_output=True,
                          text=True, check=False)
    check.equal(done.returncode, 0, done.stdout)


def test_a_sidecar_serves_out_of_its_layers_alone(case):
    if os.geteuid() != 0:
        raise check.Skip("a system of its own needs root")
    config, layers = verified(made("image"))
    system = Chroot(case, *layers, user=config["config"]["User"])
    check.equal(sorted(path.name for path in (system.path / "usr/bin").iterdir()), ["mooring"], "programs in it")
    entry = config["config"]["Entrypoint"]
    check.equal(system.does(*entry, "version").split()[0], "mooring", "mooring version")
    peers = Peers(case)
    # An agent by its name: files and DNS are asked, as the image's nsswitch.conf says.
    (system.path / "etc/hosts").write_text("127.0.0.1 agent.example\n")
    flags = peers.flags(agent="agent.example")
    probes = peers.serves(system.command(*entry, "connect", "proxy", *flags, "-state-dir", "/var/lib/mooring/state"))
    check.equal(probes, {"/live": 200, "/ready": 200, "/metrics": 200}, "its second port")
    state = system.path / "var/lib/mooring/state"
    check.equal((state.stat().st_uid, state.stat().st_mode & 0o777), (65532, 0o700), "the state is the user's")


for of_the_image in (test_it_is_an_image_by_the_specification, test_a_blob_that_was_changed_is_not_believed,
                     test_it_is_the_same_again, test_a_sidecar_serves_out_of_its_layers_alone):
    of_the_image.limit = 3600  # whichever is first has the package built
