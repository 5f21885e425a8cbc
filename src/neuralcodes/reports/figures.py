"""All figures of a run, by name, and their PNG files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from neuralcodes.common.files import atomic_write
from neuralcodes.reports.content import RunContent
from neuralcodes.reports.pictures import neighbours_figure, samples_figure
from neuralcodes.reports.plots import (
    at_k_alt,
    at_k_figure,
    history_alt,
    history_figure,
    map_alt,
    map_figure,
    precision_recall_alt,
    precision_recall_figure,
)
from neuralcodes.reports.results import Results
from neuralcodes.reports.style import LIGHT, Style, png_bytes
from neuralcodes.training.history import History


@dataclass(frozen=True)
class Plot:
    """A plot that the page shows in several forms.

    Attributes:
        alt: the same in words.
        draw: makes it for a style; True for the narrow form.
    """

    alt: str
    draw: Callable[[Style, bool], Figure]


def plots_of(content: RunContent, results: Results) -> dict[str, Plot]:
    """The plots by file name (without ending)."""
    plots = {
        "history": Plot(
            history_alt(content.history, content.kept_epoch),
            partial(history_figure, content.history, content.kept_epoch),
        )
    }
    if results.layers:
        plots |= {
            "map": Plot(
                map_alt(results, content.comparison),
                partial(map_figure, results, content.comparison),
            ),
            "precision_recall": Plot(
                precision_recall_alt(results), partial(precision_recall_figure, results)
            ),
            "precision_recall_at_k": Plot(at_k_alt(results), partial(at_k_figure, results)),
        }
    return plots


def write_figures(folder: Path, content: RunContent, results: Results) -> list[Path]:
    """Write all figures as PNG files, each atomically and small enough for git.

    Returns:
        The files: history, samples, and of searched layers map, precision_recall,
        precision_recall_at_k, and neighbours_LAYER for each.

    Raises:
        UserError: full disk or no right to write.
    """
    about = {
        "Software": "neuralcodes",
        "Code": "; ".join(layer.about for layer in results.layers),
    }
    return [
        _write(folder / f"{name}.png", figure, about)
        for name, figure in _all_figures(content, results)
    ]


def write_history_figure(folder: Path, history: History) -> Path:
    """`history.png` alone, for a training that goes on.

    Raises:
        UserError: full disk or no right to write.
    """
    return _write(folder / "history.png", history_figure(history), {"Software": "neuralcodes"})


def _write(path: Path, figure: Figure, about: dict[str, str]) -> Path:
    with atomic_write(path) as file:
        file.write(png_bytes(figure, about))
    return path


def _all_figures(content: RunContent, results: Results) -> Iterator[tuple[str, Figure]]:
    for name, plot in plots_of(content, results).items():
        yield name, plot.draw(LIGHT, False)
    yield "samples", samples_figure(content.split)
    used: set[str] = set()
    for layer in results.layers:
        name = "neighbours_" + re.sub(r"[^A-Za-z0-9._-]+", "_", layer.alias)
        while name in used:
            name += "_"
        used.add(name)
        yield name, neighbours_figure(layer, content.split.ood)
