"""One batch on several processes, so that what is learned is what one process would learn.

Each rank takes its rows of every batch. Three things do not fall into rows, and are made the same
here as in one process: the statistics of batch normalisation, the mask of dropout, and the mean
of the loss.
"""

from __future__ import annotations

import types
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from neuralcodes.common.team import ALONE, Team


@dataclass
class Share:
    """This rank's rows of the batch at hand.

    Attributes:
        team: who shares it.
        total: images in the whole batch.
        rows: int64, this rank's of them; all of them on every rank where there are fewer images
            than ranks.
        views: how many times each image is in what the network sees, one view of all images
            behind the other.
    """

    team: Team
    views: int = 1
    total: int = 0
    rows: torch.Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))

    def take(self, total: int) -> torch.Tensor:
        """Begin a batch of `total` images; gives this rank's rows of it."""
        self.total = total
        part = self.team.part(total) if total >= self.team.size else slice(0, total)
        self.rows = torch.arange(total)[part]
        return self.rows

    @property
    def part(self) -> tuple[int, torch.Tensor] | None:
        """The batch's size and this rank's rows; None where this rank has all of it."""
        return None if self.whole else (self.total, self.rows)

    @property
    def whole(self) -> bool:
        """Whether this rank has all of the batch."""
        return len(self.rows) == self.total

    @property
    def weight(self) -> float:
        """What the mean loss of this rank's rows counts in the mean of all ranks' losses."""
        return 1.0 if self.whole else len(self.rows) * self.team.size / self.total

    def seen_rows(self) -> torch.Tensor:
        """Rows of what the network sees: those of each view, one behind the other."""
        return torch.cat([self.rows + view * self.total for view in range(self.views)])

    def whole_batch(self, codes: torch.Tensor) -> torch.Tensor:
        """All ranks' codes in the order of the batch; gradients pass through.

        Args:
            codes: float m×d, of `seen_rows`.
        """
        if self.whole:
            return codes
        everything = codes.new_zeros(self.total * self.views, codes.shape[1])
        own = everything.index_copy(0, self.seen_rows().to(codes.device), codes)
        return self.team.add_up_with_gradient(own)


ALONE_SHARE = Share(ALONE)


def share_layers(network: nn.Module, share: Share) -> None:
    """Let batch normalisation and dropout of `network` work as on the whole batch, in training.

    Raises:
        ValueError: a kind of dropout that has no rows.
    """
    if share.team.alone:
        return
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.forward = types.MethodType(_normalise, module)  # type: ignore[method-assign]
        elif isinstance(module, nn.Dropout):
            module.forward = types.MethodType(_drop, module)  # type: ignore[method-assign]
        elif isinstance(module, nn.modules.dropout._DropoutNd):
            raise ValueError(f"{type(module).__name__} is not known in training by several ranks")
        else:
            continue
        # not as a module or parameter: it is no part of the network's state
        object.__setattr__(module, "_share", share)


def _normalise(self: Any, values: torch.Tensor) -> torch.Tensor:
    share: Share = self._share
    if not self.training or share.whole:
        return type(self).forward(self, values)  # type: ignore[no-any-return]
    axes = [axis for axis in range(values.ndim) if axis != 1]
    wide = values.float()
    number = share.total * share.views * values[0, 0].numel()
    mean = share.team.add_up_with_gradient(wide.sum(axes)) / number
    shape = [1, -1] + [1] * (values.ndim - 2)
    centred = wide - mean.view(shape)
    variance = share.team.add_up_with_gradient((centred * centred).sum(axes)) / number
    with torch.no_grad():
        if self.track_running_stats:
            self.num_batches_tracked.add_(1)
            unbiased = variance * number / (number - 1)
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
    made = centred * torch.rsqrt(variance + self.eps).view(shape)
    if self.affine:
        made = made * self.weight.view(shape) + self.bias.view(shape)
    return made.to(values.dtype)


def _drop(self: Any, values: torch.Tensor) -> torch.Tensor:
    share: Share = self._share
    if not self.training or share.whole or not self.p:
        return F.dropout(values, self.p, self.training)
    # drawn for the whole batch, as one process does, by the generator that all ranks have alike
    kept = torch.empty(
        (share.total * share.views, *values.shape[1:]), dtype=values.dtype, device=values.device
    )
    if values.ndim == 4 and values.is_contiguous(memory_format=torch.channels_last):
        kept = kept.contiguous(memory_format=torch.channels_last)
    kept.bernoulli_(1 - self.p).div_(1 - self.p)
    return values * kept[share.seen_rows().to(values.device)]
