"""The folder on disk: transactions, one writer and many readers, left-overs, damage."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from painted import lay_pictures, picture_file

from neuralcodes.collection.collection import Collection
from neuralcodes.collection.writer import writing
from neuralcodes.common.errors import UserError

Make = Callable[..., Collection]


def test_others_can_read_it_without_us(collection: Collection) -> None:
    """With plain SQLite and NumPy: each image's code is found by segment and row."""
    database = sqlite3.connect(f"file:{collection.path}/collection.sqlite?mode=ro", uri=True)
    rows = database.execute(
        "SELECT images.id, file, row FROM images JOIN codes ON codes.id = images.code "
        "JOIN segments ON segments.id = codes.segment"
    ).fetchall()
    assert len(rows) == 12
    for number, file, row in rows:
        code = np.load(collection.path / "codes" / file)[row]
        np.testing.assert_array_equal(code, collection.codes([number])[0])


def test_half_precision(make: Make, pictures: Path) -> None:
    whole, half = make(), make("half", dtype="float16")
    whole.sync([pictures])
    half.sync([pictures])
    assert np.load(next((half.path / "codes").iterdir())).dtype == np.float16
    ids = range(1, 13)
    np.testing.assert_allclose(whole.codes(ids), half.codes(ids), atol=5e-4)
    assert half.info().bytes["codes"] < 0.6 * whole.info().bytes["codes"]
    half.compact()
    np.testing.assert_allclose(whole.codes(ids), half.codes(ids), atol=5e-4)
    assert half.verify().whole
    with pytest.raises(UserError, match="--dtype int8"):
        make("other", dtype="int8")


def test_a_second_writer_is_refused_and_readers_go_on(
    collection: Collection, pictures: Path
) -> None:
    lay_pictures(pictures, 5, first=20)
    with writing(collection._store):
        with pytest.raises(UserError, match=f"process {os.getpid()} is writing to it; try again"):
            collection.sync()
        with Collection.open(collection.path) as reader:
            assert len(reader.search("id:1", k=3)) == 3
    assert collection.sync().added == 5


