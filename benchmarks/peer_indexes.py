"""Indexes of ours and of others behind one small interface; `KINDS` names them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
K = 10
GEOMETRIC = [10, 12, 16, 20, 26, 34, 44, 56, 72, 96, 128, 168, 224, 300, 400, 550, 750, 1000]
PROBES = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]


class Index:
    """A contestant. `efforts` rise; one value means that it is exact."""

    efforts: Sequence[int] = (1,)
    library = ""  # imported before memory is counted
    saved = True  # whether `save` and `load` do anything

    def __init__(self, codes: Floats, path: Path) -> None:
        self.codes = codes
        self.path = path

    def build(self) -> None:
        raise NotImplementedError

    def save(self) -> None:
        """Into `path`."""

    def load(self) -> None:
        """From `path`."""

    def set(self, effort: int) -> None:
        """Take this effort from now on."""

    def search(self, queries: Floats) -> Ints:
        """Rows of the K nearest, q×K."""
        raise NotImplementedError


class Ours(Index):
    """One of our backends by its public interface, the codes mapped as in a collection."""

    library = "faiss"
    backend = "exact"

    def build(self) -> None:
        from neuralcodes.index.backend import get_backend

        kind = get_backend(self.backend)
        count = len(self.codes)
        self.index: Any = kind(
            self.codes.shape[1], kind.suggest(*self.codes.shape), lambda rows: self.codes[rows]
        )
        if not self.index.exact:
            self.index.train(self.codes)
        self.index.add(self.codes, np.arange(count))
        self._take_efforts()

    def save(self) -> None:
        self.index.save(self.path)

    def load(self) -> None:
        from neuralcodes.index.backend import load_index

        self.index = load_index(self.path, lambda rows: self.codes[rows])
        self._take_efforts()

    def set(self, effort: int) -> None:
        self.index.effort = effort

    def search(self, queries: Floats) -> Ints:
        rows: Ints = self.index.search(queries, K).rows
        return rows

    def _take_efforts(self) -> None:
        self.efforts = [1] if self.index.exact else self.index.efforts()


class OursExact(Ours):
    saved = False


class OursHnsw(Ours):
    backend = "hnsw"


class OursIvfPq(Ours):
    backend = "ivfpq"


class OursFastScan(Ours):
    backend = "fastscan"


class ScikitLearn(Index):
    library = "sklearn.neighbors"
    saved = False

    def build(self) -> None:
        from sklearn.neighbors import NearestNeighbors

        self.index = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(self.codes)

    def search(self, queries: Floats) -> Ints:
        return np.asarray(self.index.kneighbors(queries, return_distance=False))


class Faiss(Index):
    """FAISS's graph with its own defaults (32 links, 40 candidates when building)."""

    library = "faiss"
    efforts = GEOMETRIC

    def build(self) -> None:
        import faiss

        self.index = faiss.IndexHNSWFlat(self.codes.shape[1], 32)
        self.index.add(np.ascontiguousarray(self.codes))

    def save(self) -> None:
        import faiss

        faiss.write_index(self.index, str(self.path))

    def load(self) -> None:
        import faiss

        self.index = faiss.read_index(str(self.path))

    def set(self, effort: int) -> None:
        self.index.hnsw.efSearch = effort

    def search(self, queries: Floats) -> Ints:
        return np.asarray(self.index.search(queries, K)[1])


class FaissFlat(Faiss):
    efforts = (1,)
    saved = False

    def build(self) -> None:
        import faiss

        self.index = faiss.IndexFlatL2(self.codes.shape[1])
        self.index.add(np.ascontiguousarray(self.codes))

    def set(self, effort: int) -> None:
        pass


class Hnswlib(Index):
    """With the values of its README: M 16, ef_construction 200."""

    library = "hnswlib"
    efforts = GEOMETRIC

    def build(self) -> None:
        import hnswlib

        self.index = hnswlib.Index(space="l2", dim=self.codes.shape[1])
        self.index.init_index(max_elements=len(self.codes), ef_construction=200, M=16)
        self.index.add_items(self.codes)

    def save(self) -> None:
        self.index.save_index(str(self.path))

    def load(self) -> None:
        import hnswlib

        self.index = hnswlib.Index(space="l2", dim=self.codes.shape[1])
        self.index.load_index(str(self.path))

    def set(self, effort: int) -> None:
        self.index.set_ef(effort)

    def search(self, queries: Floats) -> Ints:
        return np.asarray(self.index.knn_query(queries, K)[0], dtype=np.int64)


class Usearch(Index):
    """Its defaults (16 links, 128 when building), in single precision."""

    library = "usearch.index"
    efforts = GEOMETRIC
    dtype = "f32"

    def _new(self) -> Any:
        from usearch.index import Index as Graph

        return Graph(ndim=self.codes.shape[1], metric="l2sq", dtype=self.dtype)

    def build(self) -> None:
        self.index = self._new()
        self.index.add(np.arange(len(self.codes)), np.ascontiguousarray(self.codes))

    def save(self) -> None:
        self.index.save(str(self.path))

    def load(self) -> None:
        self.index = self._new()
        self.index.load(str(self.path))

    def set(self, effort: int) -> None:
        self.index.expansion_search = effort

    def search(self, queries: Floats) -> Ints:
        found = np.asarray(self.index.search(queries, K).keys, dtype=np.int64)
        return found.reshape(len(queries), K)


