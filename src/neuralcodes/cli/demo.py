"""`neuralcodes demo`: the founding experiment in small, and search in photographs; no download."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="The run's folder.")] = Path("runs/demo"),
) -> None:
    """Learn the digits 0-6 and search among 7, 8 and 9; then search photographs of clothing.

    The digits are the founding experiment in small: training never saw what is searched. The
    photographs are indexed with the network that the package carries.
    """
    from neuralcodes.cli.show import show_run
    from neuralcodes.experiments.demo import run_demo
    from neuralcodes.experiments.photographs import search_photographs

    run = run_demo(out)
    show_run(run)
    found = search_photographs(out)
    low, high = found.score.interval()
    typer.echo(
        f"\n{found.images} photographs of clothing indexed: {found.collection}\n"
        f"mAP by kind of clothing  {found.score.mean:.4f}  ({low:.4f} to {high:.4f})\n"
        f"what is nearest to one of each kind: {found.sheet}"
    )
