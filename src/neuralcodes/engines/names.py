"""Engines by the names that people type."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from neuralcodes.collection.engine import Engine
from neuralcodes.common.errors import UserError
from neuralcodes.evaluation.sharing import team_map

if TYPE_CHECKING:
    from neuralcodes.collection.collection import Collection
    from neuralcodes.evaluation.shards import Map

NAMES = ("local", "ray")


def require_engine(name: str, address: str | None, workers: int | None) -> None:
    """Refuse, before any work, what there is not.

    Raises:
        UserError: no such engine, or options that it does not take.
    """
    if name not in NAMES:
        raise UserError(f"--engine {name}: choose {' or '.join(NAMES)}")
    if name == "local" and (address is not None or workers is not None):
        raise UserError("--address and --workers go with --engine ray")
    if workers is not None and workers < 1:
        raise UserError(f"--workers {workers}: give at least 1")


@contextmanager
def opened_engine(
    name: str, collection: Collection, address: str | None, workers: int | None
) -> Iterator[Engine | None]:
    """The engine for a collection; None for this process's own.

    Raises:
        UserError: Ray is not installed, or there is no cluster at that address.
    """
    if name == "local":
        yield None
        return
    from neuralcodes.engines.ray_engine import RayEngine

    with RayEngine(
        collection.path, collection.coder, collection.spec.preprocessing, address, workers
    ) as engine:
        yield engine


@contextmanager
def opened_map(name: str, address: str | None) -> Iterator[Map]:
    """How shards are looked at by an engine; by the ranks of a team, or this process, if local.

    Raises:
        UserError: Ray is not installed, or there is no cluster at that address.
    """
    if name == "local":
        yield team_map
        return
    from neuralcodes.engines.ray_evaluation import ray_map

    with ray_map(address) as each:
        yield each
