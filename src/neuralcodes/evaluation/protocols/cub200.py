"""CUB-200-2011: the images of the classes 101 to 200, each querying the others.

Files, in one folder: `images.txt` (number and name) and `image_class_labels.txt` (number and
class). The split is that of Oh Song et al., CVPR 2016; the data are by Wah et al., 2011.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neuralcodes.common.errors import UserError
from neuralcodes.evaluation.protocols.groundtruth import GroundTruth
from neuralcodes.evaluation.protocols.metriclearning import among_test_images
from neuralcodes.evaluation.protocols.registry import register
from neuralcodes.evaluation.protocols.textfiles import read_lines, require_different

NAME = "cub200"
FIRST_TEST_CLASS = 101


@register(
    NAME,
    "CUB-200-2011, classes 101 to 200",
    files="the folder CUB_200_2011 with images.txt and image_class_labels.txt",
)
def read(path: Path | None, keys: Sequence[str]) -> GroundTruth:
    """The two lists, joined by number."""
    assert path is not None  # the registry asks for it
    names = _pairs(path / "images.txt")
    numbers = _pairs(path / "image_class_labels.txt")
    if names.keys() != numbers.keys():
        raise UserError(f"{path}: images.txt and image_class_labels.txt number other images")
    require_different(names.values(), path / "images.txt")
    if not all(value.isdecimal() for value in numbers.values()):
        raise UserError(f"{path / 'image_class_labels.txt'}: a class is not a number")
    classes = {
        name: numbers[number]
        for number, name in names.items()
        if int(numbers[number]) >= FIRST_TEST_CLASS
    }
    return among_test_images(NAME, path, classes, (1, 2, 4, 8))


def _pairs(file: Path) -> dict[str, str]:
    lines = [line.split() for line in read_lines(file)]
    if any(len(words) != 2 for words in lines):
        raise UserError(f"{file}: a line is not a number and a word; give the official file")
    require_different((words[0] for words in lines), file)
    return {words[0]: words[1] for words in lines}