class UsearchBf16(Usearch):
    dtype = "bf16"


class Scann(Index):
    """Tree, asymmetric hashing and reordering, as its documentation has it."""

    efforts = PROBES

    def build(self) -> None:
        scann = load_scann()

        count = len(self.codes)
        self.leaves = max(16, int(np.sqrt(count)))
        self.index = (
            scann.scann_ops_pybind.builder(np.ascontiguousarray(self.codes), K, "squared_l2")
            .tree(num_leaves=self.leaves, num_leaves_to_search=16,
                  training_sample_size=min(count, 250_000))
            .score_ah(2, anisotropic_quantization_threshold=0.2)
            .reorder(100)
            .build()
        )  # fmt: skip

    def save(self) -> None:
        self.path.mkdir()
        self.index.serialize(str(self.path))

    def load(self) -> None:
        scann = load_scann()

        self.index = scann.scann_ops_pybind.load_searcher(str(self.path))

    def set(self, effort: int) -> None:
        self.effort = effort

    def search(self, queries: Floats) -> Ints:
        if len(queries) == 1:
            found = self.index.search(queries[0], K, leaves_to_search=self.effort)[0][None]
        else:
            found = self.index.search_batched_parallel(
                queries, K, leaves_to_search=self.effort)[0]  # fmt: skip
        return np.asarray(found, dtype=np.int64)


class MilvusLite(Index):
    """A Milvus Lite file with inverted lists."""

    library = "pymilvus"
    efforts = PROBES

    def _client(self) -> Any:
        from pymilvus import MilvusClient

        return MilvusClient(str(self.path))

    def build(self) -> None:
        self.path = self.path.with_suffix(".db")
        self.client = self._client()
        self.client.create_collection(
            "codes", dimension=self.codes.shape[1], metric_type="L2", auto_id=False
        )
        for start in range(0, len(self.codes), 5000):
            part = self.codes[start : start + 5000]
            rows = [{"id": start + n, "vector": one} for n, one in enumerate(part)]
            self.client.insert("codes", rows)
        self.client.release_collection("codes")
        self.client.drop_index("codes", "vector")
        parameters = self.client.prepare_index_params()
        lists = max(16, int(4 * np.sqrt(len(self.codes))))
        parameters.add_index(
            "vector", index_type="IVF_FLAT", metric_type="L2", params={"nlist": lists}
        )
        self.client.create_index("codes", parameters)
        self.client.load_collection("codes")

    def load(self) -> None:
        self.path = self.path.with_suffix(".db")
        self.client = self._client()
        self.client.load_collection("codes")

    def set(self, effort: int) -> None:
        self.parameters = {"params": {"nprobe": effort}}

    def search(self, queries: Floats) -> Ints:
        found = self.client.search(
            "codes", data=list(queries), limit=K, search_params=self.parameters
        )
        rows = np.full((len(queries), K), -1, dtype=np.int64)
        for row, hits in enumerate(found):
            rows[row, : len(hits)] = [hit["id"] for hit in hits]
        return rows


class LanceDb(Index):
    """Lance's inverted lists of product codes, refined by the stored codes."""

    library = "lancedb"
    efforts = PROBES

    def build(self) -> None:
        import lancedb
        import pyarrow as pa

        self.path.mkdir(exist_ok=True)
        vectors = pa.FixedSizeListArray.from_arrays(
            pa.array(np.ascontiguousarray(self.codes).reshape(-1)), self.codes.shape[1]
        )
        data = pa.table({"id": pa.array(np.arange(len(self.codes))), "vector": vectors})
        self.table = lancedb.connect(str(self.path)).create_table("codes", data)
        self.table.create_index(
            metric="l2", vector_column_name="vector", index_type="IVF_PQ",
            num_partitions=max(4, int(np.sqrt(len(self.codes)))),
            num_sub_vectors=self.codes.shape[1] // 4,
        )  # fmt: skip

    def load(self) -> None:
        import lancedb

        self.table = lancedb.connect(str(self.path)).open_table("codes")

    def set(self, effort: int) -> None:
        self.effort = effort

    def search(self, queries: Floats) -> Ints:
        rows = np.full((len(queries), K), -1, dtype=np.int64)
        for row, query in enumerate(queries):
            found = (
                self.table.search(query).limit(K).nprobes(self.effort).refine_factor(10)
                .select(["id"]).to_arrow()["id"].to_numpy()
            )  # fmt: skip
            rows[row, : len(found)] = found
        return rows


def load_scann() -> Any:
    """ScaNN without its operations for TensorFlow, whose wheel fits no present TensorFlow."""
    sys.modules.setdefault("tensorflow", None)  # type: ignore[arg-type]
    return importlib.import_module("scann")


KINDS: dict[str, type[Index]] = {
    "ours exact": OursExact,
    "ours hnsw": OursHnsw,
    "ours ivfpq": OursIvfPq,
    "ours fastscan": OursFastScan,
    "scikit-learn": ScikitLearn,
    "FAISS HNSW": Faiss,
    "FAISS flat": FaissFlat,
    "hnswlib": Hnswlib,
    "usearch": Usearch,
    "usearch bf16": UsearchBf16,
    "ScaNN": Scann,
    "Milvus Lite": MilvusLite,
    "LanceDB": LanceDb,
}
