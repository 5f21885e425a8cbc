"""A choice's report: one HTML page that needs nothing beside itself, and its picture as PNG."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from neuralcodes.choosing.closer import Example
from neuralcodes.choosing.indexes import GAIN, SLOW, TARGET
from neuralcodes.choosing.outcome import Choice
from neuralcodes.common.files import atomic_write, write_text
from neuralcodes.images.imageset import ImageSet
from neuralcodes.reports import wording
from neuralcodes.reports.answers import Answer
from neuralcodes.reports.choice_plot import (
    choice_alt,
    choice_figure,
    kind_name,
    layer_name,
    short_code,
)
from neuralcodes.reports.choice_words import (
    certainty,
    layer_answer,
    quality_lines,
    subject_line,
)
from neuralcodes.reports.figures import Plot
from neuralcodes.reports.page import DARK_PAGE, NARROW, page_environment, plot_forms
from neuralcodes.reports.pictures import PIXEL_ART, thumbnail
from neuralcodes.reports.style import png_bytes


def write_choice_report(folder: Path, choice: Choice, images: ImageSet) -> Path:
    """Write `folder`/report.html and `folder`/figures/choice.png, each atomically.

    Args:
        folder: of the choice.
        choice: what was found.
        images: those that its examples are rows of.

    Returns:
        The page's path.

    Raises:
        UserError: full disk or no right to write.
    """
    about = {"Software": "neuralcodes", "Code": choice.chosen.code}
    with atomic_write(folder / "figures" / "choice.png") as file:
        file.write(png_bytes(choice_figure(choice), about))
    page = folder / "report.html"
    write_text(page, render_choice(choice, images))
    return page


def render_choice(choice: Choice, images: ImageSet) -> str:
    """The page as HTML; the same choice and images give the same bytes."""
    plot = Plot(choice_alt(choice), partial(choice_figure, choice))
    return (
        page_environment()
        .get_template("choice.html.j2")
        .render(
            choice=choice,
            chosen=choice.chosen,
            estimate=choice.kind == "views",
            subject=subject_line(choice),
            answers=answers(choice),
            plot_forms=plot_forms(plot),
            rows=[
                (
                    point,
                    short_code(point, choice.points),
                    layer_name(point, choice.points),
                    kind_name(point),
                )
                for point in choice.points
            ],
            indexes=[
                (one, short_code(choice.point(one.code), choice.points)) for one in choice.indexes
            ],
            examples=_examples(choice, images),
            record=wording.flat_config(choice.record),
            tiny=max(images.size) <= PIXEL_ART,
            neighbours=max((len(e.found) for c in choice.examples.values() for e in c), default=1),
            target=TARGET,
            narrow=NARROW,
            dark=DARK_PAGE,
        )
    )


def answers(choice: Choice) -> list[Answer]:
    """What a user asks, answered from this sweep."""
    judged = choice.decision.judged
    quality = quality_lines(choice)
    sure = certainty(choice)
    decision = choice.decision
    gap = decision.against_best
    if gap is None:
        verdict = "It is the best of all that were tried."
    elif not gap.real:
        verdict = "It is not shown to be worse than the best of all."
    else:
        verdict = (
            f"The best is better by {wording.fraction(abs(gap.difference))} mAP at "
            f"{decision.best.bytes:,} bytes."
        )
    unseen = "classes" if choice.kind == "labels" else "images"
    return [
        layer_answer(choice),
        Answer(
            "How good is it?",
            f"mAP {wording.fraction(judged.judged_on.mean)} on {unseen} that did not choose.",
            tuple(quality),
        ),
        Answer("How sure is the recommendation?", verdict, tuple(sure)),
        _index_answer(choice),
    ]


def _index_answer(choice: Choice) -> Answer:
    question = "Which index?"
    index = choice.index
    if index is None:
        return Answer(question, "None was measured: exact search is the default.", ())
    rule = (
        f"Exact search while a query takes less than {SLOW:g} ms; else the fastest index with a "
        f"recall of {TARGET:g}, if it is {GAIN:g} times as fast."
    )
    measured = (
        f"{index.backend}: {index.milliseconds:.2f} ms a query among {index.images:,} images, "
        f"recall {wording.fraction(index.recall)}, {index.bytes:,.0f} bytes an image with the "
        "index."
    )
    growth = (
        "Exact search takes longer in proportion to the number of images; a collection goes over "
        "to another index by itself when it has grown."
    )
    return Answer(question, f"{index.backend}.", (rule, measured, growth))


def _examples(choice: Choice, images: ImageSet) -> list[dict[str, Any]]:
    """For each query its picture and what each code found."""
    codes = list(choice.examples)
    if not codes:
        return []
    labelled = choice.kind == "labels"
    labels = images.label_array() if labelled else None

    def title(row: int) -> str:
        if labels is None:
            return images.key(row)
        return wording.short_title(images.classes[labels[row]], 40)

    def found(example: Example) -> list[dict[str, Any]]:
        return [
            {
                "uri": thumbnail(images.read([row])[0]),
                "title": title(row),
                "key": images.key(row),
                "distance": far,
                "agrees": None if labels is None else bool(labels[row] == labels[example.query]),
            }
            for row, far in zip(example.found, example.distances, strict=True)
            if row >= 0
        ]

    return [
        {
            "uri": thumbnail(images.read([row])[0]),
            "title": title(row),
            "key": images.key(row),
            "codes": [
                {
                    "code": code,
                    "role": "recommended" if code == choice.chosen.code else "the worst layer",
                    "found": found(choice.examples[code][number]),
                }
                for code in codes
            ],
        }
        for number, row in enumerate(example.query for example in choice.examples[codes[0]])
    ]
