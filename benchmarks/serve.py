"""The service under load on loopback, beside the bare network and index in the same run.

    python benchmarks/serve.py --images 10000
    python benchmarks/serve.py --images 100000
    python benchmarks/serve.py --images 2000 --memory 100000 --seconds 400

A server process (`neuralcodes serve`, its limits as they are by default) and this one, which asks
it over a few kept connections. By id: 20 results for a random image. By upload: a JPEG picture of
which the service has not seen the bytes, so each is decoded and goes through the network. Beside
it, without HTTP and one after another: the same index search and row look-ups, and the same
decoding and network pass. The first 10,000 images are painted JPEG files that were indexed; beyond
these there are rows and codes near theirs without files, which a search does not look at.

Results are put into results/serve/load.json, a part each.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent.parent
sys.path[:0] = [str(HERE / "tests" / "serve"), str(HERE / "tests" / "collection")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from painted import lay_pictures, picture_file, save_small  # noqa: E402
from serving import Running  # noqa: E402

from neuralcodes.collection.collection import Collection  # noqa: E402
from neuralcodes.collection.indexing import update_index  # noqa: E402
from neuralcodes.collection.writer import writing  # noqa: E402
from neuralcodes.common.files import read_json, write_json  # noqa: E402
from neuralcodes.common.machine import describe_machine, source_commit, versions  # noqa: E402
from neuralcodes.images.decode import decode  # noqa: E402

PAINTED = 10_000
K = 20
THREADS = (1, 8)
RESULT = HERE / "results" / "serve" / "load.json"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=PAINTED)
    parser.add_argument("--memory", type=int, default=0, help="requests; measure memory only")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each, at most")
    parser.add_argument("--work", type=Path, help="keep the collections here, for the next time")
    parser.add_argument("--make", action="store_true", help="only make the collection")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        place = make(wanted.work or Path(folder), wanted.images)
        if wanted.make:
            return
        print(f"{wanted.images:,} images", file=sys.stderr)
        if wanted.memory:
            value = memory(place, wanted)
            part = f"memory over {value['requests']} requests"
        else:
            part, value = f"{wanted.images} images", load(place, wanted.images, wanted.seconds)
    known = read_json(RESULT) if RESULT.exists() else {}
    about = {
        "command": f"python benchmarks/serve.py {' '.join(sys.argv[1:])}",
        "commit": source_commit(),
        "machine": {**describe_machine(), "versions": versions()},
    }
    known[part] = {**about, **value}
    write_json(RESULT, known)
    print(json.dumps(known[part], indent=2))


def make(folder: Path, images: int) -> Path:
    place = folder / f"{images}.nc"
    if place.exists():
        return place
    folder.mkdir(exist_ok=True)
    code = f"{save_small(folder / 'small.safetensors')}@L6"
    with Collection.create(place, code, device="cpu") as collection:
        collection.sync([lay_pictures(folder / "pictures", min(images, PAINTED), folders=8)])
        if images > PAINTED:
            extend(collection, images - PAINTED)
    return place


def extend(collection: Collection, more: int) -> None:
    """Rows and codes without files; each code lies near a painted image's."""
    dice = np.random.default_rng(0)
    known = collection.codes(range(1, PAINTED + 1))
    made = known[dice.integers(0, PAINTED, more)]
    made += dice.normal(0, 0.3 / np.sqrt(made.shape[1]), made.shape).astype(np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    ids = np.arange(PAINTED + 1, PAINTED + 1 + more)
    with writing(collection.store) as writer:
        written = writer.write_codes(more, [made])
        with writer.transaction():
            segment = writer.add_segment(written, ids)
            rows = [(int(n), n.tobytes(), segment, row) for row, n in enumerate(ids)]
            writer.change_many("INSERT INTO codes (id, hash, segment, row, size, width, height, "
                               "kind) VALUES (?,?,?,?,1000,60,40,'JPEG')", rows)  # fmt: skip
            paths = [(f"/none/{n}.jpg".encode(), int(n), f"/none/{n}.jpg", f"{n}.jpg") for n in ids]
            writer.change_many("INSERT INTO images (place, stamp, code, date, added, path, name, "
                               "folder, label) VALUES (?,'',?,0,0,?,?,'x','x')", paths)  # fmt: skip
        update_index(writer)


def load(place: Path, images: int, seconds: float) -> dict[str, Any]:
    """Bare times first and last, the service in between, so that a drift shows."""
    first = bare(place, images)
    running = Running(place, None, NEURALCODES_CACHE=str(place.parent / "cache"))
    running.wait_ready()
    served = {}
    for threads in THREADS:
        ids = ask_many(running, threads, seconds, by_id(images))
        uploads = ask_many(running, threads, seconds, by_upload(threads))
        served[f"{threads} connections"] = {"by id": ids, "by upload": uploads}
    passes = batches(running.address)
    memory_bytes = running.memory()
    running.stop()
    last = bare(place, images)
    one = served["1 connections"]
    return {
        "bare": {"before": first, "after": last},
        "served": served,
        "pictures_a_pass": passes,
        "memory_bytes": memory_bytes,
        "processor_over_bare": {
            "by id": round(one["by id"]["processor_ms_a_request"] / first["search_ms"], 2),
            "by upload": round(
                one["by upload"]["processor_ms_a_request"]
                / (first["search_ms"] + first["decode_ms"] + first["network_ms"]),
                2,
            ),
        },
        "load_average": os.getloadavg(),
    }


def bare(place: Path, images: int) -> dict[str, float]:
    """Median milliseconds of each part by itself, and of a picture in a pass of 32."""
    dice = np.random.default_rng(1)
    with Collection.open(place, device="cpu") as collection:
        size = collection.spec.preprocessing.size
        files = [picture_file(90_000 + n) for n in range(64)]
        pixels = np.stack([decode(data, size, "crop") for data in files])
        ids = dice.integers(1, images + 1, 200)
        codes = collection.codes(ids.tolist())
        collection.search_codes(codes[:5], K)
        collection.encode(pixels)
        about = collection.info()
        return {
            "search_ms": median(lambda n: collection.search_codes(codes[n : n + 1], K), 200),
            "decode_ms": median(lambda n: decode(files[n % 64], size, "crop"), 200),
            "network_ms": median(lambda n: collection.encode(pixels[n % 64][None]), 100),
            "network_ms_in_passes_of_32": median(lambda _: collection.encode(pixels[:32]), 10) / 32,
            "index": about.index["backend"],
            "dims": about.dims,
        }


def median(work: Callable[[int], object], times: int) -> float:
    """Milliseconds of this thread on a processor, which a busy machine stretches little."""
    took = []
    for number in range(times):
        start = time.thread_time()
        work(number)
        took.append(time.thread_time() - start)
    return round(1000 * statistics.median(took), 3)


def processor_seconds(pid: int) -> float:
    """Of the server and of the decoders it has now."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    children = [name for task in tasks for name in (task / "children").read_text().split()]
    ticks = 0
    for number in (str(pid), *children):
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


Request = tuple[str, str, bytes, dict[str, str]]


def by_id(images: int) -> Callable[[int, int], Request]:
    def request(thread: int, number: int) -> Request:
        image = 1 + (number * 7919 + thread * 104_729) % images
        return "GET", f"/api/v1/search?id={image}&k={K}", b"", {}

    return request


def by_upload(salt: int) -> Callable[[int, int], Request]:
    files = [picture_file(80_000 + n) for n in range(200)]
    kind = {"content-type": "multipart/form-data; boundary=x"}
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'

    def request(thread: int, number: int) -> Request:
        new = f"{salt} {thread} {number}".encode()  # behind the picture: other bytes, same pixels
        body = head + files[number % 200] + new + b"\r\n--x--\r\n"
        return "POST", f"/api/v1/search?k={K}", body, kind

    return request


def ask_many(
    running: Running, threads: int, seconds: float, request: Callable[[int, int], Request]
) -> dict[str, float]:
    """Requests a second, and milliseconds of a request, over some kept connections."""
    address = running.address
    took: list[list[float]] = [[] for _ in range(threads)]
    statuses: set[int] = set()
    until = time.perf_counter() + seconds

    def ask(thread: int) -> None:
        connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
        number = 0
        while time.perf_counter() < until:
            number += 1
            method, path, body, headers = request(thread, number)
            start = time.perf_counter()
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            answer.read()
            took[thread].append(time.perf_counter() - start)
            statuses.add(answer.status)
        connection.close()

    start, used = time.perf_counter(), processor_seconds(running.pid)
    workers = [threading.Thread(target=ask, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    whole, used = time.perf_counter() - start, processor_seconds(running.pid) - used
    every = np.sort(np.concatenate(took))
    assert statuses == {200}, statuses
    return {
        "requests": len(every),
        "requests_a_second": round(len(every) / whole, 1),
        "processor_ms_a_request": round(1000 * used / len(every), 2),
        "p50_ms": round(1000 * float(np.percentile(every, 50)), 2),
        "p99_ms": round(1000 * float(np.percentile(every, 99)), 2),
    }


def batches(address: str) -> float:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    facts = {line.split()[0]: float(line.split()[1]) for line in lines if line[0] != "#"}
    count = facts["neuralcodes_batch_pictures_count"]
    return round(facts["neuralcodes_batch_pictures_sum"] / count, 2)


def memory(place: Path, wanted: argparse.Namespace) -> dict[str, Any]:
    """The server's memory while it answers: searches by id, thumbnails, now and then an upload.

    It ends after so many seconds, and then says how many requests there were.
    """
    requests = wanted.memory
    running = Running(place, None, NEURALCODES_CACHE=str(place.parent / "cache"))
    running.wait_ready()
    upload = by_upload(0)
    curve: list[tuple[int, int]] = []
    done = [0] * 4

    def ask(thread: int) -> None:
        connection = http.client.HTTPConnection(running.address.removeprefix("http://"), timeout=60)
        for number in range(requests // len(done)):
            if time.monotonic() > until:
                break
            image = 1 + (number * 7919 + thread * 977) % wanted.images
            what: Request = ("GET", f"/api/v1/search?id={image}&k={K}", b"", {})
            if number % 10 == 1:
                what = ("GET", f"/api/v1/images/{1 + number % 500}/thumbnail", b"", {})
            if number % 50 == 2:
                what = upload(thread, number)
            connection.request(*what)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            done[thread] += 1

    start = time.monotonic()
    until = start + wanted.seconds
    workers = [threading.Thread(target=ask, args=(n,)) for n in range(len(done))]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        if not curve or sum(done) - curve[-1][0] >= requests // 40:
            curve.append((sum(done), running.memory()))
        time.sleep(0.05)
    curve.append((sum(done), running.memory()))
    took = time.monotonic() - start
    running.stop()
    settled = [(count, held) for count, held in curve if count >= sum(done) / 10]
    slope = np.polyfit([c for c, _ in settled], [m for _, m in settled], 1)[0]
    return {
        "requests": sum(done),
        "seconds": round(took, 1),
        "requests_a_second": round(sum(done) / took, 1),
        "megabytes_by_requests": [(count, round(held / 2**20, 1)) for count, held in curve],
        "bytes_a_request_after_the_first_tenth": round(float(slope), 2),
    }


if __name__ == "__main__":
    main()
