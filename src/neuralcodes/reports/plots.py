"""Plots of a run: training history, mAP, precision and recall.

Each is drawn with panels side by side or, when `narrow`, one below the other for a phone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter

from neuralcodes.evaluation.measures import RECALL_LEVELS
from neuralcodes.reports.content import Comparison
from neuralcodes.reports.results import LayerResult, MeanInterval, Results
from neuralcodes.reports.style import LIGHT, Style, add_legend, new_figure, plain
from neuralcodes.reports.wording import fraction, listed, percent, span
from neuralcodes.training.history import Epoch, History, best_epoch


@plain
def history_figure(
    history: History, kept_epoch: int | None = None, style: Style = LIGHT, narrow: bool = False
) -> Figure:
    """Loss, accuracy and top-5 accuracy per epoch on train and validation images.

    Args:
        kept_epoch: marked by a line; None while training goes on.
    """
    figure, axes = new_figure(style, 3, narrow)
    epochs = [entry.epoch for entry in history]
    panels: list[tuple[str, str, Callable[[Epoch, str], float]]] = [
        ("Cross-entropy", "loss", lambda entry, part: getattr(entry, f"{part}_loss")),
        ("Accuracy", "accuracy", lambda entry, part: getattr(entry, f"{part}_accuracy")),
        ("Top-5 accuracy", "top5", lambda entry, part: getattr(entry, f"{part}_top5")),
    ]
    for part, (title, kind, value) in zip(axes, panels, strict=True):
        for number, (name, label) in enumerate((("train", "train"), ("val", "validation"))):
            values = [value(entry, name) for entry in history]
            part.plot(
                epochs, values, label=label, markersize=4, linewidth=1.6, **style.line(1 - number)
            )
        part.set_title(title, color=style.ink)
        part.set_xlabel("epoch")
        part.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if kind != "loss":
            part.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}%"))
        if kept_epoch is not None:
            part.axvline(
                kept_epoch, color=style.muted, linewidth=1, linestyle=":", label="kept epoch"
            )
    add_legend(axes[0], style)
    return figure


def history_alt(history: History, kept_epoch: int) -> str:
    """The history plot in words."""
    first, last, best = history[0], history[-1], best_epoch(history)
    return (
        f"Line plots over {len(history)} epochs. Train loss {first.train_loss:.3f} to "
        f"{last.train_loss:.3f}; validation loss {first.val_loss:.3f} to {last.val_loss:.3f}, "
        f"lowest in epoch {best}; validation accuracy {percent(first.val_accuracy)} to "
        f"{percent(last.val_accuracy)}. Epoch {kept_epoch} was kept."
    )


@plain
def precision_recall_figure(results: Results, style: Style = LIGHT, narrow: bool = False) -> Figure:
    """Mean interpolated precision against recall, all layers in one plot."""
    figure, (axes,) = new_figure(style, 1, narrow, panel=(5.3, 3.5))
    for number, layer in enumerate(results.layers):
        axes.plot(
            RECALL_LEVELS,
            layer.precision,
            label=f"{layer.alias}  mAP {_estimate(layer.mean_average_precision)}",
            linewidth=1.8,
            markersize=4.5,
            markevery=(5 + 3 * number, 20),
            **style.line(number),
        )
    axes.axhline(
        results.chance,
        color=style.muted,
        linewidth=1,
        linestyle=":",
        label=f"random order  mAP {fraction(results.chance)}",
    )
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    add_legend(axes, style)
    return figure


def precision_recall_alt(results: Results) -> str:
    """The precision–recall plot in words."""
    halfway = [
        f"{layer.alias} {fraction(float(np.interp(0.5, RECALL_LEVELS, layer.precision)))}"
        for layer in results.layers
    ]
    return f"Precision falls as recall rises. Precision at recall 0.5: {listed(halfway)}."


@plain
def at_k_figure(results: Results, style: Style = LIGHT, narrow: bool = False) -> Figure:
    """Precision and recall among the first K found, against K."""
    figure, axes = new_figure(style, 2, narrow, panel=(5.2, 2.9))
    cut_offs = sorted({k for layer in results.layers for k in layer.precision_at})
    for number, layer in enumerate(results.layers):
        _curve(axes[0], layer, layer.precision_at, style, number)
        _curve(axes[1], layer, layer.recall_at, style, number)
    for part, title in zip(axes, ("Precision at K", "Recall at K"), strict=True):
        part.set_title(title, color=style.ink)
        part.set(xlabel="K nearest images", ylim=(0, 1.02))
        part.set_xscale("log")
        part.xaxis.set_minor_formatter(NullFormatter())
        part.xaxis.set_major_formatter(FuncFormatter(lambda k, _: f"{k:,.0f}"))
        part.xaxis.set_minor_locator(FixedLocator(cut_offs))
    add_legend(axes[0], style)
    return figure


def at_k_alt(results: Results) -> str:
    """The plot of precision and recall against K in words."""
    parts = []
    for layer in results.layers:
        if layer.precision_at:
            low, high = min(layer.precision_at), max(layer.precision_at)
            parts.append(
                f"{layer.alias} precision {fraction(layer.precision_at[low][0])} at {low} and "
                f"{fraction(layer.precision_at[high][0])} at {high}, recall "
                f"{fraction(layer.recall_at[high][0])} at {high}"
            )
    return f"Precision falls and recall rises with K: {'; '.join(parts)}."


@plain
def map_figure(
    results: Results,
    comparison: Comparison | None = None,
    style: Style = LIGHT,
    narrow: bool = False,
) -> Figure:
    """mAP of each layer with its 95% interval, beside the figures it is compared with."""
    rows = len(results.layers)
    figure, (axes,) = new_figure(style, 1, narrow, panel=(5.3, 3.5))
    figure.set_figheight(1.6 + 0.55 * rows if narrow else max(3.5, 1.6 + 0.45 * rows))
    other = {} if comparison is None else comparison.mean_average_precision
    for row, layer in enumerate(results.layers):
        mean, (low, high) = layer.mean_average_precision
        first = row == 0
        axes.plot(
            mean, row, "|", color=style.series[0], markersize=15, markeredgewidth=2.2,
            label="this run" if first else None,
        )  # fmt: skip
        axes.plot(
            [low, high], [row, row], color=style.series[0], linewidth=9, alpha=0.4,
            solid_capstyle="butt", label="95% interval" if first else None,
        )  # fmt: skip
        axes.annotate(
            fraction(mean), (mean, row), xytext=(0, 10), textcoords="offset points", ha="center",
            color=style.ink, fontsize=9,
        )  # fmt: skip
    shown = [(row, other[x.alias]) for row, x in enumerate(results.layers) if x.alias in other]
    if comparison is not None and shown:
        axes.plot(
            [value for _, value in shown], [row for row, _ in shown], "D", color=style.series[1],
            markersize=7, markerfacecolor="none", markeredgewidth=1.6, label=comparison.name,
        )  # fmt: skip
    axes.axvline(
        results.chance, color=style.muted, linewidth=1, linestyle=":", label="random order"
    )
    axes.set_yticks(range(rows), [layer.alias for layer in results.layers])
    axes.set(ylim=(rows - 0.5, -0.7), xlabel="mean average precision")
    axes.margins(x=0.1)
    axes.set_xlim(left=0)
    axes.grid(False, axis="y")
    figure.legend(
        loc="outside upper left", ncols=2, frameon=False, labelcolor=style.ink,
        fontsize=9,
    )  # fmt: skip
    return figure


def map_alt(results: Results, comparison: Comparison | None) -> str:
    """The mAP plot in words."""
    parts = []
    for layer in results.layers:
        text = f"{layer.alias} {_estimate(layer.mean_average_precision)}"
        if comparison is not None and layer.alias in comparison.mean_average_precision:
            text += (
                f", {comparison.name} {fraction(comparison.mean_average_precision[layer.alias])}"
            )
        parts.append(text)
    return f"mAP by layer: {'; '.join(parts)}; random order {fraction(results.chance)}."


def _curve(
    axes: Axes, layer: LayerResult, values: Mapping[int, MeanInterval], style: Style, number: int
) -> None:
    cut_offs = list(values)
    axes.plot(
        cut_offs,
        [values[k][0] for k in cut_offs],
        label=layer.alias,
        linewidth=1.6,
        markersize=4,
        **style.line(number),
    )
    lows, highs = zip(*(values[k][1] for k in cut_offs), strict=True) if cut_offs else ((), ())
    if cut_offs and not any(math.isnan(low) for low in lows):
        colour = style.line(number)["color"]
        axes.fill_between(cut_offs, lows, highs, color=colour, alpha=0.18, linewidth=0)


def _estimate(estimate: MeanInterval) -> str:
    mean, interval = estimate
    return f"{fraction(mean)} ({span(interval)})"
