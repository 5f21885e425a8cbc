"""The report of a training without labels: one page, and its figure as a PNG file."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from neuralcodes.choosing.views import KINDS
from neuralcodes.common.files import write_text
from neuralcodes.evaluation.class_retrieval import SHOWN_NEIGHBOURS
from neuralcodes.reports import wording
from neuralcodes.reports.content import RunContent
from neuralcodes.reports.figures import Plot, write_history_figure
from neuralcodes.reports.page import DARK_PAGE, NARROW, page_environment, plot_forms
from neuralcodes.reports.plots import history_alt, history_figure
from neuralcodes.reports.retraining import Change, changes, summary

MOST_VIEWED = 500
"""Held-out images that views are made of, at most."""


def write_unlabelled_report(run: Path, content: RunContent) -> Path:
    """Write `run`/report.html and `run`/figures/history.png, each atomically.

    Returns:
        The page's path.

    Raises:
        UserError: full disk or no right to write.
    """
    write_history_figure(run / "figures", content.history)
    page = run / "report.html"
    write_text(page, render_unlabelled(run.resolve().name, content))
    return page


def render_unlabelled(name: str, content: RunContent) -> str:
    """The page as HTML; the same content gives the same bytes.

    Args:
        name: of the run, for the title.
        content: without classes; `classification` is empty.
    """
    found = changes(content.before, content.retrievals)
    history, kept = content.history, content.kept_epoch
    plot = Plot(history_alt(history, kept), partial(history_figure, history, kept))
    return (
        page_environment()
        .get_template("unlabelled.html.j2")
        .render(
            name=name,
            content=content,
            headline=_headline(found),
            changes=found,
            changes_summary=summary(found),
            counts={part: len(images) for part, images in content.split.named().items()},
            kinds=list(KINDS),
            most_viewed=MOST_VIEWED,
            plots={"history": plot_forms(plot)},
            config=wording.flat_config(content.config),
            neighbours=SHOWN_NEIGHBOURS,
            narrow=NARROW,
            dark=DARK_PAGE,
        )
    )


def _headline(found: tuple[Change, ...]) -> str:
    if not found:
        return "Fine-tuned on images without labels; what it started with was not judged."
    best = max(found, key=lambda change: change.after[0])
    return (
        f"Fine-tuned on images without labels: estimated mAP of {best.alias} from "
        f"{wording.fraction(best.before[0])} to {wording.fraction(best.after[0])}."
    )
