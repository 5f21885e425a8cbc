"""What makes each recorded figure and picture, and all that depend on the shipped weights anew.

    python tools/figures.py                 # after new weights: all that they change, in minutes
    python tools/figures.py transfer readme # only these
    python tools/figures.py --list          # all, as the table in docs/reproducibility.md
    python tools/figures.py --write         # that table into the page

The images' places are taken from NEURALCODES_TINY_IMAGENET and NEURALCODES_CALTECH.
"""

from __future__ import annotations

import argparse
import os
import re
import string
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from neuralcodes.common.files import write_text

PAGE = Path("docs/reproducibility.md")
BLOCK = re.compile(r"(<!-- figures -->\n\n).*?(\n\n<!-- end -->)", re.DOTALL)
NEEDED = ("NEURALCODES_TINY_IMAGENET", "NEURALCODES_CALTECH")


@dataclass(frozen=True)
class Step:
    """A command and what it makes.

    Attributes:
        makes: files of the repository, as patterns.
        command: run in the repository's root; "" for several, which stand in `see`.
        time: on two cores.
        weights: "shipped", "reference", or "" for figures that depend on none.
        after: whether it is part of what new shipped weights ask for.
        see: a file that says more.
    """

    makes: tuple[str, ...]
    command: str
    time: str
    weights: str = ""
    after: bool = False
    see: str = ""


def choosing(
    made: str, images: str, transforms: str,
    network: str = "runs/reference", takes: str = "not recorded",
) -> Step:  # fmt: skip
    """A recorded choice; `transforms` with the options behind them."""
    return Step(
        (f"results/choosing/{made}.*",),
        f"neuralcodes choose {images} --networks {network} --transforms {transforms}",
        takes, network.removeprefix("runs/"), see="results/choosing/README.md",
    )  # fmt: skip


STEPS: dict[str, Step] = {
    "shipped": Step(
        ("results/shipped.json", "results/shipped/bytes.json", "results/shipped/looks.json"),
        "python benchmarks/shipped.py", "4 minutes", "shipped", after=True,
    ),
    "speed": Step(
        ("results/shipped/speed.json",),
        "python benchmarks/shipped_speed.py", "1 minute, nothing beside it", "shipped", after=True,
    ),
    "transfer": Step(
        ("results/transfer.json",),
        "python benchmarks/transfer.py --photographs $NEURALCODES_CALTECH", "5 minutes", "shipped",
        after=True,
    ),
    "pictures": Step(
        ("docs/images/search.png", "docs/images/explain.png", "docs/images/page-*.jpg"),
        "python tools/pictures.py docs --photographs $NEURALCODES_CALTECH", "3 minutes", "shipped",
        after=True,
    ),
    "readme": Step(
        ("README.md",), "python tools/readme_output.py", "1 minute", "shipped", after=True,
    ),
    "page": Step(
        ("results/shipped/README.md", "results/shipped/bytes.png", "results/shipped/compute.*",
         "README.md", "docs/networks.md", "docs/training.md"),
        "python benchmarks/shipped_page.py", "seconds", "shipped", after=True,
    ),
    "weights": Step(
        ("results/shipped/mean.json", "results/shipped/stage-*"),
        "python tools/ship.py RUN… --stages RUN…", "seconds", "shipped",
    ),
    "reference": Step(
        ("results/reference/*",),
        "neuralcodes reproduce --data tiny-imagenet-200.zip --out runs/reference", "an evening",
    ),
    "compression": Step(
        ("results/compression.json", "results/compression/*"),
        "python benchmarks/compression.py", "an hour", "reference",
    ),
    "recorded": Step(
        ("results/compression/*.png", "docs/images/reliability.png"),
        "python tools/pictures.py recorded", "seconds, from recorded figures",
    ),
    "choosing-tiny-imagenet": choosing(
        "tiny-imagenet", "tiny-imagenet",
        "none,half,pca,whiten,pca/int8,pca128/pq --bytes 16,32,64 --indexes exact,hnsw,ivfpq",
    ),
    "choosing-both": choosing(
        "tiny-imagenet-both", "tiny-imagenet",
        "none,pca,whiten,pca/int8 --dims 16,64,256 --indexes exact --labels both --max-images 2000",
    ),
    "choosing-caltech": choosing(
        "caltech-101", "caltech-101.zip",
        "none,pca,whiten,pca/int8 --dims 16,64,256 --indexes exact,hnsw --labels both",
    ),
    "choosing-shipped": choosing(
        "caltech-101-shipped", "caltech-101.zip",
        "none,half,pca,whiten,pca/int8,pca/pq --dims 16,64 --bytes 16,32 --labels both",
        network="shipped", takes="1 minute",
    ),
    "calibration": Step(
        ("results/calibration/caltech-L7.json", "results/calibration/tiny-imagenet-*.json"),
        "neuralcodes calibrate …", "minutes", "reference", see="results/calibration/README.md",
    ),
    "occlusion": Step(
        ("results/calibration/occlusion.json",),
        "python benchmarks/explanations.py runs/reference caltech-101.zip --pairs 30 --out "
        "occlusion.json", "minutes", "reference",
    ),
    "occlusion-shipped": Step(
        ("results/calibration/occlusion-shipped.json",),
        "python benchmarks/explanations.py shipped $NEURALCODES_CALTECH --codes code learnt "
        "map/gem pooled --out results/calibration/occlusion-shipped.json", "2 minutes", "shipped",
    ),
    "photographs": Step(
        ("results/collections/duplicates-photographs.png",),
        "python tools/pictures.py photographs --photographs caltech-101.zip --code "
        "runs/reference@L7", "minutes", "reference",
    ),
    "drawings": Step(
        ("results/collections/*-drawings.png",),
        "python tools/pictures.py drawings --drawings openclipart/png --code runs/reference@L7",
        "minutes", "reference",
    ),
    "collections": Step(
        ("results/collections/*.json",),
        "python benchmarks/collection.py …", "minutes to an hour each",
        "reference", see="results/collections/README.md",
    ),
    "stored": Step(
        ("results/collections/stored-disk.json",),
        "python benchmarks/stored_codes.py disk tiny.nc", "minutes", "shipped",
        see="docs/storage.md",
    ),
    "bench": Step(
        ("results/bench/*",), "make bench", "half an hour, nothing beside it",
        see="results/bench/README.md",
    ),
    "engines": Step(
        ("results/bench/engines.json",), "python benchmarks/engines.py IMAGES", "minutes",
        see="docs/scale.md",
    ),
    "cost": Step(("docs/scale.md",), "python benchmarks/cost_model.py", "seconds"),
    "serve": Step(
        ("results/serve/load.json",), "python benchmarks/serve.py …",
        "an hour", see="docs/serve.md",
    ),
    "hostile": Step(
        ("results/serve/hostile.json",), "python benchmarks/hostile.py --count 1200 --seed 2",
        "minutes",
    ),
}  # fmt: skip


