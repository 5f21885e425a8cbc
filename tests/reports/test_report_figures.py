"""Figures drawn to real files and looked at pixel by pixel."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from neuralcodes.common.errors import UserError
from neuralcodes.evaluation.class_retrieval import ClassRetrieval
from neuralcodes.evaluation.score import ScoreSummary
from neuralcodes.images.imageset import ClassName, ImageSet
from neuralcodes.index.ranking import Ranking
from neuralcodes.reports import pictures
from neuralcodes.reports.content import RunContent
from neuralcodes.reports.figures import plots_of, write_figures
from neuralcodes.reports.pictures import (
    fit,
    neighbours_figure,
    neighbours_of,
    sample_rows,
    samples_figure,
)
from neuralcodes.reports.plots import at_k_figure, history_figure, map_figure
from neuralcodes.reports.results import Results, work_out
from neuralcodes.reports.style import DARK, LIGHT, PNG_LIMIT, Style, png_bytes, svg_bytes
from neuralcodes.training.history import History

RetrievalOf = Callable[[ImageSet, str, int], ClassRetrieval]


@pytest.fixture(scope="module")
def results(content: RunContent) -> Results:
    return work_out(content)


def _noise(classes: list[str], count: int, height: int, width: int) -> ImageSet:
    """Noise: nothing compresses worse."""
    generator = np.random.default_rng(0)
    return ImageSet(
        pixels=generator.integers(0, 256, (count, height, width, 3), dtype=np.uint8),
        rows=np.arange(count),
        keys=tuple(f"{row}.png" for row in range(count)),
        labels=np.arange(count) % len(classes),
        classes=tuple(ClassName(name, name) for name in classes),
        source="noise",
        content="noise",
    )


def _open(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def test_all_figures_are_small_png_files(
    content: RunContent, results: Results, tmp_path: Path
) -> None:
    files = write_figures(tmp_path / "figures", content, results)
    assert sorted(path.name for path in files) == [
        "history.png",
        "map.png",
        "neighbours_L5.png",
        "neighbours_L6.png",
        "neighbours_L7.png",
        "precision_recall.png",
        "precision_recall_at_k.png",
        "samples.png",
    ]
    assert sorted((tmp_path / "figures").iterdir()) == sorted(files)  # nothing half-written
    for path in files:
        picture = _open(path.read_bytes())
        assert picture.format == "PNG"
        assert path.stat().st_size <= 250_000
        assert min(picture.size) > 250 and max(picture.size) < 1600
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20  # something is drawn
        for layer in results.layers:
            assert layer.spec.fingerprint() in picture.info["Code"]


def test_pictures_of_noise_stay_small_too(
    content: RunContent, retrieval_of: RetrievalOf, tmp_path: Path
) -> None:
    noise = _noise(["a", "b"], 64, 64, 64)
    noisy = replace(
        content,
        split=replace(content.split, ood=noise, train=noise, val=noise, test=noise),
        retrievals={"L5": retrieval_of(noise, "L5", 8)},
    )
    for path in write_figures(tmp_path, noisy, work_out(noisy)):
        _open(path.read_bytes())
        assert path.stat().st_size <= 250_000


def test_png_has_fewer_colours_only_when_it_must(content: RunContent) -> None:
    figure = samples_figure(content.split)
    assert _open(png_bytes(figure, {})).mode == "RGB"
    full = len(png_bytes(figure, {}))
    squeezed = png_bytes(figure, {}, limit=full - 1)
    assert _open(squeezed).mode == "P"
    assert len(squeezed) < full <= PNG_LIMIT


def _tile(picture: np.ndarray, line: int, column: int) -> tuple[np.ndarray, np.ndarray]:
    """The image at a place of a neighbours figure, and the pixel of its frame's corner."""
    x = pictures.MARGIN + column * pictures.COLUMN + (18 if column else 0)
    y = 52 + line * pictures.ROW
    side = pictures.TILE
    return picture[y : y + side, x : x + side], picture[y - 2, x - 2]


