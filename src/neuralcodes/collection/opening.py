"""Opening a collection that may not be there yet."""

from __future__ import annotations

from pathlib import Path

from neuralcodes.collection.collection import Collection
from neuralcodes.collection.store import is_collection
from neuralcodes.common.errors import UserError
from neuralcodes.networks.names import SHIPPED, carries_weights


def open_or_create(
    path: Path,
    code: str | None,
    *,
    dtype: str | None = None,
    device: str = "auto",
    precision: str = "fp32",
    something: bool = True,
) -> Collection:
    """Open the collection, or make it where there is none.

    Args:
        path: its folder.
        code: what its codes are, or for one that is there, where its network is now; None for the
            weights that the package carries, if it does.
        dtype: of a new one's codes; None for float32, or what the code's quantiser stores.
        device: for making codes.
        precision: of a new one's codes.
        something: whether there is anything to put into a new one.

    Raises:
        UserError: there is none and no code to make one with, or it was made with another code.
    """
    if is_collection(path):
        opened = Collection.open(path, code=code, device=device)
        if dtype is not None and opened.dtype != dtype:
            kept = opened.dtype
            opened.close()
            raise UserError(f"--dtype {dtype}: {path} holds {kept}; make a new collection for that")
        return opened
    if code is None and carries_weights():
        code = SHIPPED
    if code is None:
        raise UserError(
            f"{path}: no collection yet, and no --code to make one with. Give a trained run, for "
            "instance --code runs/demo@L7 after `neuralcodes demo` (a minute, no download), or a "
            "pretrained network, for instance --code hf:facebook/dinov2-small; "
            "`neuralcodes layers NETWORK` lists the layers"
        )
    if not something:
        raise UserError(f"{path}: no collection yet; name the pictures to index")
    return Collection.create(path, code, dtype=dtype, device=device, precision=precision)
