"""What the benchmarks share: contestants in turn, those of another environment, the record.

Contestants of another environment are processes that stay warm (`Worker`) and time themselves on
their side of the pipe.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from neuralcodes.common.files import write_json
from neuralcodes.common.machine import cpu_count, describe_machine, versions
from neuralcodes.common.racing import Ratio, Seconds, race, take_turns

__all__ = [
    "RESULTS", "SCRATCH", "Ratio", "Seconds", "Worker", "race", "record", "take_turns",
]  # fmt: skip

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results" / "bench"
SCRATCH = ROOT / "runs" / "bench"  # ignored by git
OURS = Path(sys.executable)
PEERS = ROOT / ".venv-bench" / "bin" / "python"  # made by `make .venv-bench/ready`


class WorkerError(RuntimeError):
    """A contestant that cannot run here."""


class Worker:
    """A contestant in its own process; see `worker.py`.

    Args:
        what: MODULE:FUNCTION.
        python: of its environment.
        arguments: for the function.

    Attributes:
        started: seconds that getting ready took.

    Raises:
        WorkerError: its environment is not there, or it could not get ready.
    """

    def __init__(self, what: str, python: Path = PEERS, **arguments: Any) -> None:
        if not python.exists():
            raise WorkerError(f"{python}: not there; make it with: make .venv-bench/ready")
        threads = os.environ.get("OMP_NUM_THREADS", str(cpu_count()))
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
        self._process = subprocess.Popen(
            [str(python), str(Path(__file__).parent / "worker.py"), what, json.dumps(arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            stderr=None if "BENCH_DEBUG" in os.environ else subprocess.DEVNULL,
            env={**os.environ, **quiet, "OMP_NUM_THREADS": threads},
        )  # fmt: skip
        self.what = what
        self.started = float(self._answer()["seconds"])

    def ask(self, within: float | None = None, **arguments: Any) -> dict[str, Any]:
        """One call: `seconds`, `cpu_seconds`, `result`.

        Args:
            within: seconds, after which the contestant is ended.
            arguments: for what the contestant made.

        Raises:
            WorkerError: it failed, or took longer.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        return self._answer(within)

    def timed(self, **arguments: Any) -> Callable[[], Seconds]:
        """A contestant for `race`."""
        return lambda: Seconds(self.ask(**arguments)["seconds"])

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def _answer(self, within: float | None = None) -> dict[str, Any]:
        assert self._process.stdout is not None
        if within is not None and not select.select([self._process.stdout], [], [], within)[0]:
            self._process.kill()
            self._process.wait()
            raise WorkerError(f"{self.what}: no answer within {within:.0f} s")
        line = self._process.stdout.readline()
        value: dict[str, Any] = json.loads(line) if line else {"error": "ended without an answer"}
        if "error" in value:
            raise WorkerError(f"{self.what}: {value['error']}")
        return value


def start_workers(
    wanted: Mapping[str, Callable[[], Worker]],
) -> tuple[dict[str, Worker], dict[str, str]]:
    """Those contestants that run here, and why the others do not."""
    running: dict[str, Worker] = {}
    absent: dict[str, str] = {}
    for name, start in wanted.items():
        try:
            running[name] = start()
        except WorkerError as error:
            absent[name] = str(error)
            print(f"{name}: {error}", flush=True)
    return running, absent


def peer_versions(packages: Sequence[str]) -> dict[str, str]:
    """Versions of packages in the peers' environment."""
    script = (
        "import importlib.metadata as m, json, sys; "
        "print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    )
    try:
        done = subprocess.run(
            [str(PEERS), "-c", script, *packages], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return {}
    return dict(json.loads(done.stdout))


def record(
    name: str,
    sizes: Mapping[str, Any],
    peers: Mapping[str, Ratio],
    target: str,
    met: bool,
    share_of_limit: float | None = None,
    notes: Mapping[str, Any] | None = None,
    folder: Path = RESULTS,
) -> Path:
    """Write `results/bench/NAME.json`, or into another folder, and print its figures."""
    folder = Path(os.environ.get("BENCH_RESULTS", folder))
    path = folder / f"{name}.json"
    value = {
        "name": name,
        "command": f"python benchmarks/{Path(sys.argv[0]).name} {' '.join(sys.argv[1:])}".strip(),
        "machine": {**describe_machine(), "versions": versions()},
        "sizes": dict(sizes),
        "peers": {
            peer: {"ratio": r.median, "low": r.low, "high": r.high} for peer, r in peers.items()
        },
        "share_of_limit": share_of_limit,
        "target": target,
        "met": met,
        "load_average": os.getloadavg(),  # more than the cores: other work was there
        **dict(notes or {}),
    }
    write_json(path, value)
    for peer, r in peers.items():
        print(f"{name}: {r.median:.2f} × {peer} ({r.low:.2f} to {r.high:.2f})")
    print(f"target {target}: {'met' if met else 'missed'}; {path}", flush=True)
    return path
