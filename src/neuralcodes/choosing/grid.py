"""`Candidate`: one code of the sweep; which there are, from what a user asks for."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from neuralcodes.codes.pooling_names import pooling_name
from neuralcodes.codes.transforms.registry import get_transform, transform_names
from neuralcodes.common.errors import UserError

TRANSFORMS = ("none", "half", "pca", "whiten", "disc", "pca/int8", "pca128/pq")
DIMS = (16, 32, 64, 128, 256, 512)
BYTES = (8, 16, 32, 64)  # of product quantisers

Chain = tuple[str, ...]


@dataclass(frozen=True, order=True)
class Base:
    """A code without transforms: network, layer and pooling as a user writes them."""

    network: str
    layer: str
    pooling: str = "flatten"

    @property
    def code(self) -> str:
        """The short form."""
        pooling = "" if self.pooling == "flatten" else f"/{self.pooling}"
        return f"{self.network}@{self.layer}{pooling}"


@dataclass(frozen=True, order=True)
class Candidate:
    """A code: what it begins with and the transforms behind it."""

    base: Base
    chain: Chain = ()

    @property
    def code(self) -> str:
        """The short form, as it is given to `--code`."""
        return "/".join((self.base.code, *self.chain))


def expand(templates: Sequence[str], dims: Sequence[int], sizes: Sequence[int]) -> list[Chain]:
    """Chains of transforms from templates, the longest codes of each kind first.

    A name that wants a number and has none (`pca`, `pca/int8`, `pca128/pq`) stands for one chain a
    size. `none` is the code as it comes from the layer.

    Args:
        templates: at least one.
        dims: sizes of transforms that reduce dimensions.
        sizes: bytes of product quantisers; those that do not divide the dimensions before them
            are passed over.

    Raises:
        UserError: an unknown transform, one behind a quantiser, or no size that fits.
    """
    letters = dict(_letter(name) for name in transform_names())
    chains: dict[Chain, None] = {}
    for template in templates:
        if template == "none":
            chains[()] = None
            continue
        choices = [_choices(part, letters, dims, sizes) for part in template.split("/")]
        made = [chain for chain in itertools.product(*choices) if _cuts(chain, letters)]
        if not made:
            raise UserError(
                f"--transforms {template}: no size of --dims and --bytes fits it; a product "
                "quantiser's bytes must divide the dimensions before it"
            )
        for chain in made:
            _refuse_behind_quantiser(chain)
            chains[chain] = None
    return list(chains)


def candidates(bases: Sequence[Base], chains: Sequence[Chain]) -> list[Candidate]:
    """Every base with every chain."""
    return [Candidate(base, chain) for base in bases for chain in chains]


def canonical_poolings(names: Sequence[str]) -> list[str]:
    """Poolings by their canonical names.

    Raises:
        UserError: one is none.
    """
    found = []
    for name in names:
        own = pooling_name(name)
        if own is None:
            raise UserError(
                f"--poolings {name}: choose flatten, mac, spoc, gem, gem and a number, crow or rmac"
            )
        found.append(own)
    return list(dict.fromkeys(found))


def _letter(name: str) -> tuple[str, str]:
    """("pca", "N") of pcaN; no letter where there is no number."""
    return (name[:-1], name[-1]) if name[-1:].isupper() else (name, "")


def _choices(
    part: str, letters: dict[str, str], dims: Sequence[int], sizes: Sequence[int]
) -> list[str]:
    letter = letters.get(part, "")
    if not letter:
        get_transform(part)  # refuses what there is not
        return [part]
    numbers = sizes if letter == "M" else dims
    return [f"{part}{number}" for number in sorted(set(numbers), reverse=True)]


def _cuts(chain: Chain, letters: dict[str, str]) -> bool:
    """Whether each product quantiser divides the dimensions before it, into parts of at least 2."""
    dims: int | None = None
    for name in chain:
        kind, number = get_transform(name)
        if letters.get(kind.kind) == "M":
            assert number is not None
            if dims is not None and (dims % number or number * 2 > dims):
                return False
        elif number is not None:
            if dims is not None and number > dims:
                return False
            dims = number
    return True


def _refuse_behind_quantiser(chain: Chain) -> None:
    for name, after in itertools.pairwise(chain):
        if get_transform(name)[0].is_quantiser:
            raise UserError(f"--transforms: {name} must be the last; {after} cannot follow it")
