"""A Milvus server, or a file of Milvus Lite: one connection a process, calls that are tried again.

What may pass (a server that starts anew, a full queue) is waited for with growing pauses; what
will not (a condition it does not know) is a `UserError` at once.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from neuralcodes.common.errors import UserError, import_extra
from neuralcodes.index.backend import Floats, Ids

TOKEN = "NEURALCODES_MILVUS_TOKEN"
PATIENCE = 60.0  # seconds that a write is tried for
READ_PATIENCE = 8.0  # …and a search, which can do without Milvus
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
CALL_SECONDS = 120.0  # that a single call may take
CONNECT_SECONDS = 5.0
LOAD_SECONDS = 120.0  # that a server is given to load an index that it has built
UNINDEXED_BELOW = 1024  # rows of a segment; Milvus builds no index for fewer
INDEX_SECONDS = 0.2  # between two looks at how far Milvus's index is
ID, CODE = "id", "code"

# MilvusException codes of what will be no better the next time: bad requests, absent things
PERMANENT = frozenset({4, 100, 101, 106, 700, 702, 1100, 1101, 1102, 1700, 1800})

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Server:
    """One place where Milvus keeps collections. Safe to use from several threads.

    Attributes:
        uri: a file, absolute, or an address.
        patience: seconds for which a failing call is tried again; None for `PATIENCE`.
    """

    uri: str
    patience: float | None = None

    @staticmethod
    def canonical(place: str) -> str:
        """The same place for any working folder.

        Raises:
            UserError: neither a file for Milvus Lite nor an address.
        """
        if place.startswith(("http://", "https://", "tcp://", "unix:")):
            return place
        if place.endswith(".db") and "://" not in place:
            return os.path.abspath(place)
        raise UserError(
            f"milvus:{place}: say where, milvus:FILE.db for Milvus Lite in a file or "
            "milvus:http://HOST:19530 for a server"
        )

    def call(self, work: Callable[[Any], Thing]) -> Thing:
        """`work` with a client, tried again for as long as there is patience.

        Raises:
            UserError: Milvus is not there, or refuses.
        """
        patience = PATIENCE if self.patience is None else self.patience
        end, pause = time.monotonic() + patience, FIRST_PAUSE
        while True:
            try:
                return work(_client(self.uri))
            except _errors() as error:
                code = getattr(error, "code", None)
                if (code in PERMANENT) or time.monotonic() + pause > end:
                    raise UserError(f"milvus:{self.uri}: {_reason(error)}") from error
            # spread, so that many clients do not come back at once
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE)

    def collections(self) -> list[str]:
        """Names of all collections there."""
        return self.call(lambda client: list(client.list_collections()))

    def make(self, name: str, dims: int, kind: str, build: dict[str, int]) -> None:
        """Make a collection of ids and codes, with its index, ready to be searched."""
        from pymilvus import DataType, MilvusClient

        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field(ID, DataType.INT64, is_primary=True)
        schema.add_field(CODE, DataType.FLOAT_VECTOR, dim=dims)
        index = MilvusClient.prepare_index_params()
        # squared Euclidean distance: a code of zeros is at distance 1 from all others
        index.add_index(CODE, index_type=kind, metric_type="L2", params=build)

        def make(client: Any) -> None:
            if client.has_collection(name):  # of a call whose answer was lost
                client.drop_collection(name)
            client.create_collection(
                name, schema=schema, index_params=index, consistency_level="Bounded",
                timeout=CALL_SECONDS,
            )  # fmt: skip

        self.call(make)

    def drop(self, name: str) -> None:
        """Drop a collection; one that is not there is passed over."""
        self.call(lambda client: client.drop_collection(name, timeout=CALL_SECONDS))

    def partition(self, collection: str, name: str) -> None:
        """Make a partition, if it is not there."""

        def make(client: Any) -> None:
            if not client.has_partition(collection, name):
                client.create_partition(collection, name)
                client.load_partitions(collection, [name])

        self.call(make)

    def write(self, name: str, partition: str, ids: Ids, codes: Floats, fresh: bool) -> None:
        """Write rows; written twice they are there once.

        Args:
            name: of the collection.
            partition: "" for the default one.
            ids: int64 n.
            codes: float32 n×d.
            fresh: none of these ids is there, so that Milvus need not look for old rows, which is
                faster.
        """
        rows = [{ID: int(i), CODE: code} for i, code in zip(ids, codes, strict=True)]
        state = {"first": fresh}

        def write(client: Any) -> None:
            first, state["first"] = state["first"], False
            # a first try that failed may have been taken all the same
            put = client.insert if first else client.upsert
            put(name, rows, partition_name=partition, timeout=CALL_SECONDS)

        self.call(write)

    def search(
        self,
        name: str,
        queries: Floats,
        depth: int,
        effort: dict[str, int],
        condition: str = "",
        partitions: Sequence[str] | None = None,
        strong: bool = False,
    ) -> list[list[int]]:
        """Ids of the `depth` nearest rows of each query, nearest first.

        Args:
            name: of the collection.
            queries: float32 q×d.
            depth: how many.
            effort: the index's search parameters.
            condition: on the ids, in Milvus's language.
            partitions: to look into; all when None.
            strong: see also what was written a moment ago.
        """
        found = replace(self, patience=READ_PATIENCE).call(
            lambda client: client.search(
                name,
                list(queries),
                limit=depth,
                filter=condition,
                search_params={"metric_type": "L2", "params": effort},
                partition_names=partitions,
                consistency_level="Strong" if strong else "Bounded",
                timeout=CALL_SECONDS,
            )
        )
        return [[int(hit[ID]) for hit in hits] for hits in found]

    def codes(self, name: str, ids: Ids, dims: int) -> Floats:
        """Stored codes by id, float32 n×d."""
        wanted = np.unique(ids)
        kept = np.zeros((len(wanted), dims), dtype=np.float32)
        for start in range(0, len(wanted), 1000):
            rows = self.call(partial(_get, name, wanted[start : start + 1000].tolist()))
            places = np.searchsorted(wanted, [row[ID] for row in rows])
            kept[places] = [row[CODE] for row in rows]
        return kept[np.searchsorted(wanted, ids)]

    def count(self, name: str) -> int:
        """Rows of a collection, the newest included; 0 where there is none of that name."""

        def count(client: Any) -> int:
            if not client.has_collection(name):
                return 0
            client.load_collection(name, timeout=CALL_SECONDS)
            rows = client.query(
                name, filter="", output_fields=["count(*)"], consistency_level="Strong",
                timeout=CALL_SECONDS,
            )  # fmt: skip
            return int(rows[0]["count(*)"])

        return self.call(count)

    def settle(self, name: str, rows: int) -> None:
        """Have all rows written to disk, and searched by the index.

        Args:
            name: of the collection.
            rows: in it; 0 for an index type that searches them all anyway.
        """
        self.call(lambda client: client.flush(name, timeout=CALL_SECONDS))
        while int(self.call(lambda c: c.describe_index(name, CODE))["pending_index_rows"]):
            time.sleep(INDEX_SECONDS)
        # A server that has built the index goes on for seconds with what it had before, or with a
        # rough one of its own (recall 0.45 was seen), before it loads it.
        end = time.monotonic() + LOAD_SECONDS
        while rows and "://" in self.uri and time.monotonic() < end:
            parts = self.call(lambda client: client.list_loaded_segments(name))
            ready = [p for p in parts if int(p.index_id) > 0 or p.num_rows < UNINDEXED_BELOW]
            if len(ready) == len(parts) and sum(p.num_rows for p in parts) >= rows:
                break
            time.sleep(INDEX_SECONDS)


def _get(name: str, ids: list[int], client: Any) -> list[dict[str, Any]]:
    return list(client.get(name, ids, output_fields=[ID, CODE]))


@functools.cache
def _client(uri: str) -> Any:
    """The process's connection; Milvus Lite allows one process a file, and one client in it."""
    pymilvus = import_extra("pymilvus", "cluster")
    for name in ("pymilvus", "grpc._server"):  # what goes wrong is ours to tell
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return pymilvus.MilvusClient(uri, token=os.environ.get(TOKEN, ""), timeout=CONNECT_SECONDS)


def _errors() -> tuple[type[Exception], ...]:
    try:
        pymilvus: Any = importlib.import_module("pymilvus")
        grpc: Any = importlib.import_module("grpc")
    except ImportError:
        return ()
    return (pymilvus.MilvusException, grpc.RpcError, ConnectionError)


def _reason(error: Exception) -> str:
    text = " ".join(str(getattr(error, "message", "") or error).split())[:300]
    return f"{text or type(error).__name__}; is Milvus running there, and not in use elsewhere?"
