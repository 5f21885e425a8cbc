"""Extraction by Ray: tasks read, actors hold the network, one writer writes.

Why actors and not Ray Data's `map_batches`: Ray Data makes its own blocks, and which images share
a pass of the network is part of a code's last bits. Here `Sync` puts the passes together, as it
does for one process; only the pictures' facts and the codes come back to it, never pixels.

A task that a dead machine took with it is run again by Ray, which also makes lost pixels anew; a
pass whose actor died is given to another one, and a new actor takes its place as soon as there is
room. What was made twice is written once, since a pass has one place in the order.
"""

from __future__ import annotations

import functools
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from neuralcodes.codes.passes import BATCH
from neuralcodes.codes.spec import Preprocessing
from neuralcodes.collection.coding import Coder
from neuralcodes.collection.pictures import Pictures
from neuralcodes.collection.reading import Job, Reader, Ready
from neuralcodes.collection.segments import Array
from neuralcodes.collection.sync import COMMIT_IMAGES
from neuralcodes.common.errors import UserError, import_extra
from neuralcodes.common.machine import cpu_count

CHUNK = 64  # images a reading task
STORE_BYTES = 200 * 2**20  # of Ray's object store, where we start Ray ourselves
STORE_SHARE = 0.4  # of the store that pixels may take
PASSES_AHEAD = 2  # that wait for each actor
# Ray ends processes beyond one a processor that have been idle for a second; a reader that starts
# anew imports for seconds what it reads with. A cluster's own are set where it is started.
SETTINGS = {"idle_worker_killing_time_threshold_ms": 60_000, "num_workers_soft_limit": 64}
TRIES = 20  # of one task or pass: a cluster may lose many machines
POLL = 0.5  # seconds


@dataclass(frozen=True)
class Held:
    """The pixels of one image, in Ray's store: a block and the row in it."""

    block: Any
    row: int


@dataclass
class _Pass:
    """Images on their way through the network."""

    pixels: Sequence[Held]
    tries: int = 0
    codes: Array | None = None


@dataclass
class _Worker:
    """An actor and what it works on."""

    actor: Any
    ready: Any
    there: bool = False
    doing: dict[Any, _Pass] = field(default_factory=dict)


