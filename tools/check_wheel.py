"""Build the wheel, install it in an empty environment away from the repository, and use it.

    python tools/check_wheel.py [--constraint constraints.txt] [--python python3.12]

`python -m build` makes the source archive and, from that, the wheel. Checks what the wheel holds;
that `neuralcodes demo` runs with nothing else installed; that what needs an extra says which one;
that a type checker reads the package's types; then that each extra, installed, does its work. Needs
a package index, and a few minutes.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
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
UNWANTED = ("tests/", "benchmarks/", "results/", "runs/", "data/")
PICTURES = "python -c 'from importlib.resources import files; print(files(\"neuralcodes.images\"))'"
BEFORE = f"""
cp -r "$({PICTURES})/clothing" pictures
neuralcodes index pictures --collection pictures.nc
printf '\\0\\0\\0\\030ftypheic\\0\\0\\0\\0mif1heic' > picture.heic
"""
# Run twice: without the extra it names it, with it the work is done.
OPENED = 'from neuralcodes import Collection; opened = Collection.open("pictures.nc");'
EXTRAS = {
    "parquet": "neuralcodes export pictures.nc out",
    "datasets": f"python -c '{OPENED} print(opened.to_dataset())'",
    "heic": "neuralcodes search pictures.nc picture.heic",
    "hf": "neuralcodes layers hf:./vit",
    "cluster": "neuralcodes index pictures --collection milvus.nc --backend milvus:codes.db",
}
MADE = """
python -c '
import pillow_heif, PIL.Image
pillow_heif.from_pillow(PIL.Image.new("RGB", (80, 60), "teal")).save("picture.heic")
from pathlib import Path
from pretrained_models import vit
vit(Path("vit"))
'
"""
# Their torchvision must be of torch's own release and build, which a constraint cannot say: only
# that they are asked for by name is checked here.
NAMED = {
    "timm": "neuralcodes layers timm:resnet18",
    "open_clip": "neuralcodes layers open_clip:ViT-B-32/openai",
}
USER = """\
import neuralcodes as nc

collection = nc.Collection.open("pictures.nc")
reveal_type(collection.search("a.jpg", k=3))
collection.search("a.jpg", k="three")
"""
TYPES = """\
[mypy]
strict = true
follow_imports = skip
[mypy-neuralcodes.*]
follow_imports = silent
"""


def main() -> None:
    """Read the options and do it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--constraint", type=Path, default=ROOT / "constraints.txt")
    parser.add_argument("--python", default=sys.executable, help="the interpreter to install for")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        pip = f"pip install --quiet --constraint '{asked.constraint.resolve()}'"
        tools, empty = Environment(work / "tools", asked.python), Environment(work, asked.python)
        tools.step("build and mypy", f"{pip} build mypy")
        tools.step("wheel built", f"python -m build --outdir '{work}' '{ROOT}'")
        wheel = next(work.glob("neuralcodes-*.whl"))
        check_contents(wheel)
        empty.step("installed", f"{pip} '{wheel}'")
        where = empty.run("python -c 'import neuralcodes; print(neuralcodes.__file__)'")
        assert str(work) in where, f"not the installed package: {where}"
        print(empty.run("python --version; neuralcodes --version").strip())
        empty.step("demo", "neuralcodes demo")
        empty.run(BEFORE)
        for extra, command in {**EXTRAS, **NAMED, "serve": "neuralcodes serve pictures.nc"}.items():
            said = empty.run(command, fails=True)
            assert f"neuralcodes[{extra}]" in said, f"{command}: {said}"
            assert "Traceback" not in said or command.startswith("python"), f"{command}: {said}"
        check_types(tools, empty)
        wanted = ",".join((*EXTRAS, "serve"))
        empty.step("extras", f'{pip} "{wheel}[{wanted}]"')
        empty.run(MADE, PYTHONPATH=str(ROOT / "tests"))
        for extra, command in EXTRAS.items():
            empty.step(extra, command)
        check_service(empty)
    print("the wheel works")


class Environment:
    """A virtual environment in its folder, and commands there."""

    def __init__(self, folder: Path, python: str) -> None:
        self.folder = folder
        self.binaries = folder / "env" / "bin"
        folder.mkdir(exist_ok=True)
        subprocess.run([python, "-m", "venv", self.binaries.parent], check=True)

    def variables(self, **more: str) -> dict[str, str]:
        """Nothing of the caller's Python, and this environment's commands first."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return {**kept, "PATH": f"{self.binaries}:{kept['PATH']}", **more}

    def run(self, command: str, *, fails: bool = False, **more: str) -> str:
        """Run a command and give what it printed; stop if it fails, or if it does not."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder, env=self.variables(**more), text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if (done.returncode != 0) is not fails:
            sys.exit(f"{command}: exit status {done.returncode}\n{done.stdout}")
        return done.stdout

    def step(self, what: str, command: str) -> None:
        """Run a command and say how long it took."""
        start = time.perf_counter()
        self.run(command)
        print(f"{what}: {time.perf_counter() - start:.0f} s", flush=True)


def check_contents(wheel: Path) -> None:
    """What must be in it is, and nothing else of the repository."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for wanted in HELD:
        assert any(wanted in name for name in names), f"{wanted} is not in {wheel.name}"
    for name in names:
        assert not name.startswith(UNWANTED) and "__pycache__" not in name, f"{name} is in it"
    print(f"{wheel.name}: {len(names)} files, {wheel.stat().st_size / 1e6:.1f} MB", flush=True)


def check_types(tools: Environment, empty: Environment) -> None:
    """A user's type checker reads the installed package's types: `py.typed` works."""
    (tools.folder / "user.py").write_text(USER)
    (tools.folder / "mypy.ini").write_text(TYPES)
    said = tools.run(f"mypy --python-executable '{empty.binaries}/python' user.py", fails=True)
    assert re.search(r'user.py:4: note: Revealed type is "neuralcodes\.\S*Results?"', said), said
    assert "user.py:5: error: " in said and "Found 1 error" in said, said


def check_service(empty: Environment) -> None:
    """The installed service gives its page, the page's files and an answer."""
    process = subprocess.Popen(
        [empty.binaries / "neuralcodes", "serve", "pictures.nc", "--port", "0"],
        cwd=empty.folder, env=empty.variables(), text=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        address = process.stdout.readline().partition(" at ")[2].split()[0].rstrip("/")

        def get(path: str) -> str:
            with urllib.request.urlopen(address + path, timeout=60) as answer:
                return str(answer.read().decode())

        page = get("/")
        needed = set(re.findall(r'(?:src|href)="(/[^"]*(?:\.js|\.css|\.svg)[^"]*)"', page))
        assert len(needed) >= 4, page
        for path in needed:
            assert get(path), path
        assert '"matches"' in get("/api/v1/search?id=1&k=3")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
    print(f"serve: the page and {len(needed)} files of it")


if __name__ == "__main__":
    main()
