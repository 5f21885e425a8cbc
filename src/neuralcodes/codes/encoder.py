"""`Encoder`: batches of pixels → codes. The only thing that makes codes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from neuralcodes.codes.spec import POOLINGS, CodeRequest, CodeSpec, Preprocessing
from neuralcodes.codes.store import Codes, load_codes, new_codes
from neuralcodes.common.errors import UserError
from neuralcodes.common.progress import progress
from neuralcodes.images.imageset import ImageSet, Pixels
from neuralcodes.networks.opened import OpenNetwork
from neuralcodes.networks.runtime import Runtime
from neuralcodes.networks.taps import Tap, resolve_layer

FloatCodes = npt.NDArray[np.float32]
BATCH = 250  # images a pass


class Encoder:
    """Makes the codes of one or several layers of one network, all in one pass.

    Args:
        network: with its weights.
        requests: the codes asked for; their `network` is not looked at.
        runtime: device and precision.

    Raises:
        UserError: unknown layer, pooling or transform.
    """

    def __init__(
        self, network: OpenNetwork, requests: Sequence[CodeRequest], runtime: Runtime
    ) -> None:
        kind = network.kind
        self.network = network
        self.runtime = runtime
        self.preprocessing = Preprocessing(kind.input_size, "crop", kind.mean, kind.std)
        self._module = runtime.place(network.module).eval()
        asked = [request.layer or kind.default_layer for request in requests]
        self._layers = [resolve_layer(self._module, layer, kind.layers) for layer in asked]
        self._tap = Tap(self._module, list(dict.fromkeys(self._layers)))
        self._scale = torch.tensor(kind.std).mul(255.0).view(1, 3, 1, 1).to(runtime.device)
        self._mean = torch.tensor(kind.mean).mul(255.0).view(1, 3, 1, 1).to(runtime.device)
        for request in requests:
            _refuse_unknown(request)
        height, width = kind.input_size
        blank = np.zeros((1, height, width, 3), dtype=np.uint8)
        self.specs = tuple(
            CodeSpec(
                name=f"{network.name}@{layer}",
                network=kind.name,
                weights=network.weights,
                layer=own,
                pooling=request.pooling or "flatten",
                transforms=(),
                precision=runtime.precision,
                preprocessing=self.preprocessing,
                dims=code.shape[1],
            )
            for request, layer, own, code in zip(
                requests, asked, self._layers, self.encode(blank), strict=True
            )
        )

    @torch.inference_mode()
    def encode(self, pixels: Pixels) -> list[FloatCodes]:
        """Codes of uint8 k×H×W×3 pixels of the network's input size.

        Returns:
            For each asked-for code float32 k×d, each row of length 1; a row of zeros (a ReLU
            layer that nothing excites) stays zero.
        """
        values = torch.from_numpy(pixels).to(self.runtime.device).permute(0, 3, 1, 2).float()
        with self.runtime.autocast():
            outputs = self._tap((values - self._mean) / self._scale)
        codes = {}
        for name, output in outputs.items():
            flat = output.flatten(1).float()
            codes[name] = torch.nn.functional.normalize(flat, dim=1).cpu().numpy()
        return [codes[name] for name in self._layers]

    def encode_images(
        self, images: ImageSet, folder: Path, names: Sequence[str] | None = None
    ) -> list[Codes]:
        """Codes of a whole image set, in memory-mapped files.

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
        with ExitStack() as files, progress(len(images), "codes") as bar:
            arrays = [
                files.enter_context(new_codes(path, spec, keys, images.fingerprint()))
                for path, spec in zip(paths, self.specs, strict=True)
            ]
            for start in range(0, len(images), BATCH):
                rows = np.arange(start, min(start + BATCH, len(images)))
                for array, code in zip(arrays, self.encode(images.read(rows)), strict=True):
                    array[rows] = code
                bar.update(len(rows))
            del arrays
        return [load_codes(path) for path in paths]

    def file_names(self) -> list[str]:
        """What files of each code are called: what stands behind the @, with - for /."""
        return [spec.name.rpartition("@")[2].replace("/", "-") for spec in self.specs]


def _refuse_unknown(request: CodeRequest) -> None:
    if request.pooling not in (None, *POOLINGS):
        raise UserError(f"unknown pooling {request.pooling!r}; there are: {', '.join(POOLINGS)}")
    if request.transforms:
        raise UserError(f"unknown transform or pooling {request.transforms[0]!r}")
