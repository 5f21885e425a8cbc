"""The parts by themselves: decoders, batcher, jobs, cache, limits."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from painted import paint, picture_file
from PIL import Image

from neuralcodes.codes.spec import Preprocessing
from neuralcodes.common.errors import UserError
from neuralcodes.common.progress import progress
from neuralcodes.images.decode import decode, open_picture
from neuralcodes.images.facts import image_facts
from neuralcodes.serve.batching import Batcher
from neuralcodes.serve.decoding import Decoders
from neuralcodes.serve.diskcache import DiskCache
from neuralcodes.serve.errors import BadPictureError, BusyError, TooLargeError, UnavailableError
from neuralcodes.serve.jobs import Jobs
from neuralcodes.serve.pictures import Recent, WorkerDecoding
from neuralcodes.serve.settings import Settings

PRE = Preprocessing((64, 64), "crop", (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))


def png_bomb(width: int, height: int, rows: int | None = None) -> bytes:
    """A small PNG file of many pixels, or one that only says so."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = b"\0" * (1 + 3 * width)
    packed = b"".join(packer.compress(row) for _ in range(rows or height))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", packed + packer.flush())
        + chunk(b"IEND", b"")
    )


def outcomes_of(**limits: object) -> tuple[Decoders, list[str]]:
    told: list[str] = []
    return Decoders(
        Settings(decoders=1, **limits),  # type: ignore[arg-type]
        lambda _, outcome: told.append(outcome),
    ), told


def test_a_decoder_gives_the_pixels_that_indexing_gets() -> None:
    decoders, told = outcomes_of()
    for kind, options in (("JPEG", {}), ("PNG", {}), ("WEBP", {"lossless": True})):
        data = picture_file(3, kind, **options)
        facts, pixels = decoders.pixels(data, PRE, None)
        assert np.array_equal(pixels, decode(data, (64, 64), "crop"))
        assert (facts.width, facts.height, facts.kind) == (60, 40, kind)
    assert told == ["ok"] * 3
    decoders.close()
    with pytest.raises(UnavailableError):
        decoders.pixels(data, PRE, None)


def turned_file(width: int, height: int) -> bytes:
    """A picture that lies on its side and says so."""
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    paint(4, width, height).save(file, "JPEG", exif=exif)
    return file.getvalue()


def test_a_decoder_gives_pictures_and_facts_upright() -> None:
    decoders, _ = outcomes_of(pixels=1000)
    data = turned_file(80, 50)
    with pytest.raises(TooLargeError, match="at most 1,000"):
        decoders.picture(data, 30)
    picture = decoders.picture(data, 30, most=4000)
    assert picture.shape == (30, 19, 3)
    assert np.array_equal(picture, np.asarray(open_picture(data, 30)))
    facts, _ = decoders.pixels(data, PRE, None, most=4000)
    assert (facts.width, facts.height, facts.upright) == (80, 50, image_facts(data))
    assert (facts.upright.width, facts.upright.height) == (50, 80)
    decoders.close()


def test_long_work_waits_for_a_decoder_and_takes_what_was_checked() -> None:
    """As bringing up to date does while visitors keep every decoder busy."""

    class Busy(Decoders):
        tries = 0

        def pixels(self, *given: Any) -> Any:
            self.tries += 1
            if self.tries < 3:
                raise BusyError("all decoders are busy")
            return super().pixels(*given)

    decoders = Busy(Settings(decoders=1), lambda *_: None)
    checked: Recent[Any] = Recent(4)
    decoding = WorkerDecoding(decoders, checked)
    data = turned_file(80, 50)
    pixels, facts = decoding.pixels(data, PRE)
    assert decoders.tries == 3 and facts == image_facts(data)
    assert np.array_equal(pixels, decode(data, (64, 64), "crop"))
    checked.put(hashlib.sha256(data).digest(), decoders.pixels(data, PRE, None))
    again, _ = decoding.pixels(data, PRE)
    assert decoders.tries == 4 and np.array_equal(again, pixels)
    decoding.pixels(data, PRE)
    assert decoders.tries == 5  # it was taken, and is not kept
    for bad in (b"no picture", data[:300], png_bomb(20_000, 20_000, rows=1)):
        with pytest.raises(ValueError, match=r"not an image|damaged|pixels"):
            decoding.pixels(bad, PRE)
        with pytest.raises(ValueError, match=r"not an image|damaged|pixels"):
            decoding.picture(bad, 100)
    decoders.close()
    with pytest.raises(UnavailableError):  # and does not wait for ever
        decoding.picture(data, 100)


