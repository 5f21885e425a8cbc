"""In-Shop Clothes Retrieval: 14,218 queries among 12,612 gallery images of the same items.

File: `list_eval_partition.txt`: the number of images, a header, then image_name, item_id and
evaluation_status (train, query or gallery).

Source: Liu et al. (DeepFashion), CVPR 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neuralcodes.common.errors import UserError
from neuralcodes.evaluation.measures import AVERAGE_PRECISION_AT_R, R_PRECISION, hit
from neuralcodes.evaluation.protocols.groundtruth import Classes, GroundTruth, Query
from neuralcodes.evaluation.protocols.registry import register
from neuralcodes.evaluation.protocols.textfiles import read_columns, require_different

NAME = "in-shop"


@register(
    NAME, "In-Shop Clothes, query and gallery", files="list_eval_partition.txt, or its folder"
)
def read(path: Path | None, keys: Sequence[str]) -> GroundTruth:
    """The partition's query and gallery images."""
    assert path is not None  # the registry asks for it
    file = path / "list_eval_partition.txt" if path.is_dir() else path
    rows = read_columns(file, ("image_name", "item_id", "evaluation_status"), skip=1)
    require_different((row[0] for row in rows), file)
    queries = [(name, item) for name, item, status in rows if status == "query"]
    gallery = {name: item for name, item, status in rows if status == "gallery"}
    if not queries or not gallery:
        raise UserError(f"{file}: lists no query or no gallery images; give the official file")
    return GroundTruth(
        protocol=NAME,
        queries=tuple(Query(name, name) for name, _ in queries),
        database=tuple(gallery),
        tasks={"": Classes(tuple(item for _, item in queries), gallery)},
        own_image_counts=False,
        measures=(*(hit(k) for k in (1, 10, 20, 30)), R_PRECISION, AVERAGE_PRECISION_AT_R),
    )
