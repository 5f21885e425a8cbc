"""The picture of mAP against bytes an image: the shipped network's codes and the reference's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from neuralcodes.common.files import atomic_write
from neuralcodes.reports.style import LIGHT, new_figure, plain, png_bytes

TICKS = (16, 64, 256, 1024, 4096, 16384, 65536)


@plain
def write_figure(
    path: Path, shipped: list[dict[str, Any]], reference: list[dict[str, Any]]
) -> None:
    """All codes as dots, the best for each size as a line.

    Args:
        path: of the PNG file.
        shipped, reference: rows with `bytes`, `map`, `map_low` and `map_high`.
    """
    figure, [axes] = new_figure(LIGHT, 1, False, panel=(7.0, 4.2))
    sets = (("shipped, 128 values", shipped), ("reference network, L5 to L7", reference))
    for number, (title, rows) in enumerate(sets):
        colour = f"C{number}"
        axes.scatter(
            [r["bytes"] for r in rows], [r["map"] for r in rows], s=12, alpha=0.35, c=colour
        )
        best = [max((r for r in rows if r["bytes"] == size), key=lambda r: float(r["map"]))
                for size in sorted({r["bytes"] for r in rows})]  # fmt: skip
        errors = [[r["map"] - r["map_low"] for r in best], [r["map_high"] - r["map"] for r in best]]
        axes.errorbar(
            [r["bytes"] for r in best], [r["map"] for r in best], yerr=errors, color=colour,
            label=title, marker="o", markersize=4, capsize=2,
        )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(TICKS))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set(xlabel="bytes an image", ylabel="mAP on ten classes that neither saw")
    axes.legend(frameon=False, labelcolor=LIGHT.ink, loc="lower right")
    with atomic_write(path) as file:
        file.write(png_bytes(figure, {"Source": "benchmarks/shipped.py"}))
