"""Tables and plots of `compression.py`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from neuralcodes.common.files import atomic_write, write_text
from neuralcodes.reports.style import LIGHT, new_figure, plain, png_bytes

SIZES = (16, 32, 64, 128, 256, 512)
REDUCTIONS = {
    "pca": "PCA", "whiten": "PCA-whitening", "lw": "learned whitening", "disc": "discriminative",
}  # fmt: skip
STORED = {  # methods by pattern; plain PQ and binary are far below, and in the tables
    "PCA": r"pca\d+",
    "PCA, int8": r"pca\d+/int8",
    "discriminative": r"disc\d+",
    "discriminative, int8": r"disc\d+/int8",
    "PCA 128, OPQ": r"pca128/opq\d+",
    "discriminative 128, OPQ": r"disc128/opq\d+",
}
Row = dict[str, Any]


@plain
def write_figures(folder: Path, result: dict[str, Any]) -> None:
    """mAP against dimensions and against bytes, a panel a layer."""
    layers = list(result["full"])
    for name, label, draw in (
        ("map_by_dims", "dimensions", _by_dims),
        ("map_by_bytes", "bytes an image", _by_bytes),
    ):
        figure, panels = new_figure(LIGHT, len(layers), False, panel=(4.3, 3.9))
        for axes, layer in zip(panels, layers, strict=True):
            rows = [row for row in result["rows"] if row["layer"] == layer]
            full = next(row for row in rows if row["method"] == "full")
            axes.axhline(full["map"], color=LIGHT.muted, linewidth=1, zorder=1)
            draw(axes, rows)
            title = f"{layer} (grey line: the whole code, {full['bytes']:,} bytes)"
            axes.set_title(title, color=LIGHT.ink)
            axes.set(xlabel=label, ylabel="mAP")
        limits = [axes.get_ylim() for axes in panels]
        for axes in panels:
            axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
        figure.legend(
            *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=6,
            frameon=False, labelcolor=LIGHT.ink, handlelength=2.6,
        )  # fmt: skip
        with atomic_write(folder / f"{name}.png") as file:
            file.write(png_bytes(figure, {"Run": result["run"]}))


def _by_dims(axes: Axes, rows: list[Row]) -> None:
    for number, (kind, title) in enumerate(REDUCTIONS.items()):
        found = [_named(rows, f"{kind}{size}") for size in SIZES]
        _line(axes, number, title, [row for row in found if row], "dims")
    _logarithmic(axes, SIZES)


def _by_bytes(axes: Axes, rows: list[Row]) -> None:
    for number, (title, pattern) in enumerate(STORED.items()):
        found = [row for row in rows if re.fullmatch(pattern, row["method"])]
        _line(axes, number, title, sorted(found, key=lambda row: row["bytes"]), "bytes")
    _logarithmic(axes, [4**power for power in range(2, 7)])


def _line(axes: Axes, number: int, title: str, found: list[Row], along: str) -> None:
    means = [row["map"] for row in found]
    errors = [
        [row["map"] - row["map_low"] for row in found],
        [row["map_high"] - row["map"] for row in found],
    ]
    axes.errorbar(
        [row[along] for row in found], means, yerr=errors, label=title, markersize=4,
        linewidth=1.4, elinewidth=0.8, **LIGHT.line(number),
    )  # fmt: skip


def _logarithmic(axes: Axes, ticks: Iterable[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _named(rows: list[Row], method: str) -> Row | None:
    return next((row for row in rows if row["method"] == method), None)


def write_tables(folder: Path, result: dict[str, Any]) -> None:
    """All rows as Markdown: reductions by size, stored forms by bytes, re-ranking."""
    parts = [
        f"# Compression of the codes of {result['run']}",
        f"mAP on {result['images']['judged']:,} images of classes that were never seen, with 95 % "
        f"intervals over queries. Fitted on {result['images']['fitted_on_count']:,} images of "
        f"{result['images']['fitted_on']}. Made by `{result['command']}`.",
    ]
    for layer, full in result["full"].items():
        rows = [row for row in result["rows"] if row["layer"] == layer]
        parts.append(f"## {layer}, whole code {full:.4f}")
        parts.append(_reductions(rows))
        parts.append(_stored(rows))
    parts.append(_steps(result["rerank"], result["images"]["judged"]))
    write_text(folder / "tables.md", "\n\n".join(parts) + "\n")


def _reductions(rows: list[Row]) -> str:
    lines = [[title, *(_cell(_named(rows, f"{kind}{size}")) for size in SIZES)]
             for kind, title in REDUCTIONS.items()]  # fmt: skip
    return _table(["dimensions", *map(str, SIZES)], lines)


def _stored(rows: list[Row]) -> str:
    last: Callable[[Row], str] = lambda row: row["method"].rpartition("/")[2]  # noqa: E731
    kinds = ("half", "int8", "binary", "pq", "opq")
    found = [row for row in rows if last(row).startswith(kinds)]
    found.sort(key=lambda row: (row["bytes"], -row["map"]))
    lines = [
        [row["method"], f"{row['bytes']:,}", _cell(row), f"{row['difference']:+.4f}"]
        for row in found
    ]
    return _table(["code", "bytes", "mAP", "less the whole code"], lines)


def _steps(rerank: dict[str, Any], queries: int) -> str:
    """CPU time is that of all: first search, what is made beforehand, step, judgement."""
    lines = [
        [
            one["step"], f"`{one['chosen']}`", f"{one['gain_where_chosen']:+.4f}", _cell(one),
            f"{one['gain']:+.4f} ({one['gain_low']:+.4f} to {one['gain_high']:+.4f})",
            f"{1000 * one['cpu_seconds_of_all'] / queries:.2f}", f"{one['bytes'] / 1e6:.0f}",
        ]
        for one in rerank["steps"]
    ]  # fmt: skip
    heads = [
        "step", "parameters", "gain where chosen", "mAP", "gain", "CPU ms a query",
        "MB more",
    ]  # fmt: skip
    title = f"## Re-ranking of the whole code of {rerank['layer']}, without it {rerank['map']:.4f}"
    return f"{title}\n\n{_table(heads, lines)}"


def _cell(row: Row | None) -> str:
    if row is None:
        return "–"
    return f"{row['map']:.4f} ({row['map_low']:.4f} to {row['map_high']:.4f})"


def _table(heads: list[str], lines: list[list[str]]) -> str:
    rule = ["---"] * len(heads)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *lines))
