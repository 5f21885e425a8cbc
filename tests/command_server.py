"""`neuralcodes ARGUMENTS` in processes of their own that start at once.

Importing torch and the others takes a process two seconds. Here one process, `python
command_server.py`, imports them once and forks into each command. What a command imports when it
starts from nothing is the matter of other tests (`test_main.py`, `test_completion.py`, the
tutorials).
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

OTHERS = ("faiss", "jinja2", "matplotlib.figure", "scipy.sparse", "sklearn.datasets")
OPTIONAL = ("neuralcodes.serve", "neuralcodes.engines", "neuralcodes.__main__")


class CommandServer:
    """Runs commands, one at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    def run(
        self, *arguments: object, cwd: Path | None, environment: dict[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """What `subprocess.run` gives for this command."""
        words = [str(argument) for argument in arguments]
        with tempfile.TemporaryDirectory() as folder:
            places = [os.path.join(folder, name) for name in ("out", "err")]
            asked = [words, str(cwd or Path.cwd()), environment, places]
            assert self._process.stdin is not None and self._process.stdout is not None
            self._process.stdin.write(json.dumps(asked).encode() + b"\n")
            child = int(self._process.stdout.readline())
            if not select.select([self._process.stdout], [], [], timeout)[0]:
                os.kill(child, signal.SIGKILL)
                self._process.stdout.readline()
                raise subprocess.TimeoutExpired(words, timeout)
            status = int(self._process.stdout.readline())
            output, errors = (Path(place).read_text(encoding="utf-8") for place in places)
        return subprocess.CompletedProcess(["neuralcodes", *words], status, output, errors)

    def stop(self) -> None:
        """End the process that forks."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def _serve() -> None:
    for name in (*OTHERS, *_own_modules()):
        importlib.import_module(name)
    from neuralcodes.cli.main import main

    gc.collect()
    gc.freeze()  # else the first collection in each child copies all pages
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(*json.loads(line))
            _leave(main)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _leave(work: Callable[[], None]) -> NoReturn:
    """Do it and end as the interpreter does, without taking all modules apart, which takes long."""
    status = 1
    try:
        work()
        status = 0
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else left.code is not None
    except BaseException:
        traceback.print_exc()
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _own_modules() -> list[str]:
    import neuralcodes

    found = pkgutil.walk_packages(neuralcodes.__path__, "neuralcodes.", onerror=lambda _: None)
    return [one.name for one in found if not one.name.startswith(OPTIONAL)]


def _become(
    words: list[str], folder: str, environment: dict[str, str], places: list[str]
) -> None:  # fmt: skip
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, place in enumerate([os.devnull, *places]):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        opened = os.open(place, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.argv = ["neuralcodes", *words]


if __name__ == "__main__":
    _serve()
