"""Two runs, or two stored evaluations, compared on the same queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from neuralcodes.codes.spec import parse_code
from neuralcodes.common.errors import UserError
from neuralcodes.evaluation.paired import LEVEL, Difference, compare_scores
from neuralcodes.evaluation.stored import load_measured
from neuralcodes.experiments.runfolder import RunFolder


@dataclass(frozen=True)
class Compared:
    """Two codes' names, what of them was compared, and how they differ."""

    a: str
    b: str
    name: str
    difference: Difference


def stored_files(text: str) -> dict[str, Path]:
    """The stored evaluations that a user means, by layer ("" where it is one file).

    Args:
        text: a .json file, RUN@LAYER, or RUN for all its layers.

    Raises:
        UserError: there is no such file, or the run was not evaluated.
    """
    path = Path(text)
    if path.is_file():
        return {"": path}
    if not path.exists() and "@" in text:
        request = parse_code(text)
        file = RunFolder(Path(request.network)).retrieval(request.layer or "")
        if not file.is_file():
            raise UserError(f"{text}: no {file}; run: neuralcodes evaluate {request.network}")
        return {"": file}
    RunFolder(path).read_config()  # refuses what is not a run
    files = {file.stem: file for file in sorted((path / "retrieval").glob("*.json"))}
    if not files:
        raise UserError(f"{path}: not evaluated yet; run: neuralcodes evaluate {path}")
    return files


def compare_stored(a: Mapping[str, Path], b: Mapping[str, Path]) -> list[Compared]:
    """Compare what two users' words meant, layer by layer and measure by measure.

    Raises:
        UserError: one is a whole run and the other is not, they share no layer or measure, or
            they were not judged on the same images and queries.
    """
    shared = [layer for layer in a if layer in b]
    if not shared:
        raise UserError(
            f"nothing to compare: {', '.join(a) or 'one code'} with {', '.join(b) or 'one code'}; "
            "give two runs with the same layers, or RUN@LAYER twice"
        )
    found = []
    for layer in shared:
        one, other = load_measured(a[layer]), load_measured(b[layer])
        one.require_same_queries(other)
        for name, score in one.scores.items():
            if name not in other.scores:
                continue
            try:
                difference = compare_scores(score, other.scores[name])
            except ValueError as error:
                raise UserError(f"{a[layer]} and {b[layer]}: {name}: {error}") from None
            found.append(Compared(one.code, other.code, name, difference))
    if not found:
        raise UserError(f"{a[shared[0]]} and {b[shared[0]]}: they have no measure in common")
    return found


def verdict(difference: Difference) -> str:
    """Whether the difference is real, in a plain sentence."""
    d = difference
    if d.difference == 0 and d.low == d.high == 0:
        return "A and B are the same on every query."
    if d.real:
        better, size = ("B", d.difference) if d.difference > 0 else ("A", -d.difference)
        return (
            f"The difference is real: {better} is better by {size:.4f}, and chance alone would "
            f"hardly do that on {d.queries} queries."
        )
    if d.p < LEVEL:
        return "The difference is not certain: the test and the interval do not agree."
    return (
        f"No difference is shown: on {d.queries} queries chance alone can do as much "
        f"(differences outside {d.low:+.4f} to {d.high:+.4f} are unlikely)."
    )