def test_pictures_that_would_fill_memory_or_time_are_refused_and_the_next_is_served() -> None:
    decoders, told = outcomes_of(decode_bytes=300 * 2**20, decode_seconds=3.0)
    fine = picture_file(1)
    with pytest.raises(TooLargeError, match="10000×10000 pixels; at most"):
        decoders.thumbnail(png_bomb(10_000, 10_000, rows=1), 160)
    assert decoders.thumbnail(fine, 160)
    with pytest.raises(BadPictureError, match="memory"):
        decoders.thumbnail(png_bomb(7000, 7000), 160)  # 49 million pixels: allowed, but for RAM
    assert decoders.thumbnail(fine, 160)
    assert "killed" not in told
    decoders.close()


def test_a_decoder_that_hangs_or_dies_is_replaced() -> None:
    decoders, told = outcomes_of(decode_seconds=1.0)
    assert decoders.thumbnail(picture_file(1), 160)
    worker = next(iter(decoders._all))
    os.kill(worker.process.pid, 19)  # SIGSTOP: as one that hangs
    start = time.monotonic()
    with pytest.raises(BadPictureError, match="too long"):
        decoders.thumbnail(picture_file(1), 160)
    assert time.monotonic() - start < 10
    assert worker.process.returncode == -9
    assert decoders.thumbnail(picture_file(1), 160)
    os.kill(next(iter(decoders._all)).process.pid, 11)
    with pytest.raises(BadPictureError, match="crashed"):
        decoders.thumbnail(picture_file(1), 160)
    assert decoders.thumbnail(picture_file(1), 160)
    assert told == ["ok", "killed", "ok", "killed", "ok"]
    decoders.close()


def test_decoders_hold_no_secret_and_open_nothing() -> None:
    os.environ["NEURALCODES_TOKEN"] = "a-very-secret-token"
    try:
        decoders, _ = outcomes_of()
        decoders.thumbnail(picture_file(1), 160)
        (worker,) = decoders._all
        own = Path(f"/proc/{worker.process.pid}")
        assert b"secret" not in (own / "environ").read_bytes()
        limits = (own / "limits").read_text()
        for name, most in (("Max file size", 0), ("Max open files", 16), ("Max core", 0)):
            line = next(line for line in limits.splitlines() if line.startswith(name))
            assert f" {most} " in line, line
    finally:
        del os.environ["NEURALCODES_TOKEN"]
        decoders.close()


def test_requests_are_gathered_into_passes_and_each_gets_its_own() -> None:
    sizes: list[int] = []

    def encode(pixels: np.ndarray) -> np.ndarray:
        time.sleep(0.01)
        return pixels.reshape(len(pixels), -1)[:, :1].astype(np.float32)

    batcher = Batcher(encode, Settings(batch=8, batch_wait=0.05), lambda n, _: sizes.append(n))

    def ask(number: int) -> bool:
        pixels = np.full((1 + number % 3, 4, 4, 3), number, np.uint8)
        return bool((batcher.encode(pixels) == number).all())

    with ThreadPoolExecutor(30) as pool:
        assert all(pool.map(ask, range(120)))
    assert max(sizes) == 8 and sum(sizes) == sum(1 + n % 3 for n in range(120))
    assert len(sizes) < 60  # alone they would be 120
    assert batcher.encode(np.full((100, 4, 4, 3), 7, np.uint8)).shape == (100, 1)
    batcher.close(10)
    with pytest.raises(UnavailableError):
        batcher.encode(np.zeros((1, 4, 4, 3), np.uint8))


def test_a_pass_that_fails_fails_its_own_requests_only() -> None:
    def encode(pixels: np.ndarray) -> np.ndarray:
        if (pixels == 13).any():
            raise UserError("no network")
        return np.zeros((len(pixels), 1), np.float32)

    batcher = Batcher(encode, Settings(batch=1), lambda *_: None)
    with pytest.raises(UserError, match="no network"):
        batcher.encode(np.full((1, 2, 2, 3), 13, np.uint8))
    assert batcher.encode(np.zeros((1, 2, 2, 3), np.uint8)).shape == (1, 1)
    assert batcher.waiting == 0
    batcher.close(10)


