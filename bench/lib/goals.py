"""What Mooring should reach, and whether it did in this run."""

from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Goal:
    title: str
    must: float | None
    aim: float
    measured: float | None
    unit: str = ""  # "", "MiB", "KiB" or "%"

    def verdict(self):
        if self.measured is None:
            return "not measured"
        if self.measured <= self.aim:
            return "aim met"
        if self.must is None:
            return "MISSED"
        return "must met, aim missed" if self.measured <= self.must else "MISSED"

    def text(self, value):
        if value is None:
            return "-"
        if self.unit == "%":
            return f"{value:+.0f} %"
        return f"{value:.1f} {self.unit}" if self.unit else f"{value:.2f}"

    def cells(self):
        limits = ["-" if limit is None else f"<= {self.text(limit)}" for limit in (self.must, self.aim)]
        return [self.title, *limits, self.text(self.measured), self.verdict()]


def _middle(spread):
    return spread[0] if spread else None


def _over_floor(outcome, cipher):
    """The floor of a round is what two copying relays use, and what sealing and opening every byte would."""
    rounds = zip(outcome.values("stream", outcome.mine, "cpu"), outcome.values("stream", "floor", "cpu"), cipher)
    shares = [mine / (copying + aead) for mine, copying, aead in rounds if mine and copying]
    return median(shares) if shares else None


def goals(outcome, cipher):
    def against(mode, name):
        return _middle(outcome.ratio(mode, name, "cpu"))

    def own(mode, key):
        return _middle(outcome.spread(mode, outcome.mine, key))

    best = outcome.best_other("request", "p99_us")
    crowd = own("idle-9000", "p99_share")
    return [
        Goal("stream: CPU / envoy-c1", 0.78, 0.65, against("stream", "envoy-c1")),
        Goal("stream: CPU / floor (copies and AEAD)", None, 1.10, _over_floor(outcome, cipher)),
        Goal("request: CPU / envoy-c1", 0.68, 0.60, against("request", "envoy-c1")),
        Goal("request: CPU / nginx", 0.85, 0.75, against("request", "nginx")),
        Goal(f"request: p99 / best other ({best or 'none'})", 1.0, 0.8,
             _middle(outcome.ratio("request", best, "p99_us")) if best else None),
        Goal("the same, of windows in which both were calm", 1.0, 0.8,
             _middle(outcome.calm_ratio("request", best, "p99_us")) if best else None),
        Goal("connect: CPU / envoy-c1", 0.55, 0.50, against("connect", "envoy-c1")),
        Goal("in-connect: CPU / envoy-c1", 0.88, 0.78, against("in-connect", "envoy-c1")),
        Goal("idle: RSS of a process without connections", 10, 7, own("idle", "rss_mib"), "MiB"),
        Goal("idle: memory per connection and side", 12, 9, own("idle", "kib"), "KiB"),
        Goal("idle-9000: p99 of other traffic", 10, 0, None if crowd is None else (crowd - 1) * 100, "%"),
    ]
