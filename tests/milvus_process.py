"""A Milvus server of a test's own, from the standalone server that the package `milvus` carries.

Every port is a free one, etcd's two as well, so that several servers run beside each other.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from ports import free_ports

START_SECONDS = 90.0
TRIES = 2  # with other ports each: one that was free may be taken before the server has it
# Turns into the server, which ends with the process that started it. A program and no `preexec_fn`:
# that would fork, and gRPC's threads in a process that talks to a server do not bear it.
STARTER = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
os.environ["LD_LIBRARY_PATH"] = os.path.dirname(sys.argv[1])
os.execv(sys.argv[1], sys.argv[1:])
"""


class MilvusProcess:
    """A server on loopback with its data in `folder`; may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        if not sys.platform.startswith("linux"):
            pytest.skip("no Milvus server for this system")
        milvus = pytest.importorskip("milvus", reason="needs the package milvus 2.3.5")
        milvus._initialize_data_files(str(folder))
        self._folder = folder
        self._config: Any = milvus.MilvusServerConfig
        self._process: subprocess.Popen[bytes] | None = None
        self.uri, self._health = "", 0

    def start(self) -> None:
        """Start it, for the first time with ports of its own, later on the same ones."""
        fresh = not self.uri
        for _ in range(TRIES if fresh else 1):
            if fresh:
                self._choose_ports()
            if self._starts():
                return
        last = (self._folder / "output.log").read_text(errors="replace")[-300:]
        pytest.skip(f"the Milvus server does not start here: {last}")

    def _choose_ports(self) -> None:
        ports = iter(free_ports(32))
        config = self._config(data_dir=str(self._folder))
        names = [name for name in config.configurable_items if name.endswith("_port")]
        config.update(**{name: next(ports) for name in names})
        config.resolve()  # writes configs/milvus.yaml
        self._health = next(ports)
        self.uri = f"http://127.0.0.1:{config.get('proxy_port')}"
        # the etcd inside it listens on 2379 and 2380 unless it has a file of its own; JSON is YAML
        client = f"http://127.0.0.1:{config.get('etcd_port')}"
        peer = f"http://127.0.0.1:{next(ports)}"
        etcd = {
            "name": "test",
            "data-dir": config.get("etcd_data_dir"),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"test={peer}",
        }
        (self._folder / "configs" / "etcd.yaml").write_text(json.dumps(etcd))

    def _starts(self) -> bool:
        program = self._folder / "bin" / "milvus"
        environment = {
            **os.environ,
            "DEPLOY_MODE": "STANDALONE",
            "ETCD_CONFIG_PATH": str(self._folder / "configs" / "etcd.yaml"),
            "METRICS_PORT": str(self._health),
            "MILVUS_RUN_DIR": str(self._folder / "run"),
        }
        with open(self._folder / "output.log", "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", STARTER, program, "run", "standalone"],
                cwd=self._folder,
                env=environment,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + START_SECONDS
        while not self._healthy():
            if self._process.poll() is not None or time.monotonic() > end:
                self.kill()
                return False
            time.sleep(0.2)
        return True

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._health}/healthz") as answer:
                return b"OK" in answer.read()
        except (urllib.error.URLError, ConnectionError):
            return False

    def kill(self) -> None:
        """As a crash does: no chance to tidy up."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
