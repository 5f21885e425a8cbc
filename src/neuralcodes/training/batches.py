"""Batches of an image set as float tensors, gathered and normalised a batch at a time."""

from __future__ import annotations

import numpy as np
import torch

from neuralcodes.images.imageset import ImageSet
from neuralcodes.networks.registry import NetworkKind
from neuralcodes.networks.runtime import Runtime

GPU_SHARE = 0.5  # of the free GPU memory that the images may take


class Batches:
    """An image set ready to be fed to a network.

    On a GPU with room the uint8 images are moved there once; otherwise each batch is gathered
    from the memory map and sent over.
    """

    def __init__(self, images: ImageSet, kind: NetworkKind, runtime: Runtime) -> None:
        self.images = images
        self.runtime = runtime
        # pixels in [0, 1], then the network's mean and standard deviation, as one a·x + b
        std = torch.tensor(kind.std).view(1, 3, 1, 1)
        mean = torch.tensor(kind.mean).view(1, 3, 1, 1)
        self._scale = (1.0 / (255.0 * std)).to(runtime.device)
        self._shift = (-mean / std).to(runtime.device)
        self._plain = all(m == 0 for m in kind.mean) and all(s == 1 for s in kind.std)
        self._resident = self._move_all() if self._fits() else None

    def __len__(self) -> int:
        return len(self.images)

    def _fits(self) -> bool:
        if self.runtime.device.type != "cuda":
            return False
        height, width = self.images.size
        free, _ = torch.cuda.mem_get_info(self.runtime.device)
        return len(self) * height * width * 3 < GPU_SHARE * free

    def _move_all(self) -> torch.Tensor:
        return torch.from_numpy(self.images.read(np.arange(len(self)))).to(self.runtime.device)

    def pixels(self, rows: torch.Tensor) -> torch.Tensor:
        """Images of these rows (int64 k) as float32 k×3×H×W on the device, channels last."""
        if self._resident is not None:
            raw = self._resident[rows.to(self.runtime.device)]
        else:
            raw = torch.from_numpy(self.images.read(rows.numpy())).to(self.runtime.device)
        values = raw.permute(0, 3, 1, 2).float()  # k×H×W×3 seen as k×3×H×W is channels last
        return values.div_(255.0) if self._plain else values * self._scale + self._shift

    def labels(self) -> torch.Tensor:
        """All labels, int64 n, on the device."""
        return torch.from_numpy(self.images.label_array()).to(self.runtime.device)
