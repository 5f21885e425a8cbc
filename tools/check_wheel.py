"""Build the wheel, install it in an empty environment away from the repository, and use it.

    python tools/check_wheel.py [--constraint constraints.txt]

Checks what the wheel holds, that every command starts, that extras which are not installed say what
to install, and that `neuralcodes demo` runs. Needs a package index, and about two minutes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HELD = (
    "neuralcodes/py.typed",
    "neuralcodes/networks/shipped/weights.safetensors",
    "neuralcodes/networks/shipped/MODEL_CARD.md",
    "neuralcodes/images/clothing/SOURCE.md",
    "neuralcodes/choosing/agreement.json",
    "neuralcodes/serve/page/static/",
    "neuralcodes/serve/page/templates/",
    "neuralcodes/reports/",
    ".dist-info/licenses/LICENSE",
    ".dist-info/licenses/NOTICE",
)
UNWANTED = ("tests/", "benchmarks/", "results/", "runs/", "data/", "__pycache__")
WITHOUT_EXTRAS = {  # command: what it says
    ("serve", "pictures.nc"): "neuralcodes[serve]",
    ("layers", "hf:some/model"): "neuralcodes[hf]",
    ("layers", "timm:resnet18"): "neuralcodes[timm]",
}


def main() -> None:
    """Read the options and do it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--constraint", type=Path, default=ROOT / "constraints.txt")
    constraint = parser.parse_args().constraint.resolve()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        step("wheel built", sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps",
             "--wheel-dir", str(work), str(ROOT), cwd=work)  # fmt: skip
        wheel = next(work.glob("neuralcodes-*.whl"))
        check_contents(wheel)
        venv.create(work / "env", with_pip=True)
        binaries = work / "env" / "bin"
        step("installed", str(binaries / "pip"), "install", "--quiet", "--constraint",
             str(constraint), str(wheel), cwd=work)  # fmt: skip
        command = str(binaries / "neuralcodes")
        show = "import neuralcodes; print(neuralcodes.__file__)"
        where = run(str(binaries / "python"), "-c", show, cwd=work)
        assert str(work) in where, f"not the installed package: {where}"
        print(run(command, "--version", cwd=work).strip())
        for words, wanted in WITHOUT_EXTRAS.items():
            said = run(command, *words, cwd=work, status=2)
            assert wanted in said and "Traceback" not in said, f"{words}: {said}"
        step("demo", command, "demo", cwd=work)
    print("the wheel works")


def check_contents(wheel: Path) -> None:
    """What must be in it is, and nothing else of the repository."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for wanted in HELD:
        assert any(wanted in name for name in names), f"{wanted} is not in {wheel.name}"
    for name in names:
        assert not name.startswith(UNWANTED) and "__pycache__" not in name, f"{name} is in it"
    print(f"{wheel.name}: {len(names)} files, {wheel.stat().st_size / 1e6:.1f} MB")


def step(what: str, *words: str, cwd: Path) -> None:
    """Run a command and say how long it took."""
    start = time.perf_counter()
    run(*words, cwd=cwd)
    print(f"{what}: {time.perf_counter() - start:.0f} s", flush=True)


def run(*words: str, cwd: Path, status: int = 0) -> str:
    """Run a command away from the repository and give what it printed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        words, cwd=cwd, env=clean, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        check=False,
    )  # fmt: skip
    if done.returncode != status:
        sys.exit(f"{' '.join(words)}: exit status {done.returncode}\n{done.stdout}")
    return done.stdout


if __name__ == "__main__":
    main()
