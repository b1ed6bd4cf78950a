"""`mooring dev`, started by the test on a port of its own."""

import http.client
import json
import os
import signal
import subprocess

from lib import check
from lib.case import SANITIZER, Process, peer_binary, slowness


class Dev:
    def __init__(self, case, *arguments, address="127.0.0.1:0"):
        self.process = Process(case, [os.environ["MOORING_BIN"], "dev", "-addr", address, *arguments], "dev")
        case.undo(self.close)
        said = check.within(lambda: self.process.stdout().strip(), "mooring dev says where it is", 10 * slowness())
        check.true("not for production" in said, said)
        self.address = said.split("http://")[1].split()[0]

    def close(self):
        """close is run by the case: it returns what was wrong with the way it ended, unless it was killed."""
        if self.process.running():
            self.process.send(signal.SIGTERM)
        code, said = self.process.wait(15), self.process.stderr()
        if code not in (0, -signal.SIGKILL) or SANITIZER.search(said):
            return f"mooring dev ended with {code}:\n{said[-4000:]}"
        return None

    def ask(self, method, path, body=None):
        """ask gives status, headers (names in lower case) and body as text. Each has a connection of its own."""
        connection = http.client.HTTPConnection(self.address, timeout=20 * slowness())
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, headers, answer.read().decode()
        finally:
            connection.close()

    def get(self, path):
        status, _, text = self.ask("GET", path)
        check.equal(status, 200, f"GET {path}: {text}")
        return json.loads(text)

    def put(self, path, body=None, method="PUT"):
        status, _, text = self.ask(method, path, body)
        check.equal(status, 200, f"{method} {path}: {text}")

    def consul(self, *arguments):
        """consul runs the command of 1.8.7 against it."""
        done = subprocess.run([peer_binary("consul"), *arguments], text=True, capture_output=True, timeout=30,
                              env={**os.environ, "CONSUL_HTTP_ADDR": self.address}, check=False)
        return done.returncode, done.stdout + done.stderr