def test_the_queue_before_the_network_is_bounded() -> None:
    go = threading.Event()

    def encode(pixels: np.ndarray) -> np.ndarray:
        go.wait(20)
        return np.zeros((len(pixels), 1), np.float32)

    batcher = Batcher(encode, Settings(batch=2, batch_queue=6), lambda *_: None)
    one = np.zeros((1, 2, 2, 3), np.uint8)
    with ThreadPoolExecutor(12) as pool:
        waiting = [pool.submit(batcher.encode, one) for _ in range(12)]
        until = time.monotonic() + 10
        while sum(f.done() for f in waiting) < 6 and time.monotonic() < until:
            time.sleep(0.01)
        go.set()
        outcomes = [f.exception() for f in waiting]
    assert sum(isinstance(error, BusyError) for error in outcomes) == 6
    assert sum(error is None for error in outcomes) == 6
    batcher.close(10)


def test_jobs_wait_in_order_and_not_without_end() -> None:
    go, done = threading.Event(), []
    jobs = Jobs(3, lambda *_: None, "test")
    first = jobs.submit("a", lambda: go.wait(20))
    while first.state != "running":
        time.sleep(0.01)
    rest = [jobs.submit("b", lambda n=n: done.append(n)) for n in range(3)]
    with pytest.raises(BusyError):
        jobs.submit("c", lambda: None)
    assert jobs.stop(rest[1].number).state == "stopped"
    go.set()
    rest[2].over.wait(10)
    assert done == [0, 2] and [job.kind for job in jobs.list()] == ["b", "b", "b", "a"]
    jobs.close(1)
    with pytest.raises(UnavailableError):
        jobs.submit("d", lambda: None)


def test_a_job_tells_how_far_it_is_fails_alone_and_stops_at_the_end() -> None:
    steps: list[tuple[str, int, int]] = []
    jobs = Jobs(10, lambda *_: None, "test")

    def work() -> str:
        with progress(3, "counting") as bar:
            for _ in range(3):
                bar.update()
                steps.append((job.step, job.done, job.total))
        return "counted"

    def bug() -> None:
        raise RuntimeError("inside")

    def forever() -> None:
        with progress(10**9, "waiting") as bar:
            while True:
                bar.update()
                time.sleep(0.01)

    job = jobs.submit("count", work)
    job.over.wait(10)
    assert steps == [("counting", n, 3) for n in (1, 2, 3)]
    assert job.state == "done" and job.result == "counted"
    failed = jobs.submit("bug", bug)
    failed.over.wait(10)
    assert failed.state == "failed" and "inside" not in failed.message
    quiet = jobs.submit("x", lambda: 5, quiet=True)
    quiet.over.wait(10)
    assert quiet.result == 5 and quiet not in jobs.list()
    long = jobs.submit("long", forever)
    last = jobs.submit("promised", lambda: "kept", quiet=True)
    while long.done == 0:
        time.sleep(0.01)
    jobs.close(0.2)
    assert long.state == "stopped" and last.result == "kept"


def test_the_cache_stays_within_its_room_and_keeps_what_is_used(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "cache", 100_000)
    for number in range(200):
        cache.put(f"{number:04}-160", bytes(1000))
        os.utime(cache._path(f"{number:04}-160"), (number, number))
        if number % 10 == 0:
            assert cache.get("0000-160") is not None  # its use is noted
    sizes = [path.stat().st_size for path in (tmp_path / "cache").rglob("*-160")]
    assert 60_000 <= sum(sizes) <= 101_000
    assert cache.get("0199-160") == bytes(1000) and cache.get("0001-160") is None
    assert cache.get("0000-160") is not None
    for key in ("../x", "a/b", "", "a b", "\0"):
        with pytest.raises(ValueError, match="no key"):
            cache.get(key)
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0


def test_thumbnails_of_any_shape() -> None:
    decoders, _ = outcomes_of()
    for size in ((1, 1), (3000, 2), (2, 3000), (161, 160)):
        data = io.BytesIO()
        paint(5, *size).save(data, "PNG")
        with Image.open(io.BytesIO(decoders.thumbnail(data.getvalue(), 160))) as shown:
            assert max(shown.size) <= 160 and min(shown.size) >= 1
    decoders.close()
