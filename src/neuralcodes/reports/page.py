"""A run's report: one HTML page that needs nothing beside itself, and its figures as PNG files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from neuralcodes.common.files import write_text
from neuralcodes.evaluation.class_retrieval import SHOWN_NEIGHBOURS
from neuralcodes.images.imageset import ImageSet
from neuralcodes.reports import wording
from neuralcodes.reports.answers import (
    Answer,
    headline,
    layers_differ,
    overfitting,
    published_order,
    raising_accuracy,
)
from neuralcodes.reports.content import PAPER, PAPER_NOTE, RunContent
from neuralcodes.reports.figures import Plot, plots_of, write_figures
from neuralcodes.reports.pictures import (
    PIXEL_ART,
    SAMPLES,
    data_uri,
    neighbours_of,
    sample_rows,
    shown_queries,
    thumbnail,
)
from neuralcodes.reports.results import Results, work_out
from neuralcodes.reports.retraining import changes, summary
from neuralcodes.reports.style import DARK, LIGHT, svg_bytes

NARROW = "(max-width: 40rem)"
DARK_PAGE = "(prefers-color-scheme: dark)"


def write_report(run: Path, content: RunContent) -> Path:
    """Write `run`/report.html and `run`/figures/*.png, each file atomically.

    Returns:
        The page's path.

    Raises:
        UserError: full disk or no right to write.
    """
    results = work_out(content)
    write_figures(run / "figures", content, results)
    page = run / "report.html"
    write_text(page, render_page(run.resolve().name, content, results))
    return page


def render_page(name: str, content: RunContent, results: Results | None = None) -> str:
    """The report page as HTML; the same content gives the same bytes.

    Args:
        name: of the run, for the title.
        results: worked out from `content` when not given.
    """
    results = results or work_out(content)
    plots = plots_of(content, results)
    found = changes(content.before, content.retrievals)
    return (
        page_environment()
        .get_template("run.html.j2")
        .render(
            name=name,
            content=content,
            results=results,
            headline=_headline(content, results),
            answers=answers(content, results),
            changes=found,
            changes_summary=summary(found),
            plots={key: plot_forms(plot) for key, plot in plots.items()},
            queries=_queries(content, results),
            samples=_samples(content),
            split_names=wording.SPLIT_NAMES,
            config=wording.flat_config(content.config),
            paper=[
                p for p in PAPER if any(r.alias in p.mean_average_precision for r in results.layers)
            ],
            paper_note=PAPER_NOTE,
            bands=any(
                not math.isnan(low)
                for layer in results.layers
                for _, (low, _) in layer.precision_at.values()
            ),
            cut_offs=sorted({k for layer in results.layers for k in layer.precision_at}),
            parameters=sum(row.parameters for row in content.layers),
            training_time=wording.duration(sum(entry.seconds for entry in content.history)),
            neighbours=SHOWN_NEIGHBOURS,
            tiny=max(content.split.ood.size) <= PIXEL_ART,
            narrow=NARROW,
            dark=DARK_PAGE,
        )
    )


def answers(content: RunContent, results: Results) -> list[Answer]:
    """The founding experiment's questions, answered from this run."""
    history, kept, scores = content.history, content.kept_epoch, content.classification
    return [
        overfitting(history, kept, scores, results.counts),
        raising_accuracy(history, kept, scores, results.counts, results.classes),
        layers_differ(
            results.order,
            results.differences,
            {layer.alias: layer.mean_average_precision[0] for layer in results.layers},
            {layer.alias: layer.spec.dims for layer in results.layers},
        ),
        published_order(results.order, results.differences, content.comparison),
    ]


def _headline(content: RunContent, results: Results) -> str:
    best = None
    if results.order:
        alias = results.order[0]
        best = (alias, *results.layer(alias).mean_average_precision)
    counts = results.counts
    return headline(
        content.classification, counts["test"], results.classes, best, counts["ood"], results.unseen
    )


def page_environment() -> Environment:
    """Templates and the words that they use."""
    environment = Environment(
        loader=PackageLoader("neuralcodes.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for word in ("fraction", "percent", "span", "percent_span", "plural", "signed"):
        environment.filters[word] = getattr(wording, word)
    return environment


def plot_forms(plot: Plot) -> dict[str, Any]:
    """A plot as SVG: wide and narrow, light and dark, with its size in CSS pixels."""
    forms: dict[str, Any] = {"alt": plot.alt}
    for width, narrow in (("wide", False), ("narrow", True)):
        for tone, style in (("light", LIGHT), ("dark", DARK)):
            figure = plot.draw(style, narrow)
            forms[f"{width}_{tone}"] = data_uri("image/svg+xml", svg_bytes(figure))
            inches = figure.get_size_inches()
            forms[f"{width}_size"] = tuple(round(float(length) * 96) for length in inches)
    return forms


@dataclass(frozen=True)
class Picture:
    """An image on the page: its data URI, class (short and in full), file name."""

    uri: str
    short: str
    title: str
    key: str


def _picture(images: ImageSet, row: int) -> Picture:
    name = images.classes[images.label_array()[row]]
    return Picture(
        thumbnail(images.read([row])[0]), wording.short_title(name, 40), name.title, images.key(row)
    )


def _queries(content: RunContent, results: Results) -> list[dict[str, Any]]:
    """For each shown query its picture and, by layer, the pictures found."""
    images = content.split.ood
    labels = images.label_array()
    if not results.layers:
        return []
    return [
        {
            "picture": _picture(images, query),
            "layers": [
                {
                    "alias": layer.alias,
                    "found": [
                        (found, _picture(images, found.row))
                        for found in neighbours_of(layer, labels, query)
                    ],
                }
                for layer in results.layers
            ],
        }
        for query in shown_queries(results.layers[0])
    ]


def _samples(content: RunContent) -> list[dict[str, Any]]:
    return [
        {
            "name": wording.SPLIT_NAMES[name],
            "images": len(images),
            "pictures": [_picture(images, row) for row in sample_rows(images, SAMPLES)],
        }
        for name, images in content.split.named().items()
    ]
