"""What more training buys: mAP on the ten unseen classes against the operations of training.

    python benchmarks/shipped_compute.py [--record results/shipped]

writes RECORD/compute.json and RECORD/compute.png from what is recorded: `looks.json`, the stages'
`config.json` and `history.csv`, and results/reference for the founding network. Nothing is trained
or judged; `benchmarks/shipped.py` runs it after each look.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter
from scipy import optimize, stats
from shipped_looks import PETA, Stage, begins, compute, read_stage, read_stages

from neuralcodes.common.files import atomic_write, read_json, write_json
from neuralcodes.reports.style import LIGHT, add_legend, new_figure, plain, png_bytes

TARGETS = (0.50, 0.70)  # mAP: the milestone and the target
FARTHEST = 12.0  # log10 of PFLOP; nobody will train a network of this size for longer
DRAWN = 4.0  # log10 of PFLOP to which the line is drawn at most
REFERENCE = Path("results/reference")
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """mAP = `level` + `slope` · log10(PFLOP), by least squares.

    Attributes:
        middle: mean of log10(PFLOP) over the looks.
        level: mAP there.
        spread: sum of squares of log10(PFLOP) about the middle.
        error: standard deviation of the looks about the line.
        looks: their number, at least 3.
    """

    middle: float
    level: float
    slope: float
    spread: float
    error: float
    looks: int

    @classmethod
    def through(cls, peta: Floats, found: Floats) -> Line:
        """The line of these looks: PFLOP and mAP, n≥3 each."""
        x = np.log10(peta)
        middle, level = float(x.mean()), float(found.mean())
        spread = float(((x - middle) ** 2).sum())
        slope = float(((x - middle) * (found - level)).sum()) / spread
        left = found - (level + slope * (x - middle))
        return cls(middle, level, slope, spread, math.sqrt(float((left**2).sum()) / (len(x) - 2)),
                   len(x))  # fmt: skip

    @property
    def width(self) -> float:
        """How many standard errors reach 95 % to either side: Student's t."""
        return float(stats.t.ppf(0.975, self.looks - 2))

    def at(self, x: Floats) -> Floats:
        """mAP at log10(PFLOP)."""
        return self.level + self.slope * (x - self.middle)

    def half(self, x: Floats) -> Floats:
        """Half the 95 % interval of the line there (not of another look)."""
        return (
            self.width * self.error * np.sqrt(1 / self.looks + (x - self.middle) ** 2 / self.spread)
        )

    def slope_interval(self) -> tuple[float, float]:
        """95 % interval of mAP for ten times the operations."""
        half = self.width * self.error / math.sqrt(self.spread)
        return self.slope - half, self.slope + half

    def reaches(self, wanted: float) -> dict[str, float | None]:
        """PFLOP at which the line, its upper and its lower edge come to a mAP.

        None: not before 10^12 PFLOP.
        """

        def first(side: float) -> float | None:
            def short(x: float) -> float:
                at = np.array([x])
                return float((self.at(at) + side * self.half(at))[0]) - wanted

            # the looks themselves are below what is wanted, so the first crossing lies behind them
            steps = np.linspace(self.middle, FARTHEST, 1_000)
            over = [x for x in steps if short(float(x)) >= 0]
            if not over:
                return None
            if over[0] == steps[0]:
                return float(10**self.middle)
            before = steps[list(steps).index(over[0]) - 1]
            return float(10 ** optimize.brentq(short, before, over[0]))

        return {"pflop": first(0.0), "pflop_low": first(1.0), "pflop_high": first(-1.0)}


def founding() -> dict[str, Any]:
    """The founding network's compute and mAP, as another network's point beside ours."""
    metrics = read_json(REFERENCE / "metrics.json")
    stage = read_stage(REFERENCE, "reference")
    best = max(metrics["map"], key=lambda layer: metrics["map"][layer])
    return {
        "what": f"founding network, {best}", "stages": [stage.brief()],
        "pflop": compute([stage.brief()]) / PETA, "map": metrics["map"][best],
        "map_low": metrics["map_low"][best], "map_high": metrics["map_high"][best],
    }  # fmt: skip


def curve(stage: Stage, stages: list[Stage]) -> dict[str, Any]:
    """Validation accuracy of a stage by all operations up to there."""
    start = begins(stage, stages)
    epochs = range(1, len(stage.accuracy) + 1)
    return {
        "run": stage.run, "view": stage.view,
        "pflop": [(start + epoch * stage.epoch) / PETA for epoch in epochs],
        "accuracy": list(stage.accuracy),
    }  # fmt: skip


