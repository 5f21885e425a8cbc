"""Collections of quantised codes: their bytes on disk, and the results of their decoded form."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from painted import lay_pictures, paint, picture_file, save_small
from quantised import BYTES, NAMES, create_old, fit_quantisers, pixels_of

from made import command_here
from neuralcodes.codes.encoder import Encoder
from neuralcodes.codes.store import load_codes
from neuralcodes.collection.collection import Collection
from neuralcodes.common.errors import UserError

Make = Callable[..., Collection]
COUNT = 40


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A code of 128 dimensions, with quantisers fitted behind it."""
    code = f"{save_small(tmp_path_factory.mktemp('network') / 'small.safetensors')}@L6"
    fit_quantisers(code)
    return code


@pytest.fixture(scope="module")
def laid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures in three folders; nothing changes them."""
    return lay_pictures(tmp_path_factory.mktemp("laid"), COUNT)


@pytest.fixture
def create(tmp_path: Path, base: str) -> Iterator[Make]:
    """Make collections of `base` with a quantiser behind it; closed at the end."""
    made: list[Collection] = []

    def create(name: str, folder: str = "", old: str = "", **options: object) -> Collection:
        path, code = tmp_path / (folder or name), f"{base}/{name}"
        if old:
            made.append(create_old(path, code, old))
        else:
            made.append(Collection.create(path, code, device="cpu", **options))  # type: ignore[arg-type]
        return made[-1]

    yield create
    for collection in made:
        collection.close()


def results(collection: Collection, query: object, k: int = COUNT) -> list[tuple[str, float]]:
    return [(m.path, m.distance) for m in collection.search(query, k=k)]


def by_definition(base: str, name: str, ids: list[int], query: int) -> np.ndarray:
    """Distances in float64 of a picture's own form to decode(encode(x)) of painted pictures."""
    encoder = Encoder.open(f"{base}/{name}", "cpu", "fp32")
    last = encoder.chains[0].steps[-1].transform
    plain = Encoder.open(base, "cpu", "fp32")
    values = np.concatenate([
        plain.encode(pixels_of(plain, range(n, n + 1)))[0] for n in [query, *ids]
    ])  # fmt: skip
    decoded = last.decode(last.encode(values[1:])).astype(np.float64)
    asked = last.query(values[:1]).astype(np.float64)
    return np.sqrt(((decoded - asked) ** 2).sum(axis=1))


@pytest.mark.parametrize("name", NAMES)
def test_bytes_on_disk_and_the_results_of_decoded_codes(
    name: str, create: Make, base: str, laid: Path
) -> None:
    """Against a collection of the same code that keeps what is searched: the same to the bit."""
    ours, old = create(name), create(name, folder="old", old="float32")
    for one in (ours, old):
        assert one.sync([laid]).added == COUNT
    (file,) = (ours.path / "codes").iterdir()
    assert file.stat().st_size == 128 + COUNT * BYTES[name]
    rows = np.load(file)
    assert (rows.dtype, rows.shape) == (np.uint8, (COUNT, BYTES[name]))
    about = ours.info()
    assert (about.dtype, about.code_bytes, about.dims) == (name, BYTES[name], 128)
    assert about.bytes["codes"] == file.stat().st_size
    whole = sum(path.stat().st_size for path in ours.path.rglob("*") if path.is_file())
    lock = (ours.path / "collection.lock").stat().st_size
    assert sum(about.bytes.values()) == whole - lock
    assert old.info().bytes["codes"] == 128 + COUNT * 512 and old.info().dtype == "float32"

    ids = [image.id for image in ours.images()]
    np.testing.assert_array_equal(ours.codes(ids), old.codes(ids))
    np.testing.assert_array_equal(ours.codes(ids[7:8]), ours.codes(ids)[7:8])
    for query in ("id:5", laid / "a" / "0000.jpg", picture_file(900), paint(901)):
        assert results(ours, query) == results(old, query)
        assert results(ours, query, 3) == results(old, query, 3)
    kept = results(ours, ["id:3", picture_file(902)])
    assert kept == results(old, ["id:3", picture_file(902)])
    label = 'label == "b"'
    found = [(m.path, m.distance) for m in ours.search(picture_file(900), filter=label)]
    assert found == [(m.path, m.distance) for m in old.search(picture_file(900), filter=label)]

    numbers = [int(Path(path).stem) for path, _ in results(ours, picture_file(900))]
    expected = by_definition(base, name, numbers, 900)
    distances = [distance for _, distance in results(ours, picture_file(900))]
    np.testing.assert_allclose(distances, expected, atol=2e-4 if name == "binary" else 1e-5)
    assert sorted(distances) == distances and len(set(numbers)) == COUNT


