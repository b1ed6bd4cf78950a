"""The report: one HTML page that needs nothing beside itself."""

from html import escape

import chart
import machine

STYLE = """
:root { color-scheme: light dark; --page: #fbfbfa; --card: #fff; --text: #1d2327; --soft: #5d676e; --line: #dcdfe1;
  --mine: #0b6bcb; --other: #a9b4bc; --floor: #fff; --good: #18794e; --bad: #b42318; }
@media (prefers-color-scheme: dark) { :root { --page: #14181b; --card: #1c2226; --text: #e6eaec; --soft: #9aa5ac;
  --line: #333c42; --mine: #5aa9f5; --other: #56636c; --floor: #1c2226; --good: #4cc38a; --bad: #ff8b7e; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1380px; padding: 2rem 1.25rem 4rem; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem; }
h3 { font-size: 1rem; margin: 0; }
p { max-width: 75ch; margin: .4rem 0; }
.soft, figcaption { color: var(--soft); }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }
.charts { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 520px), 1fr)); }
figure { margin: 0; padding: 1rem; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
figcaption { font-size: .87rem; margin: .15rem 0 .7rem; }
svg { display: block; width: 100%; height: auto; font-size: 14px; }
.name, .value { fill: var(--text); }
.range { fill: var(--soft); font-size: 12px; }
.mine .name, .mine .value { font-weight: 650; }
.mine .range { font-weight: 400; }
.bar { fill: var(--other); }
.mine .bar { fill: var(--mine); }
.floor .bar { fill: var(--floor); stroke: var(--other); stroke-dasharray: 4 3; }
.whisker { stroke: var(--text); fill: none; opacity: .65; }
.base { stroke: var(--line); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .87rem; margin: .6rem 0; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .8rem .35rem 0; text-align: left; vertical-align: top; }
th { color: var(--soft); font-weight: 600; }
tr.mine td { color: var(--mine); font-weight: 600; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; }
section { margin-top: 1.6rem; }
"""

INTRODUCTION = """
<p>Each sidecar ran as a pair, as in a mesh: client, outbound sidecar, mutual TLS, inbound sidecar, backend. Client and
backend are the same for all. The figures are those of the sidecars alone: their CPU time for a fixed amount of work,
their memory, and the latency that a client sees through them.</p>
<p><b>How to read the charts.</b> A shorter bar is better, everywhere. A bar is the median of the rounds; the thin line
across it goes from the smallest round to the largest. Where two such lines overlap widely, the order of the two is
not established. Bars are sorted, best first. Mooring has the strong colour. The dashed bar, <i>floor</i>, is no
competitor: two relays that copy bytes without any TLS, which shows how much of the cost is not the proxy's to save.</p>
<p><b>How to read the ratios.</b> All peers take turns within each round, there and back, so a ratio of one round
compares neighbours in time. The median of such ratios holds far better than the absolute figures, which move with
whatever else the machine does. Latency and throughput are those of a machine that client, backend and both sidecars
share.</p>
"""


def page(outcome, wanted, listed, remarks, summary):
    peers, *others, goals = listed
    settings = summary["settings"]
    return "\n".join([
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Mooring benchmark</title>',
        f"<style>{STYLE}</style></head><body>", "<h1>Mooring beside other sidecars</h1>",
        f'<p class="soft">{escape(machine.line(summary["machine"]))}. {settings["rounds"]} rounds, windows of '
        f'{settings["seconds"]} s, {summary["seconds"]} s in all.<br><code>{escape(summary["command"])}</code></p>',
        INTRODUCTION, _table(peers, outcome), '<h2>Figures</h2><div class="charts">',
        *(_figure(outcome, mode, settings["idle"]) for mode in wanted), "</div>", _table(goals, outcome, "h2"),
        _remarks(remarks), "<h2>All figures</h2>", *(_table(table, outcome) for table in others), "</body></html>", ""])


def _figure(outcome, mode, idle):
    key, label = mode.figures[0].key, mode.figures[0].label
    with_figure = outcome.ranked(mode.name, key)
    without = [name for name in outcome.names
               if name not in with_figure and any(outcome.results[mode.name].get(name, []))]
    rows = [chart.Bar(name, outcome.spread(mode.name, name, key), _kind(outcome, name))
            for name in with_figure + without]
    return (f"<figure><h3>{escape(mode.title)}: {escape(label)}</h3>"
            f"<figcaption>{escape(mode.explanation.format(idle=idle))}</figcaption>"
            f"{chart.bars(f'{mode.title}, {label}', rows)}</figure>")


def _kind(outcome, name):
    return "mine" if name == outcome.mine else "floor" if name == "floor" else "other"


def _table(table, outcome, heading="h3"):
    def row(cells):
        mine = ' class="mine"' if cells[0] == outcome.mine else ""
        return f"<tr{mine}>{''.join(map(_cell, cells))}</tr>"

    after = f'<p class="soft">{escape(table.after)}</p>' if table.after else ""
    return (f"<section><{heading}>{escape(table.title)}</{heading}>"
            f'<p class="soft">{escape(table.before)}</p><div class="wide"><table><thead><tr>'
            f"{''.join(f'<th>{escape(cell)}</th>' for cell in table.header)}</tr></thead><tbody>"
            f"{''.join(map(row, table.rows))}</tbody></table></div>{after}</section>")


def _cell(text):
    tone = "bad" if text.startswith(("MISSED", "FAILED")) else "good" if text == "aim met" else ""
    return f'<td class="{tone}">{escape(text)}</td>' if tone else f"<td>{escape(text)}</td>"


def _remarks(remarks):
    if not remarks:
        return ""
    return f"<h2>What did not run, or failed</h2><ul>{''.join(f'<li>{escape(text)}</li>' for text in remarks)}</ul>"
