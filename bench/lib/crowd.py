"""Connections that are held open beside a measurement, by a bench-load of their own."""

import json
import select
import subprocess

from processes import prepare

PATIENCE = 120  # seconds until all are open, or closed


class Crowd:
    """A context: inside it the connections are open. Its `opened`, and after it `last`, is what bench-load said."""

    def __init__(self, argv):
        self._argv = [*map(str, argv), "--hold"]

    def __enter__(self):
        self._process = subprocess.Popen(self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                         start_new_session=True, preexec_fn=prepare)
        try:
            self.opened = self._line()
        except BaseException:
            self._process.kill()
            self._process.communicate()
            raise
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        try:
            self.last = self._line()
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()

    def _line(self):
        if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
            raise RuntimeError(f"no answer within {PATIENCE} s")
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"bench-load ended with {self._process.wait()}")
        return json.loads(line)
