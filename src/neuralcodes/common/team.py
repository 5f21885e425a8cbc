"""`Team`: the processes that work on one thing together, started by torchrun; or this one alone.

`start_team` is called once, by the command. All else asks `Team.current()` and does the same on
every rank, but for what `lead` gives to the first one.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from neuralcodes.common.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import nn

SECONDS = 4 * 3600.0  # that ranks wait for what the first does alone; a death is seen at once

Thing = TypeVar("Thing")
_leading: ContextVar[bool] = ContextVar("leading", default=False)


@dataclass(frozen=True)
class Team:
    """Which of how many processes this is.

    Attributes:
        rank: from 0; that one writes.
        size: how many.
    """

    rank: int = 0
    size: int = 1

    @staticmethod
    def current() -> Team:
        """The team that this process belongs to; itself alone where there is none."""
        if "torch" not in sys.modules or _leading.get():
            return ALONE
        import torch.distributed as dist

        if not dist.is_available() or not dist.is_initialized():
            return ALONE
        return Team(dist.get_rank(), dist.get_world_size())

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.size == 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """This rank's of `count` things: all ranks' parts together are all, in order."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def lead(self, work: Callable[[], Thing]) -> Thing:
        """Do `work` on the first rank alone; all get its result, or its `UserError`.

        In it the process is alone: `current` knows no others.

        Raises:
            UserError: the work did, or a process of the team has died.
        """
        if self.alone:
            return work()
        told: list[Any] = [None, None]
        failed: BaseException | None = None
        if self.leads:
            inside = _leading.set(True)
            try:
                told[0] = work()
            except Exception as error:
                told[1] = str(error) if isinstance(error, UserError) else repr(error)
                failed = error
            finally:
                _leading.reset(inside)
        told = self.share(told)
        if failed is not None:
            raise failed
        if told[1] is not None:
            raise UserError(told[1])
        result: Thing = told[0]
        return result

    def share(self, value: Thing) -> Thing:
        """The first rank's value, on all ranks. It travels as a pickle between our processes."""
        if self.alone:
            return value
        import torch.distributed as dist

        values = [value]
        with explain_deaths():
            dist.broadcast_object_list(values, src=0)
        return values[0]

    def gather(self, value: Thing) -> list[Thing]:
        """All ranks' values in the order of ranks, on all of them."""
        if self.alone:
            return [value]
        import torch.distributed as dist

        values: list[Any] = [None] * self.size
        with explain_deaths():
            dist.all_gather_object(values, value)
        return values

    def add_up(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over ranks, in place and given back."""
        if not self.alone:
            import torch.distributed as dist

            with explain_deaths():
                dist.all_reduce(values)
        return values

    def add_up_with_gradient(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over ranks; gradients pass through it to all ranks' values."""
        if self.alone:
            return values
        from torch.distributed.nn.functional import all_reduce

        summed: torch.Tensor = all_reduce(values)
        return summed

    def learn_together(self, module: nn.Module, partly: bool = False) -> nn.Module:
        """A module whose gradients are the mean over ranks (PyTorch's DistributedDataParallel).

        Args:
            module: on its device; the weights stay in it, under their own names.
            partly: not all of its weights have a part in every pass.
        """
        if self.alone:
            return module
        from torch.nn.parallel import DistributedDataParallel

        # statistics of batch normalisation are the whole batch's already, on every rank
        with warnings.catch_warnings():
            # its new name is not known to older versions
            warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")
            return DistributedDataParallel(
                module, broadcast_buffers=False, find_unused_parameters=partly
            )


ALONE = Team()


@contextmanager
def shared_folder() -> Iterator[Path]:
    """A folder for the time being that all ranks see (on several machines, if all see TMPDIR)."""
    team = Team.current()
    with ExitStack() as held:
        made = partial(TemporaryDirectory, prefix="neuralcodes-")
        yield Path(team.lead(lambda: held.enter_context(made())))
        team.lead(lambda: None)  # none needs it any more


class explain_deaths:  # noqa: N801 - a context manager
    """Turn what the other processes' death brings about into one line."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        # what torch.distributed raises when a connection ends has no class of its own
        if isinstance(error, RuntimeError) and _is_lost(str(error)):
            raise UserError(_LOST) from error


_LOST = (
    "another process of this training has died or was stopped; what its checkpoints hold is kept: "
    "start again with --resume, on as many processes as you like"
)


def _is_lost(text: str) -> bool:
    signs = ("onnection closed", "onnection reset", "gloo", "NCCL", "roken pipe", "imed out")
    return any(sign in text for sign in signs)


def start_team(device: str) -> tuple[Team, str]:
    """Join the other processes, where torchrun has started this one with some.

    Args:
        device: as asked for: "auto", "cpu", "cuda".

    Returns:
        The team, and this process's own device.

    Raises:
        UserError: they are not met.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size < 2 or "RANK" not in os.environ:
        return ALONE, device
    import torch
    import torch.distributed as dist

    cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    own = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if cuda else "cpu"
    if cuda:
        torch.cuda.set_device(own)
    signal.signal(signal.SIGTERM, _stopped)
    try:
        dist.init_process_group("nccl" if cuda else "gloo", timeout=timedelta(seconds=SECONDS))
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"torchrun: the {size} processes do not meet ({reason})") from error
    atexit.register(_leave)
    team = Team.current()
    if not team.leads:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - one process tells for all
    return team, own


def end_of_team(status: int) -> None:
    """End a process of a team now, by its exit status; do nothing in a process alone.

    While Python takes itself down, a thread of the process group that asks for Python's lock is
    ended within C++, and the whole process aborts ("terminate called without an active exception",
    seen twice in hundreds of runs). So what Python does at its end is done here, without the rest.
    """
    if not Team.current().alone:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(status)


def _leave() -> None:
    import torch.distributed as dist

    with suppress(Exception):  # at the end nothing is left to tell
        dist.destroy_process_group()


def _stopped(_number: int, _frame: Any) -> None:
    """torchrun stops all processes when one has died."""
    rank = os.environ.get("RANK", "?")
    os.write(2, f"neuralcodes: rank {rank} was stopped: {_LOST}\n".encode())
    os._exit(143)
