"""The photographs that come with the package, for the demo and the documentation."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from neuralcodes.common.errors import UserError


def clothing_photographs() -> Path:
    """The folder of 100 photographs of clothing in ten class folders; its SOURCE.md says whose.

    Raises:
        UserError: the package lies in a zip file, where there are no folders.
    """
    folder = files("neuralcodes.images") / "clothing"
    if not isinstance(folder, Path):
        raise UserError("the photographs need an unpacked package; install it with pip")
    return folder
