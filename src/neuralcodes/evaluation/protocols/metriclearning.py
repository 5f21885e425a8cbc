"""What the protocols of metric learning share: test images by class, each querying the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from neuralcodes.common.errors import UserError
from neuralcodes.evaluation.measures import AVERAGE_PRECISION_AT_R, R_PRECISION, hit
from neuralcodes.evaluation.protocols.groundtruth import Classes, GroundTruth, Query


def among_test_images(
    protocol: str, place: Path, classes: Mapping[str, str], cut_offs: Sequence[int]
) -> GroundTruth:
    """Each test image queries all others: Recall@K, R-precision and MAP@R.

    Args:
        classes: of the test images, by name.
        cut_offs: the K of Recall@K.

    Raises:
        UserError: there are no test images.
    """
    if not classes:
        raise UserError(f"{place}: lists no test images; give the official files of {protocol}")
    return GroundTruth(
        protocol=protocol,
        queries=tuple(Query(name, name) for name in classes),
        database=tuple(classes),
        tasks={"": Classes(tuple(classes.values()), classes)},
        own_image_counts=False,
        measures=(*(hit(k) for k in cut_offs), R_PRECISION, AVERAGE_PRECISION_AT_R),
    )
