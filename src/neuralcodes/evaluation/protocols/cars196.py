"""Cars-196: the images of the classes 99 to 196, each querying the others.

File: `cars_annos.mat`, a struct array `annotations` whose elements have `relative_im_path` and
`class`. The split is that of Oh Song et al., CVPR 2016; the data are by Krause et al., 2013.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neuralcodes.common.errors import UserError
from neuralcodes.evaluation.protocols.groundtruth import GroundTruth
from neuralcodes.evaluation.protocols.metriclearning import among_test_images
from neuralcodes.evaluation.protocols.registry import register
from neuralcodes.evaluation.protocols.textfiles import require_different

NAME = "cars196"
FIRST_TEST_CLASS = 99


@register(NAME, "Cars-196, classes 99 to 196", files="cars_annos.mat, or its folder")
def read(path: Path | None, keys: Sequence[str]) -> GroundTruth:
    """The annotations' names and classes."""
    assert path is not None  # the registry asks for it
    file = path / "cars_annos.mat" if path.is_dir() else path
    pairs = _annotations(file)
    require_different((name for name, _ in pairs), file)
    classes = {name: str(number) for name, number in pairs if number >= FIRST_TEST_CLASS}
    return among_test_images(NAME, file, classes, (1, 2, 4, 8))


def _annotations(file: Path) -> list[tuple[str, int]]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        found = loadmat(file, simplify_cells=True, variable_names=["annotations"])["annotations"]
        return [(str(one["relative_im_path"]), int(one["class"])) for one in found]
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; the protocol needs it") from None
    except (MatReadError, KeyError, TypeError, ValueError, NotImplementedError, OSError):
        raise UserError(
            f"{file}: not the official cars_annos.mat (annotations with relative_im_path and class)"
        ) from None
