"""What the suite for all backends does not ask of Milvus: index types, conditions, crashes."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_codes import clustered, true_distances

from milvus_process import MilvusProcess
from neuralcodes.index.backend import IndexBackend, get_backend, load_index
from neuralcodes.index.milvus import MilvusIndex, MilvusParameters
from neuralcodes.index.milvus_condition import LISTED, RANGES, conditions
from neuralcodes.index.recall import tune
from neuralcodes.index.scan import ScanIndex

pytest.importorskip("milvus_lite", reason="needs neuralcodes[cluster]")

N, D = 4200, 16
PLACES = ["lite", pytest.param("server", marks=pytest.mark.lengthy)]


@pytest.fixture(params=PLACES)
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> type[IndexBackend]:
    if request.param == "server":
        return get_backend(f"milvus:{request.getfixturevalue('milvus_server').uri}")
    return get_backend(f"milvus:{tmp_path / 'index.db'}")


@pytest.fixture(scope="module")
def codes() -> np.ndarray:
    return clustered(N, D, seed=4)


@pytest.mark.parametrize(
    "how",
    [
        MilvusParameters("HNSW", {"M": 8, "efConstruction": 40}),
        MilvusParameters("IVF_SQ8", {"nlist": 64}),
    ],
)
def test_recall_is_measured_and_kept(
    how: MilvusParameters, kind: type[IndexBackend], codes: np.ndarray
) -> None:
    index = kind(D, how, lambda ids: codes[ids])
    index.add(codes[:-200], np.arange(N - 200))
    exact = ScanIndex(D)
    exact.add(codes[:-200], np.arange(N - 200))
    truth = exact.search(codes[-200:], 10)
    report = tune(index, codes[-200:], truth, 0.95)
    assert report.met and report.mean >= 0.95
    least = tune(index, codes[-200:], truth, 0.1)
    assert least.effort == index.efforts()[0] <= report.effort
    index.drop()


@pytest.mark.lengthy
def test_a_server_is_measured_when_it_searches_by_its_index(
    milvus_server: MilvusProcess,
) -> None:
    """Just after it is built the server still searches by a rough one: recall 0.45 on these."""
    dice = np.random.default_rng(0)
    codes = dice.normal(size=(11_900, 128)).astype(np.float32)
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    base, held = codes[:-100], codes[-100:]
    kind = get_backend(f"milvus:{milvus_server.uri}")
    index = kind(128, MilvusIndex.suggest(len(base), 128), lambda ids: base[ids])
    index.add(base, np.arange(len(base)))
    exact = ScanIndex(128)
    exact.add(base, np.arange(len(base)))
    report = tune(index, held, exact.search(held, 10), 0.95)
    assert report.met and report.effort < 1024
    index.drop()


@pytest.mark.parametrize("span", [0, 1024])
def test_every_shape_of_what_is_allowed(
    span: int, kind: type[IndexBackend], codes: np.ndarray
) -> None:
    """Runs, single ids, few, nearly all; the near ones, the far ones; many results."""
    count = 4000
    ids = np.arange(count) * 2 + 5
    index = kind(D, MilvusParameters(span=span), lambda wanted: codes[(wanted - 5) // 2])
    index.add(codes[:count], ids)
    index.remove(ids[1::50])  # rows that Milvus still has
    alive = np.setdiff1d(ids, ids[1::50])
    queries = codes[count : count + 5]
    distances = true_distances(queries, codes[:count])
    dice = np.random.default_rng(0)
    near = ids[np.unique(np.argsort(distances, axis=1)[:, :50])]
    shapes = {
        "one": ids[7:8],
        "a run": ids[100:900],
        "two runs and some": np.concatenate([ids[10:400], ids[1000:1030], ids[2000:2100:7]]),
        "a few": dice.choice(ids, 30, replace=False),
        "a third": dice.choice(ids, count // 3, replace=False),
        "nearly all": dice.choice(ids, count - 40, replace=False),
        "all but the near ones": np.setdiff1d(ids, near),
        "every fourth": ids[::4],
        "every twentieth in blocks": ids[(np.arange(count) // 20) % 8 == 0],
    }
    for name, allowed in shapes.items():
        mask = np.zeros(int(ids[-1]) + 1, dtype=bool)
        mask[allowed] = True
        usable = np.intersect1d(allowed, alive)
        for k in (3, 300):
            found = index.search(queries, k, allowed=mask)
            among = np.sort(distances[:, (usable - 5) // 2], axis=1)[:, :k]
            expected = np.full((len(queries), k), np.inf)
            expected[:, : among.shape[1]] = among
            np.testing.assert_allclose(found.distances, expected, atol=2e-6, err_msg=name)
            assert np.isin(found.rows, np.append(usable, -1)).all(), name
    everything = index.search(queries, len(alive))
    assert (np.sort(everything.rows, axis=1) == alive).all()
    index.drop()


@settings(max_examples=200)
@given(st.lists(st.booleans(), max_size=400), st.booleans(), st.integers(1, 5))
def test_conditions_mean_exactly_the_usable_ids(usable: list[bool], deep: bool, step: int) -> None:
    ids = np.cumsum(np.random.default_rng(len(usable)).integers(1, step + 1, len(usable)))
    found: list[int] = []
    for one in conditions(ids, np.array(usable, dtype=bool), deep):
        text = one.text.replace("id in", "number in")
        text = text.replace("(id", "(number").replace("and id", "and number")
        mine = [int(number) for number in ids if eval(text, {"number": int(number)})]
        assert len(mine) == one.count
        for span in (1, 7, 1000):
            assert {f"ids_{number // span}" for number in mine} <= set(one.partitions(span))
        found += mine
    assert sorted(found) == ids[np.array(usable, dtype=bool)].tolist()


def test_long_conditions_are_cut() -> None:
    ids = np.arange(200_000)
    parts = conditions(ids, ids % 3 == 0, deep=False)
    assert sum(one.count for one in parts) == 66_667
    assert all(one.count <= LISTED for one in parts)
    blocks = conditions(ids, (ids // 20) % 2 == 0, deep=False)
    assert all(one.text.count(">=") <= RANGES for one in blocks)
    assert sum(one.count for one in blocks) == 100_000


def test_parameters_by_count() -> None:
    assert MilvusIndex.suggest(100, 128).kind == "FLAT"
    assert MilvusIndex.suggest(10**6, 128) == MilvusParameters(
        "HNSW", {"M": 24, "efConstruction": 200}
    )
    large = MilvusIndex.suggest(10**9, 128)
    assert large.kind == "IVF_SQ8" and large.build == {"nlist": 4096}
    assert 32 <= 10**9 / large.span <= 64
    assert MilvusIndex.server_bytes(10**9, 128) == 10**9 * 136


@pytest.mark.lengthy
@pytest.mark.timeout(900)  # Milvus builds indexes in threads that give way to all else
def test_a_server_killed_while_it_is_written_to(
    milvus_server: MilvusProcess, tmp_path: Path
) -> None:
    """SIGKILL in the middle of `add`, started again: nothing lost, nothing twice."""
    server = milvus_server
    codes = clustered(12_000, 32, seed=7)
    ids = np.arange(12_000)
    kind = get_backend(f"milvus:{server.uri}")
    index = kind(32, MilvusIndex.suggest(len(ids), 32), lambda wanted: codes[wanted])
    index.add(codes[:2000], ids[:2000])
    index.save(tmp_path / "first")
    failed: list[BaseException] = []
    under_way = threading.Event()

    def write() -> None:
        try:
            for start in range(2000, 12_000, 500):
                index.add(codes[start : start + 500], ids[start : start + 500])
                if start >= 4000:
                    under_way.set()
        except BaseException as error:
            failed.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    assert under_way.wait(60)
    server.kill()
    time.sleep(1)
    server.start()
    writer.join(240)
    assert not failed and not writer.is_alive()
    index.save(tmp_path / "second")
    whole = load_index(tmp_path / "second", lambda wanted: codes[wanted])
    assert whole._rows == len(whole) == 12_000  # type: ignore[attr-defined]
    found = whole.search(codes[::1000], 1)
    assert (found.rows[:, 0] == ids[::1000]).mean() >= 0.95
    first = load_index(tmp_path / "first", lambda wanted: codes[wanted])
    assert (first.search(codes[::1000], 3).rows < 2000).all()  # readers of the older folder


@pytest.mark.lengthy
def test_servers_of_several_runs_stand_beside_each_other(
    milvus_server: MilvusProcess, tmp_path: Path
) -> None:
    """Also where somebody has etcd's usual port."""
    with socket.socket() as taken:
        with suppress(OSError):  # somebody really has
            taken.bind(("127.0.0.1", 2379))
            taken.listen()
        second = MilvusProcess(tmp_path)
        second.start()
        try:
            codes = clustered(50, D, seed=1)
            rows = []
            for shift, uri in enumerate([milvus_server.uri, second.uri]):
                kind = get_backend(f"milvus:{uri}")
                index = kind(D, MilvusIndex.suggest(50, D), lambda ids: codes[ids])
                index.add(codes[shift:], np.arange(shift, 50))
                rows.append(index.search(codes[:1], 1).rows[0, 0])
                index.drop()
            assert rows[0] == 0 and rows[1] != 0  # each has its own
        finally:
            second.kill()
