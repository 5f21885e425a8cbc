"""Batches of an image set as float tensors, gathered and normalised a batch at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from neuralcodes.images.imageset import ImageSet
from neuralcodes.networks.registry import NetworkKind
from neuralcodes.networks.runtime import Runtime

GPU_SHARE = 0.5  # of the free GPU memory that the images may take
MOVED_AT_ONCE = 4096  # images, on their way to the GPU


class Batches:
    """An image set ready to be fed to a network.

    On a GPU with room the uint8 images are moved there once; otherwise each batch is gathered
    from the memory map and, for a GPU, sent over while the one before is computed.
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
        height, width = self.images.size
        there = torch.empty(
            (len(self), height, width, 3), dtype=torch.uint8, device=self.runtime.device
        )
        rows = torch.split(torch.arange(len(self)), MOVED_AT_ONCE)
        for part, some in zip(torch.split(there, MOVED_AT_ONCE), rows, strict=True):
            part.copy_(self._read(some))
        return there

    def pixels(self, rows: torch.Tensor) -> torch.Tensor:
        """Images of these rows (int64 k) as float32 k×3×H×W on the device, channels last."""
        if self._resident is not None:
            return self._normalise(self._resident[rows.to(self.runtime.device)])
        return self._normalise(self._read(rows))

    def labels(self) -> torch.Tensor:
        """All labels, int64 n, on the device; of images without classes their row numbers."""
        if self.images.labels is None:
            return torch.arange(len(self), device=self.runtime.device)
        return torch.from_numpy(self.images.label_array()).to(self.runtime.device)

    def stream(self, order: torch.Tensor, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Pixels (as `pixels` gives them) and labels (int64) of `order`, `size` rows at a time.

        Args:
            order: rows, int64, on the CPU.
        """
        return self.stream_parts(torch.split(order, size))

    def stream_parts(
        self, parts: Sequence[torch.Tensor]
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Pixels and labels of each of these parts, rows as for `stream`."""
        # All rows cross over once: a copy for each batch would make the host wait for the GPU.
        sizes = [len(rows) for rows in parts]
        there = torch.cat([*parts, torch.zeros(0, dtype=torch.int64)]).to(self.runtime.device)
        wanted = torch.split(self.labels()[there], sizes)
        if self._resident is not None:
            raw: Iterable[torch.Tensor] = (
                self._resident[rows] for rows in torch.split(there, sizes)
            )
        elif self.runtime.device.type == "cuda":
            raw = read_ahead(self._read_pinned, parts)
        else:
            raw = map(self._read, parts)
        for pixels, labels in zip(raw, wanted, strict=True):
            yield self._normalise(pixels), labels

    def _read(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.images.read(rows.cpu().numpy()))

    def _read_pinned(self, rows: torch.Tensor) -> torch.Tensor:
        """In memory from which a GPU copies without the host's waiting."""
        return self._read(rows).pin_memory()

    def _normalise(self, raw: torch.Tensor) -> torch.Tensor:
        raw = raw.to(self.runtime.device, non_blocking=True)
        values = raw.permute(0, 3, 1, 2).float()  # k×H×W×3 seen as k×3×H×W is channels last
        return values.div_(255.0) if self._plain else values * self._scale + self._shift


def read_ahead(
    read: Callable[[torch.Tensor], torch.Tensor], parts: Iterable[torch.Tensor], ahead: int = 2
) -> Iterator[torch.Tensor]:
    """`read` of each part, in order, with up to `ahead` parts read beforehand in a thread."""
    waiting: deque[Future[torch.Tensor]] = deque()
    with ThreadPoolExecutor(1) as pool:
        for part in parts:
            waiting.append(pool.submit(read, part))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
