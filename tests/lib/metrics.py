"""What /metrics says, read as Prometheus reads it."""

import re

from lib import check

SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)')
ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


class Scrape:
    def __init__(self, text):
        self.text = text
        self.types, self.samples = {}, []
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                self.types[name] = kind
            elif not line.startswith("#"):
                name, labels, value = SAMPLE.match(line).groups()
                read = {key: re.sub(r'\\[\\"n]', lambda found: ESCAPES[found[0]], text)
                        for key, text in LABEL.findall(labels or "")}
                self.samples.append((name, read, float(value)))

    def values(self, name, **labels):
        """values are those of all samples of that name whose labels are at least these."""
        return [value for found, have, value in self.samples
                if found == name and all(have.get(key) == wanted for key, wanted in labels.items())]

    def value(self, name, **labels):
        """value is the sum of them; 0 if there is none."""
        return sum(self.values(name, **labels))

    def label_values(self, name, label):
        return {have[label] for found, have, _ in self.samples if found == name and label in have}


def scrape(mooring, path="/metrics"):
    code, text = mooring.admin(path)
    check.equal(code, 200, path)
    return Scrape(text)
