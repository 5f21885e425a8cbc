"""Stanford Online Products: the 60,502 test images, each querying the others.

File: `Ebay_test.txt` with the columns image_id, class_id, super_class_id, path.

Source: Oh Song et al., CVPR 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neuralcodes.evaluation.protocols.groundtruth import GroundTruth
from neuralcodes.evaluation.protocols.metriclearning import among_test_images
from neuralcodes.evaluation.protocols.registry import register
from neuralcodes.evaluation.protocols.textfiles import read_columns, require_different

NAME = "sop"


@register(NAME, "Stanford Online Products, test images", files="Ebay_test.txt, or its folder")
def read(path: Path | None, keys: Sequence[str]) -> GroundTruth:
    """The test list."""
    assert path is not None  # the registry asks for it
    file = path / "Ebay_test.txt" if path.is_dir() else path
    rows = read_columns(file, ("image_id", "class_id", "super_class_id", "path"))
    require_different((row[3] for row in rows), file)
    return among_test_images(NAME, file, {row[3]: row[1] for row in rows}, (1, 10, 100, 1000))