@pytest.mark.parametrize("name", ["binary", "pq16"])
def test_updates_keep_every_byte(
    name: str, create: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Merged and compacted, a code is what it was: decoding and encoding again is not."""
    from neuralcodes.collection import sync

    monkeypatch.setattr(sync, "COMMIT_IMAGES", 2)
    place = lay_pictures(tmp_path / "many", 60)
    collection, fresh = create(name), create(name, folder="fresh")
    collection.sync([place])
    assert collection.info().segments < 16  # merged on the way
    monkeypatch.undo()
    for number in range(0, 20, 2):
        next(place.rglob(f"{number:04}.jpg")).unlink()
    lay_pictures(place, 15, first=100)
    report = collection.sync()
    assert (report.removed, report.added) == (10, 15)
    collection.compact()
    assert collection.verify(images=True).whole
    fresh.sync([place])
    rows = {}
    for one in (collection, fresh):
        images = list(one.images())
        codes = np.array([image.code for image in images])
        stored = one.store.snapshot().rows(codes)
        rows[one] = {i.path: row.tobytes() for i, row in zip(images, stored, strict=True)}
    assert rows[collection] == rows[fresh] and len(rows[fresh]) == 65
    (file,) = (collection.path / "codes").iterdir()
    assert file.stat().st_size == 128 + 65 * BYTES[name]
    assert results(collection, picture_file(900)) == results(fresh, picture_file(900))


def test_nothing_but_the_collection_is_needed(
    create: Make, base: str, laid: Path, tmp_path: Path
) -> None:
    """Without the network, the transform's own file and PyTorch."""
    collection = create("pq16")
    collection.sync([laid])
    expected = results(collection, "id:5", 4)
    collection.close()
    network = Path(base.partition("@")[0])
    aside = tmp_path / "aside"
    shutil.move(network.with_suffix(""), aside)  # its transforms
    network.rename(tmp_path / "network")
    program = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from neuralcodes.collection.collection import Collection\n"
        "with Collection.open(sys.argv[1]) as c:\n"
        "    found = [(m.path, m.distance) for m in c.search('id:5', k=4)]\n"
        "    found += [(m.path, m.distance) for m in c.search(sys.argv[2], k=1)]\n"
        "    files = [p.name for p in c.export(sys.argv[3], table='csv')]\n"
        "    whole, about = c.verify().whole, c.info().to_json()\n"
        "    c.remove('id:9'); c.compact()\n"
        "    print(json.dumps([found, files, whole, about['dtype'], c.verify().whole,\n"
        "                      'torch' in sys.modules, 'faiss' in sys.modules]))\n"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, str(collection.path), str(laid / "b" / "0001.jpg"),
             str(tmp_path / "out")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        shutil.move(aside, network.with_suffix(""))
        (tmp_path / "network").rename(network)
    assert done.returncode == 0, done.stderr
    found, files, *facts = json.loads(done.stdout)
    assert [tuple(match) for match in found[:4]] == expected and len(found) == 5
    assert facts == [True, "pq16", True, False, False]
    assert files == [
        "codes.npy", "codes.json", "stored.npy", "quantiser.safetensors", "images.csv",
    ]  # fmt: skip


def test_exported_as_searched_and_as_stored(create: Make, laid: Path, tmp_path: Path) -> None:
    from neuralcodes.codes.transforms.fitted import load_fitted

    for name in ("int8", "half"):
        collection = create(name)
        collection.sync([laid])
        out = tmp_path / f"out {name}"
        collection.export(out, filter='label == "a"', table="csv")
        codes, stored = load_codes(out / "codes"), np.load(out / "stored.npy")
        assert codes.spec == collection.spec and len(stored) == len(codes) == 14
        if name == "int8":
            decoded = load_fitted(out / "quantiser.safetensors").transform.decode(stored)
        else:  # there is nothing to know of it
            assert not (out / "quantiser.safetensors").exists()
            decoded = stored.view("<f2").astype(np.float32)
            decoded /= np.linalg.norm(decoded, axis=1, keepdims=True)
        np.testing.assert_allclose(codes.values, decoded, atol=1e-7)


@pytest.mark.parametrize("damage", ["flipped", "gone", "cut", "another"])
def test_a_damaged_quantiser_is_named_and_mended(
    create: Make, base: str, laid: Path, damage: str
) -> None:
    collection = create("pq16")
    collection.sync([laid])
    before = collection.codes(range(1, COUNT + 1))
    collection.close()
    path = collection.path / "quantiser.safetensors"
    data = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "another":
        shutil.copy(
            Path(base.partition("@")[0]).with_suffix("") / "transforms/L6/opq16.safetensors", path
        )
    else:
        data[-5] ^= 1
        path.write_bytes(data[:-9] if damage == "cut" else data)
    with Collection.open(collection.path, device="cpu") as opened:
        with pytest.raises(UserError, match=r"quantiser\.safetensors: .*verify --repair") as told:
            opened.search("id:1")
        assert "\n" not in str(told.value)
        report = opened.verify()
        assert len(report.problems) == 1 and str(path) in report.problems[0]
        assert opened.verify(repair=True).repaired == 0
        assert opened.verify().whole
        np.testing.assert_array_equal(opened.codes(range(1, COUNT + 1)), before)
        assert len(opened.search("id:1", k=5)) == 5


def test_damaged_codes_are_computed_again(create: Make, laid: Path) -> None:
    collection = create("opq16")
    collection.sync([laid])
    (path,) = (collection.path / "codes").iterdir()
    before = np.load(path)
    data = bytearray(path.read_bytes())
    data[128 + 3 * 16 + 5] ^= 1
    path.write_bytes(data)
    report = collection.verify()
    assert len(report.damaged) == 1 and f"1 of its {COUNT} codes" in report.problems[0]
    assert collection.verify(repair=True).repaired == 1
    assert collection.verify().whole
    (path,) = (collection.path / "codes").iterdir()
    np.testing.assert_array_equal(np.load(path), before)
    np.save(path, np.load(path).astype(np.float32))  # whole, but not bytes
    with Collection.open(collection.path, device="cpu") as opened:
        with pytest.raises(UserError, match=r"of float32 where \(40, 16\) of uint8 belong"):
            opened.search("id:1")
        assert opened.verify(repair=True).repaired == COUNT
        assert opened.verify().whole


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_collection_of_before_goes_on_as_it_is(
    create: Make, laid: Path, tmp_path: Path, dtype: str
) -> None:
    place = tmp_path / "pictures"
    shutil.copytree(laid, place)
    old, ours = create("int8", folder="old", old=dtype), create("int8")
    assert not (old.path / "quantiser.safetensors").exists()
    for one in (old, ours):
        one.sync([place])
    lay_pictures(place, 10, first=200)
    (place / "a" / "0000.jpg").unlink()
    old.close()
    with Collection.open(old.path, device="cpu") as opened:
        assert opened.dtype == dtype
        report = opened.sync()
        assert (report.added, report.removed) == (10, 1)
        opened.compact()
        assert opened.verify().whole
        assert {np.load(f).dtype.name for f in (opened.path / "codes").iterdir()} == {dtype}
        ours.sync()
        found, expected = results(opened, picture_file(900)), results(ours, picture_file(900))
        if dtype == "float32":
            assert found == expected
        np.testing.assert_allclose([d for _, d in found], [d for _, d in expected], atol=1e-3)


def test_a_number_type_does_not_go_with_a_quantiser(create: Make) -> None:
    for dtype in ("float32", "float16"):
        with pytest.raises(UserError, match=rf"--dtype {dtype}: .* is stored as int8, 128 bytes"):
            create("int8", dtype=dtype)
    with pytest.raises(UserError, match="--dtype uint8: choose float32 or float16"):
        create("int8", dtype="uint8")


def test_versions_that_know_only_floats_refuse_it(create: Make, make: Make) -> None:
    """They would take the bytes for codes."""
    versions = []
    for one in (create("int8"), create("int8", folder="old", old="float32"), make("plain")):
        database = sqlite3.connect(f"file:{one.path}/collection.sqlite?mode=ro", uri=True)
        versions.append(database.execute("PRAGMA user_version").fetchone()[0])
        database.close()
    assert versions == [2, 1, 1]


@pytest.mark.parametrize("backend", ["fastscan", "hnsw", "ivfpq", "flat"])
def test_other_indexes_over_quantised_codes(create: Make, tmp_path: Path, backend: str) -> None:
    place = lay_pictures(tmp_path / "many", 400)
    collection = create("pq16", backend=backend)
    collection.sync([place])
    about = collection.info()
    assert about.index["backend"] == backend and about.index["recall"]["met"]
    exact = collection.search(picture_file(900), k=10, exact=True)
    found = collection.search(picture_file(900), k=10)
    assert len(found) == 10
    assert [m.distance for m in found] == pytest.approx([m.distance for m in exact], abs=0.05)
    near = {m.path: m.distance for m in collection.search(picture_file(900), k=400, exact=True)}
    for match in found:  # measured on decoded codes whatever the index holds
        assert match.distance == pytest.approx(near[match.path], abs=1e-6)
    lay_pictures(place, 20, first=500)
    collection.sync()
    assert collection.verify().whole and len(collection.search("id:410", k=5)) == 5


def test_duplicates_and_what_distances_mean(create: Make, laid: Path, tmp_path: Path) -> None:
    place = tmp_path / "pictures"
    shutil.copytree(laid, place)
    (place / "a" / "again.png").write_bytes(picture_file(0, "PNG"))  # other bytes, one picture
    (place / "b" / "copy.jpg").write_bytes((place / "c" / "0002.jpg").read_bytes())
    ours, old = create("int8"), create("int8", folder="old", old="float32")
    told = []
    for one in (ours, old):
        one.sync([place])
        found = one.duplicates()
        curve = one.calibrate_distances(queries=40, depth=5)
        told.append((
            [(g.kind, g.distance, [Path(i.path).name for i in g.images]) for g in found.groups],
            found.threshold,
            curve.curve,
            [(m.path, m.probability) for m in one.search(picture_file(900), k=5)],
        ))  # fmt: skip
    assert told[0] == told[1]
    groups = [(kind, sorted(names)) for kind, _, names in told[0][0]]
    assert ("exact", ["0002.jpg", "copy.jpg"]) in groups
    assert ("near", ["0000.jpg", "again.png"]) in groups


def test_the_verbs(
    base: str, laid: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run, path, code = command_here(monkeypatch, capsys), tmp_path / "made", f"{base}/pq16"
    status, _, err = run("index", laid, "--collection", path, "--code", code, "--dtype", "float16")
    assert status == 2 and len(err.splitlines()) == 1 and not path.exists()
    assert "is stored as pq16, 16 bytes a code; leave --dtype out" in err
    status, _, err = run("index", laid, "--collection", path, "--code", code)
    assert status == 0, err
    status, out, _ = run("info", path)
    assert status == 0 and "128 dimensions, 16 bytes as pq16" in out
    assert f"codes {(128 + 16 * COUNT)} B or {(128 + 16 * COUNT) / COUNT:.0f} an image" in out
    about = json.loads(run("info", path, "--json")[1])
    assert about["parts_per_image"]["codes"] == round((128 + 16 * COUNT) / COUNT, 1)
    assert about["bytes_per_image"] == pytest.approx(sum(about["parts_per_image"].values()), abs=1)
    status, _, err = run("index", "--collection", path, "--dtype", "float32")
    assert status == 2 and "holds pq16; make a new collection" in err
    assert run("verify", path)[0] == 0
