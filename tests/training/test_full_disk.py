"""A disk that fills up: one line, and the checkpoint before it survives.

The disk is a real, small file system that a process of its own mounts for itself.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from training_worker import result, train_digits

WORKER = Path(__file__).with_name("full_disk_worker.py")


def on_a_disk_of(megabytes: float, place: Path, task: str) -> dict[str, object]:
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("needs unshare (util-linux) to mount a small disk")
    own = ["--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--mount"]
    mount = f'mount -t tmpfs -o size={int(megabytes * 1024)}k none "$1"'
    if subprocess.run([unshare, *own, "sh", "-c", mount, "sh", place], check=False).returncode:
        pytest.skip("may not mount a small disk here")
    command = [unshare, *own, "sh", "-c", mount + ' && exec "$2" "$3" "$1" "$4"', "sh"]
    done = subprocess.run(
        [*command, place, sys.executable, WORKER, task],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As the worker: sums round otherwise with another number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_the_disk_fills_up_during_the_run(tmp_path: Path) -> None:
    answer = on_a_disk_of(12, tmp_path, "fill")
    assert "cannot write: the disk is full" in str(answer["error"])
    assert "\n" not in str(answer["error"])
    assert "epoch-0002" in str(answer["error"])
    assert answer["left"] == [".lock", "epoch-0001"]
    # with room again the run goes on as if nothing had happened
    assert answer["resumed"] == result(train_digits(tmp_path / "unbroken", max_epochs=3))


def test_a_disk_too_small_is_refused_before_training(tmp_path: Path) -> None:
    answer = on_a_disk_of(4, tmp_path, "small")
    assert str(answer["error"]).startswith(f"{tmp_path / 'checkpoints'}: keeping checkpoints needs")
    assert "free some space or give another --out" in str(answer["error"])
    assert answer["left"] == [".lock"]
