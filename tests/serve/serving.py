"""Services for tests: in this process, or as a process of its own (`neuralcodes serve`).

    python serving.py COLLECTION SETTINGS

serves with settings (JSON) that the command has no options for.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from starlette.testclient import TestClient

from neuralcodes.collection.collection import Collection
from neuralcodes.serve.app import create_app
from neuralcodes.serve.settings import Settings

PATIENCE = 180.0


@contextmanager
def in_process(collection: Collection, settings: Settings) -> Iterator[TestClient]:
    app = create_app(collection, settings)
    with TestClient(app, base_url="http://localhost") as client:
        yield client


class Running:
    """A server process on a free port; `address` when it answers there."""

    def __init__(
        self,
        collection: Path,
        settings: dict[str, Any] | None = None,
        *others: Path,
        **environment: str,
    ) -> None:
        places = [str(place) for place in (collection, *others)]
        start = ["-m", "neuralcodes", "serve", *places, "--port", "0"]
        if settings is not None:
            start = [__file__, str(collection), json.dumps(settings)]
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by stop
        self.process = subprocess.Popen(
            [sys.executable, *start],
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert " at http://" in line, (line, self.log())
        self.address = line.partition(" at ")[2].split()[0].rstrip("/")
        self.pid = self.process.pid

    def log(self) -> str:
        self.errors.seek(0)
        return self.errors.read()

    def wait_ready(self) -> None:
        until = time.monotonic() + PATIENCE
        while httpx.get(f"{self.address}/readyz", timeout=60).status_code != 200:
            assert time.monotonic() < until, self.log()
            time.sleep(0.1)

    def stop(self, with_: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status."""
        self.process.send_signal(with_)
        status = self.process.wait(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.errors.close()
        return status

    def memory(self) -> int:
        """Bytes in memory, of the server alone."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError


def main(place: str, text: str) -> None:
    import torch

    from neuralcodes.serve.running import run

    torch.set_num_threads(1)
    wanted = json.loads(text)
    if "cache" in wanted:
        wanted["cache"] = Path(wanted["cache"])
    with Collection.open(place, device="cpu") as collection:
        run(
            collection,
            Settings(**{"port": 0, **wanted}),
            lambda address: print(f"served at {address}", flush=True),
        )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
