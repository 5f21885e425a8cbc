"""How figures look, and how they become PNG and SVG files."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, PngImagePlugin

PNG_LIMIT = 240_000  # bytes; figures are kept in git
DPI = 130  # of plots; pictures are drawn pixel by pixel
PALETTES = (256, 128, 64, 32, 16)

# Whatever a user's matplotlibrc says, a report looks the same.
plain = matplotlib.rc_context(
    {
        "text.usetex": False,
        "text.parse_math": False,  # a class may be called "$5 and $10 notes"
        "font.family": ["DejaVu Sans"],
        "font.size": 9.5,
        "axes.unicode_minus": True,
        "axes.titlesize": 10.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "legend.fontsize": 9,
        "svg.fonttype": "path",
        "svg.hashsalt": "neuralcodes",  # the same figure gives the same bytes
        "path.simplify": True,
    }
)


@dataclass(frozen=True)
class Style:
    """Colours of a figure on a light or a dark page.

    Attributes:
        ink, muted, grid, paper: text, secondary text, grid lines, background.
        good, bad: same class and another one; always with a mark beside the colour.
        series: of layers and splits, in turn; each comes with its own dashes and marker.
    """

    ink: str
    muted: str
    grid: str
    paper: str
    good: str
    bad: str
    series: tuple[str, ...]

    def line(self, number: int) -> dict[str, Any]:
        """Colour, dashes and marker of the line of this number."""
        return {
            "color": self.series[number % len(self.series)],
            "linestyle": ("-", "--", "-.", ":")[number % 4],
            "marker": "os^Dvp"[number % 6],
        }


# Series: Okabe and Ito's colours, told apart by colour-blind people too, darkened or lightened to
# stand out from the page.
LIGHT = Style(
    ink="#1b1f24", muted="#59636e", grid="#e3e6ea", paper="#ffffff", good="#137a3f", bad="#c4281c",
    series=("#0072b2", "#c65102", "#00805f", "#a8457f", "#7a6000", "#4b4ba8"),
)  # fmt: skip
DARK = Style(
    ink="#e6e9ed", muted="#9ba5b0", grid="#2f3640", paper="#171b21", good="#4cc38a", bad="#ff8078",
    series=("#5ab4f0", "#f2965a", "#3fcfa2", "#e49acb", "#e3c352", "#aaa8f8"),
)  # fmt: skip


def new_figure(
    style: Style, panels: int, narrow: bool, panel: tuple[float, float] = (3.6, 2.9)
) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side, or one below the other when `narrow`.

    Args:
        panel: width and height of one, in inches; narrow ones are 4.2 wide.
    """
    rows, columns = (panels, 1) if narrow else (1, panels)
    size = (4.2, 3.1 * panels) if narrow else (panel[0] * panels, panel[1])
    figure = Figure(figsize=size, dpi=DPI, facecolor=style.paper, layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(rows, columns, number + 1) for number in range(panels)]
    for part in axes:
        dress(part, style)
    return figure, axes


def dress(axes: Axes, style: Style) -> None:
    """Quiet axes: no box, light grid, muted ticks."""
    axes.set_facecolor(style.paper)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(style.muted)
    axes.tick_params(colors=style.muted, which="both", length=3)
    axes.grid(True, color=style.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.xaxis.label.set_color(style.ink)
    axes.yaxis.label.set_color(style.ink)


def add_legend(axes: Axes, style: Style) -> None:
    """A legend without a frame, where it covers the least."""
    axes.legend(loc="best", frameon=False, labelcolor=style.ink, handlelength=2.6)


@plain
def png_bytes(figure: Figure, about: Mapping[str, str], limit: int = PNG_LIMIT) -> bytes:
    """The figure as a PNG file of at most `limit` bytes, if fewer colours can bring it there.

    Args:
        about: text kept in the file ("Code" → a code's name and fingerprint).
    """
    file = io.BytesIO()
    with warnings.catch_warnings():
        # the font has no sign for some class's name; the page shows it in the reader's fonts
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(file, format="raw", dpi=figure.dpi, facecolor=figure.get_facecolor())
    size = FigureCanvasAgg(figure).get_width_height()
    picture = Image.frombuffer("RGBA", size, file.getvalue())
    info = PngImagePlugin.PngInfo()
    for key, value in about.items():
        info.add_itxt(key, value)
    data = _encode(picture.convert("RGB"), info)
    for colours in PALETTES:
        if len(data) <= limit:
            break
        data = _encode(picture.convert("RGB").quantize(colours), info)
    return data


def _encode(picture: Image.Image, info: PngImagePlugin.PngInfo) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True, pnginfo=info)
    return file.getvalue()


@plain
def svg_bytes(figure: Figure) -> bytes:
    """The figure as SVG, text as outlines, the same bytes each time."""
    file = io.BytesIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(file, format="svg", metadata=nothing, facecolor=figure.get_facecolor())
    return file.getvalue()
