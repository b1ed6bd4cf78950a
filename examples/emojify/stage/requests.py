"""Plain requests as a machine's own programs make them."""

import http.client
import json
from dataclasses import dataclass


@dataclass
class Answer:
    status: int
    text: str

    def json(self):
        return json.loads(self.text)


def ask(machine, address, method, path, body=None, timeout=10.0, **headers):
    """ask is one request on a connection of its own. What goes wrong is an OSError."""
    with machine:
        connection = http.client.HTTPConnection(*address, timeout=timeout)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read().decode(errors="replace"))
        except http.client.HTTPException as error:
            raise ConnectionError(f"{method} {path}: {type(error).__name__}: {error}") from error
        finally:
            connection.close()


def get(machine, address, path, timeout=10.0):
    return ask(machine, address, "GET", path, timeout=timeout)
