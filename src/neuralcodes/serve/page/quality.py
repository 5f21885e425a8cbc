"""How good search is here: calibration, measured recall, and the plots of runs and choices."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, Request, Response

from neuralcodes.codes.probability import MatchProbability
from neuralcodes.codes.spec import parse_code
from neuralcodes.common.errors import UserError
from neuralcodes.common.files import read_json
from neuralcodes.reports.reliability import figures_of, reliability_figure, reliability_of, verdict
from neuralcodes.reports.style import DARK, LIGHT, svg_bytes
from neuralcodes.serve.errors import NotFoundError
from neuralcodes.serve.page.facts import facts_of
from neuralcodes.serve.page.rendering import PageRoute, render
from neuralcodes.serve.service import Service
from neuralcodes.serve.services import service_of

PNG = b"\x89PNG\r\n\x1a\n"
LARGEST = 4 * 2**20  # bytes of a figure
SVG_POLICY = "default-src 'none'; style-src 'unsafe-inline'"  # of a picture by itself
TITLES = {
    "choice": "mAP and size of each code",
    "map": "mAP of each layer",
    "precision_recall": "Precision and recall",
    "precision_recall_at_k": "Precision and recall at K",
    "history": "Training",
    "samples": "Samples of the data",
}
FIRST = tuple(TITLES)

router = APIRouter(prefix="/quality", route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True)
class Plot:
    """A figure of a run or a choice: its file, where it is served, and what it shows."""

    path: Path
    url: str
    title: str


@dataclass(frozen=True)
class Report:
    """A run's or choice's folder.

    Attributes:
        name: of the folder.
        kind: "run" or "choice".
        plots: its figures.
        scores: layer, mAP and its 95 % interval, best first; of a run.
        recommendation: of a choice: the code, the rule, mAP.
    """

    name: str
    kind: Literal["run", "choice"]
    plots: tuple[Plot, ...]
    scores: tuple[tuple[str, float, float, float], ...] = ()
    recommendation: dict[str, Any] | None = None


@router.get("")
def quality(request: Request) -> Response:
    """The page."""
    service = service_of(request)
    known = service.collection.probability
    return render(
        request, "quality", "quality", "Quality",
        info=facts_of(service).info, reports=reports_of(service), known=known,
        verdict=verdict(known) if known else "",
        figures=figures_of(known) if known else [],
        stale=known.stale(facts_of(service).info.contents) if known else "",
        bins=reliability_of(known).bins if known else (),
    )  # fmt: skip


@router.get("/calibration-{tone}-{width}.svg")
def calibration(
    request: Request, tone: Literal["light", "dark"], width: Literal["wide", "narrow"]
) -> Response:
    """The reliability diagram and the curve."""
    known = service_of(request).collection.probability
    if known is None:
        raise NotFoundError("distances are not calibrated here")
    return Response(
        _diagram(_Same(known), tone, width),
        media_type="image/svg+xml",
        headers={"content-security-policy": SVG_POLICY, "cache-control": "private, no-cache"},
    )


@router.get("/figures/{number}/{name}")
def figure(request: Request, number: int, name: str) -> Response:
    """A plot, by its place in the list; no other file."""
    reports = reports_of(service_of(request))
    plots = reports[number].plots if 0 <= number < len(reports) else ()
    for plot in plots:
        if plot.path.name == name:
            data = plot.path.read_bytes()
            if data.startswith(PNG) and len(data) <= LARGEST:
                return Response(data, media_type="image/png")
    raise NotFoundError("no such figure")


def reports_of(service: Service) -> list[Report]:
    """Reports of the folders that the settings name, and of the run that the network is from."""
    folders = [*service.settings.reports]
    with suppress(UserError):
        network = Path(parse_code(str(service.collection.store.setting("network"))).network)
        if network.is_dir():
            folders.append(network)
    found: list[Report] = []
    for folder in dict.fromkeys(path.resolve() for path in folders):
        report = _report(folder, len(found))
        if report is not None:
            found.append(report)
    return found


def _report(folder: Path, number: int) -> Report | None:
    plots = tuple(
        Plot(path, f"/quality/figures/{number}/{path.name}", _title(path.stem))
        for path in sorted((folder / "figures").glob("*.png"), key=_order)
        if path.is_file()
    )
    with suppress(UserError, KeyError, TypeError, ValueError):
        if (folder / "choice.json").is_file():
            choice = read_json(folder / "choice.json")["recommendation"]
            return Report(folder.name, "choice", plots, recommendation=choice)
        facts = read_json(folder / "metrics.json")
        scores = [
            (layer, float(value), float(facts["map_low"][layer]), float(facts["map_high"][layer]))
            for layer, value in facts["map"].items()
        ]
        return Report(folder.name, "run", plots, tuple(sorted(scores, key=lambda score: -score[1])))
    return Report(folder.name, "run", plots) if plots else None


def _title(stem: str) -> str:
    if stem.startswith("neighbours_"):
        return f"Nearest by {stem.removeprefix('neighbours_')}"
    return TITLES.get(stem, stem.replace("_", " ").capitalize())


def _order(path: Path) -> tuple[int, str]:
    return (FIRST.index(path.stem) if path.stem in FIRST else len(FIRST), path.stem)


class _Same:
    """A calibration that is equal only to itself, so that its diagrams can be remembered."""

    def __init__(self, known: MatchProbability) -> None:
        self.known = known

    def __hash__(self) -> int:
        return id(self.known)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.known is self.known


@lru_cache(maxsize=8)
def _diagram(same: _Same, tone: str, width: str) -> bytes:
    style = DARK if tone == "dark" else LIGHT
    return svg_bytes(reliability_figure(same.known, style, narrow=width == "narrow"))
