"""The page as a browser reads it: parsed, every image opened, every link followed."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from neuralcodes.common.errors import UserError
from neuralcodes.evaluation.class_retrieval import ClassRetrieval
from neuralcodes.evaluation.score import Score
from neuralcodes.images.imageset import ClassName, ImageSet
from neuralcodes.images.splits import Split
from neuralcodes.reports.content import RunContent
from neuralcodes.reports.page import render_page, write_report

VOID = {"meta", "img", "source", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Tags, text and faults of a page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.faults: list[str] = []
        self.words: list[str] = []
        self.cells: list[list[str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.words.append(data)
        if self.open and {"td", "th"} & set(self.open):
            self.cells[-1][-1] += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def row(self, first: str) -> list[str]:
        """Cells of the table row that begins so."""
        return next(cells for cells in self.cells if cells and cells[0] == first)


@pytest.fixture(scope="module")
def html(content: RunContent) -> str:
    return render_page("demo", content)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_the_page_is_well_formed(page: Page) -> None:
    assert page.faults == [] and page.open == []
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [a["href"] for a in page.all("a")]
    assert len(links) == 7
    assert all(link[0] == "#" and link[1:] in ids for link in links)
    assert [len(page.all(tag)) for tag in ("h1", "title", "main")] == [1, 1, 1]
    assert page.all("html")[0]["lang"] == "en"


def test_it_needs_nothing_from_outside(html: str, page: Page) -> None:
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "embed", "base", "form"}
    assert "://" not in html
    assert "url(" not in html and "@import" not in html
    assert not any(key.startswith("on") for _, attributes in page.tags for key in attributes)
    policy = next(a["content"] for a in page.all("meta") if "http-equiv" in a)
    assert "default-src 'none'" in policy


def _data(uri: str) -> tuple[str, bytes]:
    match = re.fullmatch(r"data:(image/[a-z+]+);base64,([A-Za-z0-9+/=]+)", uri)
    assert match, uri[:80]
    return match[1], base64.b64decode(match[2], validate=True)


def test_every_image_is_inside_and_opens(page: Page, content: RunContent) -> None:
    images = page.all("img")
    plots, queries, samples = 4, 10, 4 * 8
    assert len(images) == plots + queries + queries * 3 * 5 + samples
    for source in [a["src"] for a in images] + [a["srcset"] for a in page.all("source")]:
        kind, data = _data(source)
        if kind == "image/svg+xml":
            assert ElementTree.fromstring(data).tag.endswith("svg")
        else:
            assert Image.open(io.BytesIO(data)).size == content.split.ood.size
    assert all(image["alt"].strip() for image in images)
    # each plot for narrow and dark pages
    assert len(page.all("source")) == 3 * plots


def test_thumbnails_are_the_neighbours(page: Page, content: RunContent) -> None:
    shown = [a["src"] for a in page.all("img") if a["src"].startswith("data:image/png")]
    ood = content.split.ood
    expected = []
    for query in range(10):
        expected.append(query)
        for found in content.retrievals.values():
            expected += found.neighbours.rows[query].tolist()
    for uri, row in zip(shown, expected, strict=False):
        pixels = np.asarray(Image.open(io.BytesIO(_data(uri)[1])).convert("RGB"))
        assert np.array_equal(pixels, ood.read([row])[0])


def test_same_class_is_told_by_mark_and_colour(page: Page, content: RunContent) -> None:
    labels = content.split.ood.label_array()
    same = sum(
        int((labels[found.neighbours.rows[query]] == labels[query]).sum())
        for found in content.retrievals.values()
        for query in range(10)
    )
    kinds = [a.get("class", "") for a in page.all("li")]
    assert kinds.count("tile same") == same and 0 < same < 150
    assert kinds.count("tile other") == 150 - same
    marks = [word for word in page.words if word in ("✓", "✗")]
    assert marks.count("✓") == same + 1 and marks.count("✗") == 150 - same + 1  # and the key


def test_tables_hold_the_figures(page: Page, content: RunContent) -> None:
    test = page.row("Test")
    assert test[1:3] == ["126", "0.811"]
    assert test[3].startswith("71.4%") and test[4].startswith("95.2%")
    assert page.row("Test, founding experiment")[-2:] == ["about 33%", "about 60%"]
    for alias, found in content.retrievals.items():
        score = found.average_precision
        low, high = score.interval()
        row = page.row(alias)
        assert row[1] == f"{found.spec.dims:,}"
        assert row[2] == f"{score.mean:.3f} {low:.3f} to {high:.3f}"
        assert found.spec.fingerprint() in page.text
    assert page.row("L6")[3:] == ["0.320", "0.749", "0.435"]
    assert page.row("L7")[3:] == ["–", "0.736", "0.430"]
    assert page.row("Total")[-1] == f"{sum(row.parameters for row in content.layers):,}"
    assert page.row("flatten")[1:4] == ["L5", "Flatten", "512"]
    at_10 = page.row("10")
    precision, recall = content.retrievals["L5"].precision_at, content.retrievals["L7"].recall_at
    for cell, found in ((at_10[1], precision[10]), (at_10[6], recall[10])):
        assert cell == f"{found.mean:.3f} {found.low:.3f} to {found.high:.3f}"
        assert found.low < found.mean < found.high
    assert page.row("memory") == ["memory", "8.0 GiB"]
    assert page.row("nested · patience") == ["nested · patience", "0"]
    assert page.row("cpu") == ["cpu", "Tom & Jerry <2>"]


def test_tables_say_what_their_cells_are(page: Page) -> None:
    assert len(page.all("table")) >= 4
    assert all("scope" in attributes for attributes in page.all("th"))


def test_it_says_what_the_figures_say(page: Page, content: RunContent) -> None:
    best = max(content.retrievals.values(), key=lambda found: found.average_precision.mean)
    assert f"mAP {best.average_precision.mean:.3f} (95% interval" in page.text
    assert "names the right one of 7 classes for 71.4% of 126 test images" in page.text
    assert "as recalled" in page.text
    assert content.stopped_because in page.text
    assert "The weights of epoch 5 were kept" in page.text
    questions = ("overfitting?", "raise test accuracy?", "layers differ?", "run confirm?")
    assert all(question in page.text for question in questions)


def test_intervals_of_precision_at_k_where_they_are_known(content: RunContent) -> None:
    retrieval = content.retrievals["L5"]
    values = np.linspace(0, 1, 50)
    scores = {k: Score("", values) for k in retrieval.precision_at}
    known = replace(retrieval, precision_at=scores, recall_at=scores)  # type: ignore[arg-type]
    page = Page(render_page("demo", replace(content, retrievals={"L5": known})))
    low, high = scores[10].interval()
    assert page.row("10")[1:] == [f"0.500 {low:.3f} to {high:.3f}"] * 2
    assert "K nearest images, with 95% bootstrap intervals" in page.text


def test_hostile_names_stay_text(content: RunContent) -> None:
    name = '<script>alert("x")</script> & \'q\' "'
    ood = content.split.ood
    classes = tuple(ClassName(c.folder, name) for c in ood.classes)
    hostile = replace(
        content,
        config={name: name},
        stopped_because=name,
        split=replace(content.split, ood=replace(ood, classes=classes)),
    )
    text = render_page(name, hostile)
    page = Page(text)
    assert page.faults == [] and page.open == []
    assert "<script" not in text
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in Page(render_page("x", content)).tags}
    assert name in page.all("img")[5]["alt"]
    assert [name, name] in page.cells
    assert "".join(page.words).count(name) > 100


def test_the_same_content_gives_the_same_bytes(html: str, content: RunContent) -> None:
    assert render_page("demo", content) == html


def test_one_layer_few_images_one_epoch(
    content: RunContent, retrieval_of: Callable[[ImageSet, str, int], ClassRetrieval]
) -> None:
    ood = content.split.ood.select([0, 1, 2])
    small = replace(
        content,
        history=content.history[:1],
        kept_epoch=1,
        retrievals={"head/x": retrieval_of(ood, "head/x", 2)},
        split=replace(content.split, ood=ood),
        comparison=None,
        layers=[],
    )
    page = Page(render_page("small", small))
    assert page.faults == []
    assert "Only head/x was searched." in page.text
    assert "paper" not in page.text  # none of its layers is here
    assert len(page.row("head/x")) == 3


def test_without_retrieval(content: RunContent) -> None:
    page = Page(render_page("train only", replace(content, retrievals={})))
    assert page.faults == []
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert "retrieval" not in ids
    assert all(a["href"][1:] in ids for a in page.all("a"))


def test_large_photographs_become_small_thumbnails(
    content: RunContent, retrieval_of: Callable[[ImageSet, str, int], ClassRetrieval]
) -> None:
    generator = np.random.default_rng(0)
    count = 20
    large = ImageSet(
        pixels=generator.integers(0, 256, (count, 160, 240, 3), dtype=np.uint8),
        rows=np.arange(count),
        keys=tuple(f"{row}.jpg" for row in range(count)),
        labels=np.arange(count) % 2,
        classes=(ClassName("a", "a"), ClassName("b", "b")),
        source="noise",
        content="noise",
    )
    photographs = replace(
        content, split=Split(large, large, large, large),
        retrievals={"L5": retrieval_of(large, "L5", 8)},
    )  # fmt: skip
    page = Page(render_page("photographs", photographs))
    sizes = set()
    for image in page.all("img"):
        kind, data = _data(image["src"])
        if kind == "image/jpeg":
            sizes.add(Image.open(io.BytesIO(data)).size)
    assert sizes == {(96, 64)}


def test_written_whole_and_again(content: RunContent, html: str, tmp_path: Path) -> None:
    run = tmp_path / "demo"
    (run / "figures").mkdir(parents=True)
    (run / "figures" / "mine.png").write_bytes(b"kept")
    (run / "report.html").write_text("old")
    path = write_report(run, content)
    assert path == run / "report.html"
    assert path.read_text(encoding="utf-8") == html
    assert (run / "figures" / "mine.png").read_bytes() == b"kept"
    assert {entry.name for entry in run.iterdir()} == {"figures", "report.html"}
    assert path.stat().st_size < 3_000_000


def test_a_run_that_cannot_be_written_is_told_in_one_line(
    content: RunContent, tmp_path: Path
) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(UserError, match="run/figures") as error:
        write_report(tmp_path / "run", content)
    assert "\n" not in str(error.value)
