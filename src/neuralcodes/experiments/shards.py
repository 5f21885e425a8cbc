"""Codes that lie in several files: the shards of one database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from neuralcodes.codes.store import Codes, load_codes
from neuralcodes.collection.schema import DATABASE
from neuralcodes.common.errors import UserError
from neuralcodes.experiments.runfolder import codes_path


def shard_paths(target: Path) -> list[Path]:
    """The codes in a folder, by name; nothing for what is no folder of codes."""
    if not target.is_dir() or (target / DATABASE).is_file():
        return []
    return sorted(path for path in target.glob("*.npy") if path.with_suffix(".json").is_file())


def load_shards(targets: Sequence[Path], named: bool = True) -> list[Codes]:
    """Codes in the order given, those of folders by name; memory-mapped.

    Args:
        targets: codes of `extract` or `export`, RUN@LAYER, and folders of such files.
        named: keep the images' names, which of many images take more room than all else.

    Raises:
        UserError: a target is something else, or its codes cannot be read.
    """
    found = []
    for target in targets:
        if (target / DATABASE).is_file():
            raise UserError(
                f"{target}: a collection; for several at once, or --engine ray, make codes of it: "
                f"neuralcodes export {target} FOLDER"
            )
        paths = shard_paths(target) or [codes_path(target)]
        for path in paths:
            codes = load_codes(path)
            found.append(codes if named else replace(codes, keys=()))
    return found
