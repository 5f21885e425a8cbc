"""`Choice`: all that a sweep found, JSON-ready; what is printed, recorded and shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from neuralcodes.choosing.agreement import Agreement
from neuralcodes.choosing.closer import Example
from neuralcodes.choosing.decide import Decision, best_by_layer, compare_judged
from neuralcodes.choosing.indexes import Indexed
from neuralcodes.choosing.sweep import Scored
from neuralcodes.choosing.task import Kind
from neuralcodes.evaluation.paired import Difference
from neuralcodes.evaluation.score import Score

FORMAT = 1


@dataclass(frozen=True)
class Point:
    """One code in the table and the picture.

    Attributes:
        code: the short form.
        network, layer, pooling, transforms: its parts.
        dims: length when it is searched.
        bytes: stored.
        milliseconds: of an exact search for one query, among codes as they are stored.
        map, low, high: on the classes that choose, with the 95 % bootstrap interval over queries.
        judged: mAP on the classes that judge, of this code (not of a choice).
        front, front_by_time: whether none of as few bytes (as little time) is better.
    """

    code: str
    network: str
    layer: str
    pooling: str
    transforms: str
    dims: int
    bytes: int
    milliseconds: float
    map: float
    low: float
    high: float
    judged: float
    front: bool
    front_by_time: bool


@dataclass(frozen=True)
class LayerStanding:
    """The best code of a layer, and the best layer's less it on the classes that judge."""

    layer: str
    code: str
    map: float
    behind: Difference | None


@dataclass(frozen=True)
class Subject:
    """What was looked at.

    Attributes:
        source: short name of the images.
        images, classes: how many took part.
        of_images: how many there were to draw from.
        which: which classes, in words.
        networks: names.
        notes: a line for all that was left out.
        seed: of everything drawn.
    """

    source: str
    images: int
    classes: int
    of_images: int
    which: str
    networks: tuple[str, ...]
    notes: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class Choice:
    """A sweep's outcome.

    Attributes:
        kind: by labels, or estimated from views.
        subject: what was looked at.
        parts: groups and images that fit, choose and judge, in the first rotation.
        turns: how many rotations.
        points: all codes, best first.
        decision: what is recommended and why.
        layers: the best code of each layer, best first.
        indexes: measured on a few codes.
        index: the recommended backend's, None if none was measured.
        dropped: codes that could not be made, and why.
        commands: that build a collection with the recommended code.
        commands_note: what to know about them, or "".
        agreement: with labels, where both ways were run.
        recorded: how well estimates ordered codes elsewhere.
        record: versions, machine and command.
        examples: by code, on the first rotation's judging part.
    """

    kind: Kind
    subject: Subject
    parts: Mapping[str, Sequence[int]]
    turns: int
    points: tuple[Point, ...]
    decision: Decision
    layers: tuple[LayerStanding, ...]
    indexes: tuple[Indexed, ...]
    index: Indexed | None
    dropped: Mapping[str, str]
    commands: tuple[str, ...]
    commands_note: str
    agreement: Agreement | None
    recorded: tuple[Agreement, ...]
    record: Mapping[str, Any]
    examples: Mapping[str, tuple[Example, ...]]

    @property
    def chosen(self) -> Point:
        """The recommended code."""
        return self.point(self.decision.chosen.code)

    def point(self, code: str) -> Point:
        """The code of this name."""
        return next(point for point in self.points if point.code == code)

    def to_json(self) -> dict[str, Any]:
        """Everything but the single queries' values and the examples."""
        decision = self.decision
        return {
            "format": FORMAT,
            "estimate": self.kind == "views",
            "subject": asdict(self.subject),
            "parts": {
                role: {"groups": groups, "images": images}
                for role, (groups, images) in self.parts.items()
            },
            "turns": self.turns,
            "recommendation": {
                "code": decision.chosen.code,
                "rule": decision.rule,
                "bytes": decision.chosen.bytes,
                "dims": decision.chosen.dims,
                "index": None if self.index is None else self.index.backend,
                "commands": list(self.commands),
                "note": self.commands_note,
                "chosen_on": decision.judged.chosen_on.to_json(),
                "judged_on": decision.judged.judged_on.to_json(),
                "level_on": decision.judged.level_on,
                "level_off": decision.judged.level_off,
                "optimism": decision.judged.optimism,
                "choices": list(decision.judged.codes),
            },
            "certainty": {
                "best": decision.best.code,
                "against_best": _difference(decision.against_best),
                "smaller": None if decision.smaller is None else decision.smaller.code,
                "against_smaller": _difference(decision.against_smaller),
                "front_decided": decision.decided,
                "front": [one.code for one in decision.front],
                "front_steps": [step.to_json() for step in decision.steps],
                "ties": [one.code for one in decision.rivals],
            },
            "layers": [{**asdict(one), "behind": _difference(one.behind)} for one in self.layers],
            "codes": [asdict(point) for point in self.points],
            "dropped": dict(self.dropped),
            "indexes": [one.to_json() for one in self.indexes],
            "agreement": None if self.agreement is None else self.agreement.to_json(),
            "estimates_elsewhere": [one.to_json() for one in self.recorded],
            "record": dict(self.record),
        }


def make_points(
    scored: Sequence[Scored], decision: Decision, milliseconds: Mapping[str, float]
) -> tuple[Point, ...]:
    """The table, best first."""
    front = {one.code for one in decision.front}
    by_time = {one.code for one in decision.front_by_time}
    points = []
    for one in scored:
        score: Score = one.score("choose")
        low, high = score.interval()
        base = one.candidate.base
        points.append(
            Point(
                code=one.code,
                network=base.network,
                layer=base.layer,
                pooling=base.pooling,
                transforms="/".join(one.candidate.chain),
                dims=one.dims,
                bytes=one.bytes,
                milliseconds=milliseconds[one.code],
                map=score.mean,
                low=low,
                high=high,
                judged=one.score("judge").mean,
                front=one.code in front,
                front_by_time=one.code in by_time,
            )
        )
    return tuple(sorted(points, key=lambda point: (-point.map, point.bytes, point.code)))


def stand_layers(scored: Sequence[Scored]) -> tuple[LayerStanding, ...]:
    """The layers by their best codes, best first."""
    best = best_by_layer(scored)
    return tuple(
        LayerStanding(
            layer=f"{one.candidate.base.network}@{one.candidate.base.layer}",
            code=one.code,
            map=one.score("choose").mean,
            behind=None if one is best[0] else compare_judged(one, best[0]),
        )
        for one in best
    )


def _difference(difference: Difference | None) -> dict[str, Any] | None:
    return None if difference is None else difference.to_json()
