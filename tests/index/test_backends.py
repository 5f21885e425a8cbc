"""One suite that every index backend passes, ours or not."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from index_codes import clustered, true_distances

from neuralcodes.common.errors import UserError
from neuralcodes.index.backend import (
    IndexBackend,
    backend_names,
    get_backend,
    load_index,
)

SERVER = pytest.param("milvus-server", marks=pytest.mark.lengthy)
N, D, Q = 2000, 32, 40
# Milvus needs a place: a file of Milvus Lite, and a server where one can be started
BACKENDS = [name for name in backend_names() if name != "milvus"] + ["milvus-lite", SERVER]
_FOLDER = tempfile.TemporaryDirectory(prefix="indexes-")
_SAVED = Path(_FOLDER.name)
_KEPT: list[object] = []


class Stored:
    """Codes by id, as a collection keeps them."""

    def __init__(self, codes: np.ndarray, ids: np.ndarray) -> None:
        self.codes, self.ids = codes, ids
        self.place = {int(i): row for row, i in enumerate(ids)}

    def vectors(self, ids: np.ndarray) -> np.ndarray:
        return self.codes[[self.place[int(i)] for i in ids]].astype(np.float32)


@pytest.fixture(scope="module")
def stored() -> Stored:
    codes = clustered(N, D, seed=1)
    codes[100:110] = codes[100]  # exact copies
    codes[200:203] = 0  # images that excite nothing
    ids = np.random.default_rng(5).permutation(np.arange(7, 7 + 2 * N, 2))
    return Stored(codes, ids)


@pytest.fixture(scope="module")
def queries() -> np.ndarray:
    return clustered(Q, D, seed=2)


def build(name: str, stored: Stored, effort: int = 200) -> IndexBackend:
    """An index of `stored`; built once and opened from its files afterwards, which is faster."""
    path = _SAVED / f"{name.replace('/', '_')}-{id(stored)}"
    if not path.is_dir():
        kind = get_backend(name)
        parameters = kind.suggest(len(stored.ids), stored.codes.shape[1])
        index = kind(stored.codes.shape[1], parameters, stored.vectors)
        index.add(stored.codes, stored.ids)
        index.save(path)
        _KEPT.append(stored)  # so that no other gets its id
    else:
        index = load_index(path, stored.vectors)
    index.effort = min(effort, max(index.efforts()))
    return index


@pytest.fixture(params=BACKENDS)
def name(request: pytest.FixtureRequest) -> str:
    if request.param == "milvus-lite":
        pytest.importorskip("milvus_lite", reason="needs neuralcodes[cluster]")
        return f"milvus:{_SAVED / 'milvus-lite.db'}"
    if request.param == "milvus-server":
        return f"milvus:{request.getfixturevalue('milvus_server').uri}"
    return str(request.param)


def test_finds_the_true_nearest(name: str, stored: Stored, queries: np.ndarray) -> None:
    index = build(name, stored)
    found = index.search(queries, 10)
    true = true_distances(queries, stored.codes)
    nearest = np.sort(true, axis=1)[:, :10]
    assert found.rows.shape == found.distances.shape == (Q, 10)
    assert found.rows.dtype == np.int64 and found.distances.dtype == np.float32
    hits = found.distances <= nearest[:, -1:] + 1e-5
    assert hits.mean() == 1.0 if index.exact else hits.mean() >= 0.99
    # whatever is found has its true distance and stands in order
    rows = np.vectorize(stored.place.__getitem__)(found.rows)
    np.testing.assert_allclose(found.distances, np.take_along_axis(true, rows, 1), atol=2e-6)
    assert (np.diff(found.distances, axis=1) >= 0).all()


def test_more_effort_finds_no_less(name: str, stored: Stored, queries: np.ndarray) -> None:
    index = build(name, stored)
    efforts = index.efforts()
    assert efforts == sorted(set(efforts))
    nearest = np.sort(true_distances(queries, stored.codes), axis=1)[:, 9:10] + 1e-5
    shares = []
    for effort in (efforts[0], efforts[-1]):
        index.effort = effort
        shares.append((index.search(queries, 10).distances <= nearest).mean())
    assert shares[1] >= shares[0]


def test_copies_are_at_distance_zero_in_order_of_ids(name: str, stored: Stored) -> None:
    index = build(name, stored)
    found = index.search(stored.codes[105:106], 10)
    assert found.distances.tolist() == [[0.0] * 10]
    if index.exact:
        assert found.rows[0].tolist() == sorted(stored.ids[100:110])


def test_a_zero_code_is_at_distance_one(name: str, stored: Stored) -> None:
    found = build(name, stored).search(np.zeros((1, D), np.float32), 5)
    assert set(found.rows[0, :3]) == set(stored.ids[200:203])
    np.testing.assert_allclose(found.distances[0], [0, 0, 0, 1, 1], atol=1e-6)


def test_exclude_is_by_id(name: str, stored: Stored) -> None:
    index = build(name, stored)
    exclude = stored.ids[100:104].copy()
    exclude[3] = -1
    found = index.search(stored.codes[100:104], 12, exclude=exclude)
    for row in range(3):
        assert exclude[row] not in found.rows[row]
        assert (found.distances[row, :9] == 0).all() and found.distances[row, 9] > 0
    assert (found.distances[3, :10] == 0).all()


def test_allowed_ids_only(name: str, stored: Stored, queries: np.ndarray) -> None:
    index = build(name, stored)
    allowed = np.zeros(stored.ids.max() // 2, dtype=bool)  # the later ids lie beyond its end
    allowed[stored.ids[(stored.ids < len(allowed)) & (stored.ids % 3 == 0)]] = True
    usable = allowed[np.minimum(stored.ids, len(allowed) - 1)] & (stored.ids < len(allowed))
    found = index.search(queries, 5, allowed=allowed)
    assert allowed[found.rows].all()
    nearest = np.sort(true_distances(queries, stored.codes[usable]), axis=1)[:, :5]
    hits = found.distances <= nearest[:, -1:] + 1e-5
    assert hits.mean() == 1.0 if index.exact else hits.mean() >= 0.97
    none = index.search(queries, 5, allowed=np.zeros(0, dtype=bool))
    assert (none.rows == -1).all() and np.isinf(none.distances).all()


def test_removed_codes_are_never_found(name: str, stored: Stored, queries: np.ndarray) -> None:
    index = build(name, stored)
    first = index.search(queries, 10)
    gone = np.unique(first.rows[:, :5])
    assert index.remove(np.append(gone, [10**9, 0])) == len(gone)
    assert index.remove(gone) == 0
    assert len(index) == N - len(gone)
    assert sorted(index.ids()) == sorted(set(stored.ids) - set(gone))
    found = index.search(queries, 10)
    assert not np.isin(found.rows, gone).any()
    left = ~np.isin(stored.ids, gone)
    nearest = np.sort(true_distances(queries, stored.codes[left]), axis=1)[:, :10]
    hits = found.distances <= nearest[:, -1:] + 1e-5
    assert hits.mean() == 1.0 if index.exact else hits.mean() >= 0.97


def test_codes_added_later_are_found(name: str, stored: Stored, queries: np.ndarray) -> None:
    index = build(name, stored)
    more = queries[:3] + np.float32(1e-3)
    ids = np.array([10**6, 1, 10**6 + 5])
    both = Stored(np.concatenate([stored.codes, more]), np.concatenate([stored.ids, ids]))
    index.vectors = both.vectors
    index.add(more, ids)
    assert len(index) == N + 3
    assert index.search(queries[:3], 1).rows[:, 0].tolist() == ids.tolist()


def test_saved_and_loaded_it_is_the_same(
    name: str, stored: Stored, queries: np.ndarray, tmp_path: Path
) -> None:
    index = build(name, stored, effort=20)
    index.remove(stored.ids[:50])
    before = index.search(queries, 8)
    index.save(tmp_path / "index")
    loaded = load_index(tmp_path / "index", stored.vectors)
    assert type(loaded) is type(index) and loaded.describe() == index.describe()
    assert len(loaded) == len(index)
    after = loaded.search(queries, 8)
    np.testing.assert_array_equal(before.rows, after.rows)
    np.testing.assert_array_equal(before.distances, after.distances)
    loaded.add(queries[:1], np.array([10**7]))  # it can go on growing
    assert len(loaded) == len(index) + 1


def test_a_new_index_replaces_the_saved_one(name: str, stored: Stored, tmp_path: Path) -> None:
    index = build(name, stored)
    index.save(tmp_path / "index")
    index.remove(stored.ids[:5])
    index.save(tmp_path / "index")
    assert len(load_index(tmp_path / "index", stored.vectors)) == N - 5
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


@pytest.mark.parametrize("damage", ["cut", "empty", "absent"])
def test_damaged_files_are_named(name: str, damage: str, stored: Stored, tmp_path: Path) -> None:
    index = build(name, stored)
    index.save(tmp_path / "index")
    largest = max((tmp_path / "index").iterdir(), key=lambda path: path.stat().st_size)
    if damage == "absent":
        largest.unlink()
    else:
        largest.write_bytes(largest.read_bytes()[: 0 if damage == "empty" else 100])
    with pytest.raises(UserError, match=r"damaged index.*build it again"):
        load_index(tmp_path / "index", stored.vectors)
    with pytest.raises(UserError, match="no such file"):
        load_index(tmp_path / "nowhere", stored.vectors)


def test_fewer_codes_than_asked_for(name: str, stored: Stored, queries: np.ndarray) -> None:
    few = Stored(stored.codes[:20], stored.ids[:20])
    index = build(name, few)
    found = index.search(queries[:2], 30)
    assert (found.rows[:, :20] >= 0).all() and (found.rows[:, 20:] == -1).all()
    assert np.isfinite(found.distances[:, :20]).all() and np.isinf(found.distances[:, 20:]).all()


def test_an_empty_index_finds_nothing(
    name: str, stored: Stored, queries: np.ndarray, tmp_path: Path
) -> None:
    kind = get_backend(name)
    index = kind(D, kind.suggest(0, D), stored.vectors)
    index.add(stored.codes[:0], stored.ids[:0])
    assert len(index) == 0 and index.remove(np.array([1])) == 0
    assert (index.search(queries, 3).rows == -1).all()
    index.save(tmp_path / "index")
    assert len(load_index(tmp_path / "index", stored.vectors)) == 0


def test_a_single_code(name: str, stored: Stored, tmp_path: Path) -> None:
    """Found, or refused by what must learn from more."""
    kind = get_backend(name)
    index = kind(D, kind.suggest(1, D), stored.vectors)
    if kind.trained:
        with pytest.raises(UserError, match=rf"too few codes \(1\).*'{name}'.*use 'exact'"):
            index.add(stored.codes[:1], stored.ids[:1])
        return
    index.add(stored.codes[:1], stored.ids[:1])
    index.save(tmp_path / "index")
    for one in (index, load_index(tmp_path / "index", stored.vectors)):
        found = one.search(stored.codes[:2], 3)
        assert found.rows.tolist() == [[stored.ids[0], -1, -1]] * 2
        assert found.distances[0].tolist() == [0, np.inf, np.inf]


def test_nothing_but_copies(name: str, queries: np.ndarray) -> None:
    """Codes that tell nothing to learn from; each copy is found once."""
    alike = Stored(np.repeat(queries[:1], 64, axis=0), np.arange(64)[::-1] * 3)
    index = build(name, alike)
    index.effort = max(index.efforts())
    near = index.search(queries[:1], 10)
    assert len(set(near.rows[0]) & set(alike.ids)) == 10 and (near.distances == 0).all()
    if name == "hnsw":
        return  # FAISS links equal nodes among themselves: some copies are in no one's reach
    found = index.search(queries[:2], 64)
    assert sorted(found.rows[1]) == sorted(alike.ids)
    assert found.rows[0].tolist() == sorted(alike.ids)  # equal distances, in order of ids
    assert (found.distances[0] == 0).all()
    np.testing.assert_allclose(found.distances[1], np.linalg.norm(queries[1] - queries[0]), 1e-5)


def test_fewer_allowed_than_asked_for(name: str, stored: Stored, queries: np.ndarray) -> None:
    index = build(name, stored)
    index.effort = max(index.efforts())
    some = np.sort(stored.ids[[3, 700, 1500]])
    allowed = np.zeros(stored.ids.max() + 1, dtype=bool)
    allowed[some] = True
    found = index.search(queries, 5, allowed=allowed)
    assert (np.sort(found.rows[:, :3], axis=1) == some).all() and (found.rows[:, 3:] == -1).all()
    own = index.search(stored.codes[3:4], 5, exclude=stored.ids[3:4], allowed=allowed)
    assert sorted(own.rows[0]) == sorted([-1, -1, -1, *stored.ids[[700, 1500]]])


def test_all_of_it_at_once_after_opening_again(
    name: str, stored: Stored, queries: np.ndarray, tmp_path: Path
) -> None:
    """Removed, saved, opened, added to, searched among what is allowed without oneself."""
    index = build(name, stored)
    index.remove(stored.ids[:900])
    index.save(tmp_path / "index")
    ids = np.arange(10**4, 10**4 + Q)
    both = Stored(np.concatenate([stored.codes, queries]), np.concatenate([stored.ids, ids]))
    index = load_index(tmp_path / "index", both.vectors)
    index.add(queries, ids)
    index.effort = max(index.efforts())
    allowed = np.ones(10**4 + Q, dtype=bool)
    allowed[:500] = allowed[ids[::2]] = False
    found = index.search(queries, 10, exclude=ids, allowed=allowed)
    usable = allowed[both.ids]
    usable[:900] = False
    assert np.isin(found.rows, both.ids[usable]).all() and (found.rows != ids[:, None]).all()
    apart = true_distances(queries, both.codes)
    apart[:, ~usable] = np.inf
    apart[np.arange(Q), len(stored.ids) + np.arange(Q)] = np.inf
    hits = found.distances <= np.sort(apart, axis=1)[:, 9:10] + 1e-5
    assert hits.mean() == 1.0 if index.exact else hits.mean() >= 0.99


def test_emptied_and_filled_again(
    name: str, stored: Stored, queries: np.ndarray, tmp_path: Path
) -> None:
    few = Stored(stored.codes[300:500], stored.ids[300:500])
    index = build(name, few)
    assert index.remove(few.ids) == 200 and len(index) == 0
    assert (index.search(queries, 3).rows == -1).all()
    index.save(tmp_path / "index")
    index = load_index(tmp_path / "index", few.vectors)
    assert len(index) == 0 and (index.search(queries, 3).rows == -1).all()
    index.add(few.codes[:100], few.ids[:100])  # ids that it had before
    index.effort = max(index.efforts())
    found = index.search(few.codes[:100], 1)
    assert found.rows[:, 0].tolist() == few.ids[:100].tolist() and len(index) == 100
    assert (found.distances == 0).all()


def test_no_queries(name: str, stored: Stored) -> None:
    assert build(name, stored).search(np.zeros((0, D), np.float32), 3).rows.shape == (0, 3)


def test_half_precision_codes_are_taken(name: str, stored: Stored, queries: np.ndarray) -> None:
    half = Stored(stored.codes.astype(np.float16), stored.ids)
    index = build(name, half)
    found = index.search(queries, 5)
    nearest = np.sort(true_distances(queries, half.codes), axis=1)[:, 4:5]
    assert (found.distances <= nearest + 1e-5).mean() >= 0.98


def test_codes_of_another_length_are_refused(name: str, stored: Stored) -> None:
    kind = get_backend(name)
    index = kind(D, kind.suggest(N, D), stored.vectors)
    with pytest.raises(ValueError, match="shape"):
        index.add(stored.codes[:, :-1], stored.ids)


def test_memory_is_as_estimated(name: str, stored: Stored, tmp_path: Path) -> None:
    kind = get_backend(name)
    index = build(name, stored)
    index.save(tmp_path / "index")
    loaded = load_index(tmp_path / "index", stored.vectors)  # the exact one maps its codes
    assert 0.5 < loaded.memory_bytes() / kind.estimate_bytes(N, D) < 2


def test_threads_get_the_same_answers(name: str, stored: Stored, queries: np.ndarray) -> None:
    index = build(name, stored)
    mask = np.ones(stored.ids.max() + 1, dtype=bool)
    mask[stored.ids[::2]] = False
    alone = [index.search(queries, 5), index.search(queries, 5, allowed=mask)]
    wrong = []

    def work() -> None:
        for turn in range(4):
            found = index.search(queries, 5, allowed=mask if turn % 2 else None)
            if not np.array_equal(found.rows, alone[turn % 2].rows):
                wrong.append(turn)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_building_twice_gives_the_same(name: str, stored: Stored, queries: np.ndarray) -> None:
    kind = get_backend(name)
    built = []
    for _ in range(2):
        index = kind(D, kind.suggest(1000, D), stored.vectors)
        index.add(stored.codes[:1000], stored.ids[:1000])
        index.effort = min(8, max(index.efforts()))
        built.append(index)
    one, other = built
    np.testing.assert_array_equal(one.search(queries, 10).rows, other.search(queries, 10).rows)
