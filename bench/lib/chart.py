"""Horizontal bar charts as SVG text. Colours come from the page's style sheet, by class."""

from dataclasses import dataclass
from html import escape

from tables import number, spread_text

WIDTH, ROW, BAR = 640, 30, 16
NAMES, VALUES = 110, 190  # room for the names to the left of the bars, and for the figures to their right
TEXT_DROP = 5  # from the middle of a row to the base line of its text


@dataclass(frozen=True)
class Bar:
    name: str
    spread: tuple | None  # (median, smallest, largest)
    kind: str  # "mine", "other" or "floor"


def bars(title, rows):
    """bars draws one row each, scaled so that the largest value of all fits."""
    height = ROW * len(rows) + 6
    largest = max((bar.spread[2] for bar in rows if bar.spread), default=0) or 1
    scale = (WIDTH - NAMES - VALUES) / largest
    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">']
    for index, bar in enumerate(rows):
        parts += _row(bar, ROW * index + 3 + ROW / 2, scale)
    parts.append(f'<line class="base" x1="{NAMES}" y1="0" x2="{NAMES}" y2="{height}"/></svg>')
    return "\n".join(parts)


def _row(bar, middle, scale):
    base = middle + TEXT_DROP
    yield f'<g class="{bar.kind}"><title>{escape(bar.name)}: {spread_text(bar.spread)}</title>'
    yield f'<text class="name" x="{NAMES - 10}" y="{base:.1f}" text-anchor="end">{escape(bar.name)}</text>'
    if bar.spread is None:
        yield f'<text class="range" x="{NAMES + 8}" y="{base:.1f}">no figure</text></g>'
        return
    value, low, high = bar.spread
    left, right, end = (NAMES + scale * each for each in (low, high, value))
    yield (f'<rect class="bar" x="{NAMES}" y="{middle - BAR / 2:.1f}" width="{max(end - NAMES, 1):.1f}" '
           f'height="{BAR}" rx="2"/>')
    if high > low:
        ends = _tick(left, middle) + _tick(right, middle)
        yield f'<path class="whisker" d="M{left:.1f} {middle:.1f}H{right:.1f}{ends}"/>'
    text = max(end, right) + 8
    span = f' <tspan class="range">{number(low)}–{number(high)}</tspan>' if high > low else ""
    yield f'<text class="value" x="{text:.1f}" y="{base:.1f}">{number(value)}{span}</text></g>'


def _tick(x, middle):
    return f"M{x:.1f} {middle - 4:.1f}v8"
