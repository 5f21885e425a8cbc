"""Two pictures side by side with the regions that carry their similarity."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from neuralcodes.codes.explaining import Explanation, Side
from neuralcodes.reports.style import LIGHT, Style, new_figure, plain
from neuralcodes.reports.wording import fraction

GREY = 0.6  # how much colour is taken from a picture under a heat map
COVER = 0.8  # of the picture by the hottest place
COLD = "#2f6fb0"  # of what lowers the similarity


@plain
def explanation_figure(
    explained: Explanation, names: tuple[str, str] = ("query", "result"), style: Style = LIGHT
) -> Figure:
    """Query, its heat map, the result's heat map, result, with what is said in figures.

    Warm colours carry the similarity, the brighter the more, on a scale of each image's own;
    blue lowers it.
    """
    figure, axes = new_figure(style, 4, narrow=False, panel=(2.35, 3.0))
    sides = (explained.query, explained.query, explained.result, explained.result)
    titles = (names[0], "what carries it", "what carries it", names[1])
    for number, (part, side, title) in enumerate(zip(axes, sides, titles, strict=True)):
        _bare(part)
        part.set_title(_cut(title), color=style.ink, loc="left", fontsize=9)
        part.imshow(heated(side) if number in (1, 2) else side.picture)
    figure.suptitle(summary(explained), x=0.01, ha="left", fontsize=9.5, color=style.ink)
    figure.supxlabel(below(explained), x=0.01, ha="left", fontsize=7.5, color=style.muted)
    return figure


def summary(explained: Explanation) -> str:
    """Similarity, distance and, where calibrated, probability."""
    text = f"similarity {fraction(explained.similarity)}   distance {fraction(explained.distance)}"
    if explained.probability is not None:
        text += f"   probability of a match {100 * explained.probability:.0f} %"
    return text


def below(explained: Explanation) -> str:
    """How much of it the heat maps hold, and of which layer they are."""
    if explained.exact:
        held = "the regions add up to the similarity"
    else:
        held = (
            f"the regions hold {fraction(explained.similarity - explained.query.rest)} (query) and "
            f"{fraction(explained.similarity - explained.result.rest)} (result) of it, the rest "
            "belongs to no place"
        )
    text = f"{explained.code}, map of layer {explained.layer}: {held}"
    return f"{text}; {explained.note}" if explained.note else text


def heated(side: Side) -> npt.NDArray[np.float64]:
    """The picture in grey under its heat map, float64 H'×W'×3 from 0 to 1."""
    height, width = side.picture.shape[:2]
    picture = side.picture / 255.0
    grey = picture @ np.array([0.299, 0.587, 0.114])
    ground = (1 - GREY) * picture + GREY * grey[..., None]
    heat = np.asarray(Image.fromarray(side.heat).resize((width, height), Image.Resampling.BICUBIC))
    most = max(float(np.abs(heat).max()), 1e-12)
    share = np.clip(heat / most, -1, 1)
    warm = colormaps["inferno"](0.4 + 0.55 * np.clip(share, 0, 1))[..., :3]
    cold = np.array([int(COLD[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    colour = np.where((share >= 0)[..., None], warm, cold)
    cover = COVER * np.abs(share)[..., None]
    made: npt.NDArray[np.float64] = np.clip((1 - cover) * ground + cover * colour, 0, 1)
    return made


def _bare(axes: Axes) -> None:
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _cut(text: str, width: int = 30) -> str:
    return text if len(text) <= width else "…" + text[1 - width :]
