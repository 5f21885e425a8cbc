"""mAP of a database that fits no single machine: Ray streams its shards past the queries."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from neuralcodes.common.errors import UserError
from neuralcodes.engines.ray_engine import start_ray
from neuralcodes.evaluation.ranks import RelevantRanks
from neuralcodes.evaluation.relevance import Relevance
from neuralcodes.evaluation.shards import Shard, shard_ranks
from neuralcodes.index.exact import Floats

TRIES = 20  # of a shard whose machine dies


def ray_ranks(
    queries: Floats, files: Sequence[Path], relevance: Relevance, address: str | None = None
) -> RelevantRanks:
    """Ranks of the relevant rows of a database in .npy files, shared out by Ray.

    The same as of one machine; a shard whose machine dies is looked at again on another.

    Args:
        queries: float32 q×d, rows of length 1 or zero.
        files: float n×d each, together the database in order; every machine sees them under
            these names, and reads one at a time.
        relevance: of these.
        address: of a Ray cluster; None starts Ray on this machine.

    Raises:
        UserError: Ray is not installed, no cluster there, or a file that is not there.
        ValueError: the files are not the relevance's database.
    """
    shards, first = [], 0
    for path in files:
        try:
            rows = len(np.load(path, mmap_mode="r"))
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: not a file of codes ({error})") from None
        shards.append(Shard(first, rows, partial(_read, str(path))))
        first += rows
    ray = start_ray(address)
    try:
        return shard_ranks(queries, shards, relevance, partial(_each, ray))
    finally:
        ray.shutdown()


def _read(path: str) -> Floats:
    codes: Floats = np.load(path)
    return codes


def _each(ray: Any, work: Callable[[Shard], Any], shards: Iterable[Shard]) -> Iterator[Any]:
    """`work` of every shard, on all processors of the cluster, in any order."""
    task = ray.remote(_call).options(max_retries=TRIES, scheduling_strategy="SPREAD")
    shared = ray.put(work)
    most = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
    waiting: list[Any] = []
    left = deque(shards)
    while waiting or left:
        while left and len(waiting) < most:
            waiting.append(task.remote(shared, left.popleft()))
        done, waiting = ray.wait(waiting)
        yield from ray.get(done)


def _call(work: Callable[[Shard], object], shard: Shard) -> object:
    return work(shard)