def test_neighbours_are_the_right_images_in_the_right_frames(
    content: RunContent, results: Results
) -> None:
    ood = content.split.ood
    labels = ood.label_array()
    layer = results.layer("L7")
    figure = neighbours_figure(layer, ood)
    picture = np.asarray(_open(png_bytes(figure, {})))
    agreements = []
    for query in range(10):
        shown, _ = _tile(picture, query, 0)
        assert np.array_equal(shown, fit(ood.read([query])[0], 64))
        for column, row in enumerate(layer.neighbours.rows[query], start=1):
            shown, corner = _tile(picture, query, column)
            assert np.array_equal(shown, fit(ood.read([row])[0], 64))
            same = bool(labels[row] == labels[query])
            colour = np.round(np.array(to_rgb(LIGHT.good if same else LIGHT.bad)) * 255)
            assert np.array_equal(corner, colour)
            agreements.append(same)
    assert True in agreements and False in agreements  # both kinds were seen
    texts = [text.get_text() for text in figure.texts]
    marks = [text[0] for text in texts if text[:1] in ("✓", "✗")]
    assert marks == ["✓" if same else "✗" for same in agreements]
    assert f"✗ {layer.neighbours.distances[0][0]:.3f}" in texts or (
        f"✓ {layer.neighbours.distances[0][0]:.3f}" in texts
    )


def test_fewer_neighbours_than_asked_for(content: RunContent, results: Results) -> None:
    few = Ranking(
        np.array([[1, -1, -1, -1, -1]]), np.array([[0.5] + [np.inf] * 4], dtype=np.float32)
    )
    layer = replace(results.layer("L5"), neighbours=few)
    found = neighbours_of(layer, content.split.ood.label_array(), 0)
    assert [neighbour.row for neighbour in found] == [1]
    png_bytes(neighbours_figure(layer, content.split.ood), {})


@pytest.mark.parametrize("shape", [(16, 16), (40, 30), (64, 64), (120, 200), (1, 300)])
def test_images_of_any_shape_fit(shape: tuple[int, int]) -> None:
    image = fit(np.full((*shape, 3), 7, np.uint8), 64)
    assert 32 < max(image.size) <= 64 and min(image.size) >= 1
    assert np.all(np.asarray(image) == 7)


def test_class_names_are_no_formulas_and_no_warnings(
    content: RunContent, retrieval_of: RetrievalOf
) -> None:
    images = _noise(["$5 & $x_{", "犬 <b>"], 12, 16, 16)
    results = work_out(
        replace(
            content,
            split=replace(content.split, ood=images),
            retrievals={"L5": retrieval_of(images, "L5", 4)},
        )
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = neighbours_figure(results.layer("L5"), images)
        png_bytes(figure, {})
    assert "$5 & $x_{" in [text.get_text() for text in figure.texts]


def test_samples_are_seeded_and_differ(content: RunContent) -> None:
    train = content.split.train
    assert sample_rows(train) == sample_rows(train)
    assert sample_rows(train) != sample_rows(train, seed=1)
    assert len(set(sample_rows(train))) == 8
    assert sorted(sample_rows(train.select([3, 4]))) == [0, 1]


def test_history_shows_each_value_and_the_kept_epoch(content: RunContent) -> None:
    figure = history_figure(content.history, content.kept_epoch)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["Cross-entropy", "Accuracy", "Top-5 accuracy"]
    loss = {line.get_label(): line for line in figure.axes[0].lines}
    assert list(loss["validation"].get_ydata()) == [e.val_loss for e in content.history]
    assert list(loss["train"].get_ydata()) == [e.train_loss for e in content.history]
    assert set(loss["kept epoch"].get_xdata()) == {5}
    top5 = {line.get_label(): line for line in figure.axes[2].lines}
    assert list(top5["train"].get_ydata()) == [e.train_top5 for e in content.history]
    running = history_figure(content.history)
    assert "kept epoch" not in [line.get_label() for line in running.axes[0].lines]


@pytest.mark.parametrize("epochs", [1, 2, 60])
def test_history_of_any_length(history_of: Callable[..., History], epochs: int) -> None:
    figure = history_figure(history_of(list(np.linspace(3, 2, epochs))), epochs)
    _open(png_bytes(figure, {}))
    ticks = figure.axes[0].get_xticks()
    assert np.array_equal(ticks, np.round(ticks))


def test_map_figure_shows_interval_and_comparison(content: RunContent, results: Results) -> None:
    figure = map_figure(results, content.comparison)
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.lines}
    low, high = results.layers[0].mean_average_precision[1]
    assert list(lines["95% interval"].get_xdata()) == [low, high]
    assert list(lines["founding experiment"].get_xdata()) == [0.29, 0.32]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["L5", "L6", "L7"]
    alone = map_figure(results, None).axes[0]
    assert "founding experiment" not in [line.get_label() for line in alone.lines]


