"""A Milvus server of a test's own, from the standalone server that the package `milvus` carries."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

START_SECONDS = 90.0


class MilvusProcess:
    """A server on loopback with its data in `folder`; may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        if not sys.platform.startswith("linux"):
            pytest.skip("no Milvus server for this system")
        milvus = pytest.importorskip("milvus", reason="needs the package milvus 2.3.5")
        self._folder = folder
        self._config = milvus.MilvusServerConfig()
        self._config.configs["data_dir"] = str(folder)
        self._config.resolve()  # finds free ports and writes configs/milvus.yaml
        milvus._initialize_data_files(self._config.base_data_dir)
        self.uri = f"http://127.0.0.1:{self._config.get('proxy_port')}"
        self._health = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = self._folder / "bin" / "milvus"
        environment = {
            **os.environ,
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self._health),
            "LD_LIBRARY_PATH": str(program.parent),
            "MILVUS_RUN_DIR": str(self._folder / "run"),
        }
        with open(self._folder / "output.log", "ab") as log:
            self._process = subprocess.Popen(
                [program, "run", "standalone"],
                cwd=self._folder,
                env=environment,
                stdout=log,
                stderr=log,
                # it holds ports that only one can have; no other thread runs here yet
                preexec_fn=_die_with_parent,  # noqa: PLW1509
            )
        end = time.monotonic() + START_SECONDS
        while not self._healthy():
            if self._process.poll() is not None or time.monotonic() > end:
                self.kill()
                last = (self._folder / "output.log").read_text(errors="replace")[-300:]
                pytest.skip(f"the Milvus server does not start here: {last}")
            time.sleep(0.2)

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


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
