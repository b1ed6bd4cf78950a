"""Figures of a series, summed up: medians, ranges, and the ratios of rounds."""

from statistics import median

from calm import FEWEST, is_calm


def _summary(values):
    """_summary is (median, smallest, largest) of those there are, or None."""
    there = [value for value in values if value is not None]
    return (median(there), min(there), max(there)) if there else None


class Outcome:
    """A summary of results as measure.Series leaves them. mine: the peer that is compared with the others."""

    def __init__(self, results, names, mine, unranked):
        self.results, self.names, self.mine, self.unranked = results, names, mine, unranked

    def values(self, mode, name, key):
        """values has one entry a round, None where there is none, so that rounds stay paired."""
        return [(record or {}).get("figures", {}).get(key) for record in self.results.get(mode, {}).get(name, [])]

    def spread(self, mode, name, key):
        """spread is (median, smallest, largest), or None."""
        return _summary(self.values(mode, name, key))

    def ratio(self, mode, name, key):
        """ratio is mine to the other's, round by round: (median, smallest, largest), or None."""
        return _summary(self._ratios(mode, name, key))

    def calm_ratio(self, mode, name, key):
        """calm_ratio is ratio over the rounds in which both were calm: None if there are fewer than FEWEST."""
        records = self.results.get(mode, {})
        rounds = zip(self._ratios(mode, name, key), records.get(self.mine, []), records.get(name, []))
        ratios = [ratio for ratio, mine, other in rounds if ratio is not None and is_calm(mine) and is_calm(other)]
        return _summary(ratios) if len(ratios) >= FEWEST else None

    def _ratios(self, mode, name, key):
        """_ratios has one entry a round, None where one of the two has no figure."""
        pairs = zip(self.values(mode, self.mine, key), self.values(mode, name, key))
        return [mine / other if mine is not None and other else None for mine, other in pairs]

    def errors(self, mode, name):
        """errors is how many connections failed, and in how many rounds no figure came about."""
        records = [record for record in self.results.get(mode, {}).get(name, []) if record]
        return (sum(record.get("errors", 0) for record in records), sum("failed" in record for record in records))

    def failures(self):
        """failures yields (mode, peer, text) for whatever went wrong in a measurement."""
        for mode, by_name in self.results.items():
            for name, records in by_name.items():
                texts = {record.get("failed") or record["answer"].get("last_error") for record in records if record}
                for text in sorted(filter(None, texts)):
                    yield mode, name, text

    def ranked(self, mode, key):
        """ranked lists the peers with a figure, best first; smaller is better."""
        found = [(spread[0], name) for name in self.names if (spread := self.spread(mode, name, key))]
        return [name for _, name in sorted(found)]

    def best_other(self, mode, key):
        others = [name for name in self.ranked(mode, key) if name != self.mine and name not in self.unranked]
        return others[0] if others else None

    def negotiated(self, mode):
        """negotiated is peer -> what the TLS client and it agreed on."""
        found = {}
        for name, records in self.results.get(mode, {}).items():
            for record in records:
                if record and (tls := record.get("answer", {}).get("tls")):
                    found[name] = f"{tls['version']} {tls['cipher']} {tls['group']}"
        return found
