"""Put what the shipped weights find into README's shown output: `python tools/readme_output.py`.

README shows the mAP of the demo's photographs and the results of one search; both change with the
weights. Times stay as they are: `make readme` lets them pass.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from neuralcodes.common.errors import UserError, run_script
from neuralcodes.common.files import write_text
from neuralcodes.experiments.photographs import search_photographs
from neuralcodes.images.photographs import clothing_photographs

README = Path("README.md")
DEMO = re.compile(r"^mAP by kind of clothing .*$", re.MULTILINE)
SEARCH = re.compile(r"^neuralcodes (search pictures\.nc \S+ -k \d+)$", re.MULTILINE)
RESULTS = re.compile(r"^#  distance .*?(?=\n```)", re.MULTILINE | re.DOTALL)


def demo_line(folder: Path) -> str:
    """As `neuralcodes demo` says it."""
    score = search_photographs(folder).score
    low, high = score.interval()
    return f"mAP by kind of clothing  {score.mean:.4f}  ({low:.4f} to {high:.4f})"


def searched(folder: Path, command: str) -> str:
    """What README's search prints, in a folder as README has laid it out."""
    shutil.copytree(clothing_photographs(), folder / "my-pictures")
    index = ["index", "my-pictures", "--collection", "pictures.nc"]
    for words in (index, command.split()):
        done = subprocess.run(
            [sys.executable, "-m", "neuralcodes", *words],
            cwd=folder, capture_output=True, text=True, check=False, env=os.environ,
        )  # fmt: skip
        if done.returncode:
            raise UserError(f"neuralcodes {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip("\n")


def replaced(text: str, demo: str, results: str) -> str:
    """README with both.

    Raises:
        UserError: it does not show them any more.
    """
    for pattern, new in ((DEMO, demo), (RESULTS, results)):
        if len(pattern.findall(text)) != 1:
            raise UserError(f"{README}: {pattern.pattern!r} is not there once; mend this script")
        text = pattern.sub(lambda _, new=new: new, text)
    return text


def main() -> None:
    """Run both and write README."""
    text = README.read_text(encoding="utf-8")
    command = SEARCH.search(text)
    if command is None:
        raise UserError(f"{README}: no search with -k is shown; mend this script")
    with tempfile.TemporaryDirectory() as folder:
        results = searched(Path(folder), command[1])
    with tempfile.TemporaryDirectory() as folder:
        demo = demo_line(Path(folder))
    write_text(README, replaced(text, demo, results))
    print(f"{demo}\n{results}")


if __name__ == "__main__":
    run_script(main)
