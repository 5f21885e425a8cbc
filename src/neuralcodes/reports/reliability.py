"""How good a calibration is: a reliability diagram beside the curve, as a figure and as a page."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from neuralcodes.codes.probability import MatchProbability
from neuralcodes.evaluation.calibration import BINS, FOLDS, Estimate, Reliability
from neuralcodes.reports.style import LIGHT, Style, add_legend, new_figure, plain, svg_bytes
from neuralcodes.reports.wording import fraction

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title>
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}
h1{font-size:1.3em;overflow-wrap:anywhere}svg{max-width:100%;height:auto}
table{border-collapse:collapse}td,th{padding:.2em .8em .2em 0;text-align:left}
</style></head><body><h1>{{ title }}</h1><p>{{ verdict }}</p>
<figure style="margin:0" role="img" aria-label="{{ verdict }}">{{ picture|safe }}</figure>
<table>{% for name, value in rows %}<tr><th>{{ name }}</th><td>{{ value }}</td></tr>{% endfor %}
</table></body></html>
"""


def reliability_of(known: MatchProbability) -> Reliability:
    """What is kept beside a curve, read back."""
    return Reliability.from_json(dict(known.facts["reliability"]))


def verdict(known: MatchProbability) -> str:
    """What the probabilities are and whether they are worth having, in plain sentences."""
    found = reliability_of(known)
    gain = 1 - found.brier.value / found.brier_of_base
    worth = (
        f"The distance explains {100 * gain:.0f} % of what always saying {100 * found.base:.0f} % "
        "leaves open (Brier score)."
        if gain >= 0.005
        else f"The distance says next to nothing here: always saying {100 * found.base:.0f} % "
        "does as well (Brier score)."
    )
    return (
        f"Probability that a result {known.match}, when it is among the first {known.depth} of a "
        f"search. On held-out {found.held_out} it is off by {fraction(found.ece.value)} on "
        f"average. {worth}"
    )


def figures_of(known: MatchProbability) -> list[tuple[str, str]]:
    """Name and value of each figure, as people read them."""
    found = reliability_of(known)
    return [
        ("expected calibration error", _shown(found.ece)),
        *((f"  at {name}", _shown(band)) for name, band in found.bands.items()),
        ("Brier score", f"{_shown(found.brier)}; always {100 * found.base:.1f} %: "
         f"{fraction(found.brier_of_base)}"),
        ("results that match", f"{100 * found.base:.1f} %"),
        ("measured on", f"{found.results:,} results of {found.queries:,} queries, "
         f"{found.groups:,} {found.held_out} held out in {FOLDS} folds"),
    ]  # fmt: skip


@plain
def reliability_figure(
    known: MatchProbability, style: Style = LIGHT, narrow: bool = False
) -> Figure:
    """Left: predicted against observed, on held-out results. Right: the curve that is used."""
    figure, (diagram, curve) = new_figure(style, 2, narrow, panel=(4.4, 3.6))
    found = reliability_of(known)
    _draw_diagram(diagram, found, style)
    _draw_curve(curve, known, found, style)
    return figure


def reliability_page(known: MatchProbability) -> str:
    """One HTML file that needs no other."""
    from jinja2 import Environment

    rows = [*figures_of(known), ("code", f"{known.spec.name} ({known.spec.fingerprint()})")]
    picture = svg_bytes(reliability_figure(known)).decode()
    return (
        Environment(autoescape=True)
        .from_string(_PAGE)
        .render(
            title=f"How far is similar? {known.spec.name}",
            verdict=verdict(known),
            picture=picture[picture.index("<svg") :],
            rows=rows,
        )
    )


def _draw_diagram(axes: Axes, found: Reliability, style: Style) -> None:
    predicted = np.array([part.predicted for part in found.bins])
    observed = np.array([part.observed.value for part in found.bins])
    low = np.array([part.observed.low for part in found.bins])
    high = np.array([part.observed.high for part in found.bins])
    count = np.array([part.count for part in found.bins])
    axes.plot([0, 1], [0, 1], color=style.muted, linewidth=1, linestyle=":", label="perfect")
    axes.bar(
        predicted, 0.25 * count / count.max(), width=0.6 / BINS, color=style.grid,
        label="results (heights relative)",
    )  # fmt: skip
    axes.vlines(predicted, low, high, color=style.series[0], linewidth=1.2)
    axes.plot(predicted, observed, "o", color=style.series[0], markersize=4.5, label="measured")
    axes.set_title("Said and true, held out", color=style.ink)
    said = f"probability said\nECE {_shown(found.ece)}\nBrier {_shown(found.brier)}"
    axes.set(xlabel=said, ylabel="share that matches", xlim=(0, 1), ylim=(0, 1))
    _percent(axes, both=True)
    add_legend(axes, style)


def _draw_curve(axes: Axes, known: MatchProbability, found: Reliability, style: Style) -> None:
    low, high = known.facts["distances"]
    near = np.linspace(low, high, 400)
    axes.plot(near, known.of(near), color=style.series[1], linewidth=1.8, label=known.curve.method)
    axes.axhline(
        found.base, color=style.muted, linewidth=1, linestyle=":", label="share of all results"
    )
    axes.set_title("Distance and probability", color=style.ink)
    axes.set(xlabel="distance", ylabel="probability of a match", ylim=(0, 1), xlim=(low, high))
    _percent(axes)
    add_legend(axes, style)


def _percent(axes: Axes, both: bool = False) -> None:
    shown = FuncFormatter(lambda share, _: f"{100 * share:g}%")
    axes.yaxis.set_major_formatter(shown)
    if both:
        axes.xaxis.set_major_formatter(shown)


def _shown(estimate: Estimate) -> str:
    return f"{fraction(estimate.value)} ({fraction(estimate.low)} to {fraction(estimate.high)})"
