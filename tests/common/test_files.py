from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralcodes.common import files
from neuralcodes.common.errors import UserError
from neuralcodes.common.files import (
    atomic_folder,
    atomic_write,
    check_room,
    exclusive,
    make_folder,
    read_json,
    write_json,
    write_text,
)
from neuralcodes.common.machine import available_memory

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterable[Start]:
    """Start Python processes that end with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def partials(folder: Path) -> list[Path]:
    return sorted(folder.glob(".*.partial"))


# Files


def test_file_appears_only_when_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.bin"
    with atomic_write(path) as file:
        file.write(b"one")
        assert not path.exists()
    assert path.read_bytes() == b"one"
    with pytest.raises(ZeroDivisionError), atomic_write(path) as file:
        file.write(b"half of two")
        raise ZeroDivisionError
    assert path.read_bytes() == b"one"
    assert list(path.parent.iterdir()) == [path]


def test_modes_are_those_of_plain_open(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    (tmp_path / "plain folder").mkdir()
    write_text(tmp_path / "atomic", "")
    with atomic_folder(tmp_path / "atomic folder"):
        pass
    for kind in ("", " folder"):
        modes = {stat.S_IMODE((tmp_path / f"{name}{kind}").stat().st_mode)
                 for name in ("plain", "atomic")}  # fmt: skip
        assert len(modes) == 1


def test_readers_see_old_or_new_never_a_part(tmp_path: Path, start: Start) -> None:
    path = tmp_path / "a.json"
    write_json(path, [0] * 5_000)
    writer = start(
        "import sys; from pathlib import Path; from neuralcodes.common.files import write_json\n"
        "print('on', flush=True)\n"
        "for i in range(100): write_json(Path(sys.argv[1]), [i] * 5_000)",
        path,
    )
    assert writer.stdout is not None
    writer.stdout.readline()
    seen = set()
    while writer.poll() is None:
        value = read_json(path)
        assert len(value) == 5_000
        assert len(set(value)) == 1
        seen.add(value[0])
    assert writer.returncode == 0
    assert len(seen) > 1


# Folders


def test_folder_appears_only_when_whole(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    with atomic_folder(path) as work:
        (work / "x").write_text("1")
        assert not path.exists()
    assert [entry.name for entry in path.iterdir()] == ["x"]
    with pytest.raises(ZeroDivisionError), atomic_folder(path) as work:
        (work / "y").write_text("2")
        raise ZeroDivisionError
    assert [entry.name for entry in path.iterdir()] == ["x"]
    with atomic_folder(path) as work:
        (work / "z").write_text("3")
    assert [entry.name for entry in path.iterdir()] == ["z"]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("exchange", [True, False])
def test_folder_is_replaced_with_and_without_the_exchange_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    if not exchange:  # as on systems that lack it
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    elif sys.platform == "linux":
        (tmp_path / "p").mkdir()
        (tmp_path / "q").mkdir()
        (tmp_path / "p" / "in p").touch()
        assert files._exchange(tmp_path / "p", tmp_path / "q")
        assert (tmp_path / "q" / "in p").exists()
    for number in range(3):
        with atomic_folder(tmp_path / "a") as work:
            (work / "n").write_text(str(number))
        assert (tmp_path / "a" / "n").read_text() == str(number)
    assert [entry.name for entry in tmp_path.iterdir() if entry.name not in "pq"] == ["a"]


REPLACE = """
import sys; from pathlib import Path; from neuralcodes.common.files import atomic_folder
print('on', flush=True)
for i in range(60):
    with atomic_folder(Path(sys.argv[1])) as work:
        for name in 'xyz': (work / name).write_text(sys.argv[2] + str(i))
"""


def test_folders_replaced_by_several_processes(tmp_path: Path, start: Start) -> None:
    path = tmp_path / "a"
    with atomic_folder(path) as work:
        for name in "xyz":
            (work / name).write_text("0")
    writers = [start(REPLACE, path, name) for name in "pq"]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()
    while any(writer.poll() is None for writer in writers):
        folder = os.open(path, os.O_RDONLY)  # one name, one folder: always there
        os.close(folder)
    assert [writer.communicate()[1] for writer in writers] == ["", ""]
    assert len({(path / name).read_text() for name in "xyz"}) == 1
    assert list(tmp_path.iterdir()) == [path]


# What killed processes leave

HOLD = """
import sys; from pathlib import Path
from neuralcodes.common.files import atomic_folder, atomic_write
with atomic_folder(Path(sys.argv[1]) / 'folder') as work, atomic_write(Path(sys.argv[1]) / 'file') as file:
    (work / 'x').write_text('1'); file.write(b'1'); file.flush()
    print('on', flush=True)
    sys.stdin.readline()
