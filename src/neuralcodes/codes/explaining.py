"""Why did this match? The similarity of two codes, taken apart by places of the two images.

The similarity of codes of length 1 is their inner product s, and their squared distance is 2 - 2 s.
With the lengths that codes are divided by taken as constants, a pooled code is linear in the map
that it was pooled from, so that s is a sum over the map's places:

- `flatten`, `spoc`, `mac` (each channel counts where its maximum is), `gem` (by the share of each
  place in the channel's mean of powers), `crow` and `rmac` (their weights taken as constants): the
  contributions of all places add up to s;
- a linear transform behind it (PCA, whitening, …) adds a constant, what the subtracted mean makes,
  which belongs to no place;
- layers between the map and the code: gradient × activation. In a network of ReLU layers that too
  is a sum but for a constant, what the biases make; elsewhere it is right to first order.

All is one computation: the gradient of s, by the map, times the map (as in Grad-CAM of Selvaraju
et al. 2017, without its averaging of the gradient), once for each image with the other's code
held fixed. What is left over is reported as `rest`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.hooks import RemovableHandle

from neuralcodes.codes.encoder import Encoder
from neuralcodes.codes.pooling import pool, token_grid
from neuralcodes.codes.transforms.base import Linear
from neuralcodes.common.errors import UserError
from neuralcodes.images.decode import decode
from neuralcodes.images.imageset import Pixels
from neuralcodes.images.resizing import is_exact
from neuralcodes.networks.taps import Tap, first_tensor, resolve_layer

Floats = npt.NDArray[np.float32]

EXACT = 1e-4  # of the similarity may be left over
SHOWN = 320  # pixels of a picture's longer side, for people


@dataclass(frozen=True)
class Side:
    """One of the two images.

    Attributes:
        pixels: uint8 H×W×3, what the network saw.
        parts: float32 h×w, each place's contribution to the similarity, as the map lies on the
            image; it may be below zero.
        rest: what of the similarity belongs to no place.
        picture: uint8, the same larger, for people; `pixels` where there is nothing larger.
    """

    pixels: Pixels
    parts: Floats
    rest: float
    picture: Pixels = field(repr=False)

    @property
    def heat(self) -> Floats:
        """The contributions spread smoothly over the pixels, float32 H×W; of the same sum."""
        rows = _spread(self.pixels.shape[0], self.parts.shape[0])
        columns = _spread(self.pixels.shape[1], self.parts.shape[1])
        made: Floats = (rows @ self.parts @ columns.T).astype(np.float32)
        return made


@dataclass(frozen=True)
class Explanation:
    """Which regions carry the similarity of two images.

    Attributes:
        query, result: the two sides.
        similarity: inner product of the two codes, -1 to 1.
        distance: Euclidean, of the two codes.
        layer: whose map was looked at.
        code: the code that was explained.
        note: what to know, as that it is not the whole code; else empty.
        probability: that the two match, where that is calibrated.
    """

    query: Side
    result: Side
    similarity: float
    distance: float
    layer: str
    code: str
    note: str = ""
    probability: float | None = None

    @property
    def exact(self) -> bool:
        """Whether the contributions of places add up to the similarity, on both images."""
        return max(abs(self.query.rest), abs(self.result.rest)) <= EXACT

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "code": self.code,
            "layer": self.layer,
            "similarity": self.similarity,
            "distance": self.distance,
            **({} if self.probability is None else {"probability": self.probability}),
            "exact": self.exact,
            **({"note": self.note} if self.note else {}),
            **{
                name: {"parts": side.parts.tolist(), "rest": side.rest}
                for name, side in (("query", self.query), ("result", self.result))
            },
        }


class Explainer:
    """Explains similarities of one code.

    Args:
        encoder: of one code.

    Attributes:
        spec: the code.
        code, note: of explanations.

    Raises:
        UserError: a transform of the code cannot be seen through.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._layer, self._pooling = encoder.pooled[0]
        self._tap = Tap(encoder.module, [self._layer])
        chain = encoder.chains[0]
        self._steps: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.spec = chain.spec
        self.code, self.note = chain.spec.name, ""
        for step in chain.steps:
            transform = step.transform
            if isinstance(transform, Linear):
                pair = (torch.from_numpy(transform.tensors[name]) for name in ("mean", "matrix"))
                mean, matrix = (tensor.to(encoder.runtime.device) for tensor in pair)
                self._steps.append((mean, matrix))
            elif transform.is_quantiser:  # it stands last
                self.code = step.before.name
                self.note = f"explained before {transform.name}, through which nothing can be seen"
            else:
                raise UserError(
                    f"{chain.spec.name}: {transform.name} cannot be seen through; "
                    f"explain {step.before.name} instead"
                )

    def explain(self, query: Pixels, result: Pixels, layer: str | None = None) -> Explanation:
        """Take the similarity of two images apart.

        Args:
            query, result: uint8 H×W×3, of the network's input size.
            layer: whose map is looked at, by name or alias; None for the deepest at or before the
                code's own layer in which places still matter.

        Raises:
            UserError: no such layer, it has no map or lies behind the code's, or a code of zeros.
        """
        pixels = np.stack([query, result])
        if layer is not None:
            name = resolve_layer(self._encoder.module, layer, self._encoder.network.kind.layers)
            if name not in self._maps(pixels):
                raise UserError(
                    f"--layer {layer}: has no map, or lies behind {self._layer!r}, where the code "
                    "is taken; `neuralcodes layers` lists layers and their shapes"
                )
            return self._explain(pixels, name)
        maps = self._maps(pixels)
        if not maps:
            raise UserError(f"{self.code}: no layer before {self._layer!r} has a map of the image")
        for name in reversed(maps):
            made = self._explain(pixels, name)
            if made.query.parts.any() or made.result.parts.any():
                break  # a class token's own layer is no place of the image
        return made

    def explain_files(self, query: bytes, result: bytes, layer: str | None = None) -> Explanation:
        """The same for two image files, with larger pictures for people to look at.

        Raises:
            UserError: as for `explain`.
            ValueError: one of them cannot be decoded.
        """
        pre = self._encoder.preprocessing
        made = self.explain(
            decode(query, pre.size, pre.resize), decode(result, pre.size, pre.resize), layer
        )
        if is_exact(pre.resize):  # cuts the picture at a scale of its own
            return made
        times = max(1, SHOWN // max(pre.size))
        size = (times * pre.size[0], times * pre.size[1])
        return replace(
            made,
            query=replace(made.query, picture=decode(query, size, pre.resize)),
            result=replace(made.result, picture=decode(result, size, pre.resize)),
        )

    def similarities(self, pixels: Pixels, other: Pixels) -> npt.NDArray[np.float64]:
        """Similarity of each of k images (uint8 k×H×W×3) with another, float64 k."""
        with torch.inference_mode(), self._encoder.runtime.autocast():
            every = np.concatenate([pixels, other[None]])
            codes = self._code(self._tap(self._encoder.inputs(every))[self._layer])
        made: npt.NDArray[np.float64] = (codes[:-1] @ codes[-1]).double().cpu().numpy()
        return made

    def _maps(self, pixels: Pixels) -> list[str]:
        """Layers that give a map, in the order they run, up to the code's own."""
        order: list[str] = []
        thread = threading.get_ident()

        def watch(name: str) -> Any:
            def hook(_module: Any, _inputs: Any, output: Any) -> None:
                if threading.get_ident() == thread and name not in order:
                    value = first_tensor(output)
                    if value is not None and self._grid(value) is not None:
                        order.append(name)

            return hook

        handles = [
            module.register_forward_hook(watch(name))
            for name, module in self._encoder.module.named_modules()
            if name
        ]
        try:
            with torch.inference_mode(), self._encoder.runtime.autocast():
                self._tap(self._encoder.inputs(pixels[:1]))
        finally:
            _remove(handles)
        return order

    def _explain(self, pixels: Pixels, layer: str) -> Explanation:
        held: list[torch.Tensor] = []
        thread = threading.get_ident()

        def hold(_module: Any, _inputs: Any, output: Any) -> Any:
            if held or threading.get_ident() != thread:
                return None
            leaf = first_tensor(output)
            assert leaf is not None
            held.append(leaf.detach().requires_grad_())
            # a copy goes on: a later layer (ReLU) may write into it
            return _replaced(output, leaf, held[0].clone())

        module = self._encoder.module.get_submodule(layer)
        handle = module.register_forward_hook(hold)
        try:
            with torch.enable_grad(), self._encoder.runtime.autocast():
                output = self._tap(self._encoder.inputs(pixels))[self._layer]
                codes = self._code(output)
        finally:
            handle.remove()
        one, other = codes.detach()
        if not one.any() or not other.any():
            raise UserError(f"{self.code}: the code of one of the two is zero: nothing to explain")
        (gradient,) = torch.autograd.grad((codes[0] * other + codes[1] * one).sum(), held[0])
        parts = self._places((gradient * held[0]).detach().float()).cpu().numpy()
        similarity = float(one.double() @ other.double())
        query, result = (
            Side(seen, part, similarity - float(part.sum(dtype=np.float64)), seen)
            for seen, part in zip(pixels, parts, strict=True)
        )
        return Explanation(
            query, result, similarity, float((one.double() - other.double()).norm()),
            layer, self.code, self.note,
        )  # fmt: skip

    def _code(self, output: torch.Tensor) -> torch.Tensor:
        """From the layer's output to codes, float32 n×d, their lengths being constants."""
        patches = self._encoder.network.kind.patches
        values = _unit(pool(self._pooling, output, self._layer, patches, frozen=True))
        for mean, matrix in self._steps:
            values = _unit((values - mean) @ matrix.T)
        return values

    def _grid(self, output: torch.Tensor) -> tuple[int, int, int] | None:
        """Tokens in front, rows and columns of a map; None for what is no map."""
        if output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
            return 0, output.shape[2], output.shape[3]
        if output.ndim == 3:
            grid = token_grid(output.shape[1], self._encoder.network.kind.patches)
            return grid if grid is not None and grid[1] * grid[2] > 1 else None
        return None

    def _places(self, values: torch.Tensor) -> torch.Tensor:
        """Sums over channels at each place: n×C×h×w or n×T×C → n×h×w."""
        grid = self._grid(values)
        assert grid is not None
        if values.ndim == 4:
            return values.sum(1)
        special, rows, columns = grid
        return values[:, special:].sum(2).reshape(len(values), rows, columns)


@dataclass(frozen=True)
class Occlusion:
    """What covering parts of an image does to its similarity with the other.

    Attributes:
        drop: by how much the similarity falls when the hottest window is covered.
        others: float64 m, by how much for windows elsewhere.
    """

    drop: float
    others: npt.NDArray[np.float64]

    @property
    def beats(self) -> float:
        """Share of the other windows that lower it less."""
        return float((self.others < self.drop).mean())


def occlude(
    explainer: Explainer, explained: Explanation, *, side: float = 0.25, windows: int = 32,
    seed: int = 0, on_query: bool = False,
) -> Occlusion:  # fmt: skip
    """Check an explanation without gradients: cover its hottest window, and others.

    A window is covered by its own mean colour: another would bring in edges of its own.

    Args:
        explainer: that made it.
        explained: the explanation.
        side: of a window, as a share of the image's.
        windows: how many others, drawn at random.
        seed: draws them.
        on_query: cover parts of the query instead of the result.
    """
    own, other = explained.query, explained.result
    if not on_query:
        own, other = other, own
    height, width = own.pixels.shape[:2]
    tall, wide = max(1, round(side * height)), max(1, round(side * width))
    sums = np.zeros((height + 1, width + 1))
    sums[1:, 1:] = own.heat.cumsum(0, dtype=np.float64).cumsum(1)
    inside = sums[tall:, wide:] - sums[:-tall, wide:] - sums[tall:, :-wide] + sums[:-tall, :-wide]
    best = np.unravel_index(inside.argmax(), inside.shape)
    generator = np.random.default_rng(seed)
    tops = np.append(best[0], generator.integers(inside.shape[0], size=windows))
    lefts = np.append(best[1], generator.integers(inside.shape[1], size=windows))
    covered = np.repeat(own.pixels[None], windows + 2, axis=0)  # the first stays as it is
    for number, (top, left) in enumerate(zip(tops, lefts, strict=True), start=1):
        window = covered[number, top : top + tall, left : left + wide]
        window[:] = window.reshape(-1, 3).mean(axis=0)
    found = explainer.similarities(covered, other.pixels)
    drops = found[0] - found[1:]
    return Occlusion(float(drops[0]), drops[1:])


def _unit(values: torch.Tensor) -> torch.Tensor:
    lengths = values.detach().norm(dim=1, keepdim=True).clamp(min=1e-12)
    return torch.div(values, lengths)


def _spread(pixels: int, cells: int) -> npt.NDArray[np.float64]:
    """float64 pixels×cells: linear interpolation between the cells' middles; each column sums to 1
    so that a cell's value is shared out over pixels."""
    place = ((np.arange(pixels) + 0.5) * cells / pixels - 0.5).clip(0, cells - 1)
    weights = np.maximum(0, 1 - np.abs(place[:, None] - np.arange(cells)))
    shares: npt.NDArray[np.float64] = weights / np.maximum(weights.sum(0), 1e-12)
    return shares


def _replaced(output: Any, old: torch.Tensor, new: torch.Tensor) -> Any:
    """A layer's output with its first tensor replaced."""
    if output is old:
        return new
    if isinstance(output, Mapping):
        return type(output)({k: new if v is old else v for k, v in output.items()})  # type: ignore[call-arg]
    return type(output)(new if part is old else part for part in output)


def _remove(handles: Sequence[RemovableHandle]) -> None:
    for handle in handles:
        handle.remove()