def test_at_k_has_bands_where_intervals_are_known(content: RunContent) -> None:
    banded = at_k_figure(work_out(content))
    assert all(len(axes.collections) == len(content.retrievals) for axes in banded.axes)
    retrieval = content.retrievals["L5"]
    means = {k: ScoreSummary(v.mean, np.nan, np.nan) for k, v in retrieval.precision_at.items()}
    earlier = replace(retrieval, precision_at=means, recall_at=means)
    bare = at_k_figure(work_out(replace(content, retrievals={"L5": earlier})))
    assert not any(axes.collections for axes in bare.axes)


def test_layers_of_any_name_and_number(content: RunContent, tmp_path: Path) -> None:
    retrieval = content.retrievals["L5"]
    names = ["blocks/3", "blocks:3", "../up", *[f"layer{n}" for n in range(2)]]
    many = replace(content, retrievals=dict.fromkeys(names, retrieval), comparison=None)
    files = write_figures(tmp_path / "figures", many, work_out(many))
    assert len({path.name for path in files}) == len(files) == 5 + len(names)
    assert all(path.parent == tmp_path / "figures" for path in files)
    assert {path.name for path in tmp_path.iterdir()} == {"figures"}


def test_plots_have_words_for_those_who_do_not_see_them(
    content: RunContent, results: Results
) -> None:
    alts = {name: plot.alt for name, plot in plots_of(content, results).items()}
    assert "lowest in epoch 4" in alts["history"] and "Epoch 5 was kept" in alts["history"]
    mean = results.layers[0].mean_average_precision[0]
    assert f"L5 {mean:.3f}" in alts["map"]
    assert "founding experiment 0.290" in alts["map"]
    assert "Precision at recall 0.5" in alts["precision_recall"]
    assert "recall" in alts["precision_recall_at_k"]


@pytest.mark.parametrize(("style", "narrow"), [(LIGHT, False), (DARK, True)])
def test_svg_is_whole_and_small(
    content: RunContent, results: Results, style: Style, narrow: bool
) -> None:
    for plot in plots_of(content, results).values():
        data = svg_bytes(plot.draw(style, narrow))
        assert ElementTree.fromstring(data).tag.endswith("svg")
        assert len(data) < 150_000


def test_svg_is_the_same_each_time(content: RunContent) -> None:
    first, second = (svg_bytes(history_figure(content.history, 5)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("style", [LIGHT, DARK])
def test_colours_stand_out_from_the_page(style: Style) -> None:
    def luminance(colour: str) -> float:
        parts = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)
        ]
        return float(np.dot(parts, [0.2126, 0.7152, 0.0722]))

    def contrast(a: str, b: str) -> float:
        light, dark = sorted((luminance(a), luminance(b)), reverse=True)
        return (light + 0.05) / (dark + 0.05)

    for colour in (style.ink, style.muted, style.good, style.bad, *style.series):
        assert contrast(colour, style.paper) >= 4.5


def test_matplotlib_is_left_as_it_was(content: RunContent) -> None:
    before = dict(matplotlib.rcParams)
    png_bytes(history_figure(content.history), {})
    assert dict(matplotlib.rcParams) == before


def test_pyplot_is_never_loaded() -> None:
    code = "import sys, neuralcodes.reports.page as p; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_file_in_the_way_is_told(content: RunContent, results: Results, tmp_path: Path) -> None:
    (tmp_path / "figures").write_text("in the way")
    with pytest.raises(UserError, match="figures"):
        write_figures(tmp_path / "figures", content, results)
