"""`Encoder`: batches of pixels → codes. The only thing that makes codes.

Network → tapped layer → pooling → length 1 → transforms, each of which leaves length 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from neuralcodes.codes.passes import passes
from neuralcodes.codes.pooling import pool
from neuralcodes.codes.spec import CodeRequest, CodeSpec, Preprocessing, parse_code
from neuralcodes.codes.store import Codes, load_codes, new_codes
from neuralcodes.codes.transforms.chain import Form, open_chain
from neuralcodes.common.errors import UserError
from neuralcodes.common.progress import progress
from neuralcodes.common.team import Team
from neuralcodes.images.imageset import ImageSet, Pixels
from neuralcodes.networks.opened import OpenNetwork, open_network
from neuralcodes.networks.runtime import Runtime, choose_runtime
from neuralcodes.networks.taps import Tap, resolve_layer

FloatCodes = npt.NDArray[np.float32]


class Encoder:
    """Makes one or several codes of one network, all in one pass.

    Args:
        network: with its weights.
        requests: the codes asked for; their `network` is not looked at.
        runtime: device and precision.
        widths: values of each code before its transforms, where they are known already; else a
            pass of a blank image tells them.

    Attributes:
        module: the network on its device.
        pooled: layer (the module's own name) and pooling of each code.
        chains, specs: its transforms, and what the code is.

    Raises:
        UserError: unknown layer or transform, a pooling that the layer's output does not allow, a
            transform that is not fitted or was fitted on another code.
    """

    def __init__(
        self,
        network: OpenNetwork,
        requests: Sequence[CodeRequest],
        runtime: Runtime,
        widths: Sequence[int] | None = None,
    ) -> None:
        kind = network.kind
        self.network = network
        self.runtime = runtime
        self.preprocessing = Preprocessing(kind.input_size, kind.resize, kind.mean, kind.std)
        self.module = runtime.place(network.module).eval()
        self.pooled = [self._resolve(request) for request in requests]
        self._tap = Tap(self.module, list(dict.fromkeys(layer for layer, _ in self.pooled)))
        self._scale = torch.tensor(kind.std).mul(255.0).view(1, 3, 1, 1).to(runtime.device)
        self._mean = torch.tensor(kind.mean).mul(255.0).view(1, 3, 1, 1).to(runtime.device)
        if widths is None:
            blank = self._pool_all(np.zeros((1, *kind.input_size, 3), dtype=np.uint8))
            widths = [blank[own].shape[1] for own in self.pooled]
        self.chains = tuple(
            open_chain(self._base(request, *own, width), request.transforms)
            for request, own, width in zip(requests, self.pooled, widths, strict=True)
        )
        self.specs = tuple(chain.spec for chain in self.chains)

    @classmethod
    def open(
        cls,
        codes: str | Sequence[str],
        device: str = "auto",
        precision: str = "fp32",
        widths: Sequence[int] | None = None,
    ) -> Encoder:
        """An encoder of codes as people write them, `NETWORK[@LAYER…]`.

        Args:
            codes: one, or several of one network.
            device: "auto", "cpu" or "cuda".
            precision: of the network's products: "fp32", "bf16" or "auto" (the faster).
            widths: of each code before its transforms, where they are known.

        Raises:
            UserError: unknown network, layer or transform; codes of several networks.
        """
        requests = [parse_code(code) for code in ([codes] if isinstance(codes, str) else codes)]
        names = sorted({request.network for request in requests})
        if len(names) > 1:
            raise UserError(f"--code: of several networks ({', '.join(names)}); give one at a time")
        runtime = choose_runtime(device, precision)  # type: ignore[arg-type]
        return cls(open_network(names[0]), requests, runtime, widths)

    def encode(self, pixels: Pixels, form: Form = "searched") -> list[Any]:
        """Codes of uint8 k×H×W×3 pixels of the network's input size, made in passes of one size.

        Args:
            pixels: of any number of images; more than a pass takes are cut (see `passes`).
            form: `searched`, `stored` or `query`; see `neuralcodes.codes.transforms.chain.Form`.

        Returns:
            For each asked-for code float32 k×d, each row of length 1 (stored: uint8 k×bytes). A
            row of zeros (a ReLU layer that nothing excites) stays zero where no transform moves
            it.
        """
        parts = passes(len(pixels))
        if len(parts) > 1:
            made = [self.encode(pixels[part], form) for part in parts]
            return [np.concatenate(codes) for codes in zip(*made, strict=True)]
        pooled = self._pool_all(pixels)
        return [
            chain.make(pooled[own], form)
            for own, chain in zip(self.pooled, self.chains, strict=True)
        ]

    @property
    def has_text(self) -> bool:
        """Whether `encode_texts` has codes to give."""
        own = self.network.kind.default_layer
        shared = all(spec.layer == own and spec.pooling == "flatten" for spec in self.specs)
        return self.network.text is not None and shared

    def encode_texts(self, texts: Sequence[str], form: Form = "query") -> list[Any]:
        """Codes of texts in the space of the images' codes, where the network has a text side.

        Args:
            texts: at least one.
            form: as for `encode`.

        Returns:
            As of `encode`.

        Raises:
            UserError: the network has no text side, or the code is not the one that it shares
                between texts and images.
        """
        network = self.network
        if network.text is None:
            raise UserError(
                f"{network.name}: knows no texts; networks that do are CLIP and SigLIP, for "
                "instance hf:openai/clip-vit-base-patch32 and hf:google/siglip-base-patch16-224"
            )
        shared = (network.kind.default_layer, "flatten")
        if any(own != shared for own in self.pooled):
            raise UserError(
                f"{self.specs[0].name}: no code of texts; only {network.name}@{shared[0]} (and "
                "transforms behind it) is one of images and texts"
            )
        with torch.inference_mode(), self.runtime.autocast():
            values = torch.nn.functional.normalize(network.text(texts).float(), dim=1)
        return [chain.make(values.cpu().numpy(), form) for chain in self.chains]

    def encode_images(
        self, images: ImageSet, folder: Path, names: Sequence[str] | None = None
    ) -> list[Codes]:
        """Codes of a whole image set, in memory-mapped files.

        In a team each rank makes some of them; the first one writes, in a folder that all see.

        Args:
            images: of the network's input size.
            folder: where the files go, NAME.npy and NAME.json for each code.
            names: of the files; the layers' when None.

        Raises:
            UserError: images of another size, full disk, no right to write.
        """
        if images.size != self.preprocessing.size:
            raise UserError(
                f"{images.source}: images of {images.size[0]}×{images.size[1]}, and "
                f"{self.network.name} takes {self.preprocessing.size[0]}×"
                f"{self.preprocessing.size[1]}; read them at that size"
            )
        keys = tuple(images.key(row) for row in range(len(images)))
        paths = [folder / name for name in names or self.file_names()]
        team = Team.current()
        parts = passes(len(images))
        with ExitStack() as files, progress(len(images), "codes") as bar:
            arrays = []
            if team.leads:
                arrays = [
                    files.enter_context(new_codes(path, spec, keys, images.fingerprint()))
                    for path, spec in zip(paths, self.specs, strict=True)
                ]
            # the passes are the same for any number of ranks, so the codes are too, to the bit
            for at in range(0, len(parts), team.size):
                turn = parts[at : at + team.size]
                mine = turn[team.rank : team.rank + 1]
                found = team.gather(
                    [self.encode(images.read(np.arange(p.start, p.stop))) for p in mine]
                )
                for part, made in zip(turn, found, strict=False):
                    for array, code in zip(arrays, made[0], strict=False):
                        array[part] = code
                    bar.update(part.stop - part.start)
            del arrays
        team.lead(lambda: None)  # the files are whole
        return [load_codes(path) for path in paths]

    def file_names(self) -> list[str]:
        """What files of each code are called: what stands behind the @, with - for /."""
        return [spec.name.rpartition("@")[2].replace("/", "-") for spec in self.specs]

    def _resolve(self, request: CodeRequest) -> tuple[str, str]:
        """The layer's own name and the pooling."""
        kind = self.network.kind
        layer = resolve_layer(self.module, request.layer or kind.default_layer, kind.layers)
        return layer, request.pooling or "flatten"

    def _base(self, request: CodeRequest, layer: str, pooling: str, dims: int) -> CodeSpec:
        """The code before its transforms."""
        kind = self.network.kind
        name = f"{self.network.name}@{request.layer or kind.default_layer}"
        return CodeSpec(
            name=name if pooling == "flatten" else f"{name}/{pooling}",
            network=kind.name,
            weights=self.network.weights,
            layer=layer,
            pooling=pooling,
            transforms=(),
            precision=self.runtime.precision,
            preprocessing=self.preprocessing,
            dims=dims,
        )

    def inputs(self, pixels: Pixels) -> torch.Tensor:
        """uint8 k×H×W×3 pixels as the network takes them, float32 k×3×H×W on its device."""
        values = torch.from_numpy(pixels).to(self.runtime.device).permute(0, 3, 1, 2).float()
        return (values - self._mean) / self._scale

    @torch.inference_mode()
    def _pool_all(self, pixels: Pixels) -> dict[tuple[str, str], FloatCodes]:
        """float32 k×d of unit length for each layer and pooling."""
        inputs = self.inputs(pixels)
        with self.runtime.autocast():
            outputs = self._tap(inputs)
        codes = {}
        for layer, pooling in dict.fromkeys(self.pooled):
            flat = pool(pooling, outputs[layer], layer, self.network.kind.patches)
            codes[layer, pooling] = torch.nn.functional.normalize(flat, dim=1).cpu().numpy()
        return codes
