"""A Ray cluster of two nodes on this machine, with a small object store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

STORE = 100 * 2**20


@contextmanager
def two_nodes() -> Iterator[tuple[Any, Any]]:
    """The cluster, and its second node, which may be killed. The first one has one processor."""
    pytest.importorskip("ray", reason="needs neuralcodes[cluster]")
    import ray
    from ray.cluster_utils import Cluster

    from neuralcodes.engines.ray_engine import SETTINGS

    one = {"num_cpus": 1, "object_store_memory": STORE}
    cluster = Cluster(initialize_head=True, head_node_args={**one, "_system_config": SETTINGS})
    try:
        yield cluster, cluster.add_node(**one)
    finally:
        ray.shutdown()
        cluster.shutdown()
