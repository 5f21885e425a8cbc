"""Every hostile upload to a real server: what became of each, and whether anything else suffered.

    python benchmarks/hostile.py [--count 1500] [--seed 1]

Six connections send the corpus of tests/serve/hostile_corpus.py to the three routes that take
pictures, with the limits as they are by default; beside them one searches by id and must
always be answered. Writes results/serve/hostile.json.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent.parent
sys.path[:0] = [str(HERE / "tests" / "serve"), str(HERE / "tests" / "collection")]

import httpx  # noqa: E402
from hostile_corpus import corpus  # noqa: E402
from painted import lay_pictures, picture_file, save_small  # noqa: E402
from serving import Running  # noqa: E402

from neuralcodes.collection.collection import Collection  # noqa: E402
from neuralcodes.common.files import write_json  # noqa: E402
from neuralcodes.common.machine import describe_machine, source_commit, versions  # noqa: E402

ROUTES = ("/api/v1/search?k=3", "/api/v1/uploads", "/api/v1/images")
CONNECTIONS = 6
EXPECTED = {200, 201, 400, 413, 422}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = run(Path(folder), wanted.count, wanted.seed)
    path = HERE / "results" / "serve" / "hostile.json"
    write_json(path, result)
    print(path.read_text())
    if result["unexpected"] or not result["alive"]:
        sys.exit(1)


def run(folder: Path, count: int, seed: int) -> dict[str, object]:
    code = f"{save_small(folder / 'small.safetensors')}@L6"
    with Collection.create(folder / "made.nc", code, device="cpu") as made:
        made.sync([lay_pictures(folder / "pictures", 30)])
    running = Running(folder / "made.nc", {"cache": str(folder / "cache")})
    running.wait_ready()
    outcomes: dict[str, Counter[int]] = defaultdict(Counter)
    unexpected: list[str] = []
    slowest = (0.0, "")
    bytes_sent = 0
    waits: list[int] = []
    lock = threading.Lock()
    over = threading.Event()
    bystander: list[float] = []
    memory = running.memory()

    def send(job: tuple[int, tuple[str, str, bytes]]) -> None:
        nonlocal slowest, bytes_sent
        number, (kind, name, data) = job
        start = time.monotonic()
        route, files = ROUTES[number % len(ROUTES)], {"file": (name, data)}
        try:
            while True:
                status = httpx.post(running.address + route, files=files, timeout=120).status_code
                if status != 429:
                    break
                waits.append(number)
                time.sleep(1)
        except httpx.HTTPError as error:
            status, route = 0, type(error).__name__
        took = time.monotonic() - start
        with lock:
            outcomes[kind][status] += 1
            bytes_sent += len(data)
            slowest = max(slowest, (took, kind))
            if status not in EXPECTED:
                unexpected.append(f"{number} {kind} {route} {status}")

    def ask() -> None:
        with httpx.Client(base_url=running.address, timeout=60) as client:
            while not over.wait(0.05):
                start = time.monotonic()
                if client.get("/api/v1/search?id=1&k=5").status_code != 200:
                    unexpected.append("a bystander was refused")
                bystander.append(time.monotonic() - start)

    watcher = threading.Thread(target=ask)
    watcher.start()
    start = time.monotonic()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(send, enumerate(corpus(count, seed))))
    seconds = time.monotonic() - start
    over.set()
    watcher.join()
    fine = httpx.post(running.address + ROUTES[0], files={"file": ("a", picture_file(1))})
    alive = fine.status_code == 200 and fine.json()["matches"][0]["distance"] == 0
    metrics = httpx.get(f"{running.address}/metrics").text
    killed = [line for line in metrics.splitlines() if 'count{outcome="killed"}' in line]
    grown = running.memory() - memory
    tracebacks = running.log().count("Traceback")
    status = running.stop()
    with Collection.open(folder / "made.nc", device="cpu") as collection:
        whole = collection.verify(images=True).whole
    bystander.sort()
    return {
        "command": f"python benchmarks/hostile.py --count {count} --seed {seed}",
        "commit": source_commit(),
        "machine": {**describe_machine(), "versions": versions()},
        "uploads": count,
        "bytes": bytes_sent,
        "seconds": round(seconds, 1),
        "outcomes": {
            kind: {str(status): n for status, n in sorted(c.items())}
            for kind, c in sorted(outcomes.items())
        },
        "unexpected": unexpected,
        "told_to_wait": len(waits),
        "tracebacks": tracebacks,
        "decoders_killed": float(killed[0].split()[-1]) if killed else 0,
        "slowest": {"seconds": round(slowest[0], 2), "kind": slowest[1]},
        "bystander": {
            "searches": len(bystander),
            "p50_ms": round(1000 * bystander[len(bystander) // 2], 1),
            "p99_ms": round(1000 * bystander[len(bystander) * 99 // 100], 1),
        },
        "memory_grown_mb": round(grown / 2**20, 1),
        "alive": alive and status == 0,
        "collection_whole": whole,
    }


if __name__ == "__main__":
    main()
