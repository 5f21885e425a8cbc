"""Which index for a collection: from the number of codes, their length and the memory there is."""

from __future__ import annotations

from dataclasses import dataclass

from neuralcodes.common.machine import available_memory
from neuralcodes.index.backend import Parameters, get_backend

EXACT_BELOW = 50_000  # codes; reading them all takes a few milliseconds
FASTSCAN_UPTO = 2_000_000  # codes; a graph's time grows more slowly. Measured to 1,000,000
UNKNOWN_MEMORY = 2 * 2**30


@dataclass(frozen=True)
class IndexChoice:
    """An index and why.

    Attributes:
        backend: its name.
        parameters: how to build it.
        bytes: memory it will take, estimated.
        reason: one line for people.
    """

    backend: str
    parameters: Parameters
    bytes: int
    reason: str


def choose_index(
    count: int, dims: int, memory: int | None = None, backend: str | None = None
) -> IndexChoice:
    """Choose an index: exact while that is fast, then the fastest that fits the memory.

    Args:
        count: codes.
        dims: length of each.
        memory: bytes it may take; half of what is free when None.
        backend: take this one whatever the count, and only choose its parameters.

    Raises:
        UserError: no backend of that name.
    """
    if backend is not None:
        return _choice(backend, count, dims, "asked for")
    if count < EXACT_BELOW:
        return _choice("exact", count, dims, f"fewer than {EXACT_BELOW:,} codes")
    if memory is None:
        memory = (available_memory() or UNKNOWN_MEMORY) // 2
    needs: list[str] = []
    scanned = ("fastscan", "ivfpq")  # from the fastest to the smallest
    for name in scanned if count <= FASTSCAN_UPTO else ("hnsw", *scanned):
        choice = _choice(name, count, dims, "")
        if choice.bytes <= memory:
            reason = "; ".join([*needs, f"fits the memory budget of {_gb(memory)}"])
            return IndexChoice(name, choice.parameters, choice.bytes, reason)
        needs.append(f"{name} would take {_gb(choice.bytes)}")
    return _choice("exact", count, dims, f"no other fits {_gb(memory)}: {', '.join(needs)}")


def _choice(name: str, count: int, dims: int, reason: str) -> IndexChoice:
    kind = get_backend(name)
    return IndexChoice(name, kind.suggest(count, dims), kind.estimate_bytes(count, dims), reason)


def _gb(amount: int) -> str:
    return f"{amount / 2**30:.2f} GiB"