class RayEngine:
    """See `Engine`. A context manager: Ray is left, or stopped if it was started, at the end.

    Args:
        path: the collection's folder.
        coder: of the collection; its network is sent to the actors.
        preprocessing: of the code.
        address: of a Ray cluster; None starts Ray on this machine.
        workers: actors; None for one a GPU of the cluster, or one a processor.

    Raises:
        UserError: Ray is not installed, or there is no cluster at that address.
    """

    commit_seconds = 60.0

    def __init__(
        self,
        path: Path,
        coder: Coder,
        preprocessing: Preprocessing,
        address: str | None = None,
        workers: int | None = None,
    ) -> None:
        self._ray = start_ray(address)
        resources = self._ray.cluster_resources()
        gpus = int(resources.get("GPU", 0))
        self._wanted = workers or gpus or max(1, int(resources.get("CPU", 1)))
        self.groups_ahead = 1 + PASSES_AHEAD * self._wanted * BATCH // COMMIT_IMAGES
        self._options = {"num_gpus": 1} if gpus else {"num_cpus": 1}
        self._network = self._ray.put((coder.encoder, coder.form))
        self._read_chunk = self._ray.remote(_read_chunk).options(
            num_returns=2, num_cpus=0, max_retries=TRIES, scheduling_strategy="SPREAD"
        )
        self._where = str(path), preprocessing
        height, width = preprocessing.size
        store = float(resources.get("object_store_memory", STORE_BYTES)) * STORE_SHARE
        blocks = int(store // (CHUNK * height * width * 3))
        # each is a process of its own while it lasts; they ask for no processor, so that they never
        # wait for one that a network holds
        self._tasks_ahead = max(2, min(int(resources.get("CPU", 1)) + 1, blocks // 2))
        self._passes_ahead = max(1, min(PASSES_AHEAD * self._wanted, blocks * CHUNK // BATCH // 2))
        self._queue: deque[_Pass] = deque()
        self._workers = [self._hire() for _ in range(self._wanted)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            self._ray.kill(worker.actor)
        self._ray.shutdown()

    def read(self, jobs: Sequence[Job]) -> Iterator[Ready]:
        """See `Engine`. Chunks are read anywhere, and given in order."""
        waiting: deque[tuple[Any, Any]] = deque()
        chunks = (jobs[start : start + CHUNK] for start in range(0, len(jobs), CHUNK))
        for chunk in chunks:
            waiting.append(tuple(self._read_chunk.remote(*self._where, chunk)))
            if len(waiting) >= self._tasks_ahead:
                yield from self._arrived(*waiting.popleft())
        while waiting:
            yield from self._arrived(*waiting.popleft())

    def _arrived(self, facts: Any, block: Any) -> Iterator[Ready]:
        try:
            found, rows = self._ray.get(facts)
        except self._ray.exceptions.RayError as error:
            raise UserError(
                f"ray: images cannot be read on its machines: {one_line(error)}"
            ) from error
        for ready, row in zip(found, rows, strict=True):
            yield replace(ready, pixels=Held(block, row)) if row >= 0 else ready

    def encode(self, pixels: Sequence[Any]) -> Callable[[], Array]:
        """See `Engine`. Waits while too many passes are under way."""
        one = _Pass(pixels)
        self._queue.append(one)
        self._turn(0)
        while len(self._queue) + sum(len(w.doing) for w in self._workers) > self._passes_ahead:
            self._turn()

        def result() -> Array:
            while one.codes is None:
                self._turn()
            return one.codes

        return result

    def _turn(self, seconds: float = POLL) -> None:
        """Give out what waits, and take in what is done within so many seconds."""
        for worker in self._workers:
            while worker.there and self._queue and len(worker.doing) < PASSES_AHEAD:
                one = self._queue.popleft()
                blocks = list(dict.fromkeys(held.block for held in one.pixels))
                place = {block: number for number, block in enumerate(blocks)}
                rows = [(place[held.block], held.row) for held in one.pixels]
                worker.doing[worker.actor.encode.remote(rows, *blocks)] = one
        watched = {w.ready: w for w in self._workers if not w.there}
        watched |= {ref: w for w in self._workers for ref in w.doing}
        done, _ = self._ray.wait(list(watched), timeout=seconds)
        for ref in done:
            self._take(watched[ref], ref)

    def _take(self, worker: _Worker, ref: Any) -> None:
        if worker not in self._workers:
            return  # dismissed a moment ago, its passes are given to others
        errors = self._ray.exceptions
        try:
            value = self._ray.get(ref)
        except errors.RayTaskError as error:
            raise UserError(
                f"ray: the network fails on one of its machines: {one_line(error)}"
            ) from error
        except errors.RayError as error:
            self._replace(worker, error)
            return
        if ref == worker.ready:
            worker.there = True
            return
        one = worker.doing.pop(ref)
        one.codes, one.pixels = value, ()

    def _replace(self, worker: _Worker, error: Exception) -> None:
        """An actor, or pixels on their way to it, went with a machine."""
        for one in worker.doing.values():
            one.tries += 1
            if one.tries > TRIES:
                raise UserError(f"ray: machines go on dying: {one_line(error)}") from error
        self._queue.extendleft(reversed(worker.doing.values()))
        self._workers.remove(worker)
        self._ray.kill(worker.actor)
        self._workers.append(self._hire())

    def _hire(self) -> _Worker:
        actor = self._ray.remote(_Network).options(**self._options).remote(self._network)
        return _Worker(actor, actor.ready.remote())


class _Network:
    """An actor with the network."""

    def __init__(self, network: Any) -> None:
        self._encoder, self._form = network

    def ready(self) -> bool:
        return True

    def encode(self, rows: Sequence[tuple[int, int]], *blocks: Any) -> Array:
        pixels = np.stack([blocks[block][row] for block, row in rows])
        codes: Array = self._encoder.encode(pixels, self._form)[0]
        return codes


def _read_chunk(path: str, preprocessing: Preprocessing, jobs: Sequence[Job]) -> tuple[Any, Any]:
    """A task: images' facts with the row of each in the block, -1 without; the block of pixels."""
    reader = _FarReader(Path(path), _pictures(path), preprocessing)
    found = reader.read_here(jobs)
    rows: list[int] = []
    pixels: list[Any] = []
    for ready in found:
        rows.append(len(pixels) if ready.pixels is not None else -1)
        if ready.pixels is not None:
            pixels.append(ready.pixels)
    height, width = preprocessing.size
    block = np.stack(pixels) if pixels else np.empty((0, height, width, 3), np.uint8)
    return ([replace(ready, pixels=None) for ready in found], rows), block


@functools.cache
def _pictures(path: str) -> Pictures:
    """One a process, so that archives stay open."""
    return Pictures(Path(path))


class _FarReader(Reader):
    """Reads on a machine that has not the collection; what it knows is looked up later."""

    def read_here(self, jobs: Sequence[Job]) -> list[Ready]:
        return self._prepare(jobs, [self._read_in_order(job) for job in jobs])

    def _known(self, digest: bytes) -> int | None:
        return None


def start_ray(address: str | None) -> Any:
    """The ray module, connected.

    Raises:
        UserError: not installed, or nothing at that address.
    """
    ray = import_extra("ray", "cluster")
    quiet = {"log_to_driver": False, "logging_level": "error", "include_dashboard": False}
    if ray.is_initialized():
        return ray
    try:
        if address:
            quiet.pop("include_dashboard")
            _require_listener(address)
            ray.init(address=address, **quiet)
        else:
            ray.init(
                num_cpus=cpu_count(),
                object_store_memory=STORE_BYTES,
                _system_config=SETTINGS,
                **quiet,
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"--address {address}: no Ray cluster there ({one_line(error)}); start one with: "
            "ray start --head"
        ) from error
    return ray


def _require_listener(address: str) -> None:
    """Ray itself would look for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "//" not in host:
        socket.create_connection((host, int(port)), timeout=5).close()


def one_line(error: Exception) -> str:
    """What went wrong, without lines and no longer than a line may be."""
    return " ".join(str(error).split())[-300:]