def result_of(record: Path) -> dict[str, Any]:
    """What `compute.json` holds."""
    looks = [
        {**look, "pflop": compute(look["stages"]) / PETA}
        for look in read_json(record / "looks.json")
    ]
    stages = read_stages(record)
    rate = sum(s.epoch * len(s.accuracy) for s in stages) / sum(s.seconds for s in stages)
    result: dict[str, Any] = {
        "looks": looks,
        "founding": founding(),
        "accuracy": [curve(stage, stages) for stage in stages],
        "flop_per_second": rate,
        "line": None,
    }
    if len({look["pflop"] for look in looks}) < 3:  # a line through two says nothing of its error
        return result
    line = line_of(looks)
    low, high = line.slope_interval()
    result["line"] = {
        **vars(line), "slope_low": low, "slope_high": high,
        "reaches": [{"map": wanted, **line.reaches(wanted)} for wanted in TARGETS],
    }  # fmt: skip
    return result


def line_of(looks: list[dict[str, Any]]) -> Line:
    """The line of all looks, those that did not ship among them."""
    found = [(look["pflop"], look["map"]) for look in looks]
    return Line.through(*np.array(found, dtype=np.float64).T)


@plain
def write_figure(path: Path, result: dict[str, Any]) -> None:
    """Left mAP by compute with the line, right validation accuracy by compute."""
    figure, (left, right) = new_figure(LIGHT, 2, False, panel=(5.0, 4.0))
    _draw_looks(left, result)
    for number, stage in enumerate(result["accuracy"]):
        name = f"{stage['run'] or f'stage {number + 1}'}, views of {stage['view']}×{stage['view']}"
        right.plot(
            stage["pflop"], stage["accuracy"], label=name, markersize=3, **LIGHT.line(number)
        )
    right.set_title("What the training sees", color=LIGHT.ink)
    right.set(xlabel="PFLOP of training", ylabel="validation accuracy, 190 classes")
    add_legend(right, LIGHT)
    with atomic_write(path) as file:
        file.write(png_bytes(figure, {"Source": "benchmarks/shipped_compute.py"}))


def _draw_looks(axes: Axes, result: dict[str, Any]) -> None:
    looks, line = result["looks"], None
    ends = [0.0, 2.0]
    if result["line"] is not None:
        line = line_of(looks)
        reached = [r["pflop"] for r in result["line"]["reaches"] if r["pflop"]]
        ends[1] = min(DRAWN, math.log10(2 * max(reached))) if reached else DRAWN
        x = np.linspace(*ends, 200)
        axes.plot(10**x, line.at(x), color=LIGHT.series[0], linewidth=1.2,
                  label=f"line through {len(looks)} looks")  # fmt: skip
        axes.fill_between(
            10**x, line.at(x) - line.half(x), line.at(x) + line.half(x), alpha=0.12,
            color=LIGHT.series[0], label="95 % of the line", linewidth=0,
        )  # fmt: skip
    groups = (
        ("shipped", [look for look in looks if look["ships"]], LIGHT.series[0], "o"),
        ("not shipped", [look for look in looks if not look["ships"]], LIGHT.series[2], "s"),
        ("founding network", [result["founding"]], LIGHT.series[1], "D"),
    )
    for name, rows, colour, marker in groups:
        for number, row in enumerate(rows):
            low, high = row["map_low"] or row["map"], row["map_high"] or row["map"]
            axes.errorbar(
                [row["pflop"]], [row["map"]], yerr=[[row["map"] - low], [high - row["map"]]],
                color=colour, marker=marker, markersize=4.5, capsize=2, linestyle="none",
                label=None if number else name,
            )  # fmt: skip
    for wanted in TARGETS:
        axes.axhline(wanted, color=LIGHT.muted, linewidth=0.9, linestyle=":")
        axes.annotate(
            f"{wanted:.2f}", (10 ** ends[1], wanted), xytext=(-2, 3), textcoords="offset points",
            color=LIGHT.muted, fontsize=9, ha="right",
        )  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_title("What the ten unseen classes gain", color=LIGHT.ink)
    axes.set(xlabel="PFLOP of training (log)", ylabel="mAP, 128 values", ylim=(0.3, 0.75))
    add_legend(axes, LIGHT)


def write_compute(record: Path) -> dict[str, Any]:
    """Make both files anew; what `compute.json` holds."""
    result = result_of(record)
    write_json(record / "compute.json", result)
    write_figure(record / "compute.png", result)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", type=Path, default=Path("results/shipped"))
    found = write_compute(parser.parse_args().record)
    for look in found["looks"]:
        print(f"{look['date']}  {look['pflop']:6.2f} PFLOP  mAP {look['map']:.4f}  {look['what']}")
    if found["line"] is not None:
        line = found["line"]
        span = f"({line['slope_low']:+.3f} to {line['slope_high']:+.3f})"
        print(f"ten times the compute: {line['slope']:+.3f} mAP {span}")
        for reached in line["reaches"]:
            print(reached)


if __name__ == "__main__":
    main()
