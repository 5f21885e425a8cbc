"""`CodeSpec`: the one value that says what a code is.

Codes can be compared exactly if the fingerprints of their specs are equal.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from neuralcodes.codes.pooling_names import pooling_name
from neuralcodes.common.errors import UserError

FORMAT = 1


@dataclass(frozen=True)
class Preprocessing:
    """From an upright RGB image to the network's input.

    Attributes:
        size: height and width in pixels.
        resize: "crop", "squash" or a pretrained network's own way (see
            `neuralcodes.images.resizing.Resize`).
        mean, std: per-channel normalisation of pixels in [0, 1].
    """

    size: tuple[int, int]
    resize: str = "crop"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class CodeSpec:
    """What an image's code is.

    Attributes:
        name: the short form that people type, `NETWORK@LAYER…`; not part of the fingerprint.
        network: name of the network's kind.
        weights: hash of its weights.
        layer: the module's own name of the layer (aliases are resolved).
        pooling: how a convolutional map becomes a vector (canonical name).
        transforms: `NAME:HASH` of each fitted transform, in the order they are applied.
        precision: of the network's products, "fp32" or "bf16".
        preprocessing: how an image becomes the network's input.
        dims: length of a code when it is searched.
    """

    name: str
    network: str
    weights: str
    layer: str
    pooling: str
    transforms: tuple[str, ...]
    precision: str
    preprocessing: Preprocessing
    dims: int

    @property
    def bytes_per_code(self) -> int:
        """Bytes of a stored code: 4 a dimension, unless a quantiser is the last transform.

        Raises:
            UserError: a transform of an unknown kind.
        """
        if not self.transforms:
            return 4 * self.dims
        from neuralcodes.codes.transforms.registry import get_transform

        kind, number = get_transform(self.transforms[-1].partition(":")[0])
        return kind.stored_bytes(number, self.dims)

    def then(self, transform: str, digest: str, dims: int) -> CodeSpec:
        """The code that a transform of this name and hash makes of this one."""
        return replace(
            self,
            name=f"{self.name}/{transform}",
            transforms=(*self.transforms, f"{transform}:{digest}"),
            dims=dims,
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready form, with the fingerprint for whoever reads it without us."""
        return {"format": FORMAT, **asdict(self), "fingerprint": self.fingerprint()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> CodeSpec:
        """Read what `to_json` wrote.

        Raises:
            UserError: written by another format, or changed since.
        """
        if value.get("format") != FORMAT:
            raise UserError(
                f"a code of format {value.get('format')!r}; this version reads {FORMAT}: "
                "make the codes again"
            )
        fields = {k: v for k, v in value.items() if k not in ("format", "fingerprint")}
        pre = fields["preprocessing"]
        fields["preprocessing"] = Preprocessing(
            tuple(pre["size"]), pre["resize"], tuple(pre["mean"]), tuple(pre["std"])
        )
        fields["transforms"] = tuple(fields["transforms"])
        spec = cls(**fields)
        if spec.fingerprint() != value["fingerprint"]:
            raise UserError(f"the code {spec.name} was changed by hand; make the codes again")
        return spec

    def fingerprint(self) -> str:
        """16 hex digits over everything but the name."""
        facts = asdict(self)
        del facts["name"]
        text = json.dumps({"format": FORMAT, **facts}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def require_same(self, other: CodeSpec) -> None:
        """Refuse to compare codes of different specs.

        Raises:
            UserError: the fingerprints differ; the message names both codes and what differs.
        """
        if self.fingerprint() == other.fingerprint():
            return
        mine, theirs = asdict(self), asdict(other)
        differing = [key for key in mine if key != "name" and mine[key] != theirs[key]]
        raise UserError(
            f"codes of {self.name} ({self.fingerprint()}) and {other.name} "
            f"({other.fingerprint()}) cannot be compared: {', '.join(differing)} differ"
        )


@dataclass(frozen=True)
class CodeRequest:
    """A code as people write it, before a network is opened: `NETWORK[@LAYER[/POOLING][/T…]]`."""

    network: str
    layer: str | None
    pooling: str | None
    transforms: tuple[str, ...]


def parse_code(text: str) -> CodeRequest:
    """Read the short form of a code.

    >>> parse_code("runs/2026-11-24@L6")
    CodeRequest(network='runs/2026-11-24', layer='L6', pooling=None, transforms=())
    >>> parse_code("runs/r1@relu5/gem/pca128/int8").transforms
    ('pca128', 'int8')
    >>> parse_code("shipped").layer is None
    True

    Raises:
        UserError: nothing before or behind the @.
    """
    network, at, rest = text.rpartition("@")
    if not at:
        network, rest = text, ""
    parts = rest.split("/") if at else []
    if not network or any(not part for part in parts) or (at and not parts):
        raise UserError(f"--code {text!r}: write NETWORK or NETWORK@LAYER, for instance run@L6")
    layer = parts.pop(0) if parts else None
    pooling = pooling_name(parts[0]) if parts else None
    return CodeRequest(network, layer, pooling, tuple(parts[1:] if pooling else parts))
