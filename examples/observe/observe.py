"""What Mooring measures, in a real Prometheus.

Plays the quickstart (examples/quickstart), then scrapes both sidecars every second while api goes on paying, with
the alerts of alerts.yml. Says what to open, and every few seconds what Prometheus has. Ctrl-C ends it and leaves
nothing running; --seconds ends it by itself.
"""
import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import urllib.parse
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "quickstart"))

from quickstart import Failed, Mesh, free_port, pay, play  # noqa: E402 (beside us)

PAUSE = 0.02  # seconds between two payments
TOLD_EVERY = 5.0  # seconds
# What is asked of Prometheus, and how it is said.
FIGURES = (
    ("payments a second, as api's sidecar counts connections",
     'sum(rate(mooring_connections_opened_total{direction="outbound",source_service="api"}[15s]))', "{:.1f}"),
    ("bytes a second from api, as payment's sidecar counts them",
     'sum(rate(mooring_received_bytes_total{direction="inbound",source_service="api"}[15s]))', "{:.0f}"),
    ("99 % of the answers begin within, in ms (estimated)",
     "1000 * histogram_quantile(0.99, sum by (le) (rate(mooring_estimated_response_seconds_bucket[15s])))", "{:.2f}"),
    ("connections, as Consul's UI asks for them",
     'sum(envoy_tcp_downstream_cx_total{consul_source_service="payment",envoy_tcp_prefix="public_listener"})', "{:.0f}"),
)


class Prometheus:
    def __init__(self, mesh, taken, admin_ports):
        self.port = free_port(19390, taken)
        config = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                  "rule_files": [os.path.join(HERE, "alerts.yml")],
                  "scrape_configs": [{"job_name": "mooring", "static_configs": [
                      {"targets": [f"127.0.0.1:{port}" for port in admin_ports]}]}]}
        path = os.path.join(mesh.folder, "prometheus.yml")
        with open(path, "w") as file:
            json.dump(config, file)  # JSON is YAML, too
        mesh.start("prometheus", [program(), f"--config.file={path}",
                                  f"--storage.tsdb.path={os.path.join(mesh.folder, 'tsdb')}",
                                  f"--web.listen-address=127.0.0.1:{self.port}"])
        mesh.wait_for("Prometheus", lambda: self.value("sum(up)") == len(admin_ports))

    def get(self, what, **query):
        url = f"http://127.0.0.1:{self.port}/api/v1/{what}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)["data"]
        except OSError:
            return None

    def value(self, expression):
        """value is that of the one series that the answer has, or None."""
        answer = self.get("query", query=expression)
        return float(answer["result"][0]["value"][1]) if answer and answer["result"] else None

    def firing(self):
        answer = self.get("alerts")
        return [alert for alert in (answer or {"alerts": []})["alerts"] if alert["state"] == "firing"]


def program():
    cache = os.environ.get("MOORING_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "mooring")
    for path in (os.path.join(os.environ.get("MOORING_PEERS") or os.path.join(cache, "peers"), "prometheus"),
                 shutil.which("prometheus")):
        if path and os.access(path, os.X_OK):
            return path
    raise Failed("no Prometheus here: tests/setup --prometheus fetches Debian's into its cache")


def go_on_paying(mount, until):
    paid = 0
    while time.monotonic() < until:
        if pay(mount, f"order {paid}, 1 EUR"):
            paid += 1
        time.sleep(PAUSE)
    return paid


def tell(prometheus):
    print(f"\n{time.strftime('%H:%M:%S')}  what Prometheus has:")
    for text, expression, form in FIGURES:
        value = prometheus.value(expression)
        print(f"      {form.format(value) if value is not None else '-':>8}  {text}")
    for alert in prometheus.firing():
        print(f"      alert  {alert['labels']['alertname']}: {alert['annotations']['summary']}")
    sys.stdout.flush()


def observe(mesh, arguments):
    _, mount, *admin_ports = play(mesh, arguments)
    prometheus = Prometheus(mesh, set(), admin_ports)
    base = f"http://127.0.0.1:{prometheus.port}"
    graph = urllib.parse.urlencode({
        "g0.expr": "sum by (direction, source_service, destination_service) (rate(mooring_connections_opened_total[30s]))",
        "g0.tab": 0, "g0.range_input": "5m"})
    print(f"\nOpen:\n  who talks to whom   {base}/graph?{graph}\n  alerts              {base}/alerts\n"
          f"  the text itself     http://127.0.0.1:{admin_ports[0]}/metrics\n"
          f"  in Grafana          a data source with the URL {base}, then import {os.path.join(HERE, 'dashboard.json')}\n"
          f"api pays {1 / PAUSE:.0f} times a second at most; the denied calls of step 6 are an alert for a while.", flush=True)
    end = time.monotonic() + arguments.seconds if arguments.seconds else float("inf")
    paid = 0
    while time.monotonic() < end:
        paid += go_on_paying(mount, min(end, time.monotonic() + TOLD_EVERY))
        tell(prometheus)
    count = FIGURES[-1][1]
    mesh.wait_for(f"{paid} payments in Prometheus", lambda: (prometheus.value(count) or 0) >= paid)
    print(f"\nDone: {paid} payments were made, and Prometheus has them all. Nothing is left running.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0, help="end after so many seconds of traffic (default: at Ctrl-C)")
    parser.add_argument("--mooring", required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.consul = None  # the quickstart's: its stand-in for an agent will do
    folder = tempfile.mkdtemp(prefix="mooring-observe-")
    mesh = Mesh(folder)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        observe(mesh, arguments)
        return 0
    except Failed as failure:
        print(f"\n==> {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nEnded; nothing is left running.")
        return 0
    finally:
        mesh.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