"""  # noqa: E501
WRITE = """
import sys; from pathlib import Path; from neuralcodes.common.files import write_text
write_text(Path(sys.argv[1]) / 'other', '')
"""


def test_left_overs_are_cleared_but_not_those_of_the_living(tmp_path: Path, start: Start) -> None:
    living, dead = start(HOLD, tmp_path), start(HOLD, tmp_path)
    for process in (living, dead):
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
    dead.send_signal(signal.SIGKILL)
    dead.wait()
    assert len(partials(tmp_path)) == 4
    assert start(WRITE, tmp_path).wait() == 0
    assert len(partials(tmp_path)) == 4, "too young to be sure"
    (tmp_path / ".mine.partial").touch()  # not of our making
    for path in tmp_path.iterdir():
        os.utime(path, (1, 1))
    assert start(WRITE, tmp_path).wait() == 0
    (tmp_path / ".mine.partial").unlink()
    assert len(partials(tmp_path)) == 2
    assert living.communicate("\n") == ("", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "other"]


# Locks

LOCK = """
import logging, sys; from pathlib import Path; from neuralcodes.common.files import exclusive
logging.basicConfig(format='%(message)s')
with exclusive(Path(sys.argv[1]), 'waiting for it'):
    print('in', flush=True)
    sys.stdin.readline()
print('out', flush=True)
"""


def test_lock_is_for_one_at_a_time_and_dies_with_its_holder(tmp_path: Path, start: Start) -> None:
    path = tmp_path / "made" / ".lock"
    first = start(LOCK, path)
    assert first.stdout is not None
    assert first.stdout.readline() == "in\n"
    second = start(LOCK, path)
    assert second.stderr is not None
    assert second.stderr.readline() == "waiting for it\n"
    time.sleep(0.3)
    first.kill()
    assert second.communicate("\n", timeout=60)[0] == "in\nout\n"
    with exclusive(path, "not said"):
        pass


# JSON

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(value=JSON, indent=st.sampled_from([None, 2]))
def test_json_comes_back(
    tmp_path_factory: pytest.TempPathFactory, value: object, indent: int | None
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    write_json(path, value, indent)
    assert read_json(path) == value
    assert json.loads(path.read_bytes()) == value


def test_json_holds_names_that_are_not_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    write_json(tmp_path / "a.json", [name, "é"])
    assert read_json(tmp_path / "a.json") == [name, "é"]


def test_json_refuses_nan_and_keeps_the_old(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", float("nan"))
    assert read_json(tmp_path / "a.json") == 1


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_json_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.json: not a JSON file"):
        read_json(tmp_path / "a.json")


def test_json_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.json: no such file"):
        read_json(tmp_path / "a.json")
    with pytest.raises(UserError, match="cannot be read"):
        read_json(tmp_path)


# Places that cannot be written


@pytest.mark.parametrize(
    "place, why",
    [
        ("file/a", "a part of this path is a file|a file of that name"),
        ("file/b/a", "a part of this path is a file"),
        ("folder", "a folder of that name is in the way"),
        ("/proc/neuralcodes/a", "no folder can be made there"),
        ("x" * 300, "the name is too long"),
    ],
)
def test_one_line_says_why_not(tmp_path: Path, place: str, why: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder" / "full").mkdir(parents=True)
    with pytest.raises(UserError, match=why) as caught:
        write_text(tmp_path / place, "x")
    assert "\n" not in str(caught.value)
    assert str((tmp_path / place).parent) in str(caught.value)
    assert partials(tmp_path) == []


def test_folder_where_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match="is a file, not a folder"),
        atomic_folder(tmp_path / "file"),
    ):
        pass
    with pytest.raises(UserError, match="in the way"):
        make_folder(tmp_path / "file")
    assert partials(tmp_path) == []


def test_full_disk_is_said() -> None:
    with (
        pytest.raises(UserError, match="x: cannot write: the disk is full; free some"),
        files.explain_os_errors(Path("x")),
        open("/dev/full", "wb") as file,
    ):
        file.write(b"1" * 100_000)


def test_other_errors_keep_their_traceback(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), files.explain_os_errors(tmp_path):
        (tmp_path / "gone").read_bytes()


def test_room_is_checked(tmp_path: Path) -> None:
    check_room(tmp_path / "new", 10, "a thing", "do that")
    assert (tmp_path / "new").is_dir()
    status = os.statvfs(tmp_path)
    with pytest.raises(UserError) as caught:
        check_room(tmp_path, status.f_blocks * status.f_frsize + 1, "a thing", "do that")
    assert str(caught.value).startswith(f"{tmp_path}: a thing needs ")
    assert str(caught.value).endswith("; do that")
    with pytest.raises(UserError):
        check_room(Path("/proc/neuralcodes"), 1, "a thing", "do that")


def test_room_in_memory_is_what_memory_there_is() -> None:
    memory = Path("/dev/shm")
    if not memory.is_dir() or not files._is_in_memory(memory):
        pytest.skip("no file system in memory here")
    assert not files._is_in_memory(Path("/proc"))
    status = os.statvfs(memory)
    claimed, real = status.f_bavail * status.f_frsize, available_memory()
    if real is None or real > claimed - 2**30:
        pytest.skip("this file system in memory claims no more than the memory there is")
    with pytest.raises(UserError, match="are free in memory, where this folder lies"):
        check_room(memory, claimed - 2**20, "a thing", "do that")
