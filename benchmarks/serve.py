"""The service under load on loopback, beside the bare network and index in the same run.

    python benchmarks/serve.py                              (10,000 and 100,000 images)
    python benchmarks/serve.py --images 10000 --memory 300000 --seconds 3600

A server process (`neuralcodes serve`, its limits as they are by default) and this one, which asks
it over a few kept connections, both on the same machine. By id: 20 results for a random image. By
upload: a JPEG picture of which the service has not seen the bytes, so each is decoded and goes
through the network. Beside it, without HTTP and one after another, before and after: the same index
search and row look-ups, the same decoding, the same network pass. The first 10,000 images are
painted JPEG files that were indexed; beyond these there are rows and codes near theirs without
files, which a search does not look at.

"processor" is time on a processor, which a busy machine stretches little; all else is on the wall.

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
    parser.add_argument("--images", type=int, nargs="+", default=[PAINTED, 10 * PAINTED])
    parser.add_argument("--memory", type=int, default=0, help="requests; measure memory only")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each, at most")
    parser.add_argument("--work", type=Path, help="keep the collections here, for the next time")
    parser.add_argument("--make", action="store_true", help="only make the collections")
    parser.add_argument("--out", type=Path, default=RESULT, help="the results' file")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for images in wanted.images:
            place = make(wanted.work or Path(folder), images)
            if wanted.make:
                continue
            print(f"{images:,} images", file=sys.stderr)
            if wanted.memory:
                value = memory(place, images, wanted.memory, wanted.seconds)
                record(wanted.out, f"memory over {value['requests']} requests", value)
            else:
                record(wanted.out, f"{images} images", load(place, images, wanted.seconds))


def record(path: Path, part: str, value: dict[str, Any]) -> None:
    """Put one part into the results' file; the others stay."""
    known = read_json(path) if path.exists() else {}
    about = {
        "command": " ".join(["python benchmarks/serve.py", *sys.argv[1:]]),
        "commit": source_commit(),
        "machine": {**describe_machine(), "versions": versions()},
    }
    known[part] = {**about, **value}
    write_json(path, known)
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
    warm = min(2.0, seconds)
    ask_many(running, 1, warm, by_id(images))  # opens the index
    ask_many(running, 1, warm, by_upload(0))
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
            "by id": over(one["by id"], first, "search"),
            "by upload": over(one["by upload"], first, "search", "decode", "network"),
        },
        "load_average": os.getloadavg(),
    }


def over(served: dict[str, float], alone: dict[str, Any], *parts: str) -> float:
    """A request's time on processors by that of its parts without HTTP."""
    bare_ms = sum(alone[part]["processor_ms"] for part in parts)
    return round(served["processor_ms_a_request"] / bare_ms, 2)


def bare(place: Path, images: int) -> dict[str, Any]:
    """Each part by itself, and the network's time of a picture in a pass of 32."""
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
            "search": timed(lambda n: collection.search_codes(codes[n : n + 1], K), 200),
            "decode": timed(lambda n: decode(files[n % 64], size, "crop"), 200),
            "network": timed(lambda n: collection.encode(pixels[n % 64][None]), 200),
            "network, 32 a pass": timed(lambda _: collection.encode(pixels[:32]), 20, share=32),
            "index": about.index["backend"],
            "dims": about.dims,
        }


def timed(work: Callable[[int], object], times: int, share: int = 1) -> dict[str, float]:
    """Milliseconds of a piece of work: on a processor (median), and on the wall."""
    processor, wall = [], []
    for number in range(times):
        start, begun = time.thread_time(), time.perf_counter()
        work(number)
        processor.append((time.thread_time() - start) / share)
        wall.append((time.perf_counter() - begun) / share)
    return {
        "processor_ms": round(1000 * statistics.median(processor), 3),
        "p50_ms": round(1000 * float(np.percentile(wall, 50)), 3),
        "p99_ms": round(1000 * float(np.percentile(wall, 99)), 3),
        "a_second": round(len(wall) / sum(wall), 1),
    }


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
    own = time.process_time()
    workers = [threading.Thread(target=ask, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    whole, used = time.perf_counter() - start, processor_seconds(running.pid) - used
    own = time.process_time() - own
    every = np.sort(np.concatenate(took))
    assert statuses == {200}, statuses
    return {
        "requests": len(every),
        "requests_a_second": round(len(every) / whole, 1),
        "processor_ms_a_request": round(1000 * used / len(every), 2),
        "client_processor_ms_a_request": round(1000 * own / len(every), 2),
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


def memory(place: Path, images: int, requests: int, seconds: float) -> dict[str, Any]:
    """The server's memory while it answers: searches by id, thumbnails, now and then an upload.

    It ends after so many seconds, and then says how many requests there were. The service remembers
    the codes of the last 2,000 uploads, of which there is one in 50 requests: it may grow by them
    over the first 100,000.
    """
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
            image = 1 + (number * 7919 + thread * 977) % images
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
    until = start + seconds
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
    return {
        "requests": sum(done),
        "seconds": round(took, 1),
        "requests_a_second": round(sum(done) / took, 1),
        "megabytes_by_requests": [(count, round(held / 2**20, 1)) for count, held in curve],
        "bytes_a_request_after_the_first_tenth": slope(curve, sum(done) / 10),
        "bytes_a_request_in_the_second_half": slope(curve, sum(done) / 2),
    }


def slope(curve: list[tuple[int, int]], first: float) -> float:
    """By how much memory grows with each request from a count of them on, by least squares."""
    settled = [(count, held) for count, held in curve if count >= first]
    return round(float(np.polyfit(*zip(*settled, strict=True), 1)[0]), 2)


if __name__ == "__main__":
    main()
