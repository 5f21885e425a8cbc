"""The server as a process: killed under load, ended politely, flooded, and refused at the start."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from painted import lay_pictures, picture_file
from serving import Running

from neuralcodes.collection.collection import Collection
from neuralcodes.serve.client import Client, ServiceError


def add_until_gone(address: str, first: int, acknowledged: dict[int, int]) -> None:
    """Add pictures one after another; remember what the service said is there."""
    with httpx.Client(base_url=address, timeout=30) as client:
        for number in range(first, first + 10_000):
            try:
                files = {"file": (f"{number}.jpg", picture_file(number))}
                answer = client.post("/api/v1/images", files=files)
            except httpx.TransportError:
                return
            if answer.status_code == 201:
                acknowledged[number] = answer.json()["images"][0]["id"]


@pytest.mark.timeout(900)
def test_killed_under_load_nothing_acknowledged_is_lost(place: Path, tmp_path: Path) -> None:
    dice = random.Random(3)
    acknowledged: dict[int, int] = {}
    for turn in range(2):
        running = Running(place, {"cache": str(tmp_path / "cache"), "decoders": 2})
        before = len(acknowledged)
        with ThreadPoolExecutor(6) as pool:
            adding = [
                pool.submit(add_until_gone, running.address, first, acknowledged)
                for first in range(10_000 * (1 + turn * 4), 10_000 * (5 + turn * 4), 10_000)
            ]
            asking = [pool.submit(keep_asking, running.address) for _ in range(2)]
            until = time.monotonic() + 60
            while len(acknowledged) < before + 8 and time.monotonic() < until:
                time.sleep(0.02)
            time.sleep(dice.uniform(0, 0.3))
            decoders = children(running.pid)
            running.process.send_signal(signal.SIGKILL)
            for done in (*adding, *asking):
                done.result()
        running.process.wait()
        running.process.stdout.close()  # type: ignore[union-attr]
        assert len(acknowledged) >= before + 8, running.log()
        with Collection.open(place, device="cpu") as collection:
            report = collection.verify(images=True)
            assert report.problems == []
            for number, image in acknowledged.items():
                record = collection.image(image)
                assert Path(record.path).read_bytes() == picture_file(number)
                assert record.code is not None
            last = max(acknowledged)
            nearest = collection.search(picture_file(last), 1)[0]
            assert nearest.distance == 0 and nearest.id == acknowledged[last]
        assert all(ends(pid) for pid in decoders), "a decoder outlived its server"


def keep_asking(address: str) -> None:
    with httpx.Client(base_url=address, timeout=30) as client:
        number = 0
        while True:
            number += 1
            try:
                answer = client.get(f"/api/v1/search?id={1 + number % 30}&k=5")
            except httpx.TransportError:
                return
            assert answer.status_code == 200 and len(answer.json()["matches"]) == 5


def children(pid: int) -> list[int]:
    found = [
        int(name)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for name in (task / "children").read_text().split()
    ]
    assert found
    return found


def ends(pid: int) -> bool:
    """The pipe to a decoder closes when its server is gone, and so it ends."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            if b"decoding_worker" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                return True
        except OSError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.timeout(900)
def test_a_polite_end_finishes_what_was_begun(place: Path, tmp_path: Path) -> None:
    lay_pictures(place.parent / "pictures", 4000, first=2000)
    running = Running(place, {"cache": str(tmp_path / "cache")})
    running.wait_ready()
    with Client(running.address) as client:
        job = client.start_job("sync")
        while client.job(job.id).done < 100:
            time.sleep(0.02)
        with ThreadPoolExecutor(4) as pool:
            adding = [pool.submit(client.add, [picture_file(n)]) for n in range(9000, 9003)]
            time.sleep(0.3)  # they wait behind the job
            start = time.monotonic()
            running.process.send_signal(signal.SIGTERM)
            added = [one.result().images[0].id for one in adding]
    assert running.process.wait(60) == 0, running.log()
    assert time.monotonic() - start < 40
    assert "Traceback" not in running.log(), running.log()
    with Collection.open(place, device="cpu") as collection:
        assert collection.verify(images=True).problems == []
        assert 100 <= len(collection) - 33 < 4000  # the job was stopped and kept what it had
        assert [Path(collection.image(n).path).read_bytes() for n in added] == [
            picture_file(n) for n in range(9000, 9003)
        ]


