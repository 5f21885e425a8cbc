"""Which layers and poolings of a network are worth a place in the sweep; their codes on disk."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from neuralcodes.choosing.grid import Base
from neuralcodes.choosing.leftout import LeftOut
from neuralcodes.codes.encoder import Encoder, FloatCodes
from neuralcodes.codes.spec import CodeRequest, CodeSpec
from neuralcodes.codes.store import load_codes, new_codes
from neuralcodes.common.errors import UserError
from neuralcodes.images.imageset import ImageSet, Rows
from neuralcodes.networks.opened import OpenNetwork
from neuralcodes.networks.runtime import Runtime
from neuralcodes.networks.summary import layer_table

ALL = "all"
NAMED = "named"
MOST_VALUES = (
    20_000  # of a code; longer ones would take the sweep's time and nobody would keep them
)
PROBE = 8  # images by which codes that are always equal are found


@dataclass(frozen=True)
class NetworkCodes:
    """A network with the bases that are swept.

    Attributes:
        network: opened.
        runtime: where it runs.
        bases: each with its spec.
        left_out: layers and poolings, and why.
        seconds: an image's pass, measured.
    """

    network: OpenNetwork
    runtime: Runtime
    bases: dict[Base, CodeSpec]
    left_out: tuple[LeftOut, ...]
    seconds: float


@dataclass(frozen=True)
class BaseCodes:
    """Codes of one base: of the images and, behind them, of the views."""

    spec: CodeSpec
    parts: tuple[FloatCodes, ...] = field(repr=False)

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def take(self, rows: Rows) -> FloatCodes:
        """float32 k×d in memory; rows count through the images and on through the views."""
        taken = np.empty((len(rows), self.spec.dims), dtype=np.float32)
        start = 0
        for part in self.parts:
            mine = (rows >= start) & (rows < start + len(part))
            taken[mine] = part[rows[mine] - start]
            start += len(part)
        return taken


def plan_network(
    network: OpenNetwork,
    runtime: Runtime,
    layers: Sequence[str],
    poolings: Sequence[str],
    images: ImageSet,
) -> NetworkCodes:
    """Find the bases of a network by a look at a few images.

    Left out, with the reason: a pooling that the layer has no map for, codes of more than
    `MOST_VALUES`, and a code that equals another's to the bit (dropout and flattening change
    nothing).

    Args:
        layers: names or aliases; `named` for those the network has aliases for, `all` for every
            one that gives a tensor an image.
        poolings: canonical names.
        images: to look at.

    Raises:
        UserError: unknown layer, images of another size, or nothing is left.
    """
    pixels = images.read(np.linspace(0, len(images) - 1, min(PROBE, len(images))).astype(np.int64))
    bases: dict[Base, CodeSpec] = {}
    left: list[LeftOut] = []
    seen: dict[bytes, Base] = {}
    named = {own: alias for alias, own in network.kind.layers.items()}
    for layer, values in _wanted(network, layers):
        for pooling in poolings:
            base = Base(network.name, layer, pooling)
            if pooling == "flatten" and values is not None and values > MOST_VALUES:
                left.append(_too_long(base, values))
                continue
            try:
                encoder = Encoder(network, [_request(base)], runtime)
            except UserError as error:
                if layer not in (*network.kind.layers, *named) and ALL not in layers:
                    raise
                line = f"{base.code}: {str(error).partition(';')[0]}; left out"
                left.append(LeftOut(line, "give no code of this pooling"))
                continue
            spec = encoder.specs[0]
            if spec.dims > MOST_VALUES:
                left.append(_too_long(base, spec.dims))
                continue
            content = encoder.encode(pixels)[0].tobytes()
            if content in seen:
                line = f"{base.code}: the same codes as {seen[content].code}; left out"
                left.append(LeftOut(line, "equal another's to the bit"))
                continue
            seen[content] = base
            bases[base] = spec
    if not bases:
        raise UserError(
            f"{network.name}: no layer and pooling is left to try"
            + (f" ({left[0].line})" if left else "")
        )
    return NetworkCodes(
        network, runtime, bases, tuple(left), _seconds(network, runtime, bases, pixels)
    )


def base_codes(
    codes: NetworkCodes, images: ImageSet, views: ImageSet | None, folder: Path
) -> dict[Base, BaseCodes]:
    """Codes of all bases, from the folder or made in one pass over the images (and the views).

    Args:
        images: of the network's input size.
        views: likewise, or None.
        folder: of this network's codes.

    Raises:
        UserError: images of another size, full disk.
    """
    found: dict[Base, list[FloatCodes]] = {base: [] for base in codes.bases}
    for name, image_set in (("images", images), ("views", views)):
        if image_set is None:
            continue
        place = folder / name
        missing = [
            base
            for base in codes.bases
            if not _is_there(place, base, codes, image_set)
            and not _copied_from_run(place, base, codes, image_set)
        ]
        if missing:
            encoder = Encoder(codes.network, [_request(base) for base in missing], codes.runtime)
            encoder.encode_images(image_set, place, [_file(base) for base in missing])
        for base in codes.bases:
            found[base].append(load_codes(place / _file(base)).values)
    return {base: BaseCodes(codes.bases[base], tuple(parts)) for base, parts in found.items()}


def are_there(codes: NetworkCodes, images: ImageSet, folder: Path) -> bool:
    """Whether the codes of all bases of the images (not of views) lie in the folder."""
    return all(_is_there(folder / "images", base, codes, images) for base in codes.bases)


def _wanted(network: OpenNetwork, layers: Sequence[str]) -> list[tuple[str, int | None]]:
    """Layers by the names to use, each with the number of its values where that is known."""
    kind = network.kind
    wanted: dict[str, int | None] = {}
    for layer in layers:
        if layer == NAMED or (layer == ALL and kind.layers):
            # first, so that of two equal codes the one with the better name stays
            wanted.update(dict.fromkeys(kind.layers or [kind.default_layer]))
        if layer == ALL:
            for row in layer_table(network.module, kind.input_size, kind.layers):
                if row.name and row.alias is None and row.shape is not None:
                    wanted[row.name] = int(np.prod(row.shape))
        elif layer != NAMED:
            wanted[layer] = None
    return list(wanted.items())


def _too_long(base: Base, values: int) -> LeftOut:
    line = f"{base.code}: {values:,} values, more than {MOST_VALUES:,}; left out"
    return LeftOut(line, f"of more than {MOST_VALUES:,} values")


def _request(base: Base) -> CodeRequest:
    return CodeRequest(base.network, base.layer, base.pooling, ())


def _file(base: Base) -> str:
    return f"{base.layer}-{base.pooling}".replace("/", "_")


def _is_there(place: Path, base: Base, codes: NetworkCodes, images: ImageSet) -> bool:
    path = place / _file(base)
    try:
        kept = load_codes(path)
    except (UserError, KeyError):
        return False
    same = kept.spec.fingerprint() == codes.bases[base].fingerprint()
    return same and kept.images == images.fingerprint()


def _copied_from_run(place: Path, base: Base, codes: NetworkCodes, images: ImageSet) -> bool:
    """Take over the codes that the network's run folder keeps, if they are of these images.

    They may be of more images and in another order: their fingerprint, worked out for their own
    keys in our images, says whether these are the same pictures.
    """
    spec = codes.bases[base]
    try:
        kept = load_codes(Path(base.network) / "codes" / base.layer)
    except (UserError, KeyError):
        return False
    if kept.spec.fingerprint() != spec.fingerprint():
        return False
    position = {key: row for row, key in enumerate(images.keys)}
    rows = [position.get(key, -1) for key in kept.keys]
    theirs = replace(images, rows=np.array(rows, dtype=np.int64))
    mine = {key: row for row, key in enumerate(kept.keys)}
    keys = tuple(images.key(row) for row in range(len(images)))
    if kept.images != theirs.fingerprint() or not all(key in mine for key in keys):
        return False
    with new_codes(place / _file(base), spec, keys, images.fingerprint()) as values:
        values[:] = kept.values[[mine[key] for key in keys]]
    return True


def _seconds(
    network: OpenNetwork, runtime: Runtime, bases: dict[Base, CodeSpec], pixels: np.ndarray
) -> float:
    """Of one image's pass for all bases, the faster of two tries."""
    encoder = Encoder(network, [_request(base) for base in bases], runtime)
    tries = []
    for _ in range(2):
        start = time.perf_counter()
        encoder.encode(np.concatenate([pixels] * 4))
        tries.append(time.perf_counter() - start)
    return min(tries) / (4 * len(pixels))
