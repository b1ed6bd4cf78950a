"""A small control plane for Envoys: what Consul's agent says of a sidecar, as files that Envoy follows.

Consul 1.8.7 speaks a version of xDS that Envoy has dropped. So this asks the agent by its HTTP API, as any sidecar
does, renders what Consul would (envoy_files.py), and renames each file into its place, where Envoy sees it at once.
All questions are blocking ones. While the agent is away the files stay as they are.

Run: envoys.py --agent ADDRESS --folder FOLDER PROXY_ID:ADMIN_PORT ...
Each sidecar has a subfolder with the name of its ID; bootstrap.json is written last.
"""

import argparse
import json
import os
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[3] / "tests")]

from stage import envoy_files  # noqa: E402

WAIT = 60  # seconds of a blocking question
SETTLE = 2.0  # seconds for which a lower index has to stay
PAUSE = 0.5  # seconds between two tries, while the agent does not answer


class Agent:
    """The agent's HTTP API, for questions that wait for a change."""

    def __init__(self, address):
        self.address = address

    def get(self, path, index=0, **query):
        """get returns the answer and its index; it does not return before the agent has answered."""
        said = ""
        while True:
            words = urllib.parse.urlencode({**query, **({"index": index, "wait": f"{WAIT}s"} if index else {})})
            try:
                with urllib.request.urlopen(f"http://{self.address}{path}?{words}", timeout=WAIT * 1.1 + 10) as answer:
                    return json.load(answer), int(answer.headers.get("X-Consul-Index") or 0)
            except (OSError, ValueError) as error:
                if str(error) != said:
                    print(f"{path}: {error}; asked again until it answers", flush=True)
                said = str(error)
                index = 0
                time.sleep(PAUSE)

    def follow(self, path, heard, **query):
        """follow calls heard(answer) for the first answer and for each that differs, for ever. A server that has just
        started says what it has read of its log so far: a lower index is believed when it has stayed for a while."""
        index, last, known, lower_since = 0, None, 0, None
        while True:
            answer, new = self.get(path, index, **query)
            if new >= known:
                lower_since = None
            else:
                lower_since = lower_since or time.monotonic()
                if time.monotonic() < lower_since + SETTLE:
                    index = 0
                    time.sleep(PAUSE / 5)
                    continue
            index = new if new >= index else 0  # an index that goes back: the agent has begun anew
            if answer != last:
                heard(answer)
            last, known = answer, new
            if not index:
                time.sleep(PAUSE)


class Sidecar:
    """One Envoy's files. Several threads hear of changes; one at a time writes."""

    def __init__(self, agent, folder, identifier, admin_port):
        self.agent, self.folder, self.admin_port = agent, Path(folder) / identifier, admin_port
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock, self._version = threading.Lock(), int(time.time())
        self._known, self._written = {}, {}
        registration, _ = agent.get(f"/v1/agent/service/{identifier}")
        self.service = registration["Proxy"]["DestinationServiceName"]
        roots, _ = agent.get("/v1/agent/connect/ca/roots")
        self.files = envoy_files.Files(self.folder, registration, roots["TrustDomain"])
        self._wanted = {"leaf", "roots", "intentions", *(f"endpoints-{name}" for name in self.files.upstreams)}

    def run(self):
        self._thread("/v1/agent/connect/ca/roots", lambda roots: self._heard("roots", roots))
        self._thread(f"/v1/agent/connect/ca/leaf/{self.service}", lambda leaf: self._heard("leaf", leaf))
        # The list has an index in every version of Consul, the question what matches a service has none in 1.8.
        self._thread("/v1/connect/intentions", lambda _: self._heard("intentions", self._intentions()))
        for name in self.files.upstreams:
            self._thread(f"/v1/health/connect/{name}",
                         lambda entries, name=name: self._heard(f"endpoints-{name}", entries), passing=1)

    def _thread(self, path, heard, **query):
        threading.Thread(target=self.agent.follow, args=(path, heard), kwargs=query, daemon=True).start()

    def _intentions(self):
        answer, _ = self.agent.get("/v1/connect/intentions/match", by="destination", name=self.service)
        return (answer or {}).get(self.service) or []

    def _heard(self, what, answer):
        with self._lock:
            self._known[what] = answer
            if self._wanted <= set(self._known):
                self._render()

    def _render(self):
        """Envoy reads listeners and clusters at its start, and then what these name: so bootstrap is last."""
        files, known = self.files, self._known
        for name, resources in envoy_files.secrets(known["leaf"], known["roots"]).items():
            self._write(name, resources)
        for name in files.upstreams:
            self._write(f"endpoints-{name}",
                        envoy_files.endpoints(envoy_files.sni(name, files.trust_domain), known[f"endpoints-{name}"]))
        self._write("clusters", files.clusters())
        self._write("listeners", files.listeners(known["intentions"]))
        bootstrap = self.folder / "bootstrap.json"
        if not bootstrap.exists():
            self._put(bootstrap, files.bootstrap(self.admin_port))

    def _write(self, name, resources):
        if self._written.get(name) == resources:
            return
        self._version += 1
        self._put(self.folder / f"{name}.json", {"version_info": str(self._version), "resources": resources})
        self._written[name] = resources
        print(f"{self.folder.name}: {name} written", flush=True)

    def _put(self, path, document):
        scratch = path.with_name(f".{path.name}.new")
        with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
        os.rename(scratch, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agent", required=True, metavar="ADDRESS")
    parser.add_argument("--folder", required=True)
    parser.add_argument("sidecars", nargs="+", metavar="PROXY_ID:ADMIN_PORT")
    arguments = parser.parse_args()
    agent = Agent(arguments.agent)
    for words in arguments.sidecars:
        identifier, _, port = words.rpartition(":")
        Sidecar(agent, arguments.folder, identifier, int(port)).run()
    threading.Event().wait()


if __name__ == "__main__":
    main()
