"""The figures of a growth run: one value a size and round, judged by ratios within a round."""

from statistics import median

LIMIT = 1.15  # what may be called flat


class Row:
    """One cost at several sizes of one thing."""

    def __init__(self, title, unit, sizes):
        self.title, self.unit, self.sizes = title, unit, sizes
        self.values = {size: [] for size in sizes}

    def add(self, size, value):
        """add takes the value of a round; None where the machine gave none."""
        self.values[size].append(value)

    def ratios(self):
        """ratios are those of the largest size to the smallest, one for each round that has both."""
        rounds = zip(self.values[self.sizes[0]], self.values[self.sizes[-1]])
        return [large / small for small, large in rounds if small and large]

    def flat(self):
        """flat is True, False, or None where nothing can be said."""
        ratios = self.ratios()
        return median(ratios) <= LIMIT if ratios else None

    def lines(self):
        """lines are a title and a markdown table of its own."""
        head = [*(f"{size:,}" for size in self.sizes), f"{self.sizes[-1]:,} to {self.sizes[0]:,}",
                f"within {LIMIT - 1:.0%}"]
        cells = [*(spread(self.values[size]) for size in self.sizes), spread(self.ratios(), "{:.2f}"),
                 {True: "yes", False: "NO", None: "-"}[self.flat()]]
        widths = [max(len(a), len(b)) for a, b in zip(head, cells)]
        table = [head, ["-" * width for width in widths], cells]
        return [f"{self.title}, {self.unit}: median (min-max)", "",
                *("| " + " | ".join(text.ljust(width) for text, width in zip(line, widths)) + " |" for line in table)]

    def as_json(self):
        return {"title": self.title, "unit": self.unit,
                "sizes": [{"size": size, **summary(values)} for size, values in self.values.items()],
                "ratio": summary(self.ratios()), "limit": LIMIT, "flat": self.flat()}


def summary(values):
    known = [value for value in values if value is not None]
    return {"rounds": values, **({"median": median(known), "min": min(known), "max": max(known)} if known else {})}


def spread(values, form="{:.1f}"):
    known = summary(values)
    if "median" not in known:
        return "-"
    low, middle, high = (form.format(known[key]) for key in ("min", "median", "max"))
    return f"{middle} ({low}-{high})"
