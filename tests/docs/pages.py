"""A page of the documentation, run as a reader would: its commands in a shell, on photographs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def lay_photographs(folder: Path) -> Path:
    """The photographs that come with the package, as the pages' `my-pictures`."""
    place = folder / "my-pictures"
    shutil.copytree(str(files("neuralcodes.images") / "clothing"), place)
    return place


def run_shell(
    commands: str, folder: Path, **environment: str
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Run commands that must all succeed, with `neuralcodes` and `python` those of this test."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done
