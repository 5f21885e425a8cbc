"""Revisited Oxford and Paris: 70 queries with boxes that are not in the database; three tasks.

Easy: the easy images are relevant and the hard ones ignored; medium: both are relevant; hard: the
hard ones are relevant and the easy ones ignored. Junk is ignored in each. Queries without relevant
images in a task are left out of its means.

The official ground truth is a pickle, which can run any program when it is loaded, so it is never
loaded here; the same fields are read as JSON:
`{"imlist": [...], "qimlist": [...], "gnd": [{"easy": [...], "hard": [...], "junk": [...], "bbx":
[left, top, right, bottom]}, ...]}`, with places in `imlist`.

Source: Radenović et al., CVPR 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neuralcodes.common.errors import UserError
from neuralcodes.common.files import read_json
from neuralcodes.evaluation.measures import OXFORD_AVERAGE_PRECISION, revisited_precision
from neuralcodes.evaluation.protocols.groundtruth import GroundTruth, Lists, Query
from neuralcodes.evaluation.protocols.registry import register
from neuralcodes.evaluation.protocols.textfiles import require_different

FILES = "gnd_{}.json, made of the official pickle, or its folder"
TASKS = {  # name: (relevant, ignored)
    "easy": (("easy",), ("junk", "hard")),
    "medium": (("easy", "hard"), ("junk",)),
    "hard": (("hard",), ("junk", "easy")),
}
CONVERT = (
    "python -c \"import json, pickle; d = pickle.load(open('{0}.pkl', 'rb')); "
    "json.dump(d, open('{0}.json', 'w'), default=lambda a: a.tolist())\""
)


@register("roxford5k", "revisited Oxford, easy, medium and hard", FILES.format("roxford5k"))
def read_oxford(path: Path | None, keys: Sequence[str]) -> GroundTruth:
    """Oxford's file."""
    return _read("roxford5k", path)


@register("rparis6k", "revisited Paris, easy, medium and hard", FILES.format("rparis6k"))
def read_paris(path: Path | None, keys: Sequence[str]) -> GroundTruth:
    """Paris's file."""
    return _read("rparis6k", path)


def _read(protocol: str, path: Path | None) -> GroundTruth:
    assert path is not None  # the registry asks for it
    file = path / f"gnd_{protocol}.json" if path.is_dir() else path
    if file.suffix == ".pkl" or not file.exists():
        raise UserError(
            f"{file}: a pickle is never loaded here; where you trust the official file, make JSON "
            f"of it once: {CONVERT.format(f'gnd_{protocol}')}"
        )
    facts = read_json(file)
    try:
        images, query_images = _texts(facts["imlist"]), _texts(facts["qimlist"])
        fields = [{**entry, "bbx": tuple(map(float, entry["bbx"]))} for entry in facts["gnd"]]
        if len(fields) != len(query_images) or any(len(entry["bbx"]) != 4 for entry in fields):
            raise ValueError
        tasks = {
            name: Lists(_names(fields, relevant, images), _names(fields, ignored, images))
            for name, (relevant, ignored) in TASKS.items()
        }
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        raise UserError(
            f"{file}: not the ground truth of {protocol}: it needs imlist, qimlist and gnd, one "
            "entry a query with easy, hard, junk (places in imlist) and bbx (4 numbers)"
        ) from None
    require_different(images, f"{file}: imlist")
    require_different(query_images, f"{file}: qimlist")
    return GroundTruth(
        protocol=protocol,
        queries=tuple(
            Query(name, name, entry["bbx"])
            for name, entry in zip(query_images, fields, strict=True)
        ),
        database=tuple(images),
        tasks=tasks,
        own_image_counts=False,
        measures=(OXFORD_AVERAGE_PRECISION, *(revisited_precision(k) for k in (1, 5, 10))),
    )


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError
    return value


def _names(
    entries: list[dict[str, Any]], kinds: Sequence[str], images: list[str]
) -> tuple[tuple[str, ...], ...]:
    """For each query the images of these kinds."""
    places = [[place for kind in kinds for place in entry[kind]] for entry in entries]
    if any(place < 0 for some in places for place in some):
        raise ValueError
    return tuple(tuple(images[place] for place in some) for some in places)