def table() -> str:
    """All steps in Markdown."""
    lines = ["| name | what | command | time on two cores | weights |", "| --- |" + " --- |" * 4]
    for name, step in STEPS.items():
        links = ", ".join(f"`{path}`" for path in step.makes)
        named = f"**{name}**" if step.after else name
        command = f"`{step.command}`" + (f" ({see(step.see)})" if step.see else "")
        lines.append(f"| {named} | {links} | {command} | {step.time} | {step.weights or '–'} |")
    return "\n".join(lines)


def see(file: str) -> str:
    """A link from docs/ to a page."""
    return f"[more]({file.removeprefix('docs/') if file.startswith('docs/') else '../' + file})"


def page(text: str) -> str:
    """The documentation's page with the table anew."""
    return BLOCK.sub(lambda match: f"{match[1]}{table()}{match[2]}", text)


def run(names: list[str]) -> int:
    """Run steps one after the other; what fails does not keep the rest from running."""
    failed = []
    for name in names:
        words = string.Template(STEPS[name].command).substitute(os.environ).split(" ")
        words[0] = sys.executable if words[0] == "python" else words[0]
        print(f"== {name}: {STEPS[name].command}", flush=True)
        start = time.monotonic()
        if subprocess.run(words, check=False).returncode:
            failed.append(name)
        print(f"== {name}: {time.monotonic() - start:.0f} s", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def main() -> int:
    """Read the options and do it; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    after = [name for name, step in STEPS.items() if step.after]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(after)} [all]")
    parser.add_argument("--list", action="store_true", help="all figures and their commands")
    parser.add_argument("--write", action="store_true", help=f"that list into {PAGE}")
    options = parser.parse_args()
    if options.list:
        print(table())
        return 0
    if options.write:
        write_text(PAGE, page(PAGE.read_text(encoding="utf-8")))
        return 0
    unknown = [name for name in options.names if name not in after]
    if unknown:
        parser.error(f"{unknown[0]}: not made by this tool; choose of {', '.join(after)}")
    absent = [name for name in NEEDED if name not in os.environ]
    if absent:
        parser.error(f"{absent[0]}: set it to where the images are (CONTRIBUTING.md)")
    return run(options.names or after)


if __name__ == "__main__":
    sys.exit(main())
