"""A real Prometheus, started by the test, and its promtool."""

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from lib import check
from lib.case import Process, peer_binary, slowness
from lib.ports import free_port


class Prometheus:
    """It scrapes every second. targets: by job, the addresses (host, port) to ask; paths: of jobs whose path is not
    /metrics; rules: a file of alerts."""

    def __init__(self, case, targets, paths=None, params=None, rules=None):
        self.port = free_port()
        jobs = [{"job_name": job, "metrics_path": (paths or {}).get(job, "/metrics"), "params": (params or {}).get(job, {}),
                 "static_configs": [{"targets": [f"{host}:{port}" for host, port in addresses]}]}
                for job, addresses in targets.items()]
        config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
                  "scrape_configs": jobs, "rule_files": [str(rules)] if rules else []}
        path = case.write(f"prometheus-{self.port}.yaml", json.dumps(config))  # which is YAML, too
        self.process = Process(case, [
            peer_binary("prometheus"), f"--config.file={path}", f"--storage.tsdb.path={case.directory / f'tsdb-{self.port}'}",
            f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"], "prometheus")
        check.within(self._ready, "Prometheus is ready", 30 * slowness(), step=0.1)

    def _ready(self):
        if not self.process.running():
            raise RuntimeError(f"{self.process.describe()}:\n{self.process.log()[-2000:]}")
        return bool(self.get("targets"))

    def get(self, what, **query):
        url = f"http://127.0.0.1:{self.port}/api/v1/{what}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=10 * slowness()) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            check.fail(f"{what} {query}: {error.read().decode()}")

    def query(self, expression, time=None):
        """query gives the labels and the value of each series of the answer."""
        answer = self.get("query", query=expression, **({"time": time} if time else {}))
        return [(one["metric"], float(one["value"][1])) for one in answer["result"]]

    def value(self, expression, time=None):
        """value is that of the one series that the answer has."""
        answer = self.query(expression, time)
        check.equal(len(answer), 1, f"series of {expression}: {answer}")
        return answer[0][1]

    def samples(self, selector, seconds=900):
        """samples are the (time, value) pairs of the one series of a selector within the last seconds."""
        found = self.get("query", query=f"{selector}[{seconds}s]")["result"]
        check.equal(len(found), 1, f"series of {selector}")
        return [(float(time), float(value)) for time, value in found[0]["values"]]

    def firing(self):
        return [alert["labels"] for alert in self.get("alerts")["alerts"] if alert["state"] == "firing"]


def promtool(*arguments, stdin=None):
    """promtool returns its exit code and all that it said."""
    done = subprocess.run([peer_binary("promtool"), *map(str, arguments)], input=stdin, text=True, capture_output=True,
                          timeout=60 * slowness(), check=False)
    return done.returncode, done.stdout + done.stderr
