"""The figures as tables: rows of text cells, for Markdown and for HTML alike."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    title: str
    header: list
    rows: list
    before: str = ""
    after: str = ""


def number(value):
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 30 else f"{value:.2f}"


def spread_text(spread):
    if spread is None:
        return "-"
    middle, low, high = spread
    return number(middle) if low == high else f"{number(middle)} ({number(low)}–{number(high)})"


def ratio_text(ratio):
    return "-" if ratio is None else f"{ratio[0]:.2f} ({ratio[1]:.2f}–{ratio[2]:.2f})" if ratio[1] != ratio[2] else \
        f"{ratio[0]:.2f}"


def ratios(outcome, wanted):
    """ratios is the overview: what Mooring needs as a share of what each other peer needs."""
    rows = [[name, *(ratio_text(outcome.ratio(mode.name, name, mode.figures[0].key)) for mode in wanted)]
            for name in outcome.names if name != outcome.mine]
    return Table(f"{outcome.mine} as a share of each peer",
                 ["peer", *(f"{mode.name}: {mode.figures[0].label}" for mode in wanted)], rows,
                 before="Median of the rounds' own ratios, and their range. Below 1 Mooring needs less.")


def overview(outcome, wanted):
    rows = [[name, *(spread_text(outcome.spread(mode.name, name, mode.figures[0].key)) for mode in wanted)]
            for name in outcome.names]
    return Table("Overview", ["peer", *(f"{mode.name}: {mode.figures[0].label}" for mode in wanted)], rows,
                 before="Medians of the rounds (smallest–largest). Smaller is better.")


def _error_text(outcome, mode, name):
    errors, failed = outcome.errors(mode.name, name)
    return f"{errors:,}" + (f", no figure in {failed} rounds" if failed else "")


def of_mode(outcome, mode, idle):
    rows = []
    for name in outcome.names:
        if not any(outcome.results[mode.name].get(name, [])):
            continue
        rows.append([name, *(spread_text(outcome.spread(mode.name, name, figure.key)) for figure in mode.figures),
                     ratio_text(outcome.ratio(mode.name, name, mode.figures[0].key)) if name != outcome.mine else "",
                     _error_text(outcome, mode, name)])
    negotiated = outcome.negotiated(mode.name)
    after = "Negotiated: " + "; ".join(f"{name} {text}" for name, text in negotiated.items()) if negotiated else ""
    header = ["peer", *(figure.label for figure in mode.figures), f"{outcome.mine} / peer, {mode.figures[0].label}",
              "errors"]
    return Table(f"{mode.name}: {mode.title}", header, rows, before=mode.explanation.format(idle=idle), after=after)


def of_goals(reached):
    return Table("Goals", ["goal", "must", "aim", "measured", "met"], [goal.cells() for goal in reached],
                 before="Ratios are medians of the rounds' own ratios; what one run shows is no more than that.")


def of_peers(peers):
    """of_peers: a list of dictionaries as bench/run makes them."""
    return Table("Peers", ["peer", "version", "state", "as it ran"],
                 [[peer["name"], peer["version"], peer["state"], peer["note"]] for peer in peers])


def markdown(table):
    def line(cells):
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    parts = [f"### {table.title}"]
    if table.before:
        parts.append(table.before)
    parts.append("\n".join([line(table.header), "|---" * len(table.header) + "|", *map(line, table.rows)]))
    if table.after:
        parts.append(table.after)
    return "\n\n".join(parts) + "\n"