@pytest.mark.timeout(900)
def test_a_flood_is_told_to_come_back(place: Path, tmp_path: Path) -> None:
    limits = {"cache": str(tmp_path / "cache"), "active": 4, "threads": 2, "decoders": 1}
    running = Running(place, limits)
    running.wait_ready()
    before = running.memory()

    def ask(number: int) -> httpx.Response:
        files = {"file": ("a.jpg", picture_file(3000 + number))}
        return httpx.post(f"{running.address}/api/v1/search?k=3", files=files, timeout=60)

    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(ask, range(120)))
    told = [answer for answer in answers if answer.status_code == 429]
    assert {answer.status_code for answer in answers} == {200, 429}
    assert len(told) > 20
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in told)
    assert all(answer.json()["error"] == "busy" for answer in told)
    metrics = httpx.get(
        f"{running.address}/metrics", timeout=60
    ).text  # not refused however busy it is
    refused = next(line for line in metrics.splitlines() if 'refused_total{reason="busy"}' in line)
    assert float(refused.split()[-1]) == len(told)
    pictures = [[picture_file(4000 + n)] for n in range(24)]
    with Client(running.address, tries=50) as client, ThreadPoolExecutor(12) as pool:
        # a polite client gets through
        assert all(one.matches for one in pool.map(client.search_pictures, pictures))
    assert running.memory() - before < 150 * 2**20
    running.stop()


def test_memory_stays_where_it_is(served: Running) -> None:
    """1,500 requests; benchmarks/serve.py sends 100,000."""
    served.wait_ready()
    with httpx.Client(base_url=served.address, timeout=60) as client:

        def ask(count: int) -> None:
            for number in range(count):
                client.get(f"/api/v1/search?id={1 + number % 30}&k=10")
                if number % 10 == 0:
                    client.get(f"/api/v1/images/{1 + number % 30}/thumbnail")

        ask(600)
        before = served.memory()
        ask(900)
        assert served.memory() - before < 12 * 2**20


def test_requests_too_large_or_too_slow_are_cut_off(place: Path, tmp_path: Path) -> None:
    limits = {"cache": str(tmp_path / "c"), "request_bytes": 100_000, "upload_bytes": 50_000,
              "body_seconds": 5.0, "head_seconds": 2.0, "decoders": 1}  # fmt: skip
    running = Running(place, limits)
    url = f"{running.address}/api/v1/uploads"

    def chunks() -> object:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(100):
            yield bytes(10_000)

    kind = {"content-type": "multipart/form-data; boundary=x"}
    assert (
        httpx.post(url, files={"file": bytes(200_000)}, timeout=60).status_code == 413
    )  # by its length
    endless = httpx.post(url, content=chunks(), headers=kind, timeout=60)  # type: ignore[arg-type]
    assert endless.status_code == 413
    assert (
        httpx.post(url, files={"file": bytes(60_000)}, timeout=60).status_code == 413
    )  # one picture
    host, port = running.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as slow:
        head = f"POST /api/v1/uploads HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9000\r\n"
        slow.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n--x".encode())
        slow.settimeout(20)
        assert b" 408 " in slow.recv(1000)
    for begun in (b"", b"GET / HTTP/1.1\r\nHost: x\r\n"):
        with socket.create_connection((host, int(port))) as slow:
            slow.sendall(begun)
            slow.settimeout(20)
            assert slow.recv(1000) == b""  # closed
    assert httpx.get(f"{running.address}/healthz", timeout=60).status_code == 200
    running.stop()


def test_start_is_refused_in_one_line(place: Path) -> None:
    def refused(*options: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "neuralcodes", "serve", str(place), *options],
            capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, **environment},
        )  # fmt: skip
        assert done.returncode == 2, done.stderr
        (line,) = done.stderr.splitlines()
        return line

    assert "needs a token" in refused("--host", "0.0.0.0")
    assert "at least 16" in refused("--host", "0.0.0.0", NEURALCODES_TOKEN="short")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "already in use" in refused("--port", str(taken.getsockname()[1]))


def test_the_command_serves_with_a_token(place: Path) -> None:
    running = Running(place, None, NEURALCODES_TOKEN="0123456789abcdef")
    assert running.address.startswith("http://127.0.0.1:")
    with Client(running.address) as stranger, pytest.raises(ServiceError, match="token"):
        stranger.info()
    with Client(running.address, "0123456789abcdef") as friend:
        assert friend.info().images == 30
    assert running.stop(signal.SIGINT) == 0


def test_readers_see_what_another_process_adds(served: Running) -> None:
    """The newest snapshot, without a restart."""
    with Client(served.address) as client:
        folder = Path(client.info().roots[0]["path"]).parent
        new = picture_file(5000)
        assert client.search_pictures([new]).matches[0].distance > 0
        errors: list[BaseException] = []

        def add() -> None:
            try:
                with Collection.open(folder / "made.nc", device="cpu") as collection:
                    collection.add(new, names=["seen"])
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=add)
        thread.start()
        thread.join()
        assert not errors
        found = client.search_pictures([new]).matches[0]
        assert found.distance == 0 and found.image.name == "seen.png"
        client.remove_one(found.image.id)
