"""The figures of a growth run: one value a size and round, judged by ratios within a round."""

from statistics import median

LIMIT = 1.15  # what may be called flat


class Row:
    """One cost at several sizes of one thing."""

    def __init__(self, title, unit, sizes):
        self.title, self.unit, self.sizes = title, unit, sizes
        self.values = {size: [] for size in sizes}

    def add(self, size, value):
        self.values[size].append(value)

    def ratios(self):
        """ratios are those of the largest size to the smallest, one a round."""
        return [large / small for small, large in zip(self.values[self.sizes[0]], self.values[self.sizes[-1]])]

    def flat(self):
        return median(self.ratios()) <= LIMIT

    def lines(self):
        """lines are a title and a markdown table of its own."""
        head = [*(f"{size:,}" for size in self.sizes), f"{self.sizes[-1]:,} to {self.sizes[0]:,}",
                f"within {LIMIT - 1:.0%}"]
        cells = [*(spread(self.values[size]) for size in self.sizes), spread(self.ratios(), "{:.2f}"),
                 "yes" if self.flat() else "NO"]
        widths = [max(len(a), len(b)) for a, b in zip(head, cells)]
        table = [head, ["-" * width for width in widths], cells]
        return [f"{self.title}, {self.unit}: median (min-max)", "",
                *("| " + " | ".join(text.ljust(width) for text, width in zip(line, widths)) + " |" for line in table)]

    def as_json(self):
        ratios = self.ratios()
        return {"title": self.title, "unit": self.unit,
                "sizes": [{"size": size, "median": median(values), "rounds": values}
                          for size, values in self.values.items()],
                "ratio": {"median": median(ratios), "min": min(ratios), "max": max(ratios), "rounds": ratios},
                "limit": LIMIT, "flat": self.flat()}


def spread(values, form="{:.1f}"):
    low, middle, high = (form.format(value) for value in (min(values), median(values), max(values)))
    return f"{middle} ({low}-{high})"
