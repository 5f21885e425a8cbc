"""The picture of a choice: quality against size and against time, with the Pareto front."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from neuralcodes.choosing.outcome import Choice, Point
from neuralcodes.reports.style import LIGHT, Style, dress, new_figure, plain
from neuralcodes.reports.wording import fraction, span

MARKERS = "os^Dvp*XP<>hd"
TICKS = 9  # at most, along the sizes


@plain
def choice_figure(choice: Choice, style: Style = LIGHT, narrow: bool = False) -> Figure:
    """MAP on the classes that choose against bytes a code and against milliseconds a search.

    Colour tells the layer, the mark the kind of transform; a line joins the front, whose codes
    carry their 95 % intervals, and a ring is around the recommended one.
    """
    figure, axes = new_figure(style, 2, narrow, panel=(5.2, 4.3))
    if narrow:
        figure.set_figheight(8.6)
    layers = layer_names(choice.points, len(style.series))
    kinds = kind_names(choice.points)
    _panel(axes[0], choice, style, (layers, kinds), lambda p: float(p.bytes), lambda p: p.front)
    _panel(
        axes[1], choice, style, (layers, kinds), lambda p: p.milliseconds,
        lambda p: p.front_by_time,
    )  # fmt: skip
    labels = (("Quality against size", "bytes a code"), ("Quality against time", "ms a search"))
    for part, (title, across) in zip(axes, labels, strict=True):
        part.set_title(title, color=style.ink)
        part.set(xlabel=across, ylabel="mAP")
    _size_ticks(axes[0], choice.points)
    _time_ticks(axes[1], choice.points)
    figure.legend(
        handles=_legend(choice.points, layers, kinds, style),
        loc="outside lower center",
        ncols=3 if narrow else 6,
        frameon=False,
        labelcolor=style.ink,
        fontsize=8.5,
        columnspacing=1.2,
        handletextpad=0.5,
    )
    return figure


def choice_alt(choice: Choice) -> str:
    """The picture in words."""
    front = sorted((p for p in choice.points if p.front), key=lambda p: p.bytes)
    steps = "; ".join(
        f"{p.bytes:,} bytes {fraction(p.map)} ({span((p.low, p.high))}, {p.code})" for p in front
    )
    return (
        f"Two scatter plots of {len(choice.points)} codes: mAP against bytes a code and against "
        f"milliseconds a search. Front by bytes: {steps}. Recommended: {choice.chosen.code}."
    )


def layer_names(points: Sequence[Point], most: int) -> list[str]:
    """Layers that have a colour of their own, in order of name: all, or of too many the best."""
    best = sorted(points, key=lambda p: -p.map)
    names = list(dict.fromkeys(layer_name(p, points) for p in best))
    return sorted(names if len(names) <= most else names[: most - 1])


def layer_name(point: Point, points: Sequence[Point]) -> str:
    """One point's layer, without the network where there is only one."""
    one = len({p.network for p in points}) == 1
    name = point.layer if one else f"{point.network}@{point.layer}"
    return name if point.pooling == "flatten" else f"{name}/{point.pooling}"


def short_code(point: Point, points: Sequence[Point]) -> str:
    """Its code, without the network where there is only one."""
    return "/".join(part for part in (layer_name(point, points), point.transforms) if part)


def kind_name(point: Point) -> str:
    """Its chain of transforms without the numbers."""
    kinds = [re.sub(r"(?<=[a-z])\d+$", "", name) for name in point.transforms.split("/") if name]
    return "/".join(_whole(kind) for kind in kinds) or "as it is"


def kind_names(points: Sequence[Point]) -> list[str]:
    """All kinds of chains, those of fewest steps first."""
    names = dict.fromkeys(kind_name(p) for p in points)
    return sorted(names, key=lambda name: (name != "as it is", name.count("/"), name))


def _whole(kind: str) -> str:
    return "int8" if kind == "int" else kind


def _panel(
    axes: Axes,
    choice: Choice,
    style: Style,
    names: tuple[list[str], list[str]],
    cost: Callable[[Point], float],
    on_front: Callable[[Point], bool],
) -> None:
    layers, kinds = names
    dress(axes, style)
    axes.set_xscale("log")
    front = sorted((p for p in choice.points if on_front(p)), key=cost)
    axes.plot(
        [cost(p) for p in front], [p.map for p in front], color=style.muted, linewidth=1.2,
        zorder=1, drawstyle="steps-post",
    )  # fmt: skip
    for point in choice.points:
        name = layer_name(point, choice.points)
        colour = style.series[layers.index(name)] if name in layers else style.muted
        axes.plot(
            cost(point), point.map, MARKERS[kinds.index(kind_name(point)) % len(MARKERS)],
            color=colour, markersize=5.5, alpha=1.0 if on_front(point) else 0.45,
            markeredgewidth=0, zorder=3 if on_front(point) else 2,
        )  # fmt: skip
        if on_front(point):
            axes.plot(
                [cost(point)] * 2, [point.low, point.high], color=colour, linewidth=1.3, zorder=2
            )
    chosen = choice.chosen
    axes.plot(
        cost(chosen), chosen.map, "o", markersize=14, markerfacecolor="none",
        markeredgecolor=style.ink, markeredgewidth=1.6, zorder=4,
    )  # fmt: skip


def _size_ticks(axes: Axes, points: Sequence[Point]) -> None:
    """Powers of 2 that span the sizes, thinned out."""
    low, high = min(p.bytes for p in points), max(p.bytes for p in points)
    ticks = [2**n for n in range(64) if low <= 2 ** (n + 1) and 2 ** (n - 1) <= high]
    step = -(-len(ticks) // TICKS)
    axes.xaxis.set_major_locator(FixedLocator(ticks[::step]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def _time_ticks(axes: Axes, points: Sequence[Point]) -> None:
    """1, 2 and 5 times powers of 10 that span the times, thinned out."""
    low, high = min(p.milliseconds for p in points), max(p.milliseconds for p in points)
    ladder = [float(f"{lead}e{power}") for power in range(-6, 6) for lead in (1, 2, 5)]
    inside = [n for n, tick in enumerate(ladder) if low <= tick <= high]
    first, last = min(inside, default=0), max(inside, default=len(ladder) - 1)
    ticks = ladder[max(0, first - 1) : last + 2] if inside else [low, high]
    axes.xaxis.set_major_locator(FixedLocator(ticks[:: -(-len(ticks) // TICKS)]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _short(value: float) -> str:
    return f"{value / 1024:g}K" if value >= 1024 else f"{value:g}"


def _legend(
    points: Sequence[Point], layers: list[str], kinds: list[str], style: Style
) -> list[Line2D]:
    marks = [
        Line2D([], [], color=style.series[n], marker="s", linestyle="",
               markersize=6, label=name)
        for n, name in enumerate(layers)
    ]  # fmt: skip
    if any(layer_name(point, points) not in layers for point in points):
        marks.append(
            Line2D([], [], color=style.muted, marker="s", linestyle="", markersize=6,
                   label="other layers")
        )  # fmt: skip
    marks += [
        Line2D([], [], color=style.muted, marker=MARKERS[n % len(MARKERS)], linestyle="",
               markersize=5.5, label=name)
        for n, name in enumerate(kinds)
    ]  # fmt: skip
    marks.append(
        Line2D([], [], color=style.ink, marker="o", linestyle="", markersize=10,
               markerfacecolor="none", label="recommended")
    )  # fmt: skip
    return [*marks, Line2D([], [], color=style.muted, linewidth=1.2, label="front")]
