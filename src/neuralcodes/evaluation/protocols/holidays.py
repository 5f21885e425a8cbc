"""INRIA Holidays: 500 queries among 1,491 images, one query a group.

The images' names say all: of `100000.jpg`, `100001.jpg` … the first four digits are the group, and
the image that ends in 00 queries the others of its group. It is itself ignored. Images with names
of another form are distractors.

Source: Jégou et al., ECCV 2008; the average precision is by trapezoids, as Oxford's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from neuralcodes.common.errors import UserError
from neuralcodes.evaluation.measures import OXFORD_AVERAGE_PRECISION
from neuralcodes.evaluation.protocols.groundtruth import GroundTruth, Lists, Query
from neuralcodes.evaluation.protocols.names import stem
from neuralcodes.evaluation.protocols.registry import register
from neuralcodes.evaluation.protocols.textfiles import require_different

NAME = "holidays"
_FORM = re.compile(r"(\d{4})(\d{2})")


@register(NAME, "INRIA Holidays, one query a group; groups are in the images' names")
def read(path: Path | None, keys: Sequence[str]) -> GroundTruth:
    """Groups by name."""
    matches = [(key, match) for key in keys if (match := _FORM.fullmatch(stem(key)))]
    require_different((match[0] for _, match in matches), NAME)
    groups: dict[str, list[str]] = {}
    for key, match in matches:
        if match[2] != "00":
            groups.setdefault(match[1], []).append(key)
    queries = [(key, match[1]) for key, match in matches if match[2] == "00"]
    lost = set(groups) - {group for _, group in queries}
    if not queries or lost:
        what = f"group {min(lost)} has no image {min(lost)}00" if lost else "no image NNNN00"
        raise UserError(f"{NAME}: {what}; extract codes of all the set's images")
    return GroundTruth(
        protocol=NAME,
        queries=tuple(Query(key, key) for key, _ in queries),
        database=None,
        tasks={
            "": Lists(
                tuple(tuple(groups.get(group, ())) for _, group in queries),
                tuple(() for _ in queries),
            )
        },
        own_image_counts=False,
        measures=(OXFORD_AVERAGE_PRECISION,),
    )
