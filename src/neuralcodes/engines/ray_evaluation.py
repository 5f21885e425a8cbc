"""Evaluation by Ray: pieces of a database are looked at on all processors of a cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from neuralcodes.common.errors import UserError
from neuralcodes.engines.ray_engine import one_line, start_ray
from neuralcodes.evaluation.shards import Map, Shard

TRIES = 20  # of a piece whose machine dies


@contextmanager
def ray_map(address: str | None = None) -> Iterator[Map]:
    """How a function is done for shards by Ray; one whose machine dies is done again on another.

    Args:
        address: of a Ray cluster, whose machines see the shards' files under the same names; None
            starts Ray on this machine.

    Raises:
        UserError: Ray is not installed, no cluster there, or a shard cannot be read there.
    """
    ray = start_ray(address)
    try:
        yield partial(_each, ray)
    finally:
        ray.shutdown()


def _each(ray: Any, work: Callable[[Shard], Any], shards: Iterable[Shard]) -> Iterator[Any]:
    """`work` of every shard, in any order."""
    task = ray.remote(_call).options(max_retries=TRIES, scheduling_strategy="SPREAD")
    shared = ray.put(work)
    most = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
    waiting: list[Any] = []
    left = deque(shards)
    while waiting or left:
        while left and len(waiting) < most:
            waiting.append(task.remote(shared, left.popleft()))
        done, waiting = ray.wait(waiting)
        try:
            yield from ray.get(done)
        except ray.exceptions.RayError as error:
            raise UserError(
                f"ray: codes cannot be judged on its machines: {one_line(error)}"
            ) from error


def _call(work: Callable[[Shard], object], shard: Shard) -> object:
    return work(shard)