def test_a_writer_in_another_process_is_named(collection: Collection) -> None:
    program = (
        "import sys\n"
        "from neuralcodes.collection.collection import Collection\n"
        "from neuralcodes.collection.writer import writing\n"
        "with Collection.open(sys.argv[1]) as c, writing(c._store):\n"
        "    print('ready', flush=True)\n    sys.stdin.readline()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(collection.path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        with pytest.raises(UserError, match=f"process {process.pid} is writing"):
            collection.compact()
    finally:
        process.kill()
        process.communicate()
    collection.compact()  # the dead let go


def test_readers_see_whole_batches_while_another_writes(
    collection: Collection, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Searching in one thread, adding and compacting in another: always a committed state."""
    from neuralcodes.collection import sync

    monkeypatch.setattr(sync, "BATCH", 5)
    monkeypatch.setattr(sync, "COMMIT_IMAGES", 5)
    lay_pictures(pictures, 60, first=100)
    sizes, errors, done = [], [], threading.Event()

    def read() -> None:
        try:
            with Collection.open(collection.path) as reader:
                while not done.is_set():
                    results = reader.search("id:1", k=1000)
                    sizes.append(len(results))
                    distances = [match.distance for match in results]
                    assert distances == sorted(distances)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    collection.sync()
    for number in (40, 41, 42):
        collection.remove(number)
        collection.compact()
    done.set()
    thread.join()
    assert not errors
    assert (
        sizes == sorted(sizes[: sizes.index(max(sizes)) + 1]) + sizes[sizes.index(max(sizes)) + 1 :]
    )
    assert len(set(sizes)) > 2


def test_left_overs_of_a_killed_writer_are_removed(collection: Collection) -> None:
    orphan = collection.path / "codes" / "000099.npy"
    orphan.write_bytes(b"half a file")
    (collection.path / "index").mkdir()
    (collection.path / "index" / "000007").mkdir()
    assert collection.verify().whole  # nothing refers to them
    collection.remove("id:1")
    assert not orphan.exists() and not list((collection.path / "index").iterdir())


def test_small_segments_become_few(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neuralcodes.collection import sync

    monkeypatch.setattr(sync, "COMMIT_IMAGES", 2)
    collection = make()
    collection.sync([lay_pictures(tmp_path / "many", 60)])
    assert collection.info().segments < 16 and len(collection) == 60
    assert sorted(os.listdir(collection.path / "codes")) == sorted(
        segment.file for segment in collection._store.snapshot().segments
    )
    assert collection.verify().whole
    collection.remove(list(range(10, 30)))
    before = {i.path: collection.codes([i.id])[0] for i in collection.images()}
    collection.compact()
    about = collection.info()
    assert (about.segments, about.removed_codes, about.images) == (1, 0, 40)
    for image in collection.images():
        np.testing.assert_array_equal(before[image.path], collection.codes([image.id])[0])
    assert collection.verify().whole


def test_compacting_away_everything(collection: Collection, pictures: Path) -> None:
    collection.remove(pictures)
    collection.compact()
    assert collection.verify().whole and len(collection) == 0
    assert os.listdir(collection.path / "codes") == []
    with pytest.raises(UserError, match="no image of that number"):
        collection.search("id:1")
    assert len(collection.search(pictures / "a" / "0000.jpg")) == 0
    assert collection.sync([pictures]).added == 12


def test_what_is_no_collection(tmp_path: Path, code: str) -> None:
    with pytest.raises(UserError, match="no collection; make one with"):
        Collection.open(tmp_path / "nothing")
    other = tmp_path / "other"
    other.mkdir()
    sqlite3.connect(other / "collection.sqlite").execute(
        "CREATE TABLE settings (a)"
    ).connection.close()
    with pytest.raises(UserError, match="not a collection's database"):
        Collection.open(other)
    (other / "collection.sqlite").write_bytes(b"no database at all, just some text" * 50)
    with pytest.raises(UserError, match="no longer a database"):
        Collection.open(other)
    with pytest.raises(UserError, match="not empty and not a collection"):
        Collection.create(other, code)
    with pytest.raises(UserError, match="no such run folder or weights file"):
        Collection.create(tmp_path / "new", "nowhere@L6")
    assert not (tmp_path / "new").exists()


def test_a_newer_format_is_refused(collection: Collection) -> None:
    collection.close()
    database = sqlite3.connect(collection.path / "collection.sqlite")
    database.execute("PRAGMA user_version=99")
    database.close()
    with pytest.raises(UserError, match="of format 99; this version reads 1"):
        Collection.open(collection.path)


def test_a_read_only_collection_can_be_searched(code: str) -> None:
    """On a disk where nothing can be written, not even SQLite's own help files."""
    with tempfile.TemporaryDirectory() as base:
        os.chmod(base, 0o755)
        path = Path(base) / "collection"
        with Collection.create(path, code) as collection:
            collection.sync([lay_pictures(Path(base) / "pictures", 4)])
        for name in ("collection.sqlite-wal", "collection.sqlite-shm"):
            (path / name).unlink(missing_ok=True)
        program = (
            "import mmap, os, sys  # NumPy imports mmap late, when it may no longer be readable\n"
            "from neuralcodes.collection.collection import Collection\n"
            "os.seteuid(65534) if os.getuid() == 0 else None\n"
            "with Collection.open(sys.argv[1]) as c:\n"
            "    print(len(c.search('id:1', k=3)))\n"
            "    try:\n        c.remove('id:1')\n"
            "    except Exception as e: print(type(e).__name__, e)\n"
        )
        os.chmod(path, 0o755 if os.getuid() == 0 else 0o555)
        done = subprocess.run(
            [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False
        )
        os.chmod(path, 0o755)
    lines = done.stdout.splitlines()
    assert lines[:1] == ["3"], done.stderr
    assert lines[1].startswith("UserError") and "no right to write" in lines[1]


def test_other_weights_are_refused_by_name(
    collection: Collection, tmp_path: Path, network: Path
) -> None:
    from painted import save_small

    other = save_small(tmp_path / "other.safetensors", seed=1)
    with pytest.raises(
        UserError, match=r"made with other weights.*other\.safetensors.*weights diff"
    ):
        Collection.open(collection.path, code=f"{other}@L6")
    with pytest.raises(UserError, match="layer"):
        Collection.open(collection.path, code=f"{network}@L7")
    collection.close()
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(network.read_bytes())
    with Collection.open(collection.path, code=f"{moved}@L6") as opened:
        assert len(opened.search(picture_file(900), k=2)) == 2


def test_a_network_that_has_gone(collection: Collection, pictures: Path) -> None:
    with writing(collection._store) as writer, writer.transaction():
        writer.set("network", "/nowhere/net.safetensors@L6")
        spec = json.loads(json.dumps(collection.spec.to_json()))
        writer.set("code", {**spec, "name": "/nowhere/net.safetensors@L6"})
    collection.close()
    with Collection.open(collection.path) as opened:
        # what is in the collection needs no network
        assert len(opened.search(pictures / "a" / "0000.jpg", k=2)) == 2
        with pytest.raises(UserError, match=r"no longer there; say where it is now: --code"):
            opened.search(picture_file(900))


def test_a_full_disk_is_one_line_and_loses_nothing(collection: Collection, pictures: Path) -> None:
    """With a limit on the size of files, which fails as a full disk does."""
    lay_pictures(pictures, 200, first=100)
    program = (
        "import resource, signal, sys\n"
        "from neuralcodes.collection.collection import Collection\n"
        "from neuralcodes.common.errors import UserError\n"
        "import errno, neuralcodes.common.files as files\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "files._REMEDY[errno.EFBIG] = 'the disk is full'\n"
        "with Collection.open(sys.argv[1]) as c:\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (60000, 60000))\n"
        "    try:\n        c.sync()\n    except UserError as error:\n        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(collection.path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "disk" in done.stdout and done.stdout.count("\n") == 1, done.stdout + done.stderr
    assert collection.verify().whole and len(collection) == 12
    assert collection.sync().added == 200
