"""A program of the tests' own in a process of its own, asked by lines of JSON: it waits for nobody, and nobody for it.

A line on its standard input is a command, {"do": NAME, ...}, and is answered by one line. The first line of its output says that it is
there. The end of its standard input ends it.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading

from lib import check
from lib.case import slowness
from lib.wire import Loop

ANSWER = 30.0  # seconds in which a command is answered


class Program:
    """The child's side: an epoll loop, and commands, which are methods. about() is what its first line says."""

    def __init__(self, words):
        self.words, self.loop = words, Loop()
        self._commands = b""
        os.set_blocking(0, False)
        self.loop.watch(0, select.EPOLLIN, self._command)

    @classmethod
    def main(cls, words):
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        program = cls(json.loads(words))
        _say(program.about())
        program.loop.run()

    def about(self):
        return {}

    def _command(self, _):
        data = os.read(0, 65536)
        if not data:
            self.loop.running = False
        *lines, self._commands = (self._commands + data).split(b"\n")
        for line in lines:
            command = json.loads(line)
            _say(getattr(self, command.pop("do"))(**command))


def _say(answer):
    print(json.dumps(answer), flush=True)


class Child:
    """The test's side. command: the program's path and words, the last of them a dict. about: what it said at first."""

    def __init__(self, case, *command):
        *words, last = command
        self._log = case.directory / f"child-{id(self)}.err"
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen([sys.executable, "-B", *map(str, words), json.dumps(last)], stdin=subprocess.PIPE,
                                             stdout=subprocess.PIPE, stderr=log, text=True)
        case.undo(self.end)
        self.about = self._read()

    @property
    def pid(self):
        return self._process.pid

    def do(self, command, **words):
        self._process.stdin.write(json.dumps({"do": command, **words}) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self):
        # The output of a program that hangs ends with it.
        timer = threading.Timer(ANSWER * slowness(), self._process.kill)
        timer.start()
        line = self._process.stdout.readline()
        timer.cancel()
        if not line:
            check.fail(f"a program of the test has ended or hangs: {self._log.read_text()[-2000:]}")
        return json.loads(line)

    def terminate(self):
        self._process.terminate()

    def end(self):
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
