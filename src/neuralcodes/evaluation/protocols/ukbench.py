"""UKBench: 10,200 images, four of each object; each queries all, itself included.

The images' names say all: `ukbench00000.jpg` to `ukbench00003.jpg` are the first object. The score
is the number of an object's pictures among the first four found, at most 4. Images with names of
another form are distractors.

Source: Nistér and Stewénius, CVPR 2006.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from neuralcodes.common.errors import UserError
from neuralcodes.evaluation.measures import UKBENCH_SCORE
from neuralcodes.evaluation.protocols.groundtruth import Classes, GroundTruth, Query
from neuralcodes.evaluation.protocols.names import stem
from neuralcodes.evaluation.protocols.registry import register
from neuralcodes.evaluation.protocols.textfiles import require_different

NAME = "ukb"
_FORM = re.compile(r"ukbench(\d{5})", re.IGNORECASE)


@register(NAME, "UKBench, four images an object; objects are in the images' names")
def read(path: Path | None, keys: Sequence[str]) -> GroundTruth:
    """Objects by name."""
    numbers = {key: int(match[1]) for key in keys if (match := _FORM.fullmatch(stem(key)))}
    require_different((f"ukbench{number:05}" for number in numbers.values()), NAME)
    objects = {key: str(number // 4) for key, number in numbers.items()}
    broken = [name for name, count in Counter(objects.values()).items() if count != 4]
    if not objects or broken:
        first = int(broken[0]) * 4 if broken else 0
        raise UserError(
            f"{NAME}: not all of ukbench{first:05} to ukbench{first + 3:05} have a code; "
            "extract codes of all the set's images"
        )
    return GroundTruth(
        protocol=NAME,
        queries=tuple(Query(key, key) for key in objects),
        database=None,
        tasks={"": Classes(tuple(objects.values()), objects)},
        own_image_counts=True,
        measures=(UKBENCH_SCORE,),
    )
