"""Incremental updates: only what is new is computed, what is gone leaves, nothing is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from painted import lay_pictures, paint, picture_file, zip_pictures

from neuralcodes.collection.collection import Collection
from neuralcodes.collection.syncreport import SyncReport
from neuralcodes.common.errors import UserError

Make = Callable[..., Collection]


def counts(report: SyncReport) -> dict[str, int]:
    names = ("added", "changed", "moved", "removed", "unchanged", "computed")
    found = {name: getattr(report, name) for name in names} | {"bad": len(report.bad)}
    return {name: count for name, count in found.items() if count}


def codes_by_path(collection: Collection) -> dict[str, np.ndarray]:
    images = list(collection.images())
    return dict(
        zip([i.path for i in images], collection.codes([i.id for i in images]), strict=True)
    )


def test_a_first_index_takes_all_and_a_second_nothing(make: Make, pictures: Path) -> None:
    collection = make()
    assert counts(collection.sync([pictures])) == {"added": 12, "computed": 12}
    assert counts(collection.sync([pictures])) == {"unchanged": 12}
    assert counts(collection.sync()) == {"unchanged": 12}  # it knows where to look
    image = next(collection.images())
    assert (image.folder, image.label, image.kind) == ("a", "a", "JPEG")
    assert (image.width, image.height) == (60, 40)
    assert image.path == str(pictures / "a" / "0000.jpg")
    assert image.size == (pictures / "a" / "0000.jpg").stat().st_size


def test_codes_are_those_of_the_encoder(collection: Collection, pictures: Path, code: str) -> None:
    from neuralcodes.codes.encoder import Encoder
    from neuralcodes.images.decode import decode

    encoder = Encoder.open(code, "cpu", "fp32")
    stored = codes_by_path(collection)
    assert len(stored) == 12
    for path, own in stored.items():
        pixels = decode(Path(path).read_bytes(), (16, 16), "crop")
        np.testing.assert_allclose(encoder.encode(pixels[None].copy())[0][0], own, atol=1e-6)
    assert collection.spec == encoder.specs[0]


def test_new_changed_moved_and_gone(collection: Collection, pictures: Path) -> None:
    kept = {image.path: image.id for image in collection.images()}
    (pictures / "a" / "0100.jpg").write_bytes(picture_file(100))
    (pictures / "b" / "0001.jpg").write_bytes(picture_file(101))
    shutil.move(pictures / "c" / "0002.jpg", pictures / "a" / "other.jpg")
    (pictures / "c" / "0005.jpg").unlink()
    report = collection.sync([pictures])
    assert counts(report) == {
        "added": 1, "changed": 1, "moved": 1, "removed": 1, "unchanged": 9, "computed": 2,
    }  # fmt: skip
    now = {image.path: image for image in collection.images()}
    assert str(pictures / "c" / "0005.jpg") not in now
    moved = now[str(pictures / "a" / "other.jpg")]
    assert moved.id == kept[str(pictures / "c" / "0002.jpg")]
    assert (moved.folder, moved.label) == ("a", "a")
    assert now[str(pictures / "b" / "0001.jpg")].id == kept[str(pictures / "b" / "0001.jpg")]


def test_an_updated_collection_equals_a_new_one(make: Make, pictures: Path) -> None:
    collection = make()
    collection.sync([pictures])
    lay_pictures(pictures, 5, first=50)
    (pictures / "a" / "0000.jpg").write_bytes(picture_file(77))
    (pictures / "a" / "0003.jpg").unlink()
    os.rename(pictures / "b", pictures / "z")
    collection.sync()
    fresh = make("fresh")
    fresh.sync([pictures])
    updated, new = codes_by_path(collection), codes_by_path(fresh)
    assert updated.keys() == new.keys() and len(new) == 16
    for path in new:
        np.testing.assert_allclose(updated[path], new[path], atol=1e-6)


def test_a_whole_folder_renamed_needs_no_network(
    collection: Collection, pictures: Path, tmp_path: Path
) -> None:
    os.rename(pictures / "a", pictures / "new name")
    assert counts(collection.sync()) == {"moved": 4, "unchanged": 8}
    # also under a new root, when the old one is looked at in the same run
    other = tmp_path / "elsewhere"
    other.mkdir()
    os.rename(pictures / "b", other / "b")
    report = collection.sync([pictures, other])
    assert counts(report) == {"moved": 4, "unchanged": 8}


def test_a_copy_shares_its_code(collection: Collection, pictures: Path) -> None:
    shutil.copy(pictures / "a" / "0000.jpg", pictures / "c" / "copy.jpg")
    assert counts(collection.sync()) == {"added": 1, "unchanged": 12}
    assert len(collection) == 13 and collection.info().contents == 12


def test_copies_that_come_together_are_computed_once(make: Make, tmp_path: Path) -> None:
    root = lay_pictures(tmp_path / "many", 3)
    for number in range(30):
        shutil.copy(root / "a" / "0000.jpg", root / f"copy{number}.jpg")
    assert counts(make().sync([root])) == {"added": 33, "computed": 3}


def test_a_touched_file_is_read_but_not_computed(collection: Collection, pictures: Path) -> None:
    os.utime(pictures / "a" / "0000.jpg", (1, 1))
    assert counts(collection.sync()) == {"unchanged": 12}


def test_same_size_and_date_but_other_content_is_noticed(
    collection: Collection, pictures: Path
) -> None:
    path = pictures / "a" / "0000.jpg"
    info, data = path.stat(), path.read_bytes()
    other = picture_file(55)
    path.write_bytes(other[: len(data)].ljust(len(data), b"\0"))
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert collection.sync().unchanged == 11


def test_a_root_that_has_vanished_keeps_its_images(
    collection: Collection, pictures: Path, tmp_path: Path
) -> None:
    os.rename(pictures, tmp_path / "unplugged")
    report = collection.sync()
    assert "not there now; its images are kept" in report.notes[0]
    assert len(collection) == 12
    with pytest.raises(UserError, match="no such file or folder"):
        collection.sync([pictures])
    pictures.mkdir()  # an empty mount point
    report = collection.sync()
    assert "holds no image now and held 12; they are kept" in report.notes[0]
    assert len(collection) == 12
    assert collection.sync(prune=True).removed == 12 and len(collection) == 0
    os.rmdir(pictures)
    os.rename(tmp_path / "unplugged", pictures)
    assert counts(collection.sync()) == {"added": 12}  # the codes are there still


def test_folders_that_cannot_be_listed_keep_theirs(code: str) -> None:
    """In a process without the right to read one of the folders."""
    # not pytest's own folder, into which other users may not look
    with tempfile.TemporaryDirectory() as base:
        os.chmod(base, 0o755)
        pictures, path = lay_pictures(Path(base) / "pictures", 12), Path(base) / "collection"
        with Collection.create(path, code) as collection:
            collection.sync([pictures])
        os.chmod(pictures / "b", 0)
        program = (
            "import mmap, os, sys  # NumPy imports mmap late, when it may no longer be readable\n"
            "from neuralcodes.collection.collection import Collection\n"
            "if os.getuid() == 0:\n"
            "    for place, _, names in os.walk(sys.argv[1]):\n"
            "        for name in [place, *(os.path.join(place, n) for n in names)]:\n"
            "            os.chown(name, 65534, 65534)\n"
            "    os.seteuid(65534)\n"
            "with Collection.open(sys.argv[1]) as collection:\n"
            "    report = collection.sync([sys.argv[2]])\n"
            "    print(report.removed, report.unchanged, len(collection), *report.notes)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(path), str(pictures)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        os.chmod(pictures / "b", 0o755)
    assert done.stdout.startswith("0 8 12 "), done.stdout + done.stderr
    assert "b: cannot be listed (Permission denied); what it held is kept" in done.stdout


def test_bad_files_are_listed_and_tried_again_when_they_change(
    collection: Collection, pictures: Path
) -> None:
    bad = pictures / "a" / "bad.jpg"
    bad.write_bytes(picture_file(9)[:200])
    report = collection.sync()
    assert counts(report) == {"added": 1, "unchanged": 12, "bad": 1}
    assert collection.bad() == [(str(bad), report.bad[0].reason)]
    assert "damaged" in report.bad[0].reason
    assert counts(collection.sync()) == {"unchanged": 13}  # not tried again
    assert counts(collection.sync(retry_bad=True))["bad"] == 1
    bad.write_bytes(picture_file(500))
    assert counts(collection.sync()) == {"changed": 1, "unchanged": 12, "computed": 1}
    assert collection.bad() == [] and len(collection) == 13
    bad.write_bytes(b"")
    assert counts(collection.sync()) == {"changed": 1, "unchanged": 12, "bad": 1}
    assert collection.bad() == [(str(bad), "empty file")] and len(collection) == 12


def test_removed_images_stay_out(collection: Collection, pictures: Path) -> None:
    first = next(collection.images())
    assert collection.remove([first.id, pictures / "b"]) == 5
    assert len(collection) == 7
    assert counts(collection.sync()) == {"unchanged": 7}
    assert (pictures / "b" / "0001.jpg").exists()
    # asked for by name it comes back, without being computed
    assert counts(collection.sync([first.path])) == {"added": 1}
    assert collection.remove(pictures) == 8 and collection.info().roots[0]["kind"] == "file"
    with pytest.raises(UserError, match="no image of the collection"):
        collection.remove(pictures)
    with pytest.raises(UserError, match="id:99"):
        collection.remove("id:99")


def test_zip_files(make: Make, tmp_path: Path) -> None:
    path = zip_pictures(tmp_path / "some.zip", 6)
    collection = make()
    assert counts(collection.sync([path])) == {"added": 6, "computed": 6}
    image = next(collection.images())
    assert image.path == f"{path}/in/0000.jpg" and image.folder == "in"
    assert counts(collection.sync()) == {"unchanged": 6}
    zip_pictures(path, 5, first=2)
    assert counts(collection.sync()) == {"added": 1, "removed": 2, "unchanged": 4, "computed": 1}
    assert collection.search(f"{path}/in/0003.jpg", k=1).matches[0].path != f"{path}/in/0003.jpg"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match="not a whole zip file"):
        collection.sync([path])
    assert len(collection) == 5


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.xz", "tgz"])
def test_tar_files(make: Make, tmp_path: Path, ending: str) -> None:
    root = lay_pictures(tmp_path / "files", 20)
    path = tmp_path / f"some.{ending}"
    mode = {"tar": "w", "tar.gz": "w:gz", "tgz": "w:gz", "tar.xz": "w:xz"}[ending]
    with tarfile.open(path, mode) as archive:
        archive.add(root, "./in")
    collection = make()
    assert counts(collection.sync([path])) == {"added": 20, "computed": 20}
    assert next(collection.images()).path == f"{path}/in/a/0000.jpg"
    assert counts(collection.sync()) == {"unchanged": 20}
    folder = make("other")
    folder.sync([root])
    both = zip(codes_by_path(collection).items(), codes_by_path(folder).items(), strict=True)
    for (one, left), (two, right) in both:
        assert Path(one).name == Path(two).name
        np.testing.assert_allclose(left, right, atol=1e-6)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="not a whole tar file"):
        collection.sync([path])


def test_archives_in_a_folder_are_told_and_opened_when_asked(
    make: Make, pictures: Path, tmp_path: Path
) -> None:
    inside = zip_pictures(pictures / "a" / "more.zip", 5, first=100)
    (pictures / "broken.tar").write_bytes(b"no tar at all")
    (pictures / ".hidden.zip").write_bytes(inside.read_bytes())
    collection = make()
    report = collection.sync([pictures])
    assert len(collection) == 12
    assert [note for note in report.notes if "2 archive(s) in it were not opened" in note]
    report = collection.sync(archives=True)
    assert (report.added, len(collection)) == (5, 17)
    assert [note for note in report.notes if "broken.tar" in note and "passed over" in note]
    zip_pictures(inside, 6, first=100)  # opened again without being asked again
    assert collection.sync().added == 1
    inside.rename(pictures / "b" / "renamed.zip")
    report = collection.sync()
    assert (report.moved, report.removed, report.computed, len(collection)) == (6, 0, 0, 18)
    assert not [note for note in report.notes if "not there" in note]
    assert collection.remove([str(pictures / "b" / "renamed.zip")]) == 6
    assert collection.sync().added == 0, "what was taken out by hand stays out"
    assert collection.sync([pictures / "b" / "renamed.zip"]).added == 6, "but not if it is named"
    (pictures / "b" / "renamed.zip").unlink()
    assert (collection.sync().removed, len(collection)) == (6, 12)
    assert len(collection.info().roots) == 1


def test_an_empty_mount_point_within_another_place_keeps_its_images(
    make: Make, pictures: Path
) -> None:
    disk = pictures / "a"
    collection = make()
    collection.sync([pictures, disk])
    held = len(list(disk.iterdir()))
    away = [(path, path.read_bytes()) for path in disk.iterdir()]
    for path, _ in away:
        path.unlink()
    report = collection.sync()
    assert (report.removed, len(collection)) == (0, 12)
    assert [note for note in report.notes if f"held {held}" in note]
    for path, data in away:
        path.write_bytes(data)
    assert collection.sync().computed == 0
    for path, _ in away:
        path.unlink()
    assert collection.sync(prune=True).removed == held


def test_a_collection_inside_the_folder_is_passed_over(make: Make, tmp_path: Path) -> None:
    root = lay_pictures(tmp_path / "all", 3)
    collection = make("all/collection")
    collection.add(paint(70), names=["kept"])
    assert counts(collection.sync([root])) == {"added": 3, "computed": 3}
    assert counts(collection.sync()) == {"unchanged": 3}
    assert len(collection) == 4


def test_what_is_named_must_be_there(make: Make, tmp_path: Path) -> None:
    collection = make()
    with pytest.raises(UserError, match="nothing was indexed yet"):
        collection.sync()
    with pytest.raises(UserError, match="nowhere: no such file or folder"):
        collection.sync([tmp_path / "nowhere"])


def test_images_from_memory(make: Make, tmp_path: Path) -> None:
    import torch

    collection = make()
    pixels = np.asarray(paint(1))
    report = collection.add(
        [paint(0), pixels, torch.from_numpy(pixels / 255).permute(2, 0, 1), picture_file(3)],
        names=["one", "two", "three", "four"],
        metadata={"source": "memory"},
    )
    # the array and the tensor are one picture
    assert counts(report) == {"added": 4, "computed": 3}
    assert [m.path for m in collection.search(paint(1), k=2)] == [
        str(collection.path / "pictures" / f"{name}.png") for name in ("two", "three")
    ]
    assert collection.image(1).metadata == {"source": "memory"}
    assert counts(collection.add(paint(0))) == {"added": 1}  # the same picture without a name
    with pytest.raises(UserError, match="another picture of that name"):
        collection.add(paint(5), names=["one"])
    with pytest.raises(UserError, match="is no picture"):
        collection.add([{"a": 1}])
    with pytest.raises(UserError, match="2 names for 1 images"):
        collection.add([paint(1)], names=["a", "b"])
    # the folder may be moved with what it keeps
    collection.close()
    os.rename(collection.path, tmp_path / "moved")
    with Collection.open(tmp_path / "moved") as moved:
        assert moved.search("id:1", k=1).matches[0].distance == 0
        assert moved.verify(images=True).whole
        assert moved.remove("id:1") == 1
        assert not (tmp_path / "moved" / "pictures" / "one.png").exists()


def test_interrupting_keeps_what_was_computed(
    make: Make, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while images are read: what went through the network is kept."""
    from neuralcodes.collection import sync

    monkeypatch.setattr(sync, "BATCH", 4)
    collection = make()
    take = sync.Sync._take
    seen = []

    def taking(self: sync.Sync, ready: object) -> None:
        seen.append(ready)
        if len(seen) == 7:
            raise KeyboardInterrupt
        take(self, ready)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(sync.Sync, "_take", taking)
        with pytest.raises(KeyboardInterrupt):
            collection.sync([pictures])
    assert len(collection) == 6 and collection.verify().whole
    assert counts(collection.sync([pictures])) == {"added": 6, "unchanged": 6, "computed": 6}
