"""`neuralcodes demo`: the founding experiment in small, without any download."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="The run's folder.")] = Path("runs/demo"),
) -> None:
    """Train on the handwritten digits 0-6, then search among 7, 8 and 9, which it never saw."""
    from neuralcodes.cli.show import show_run
    from neuralcodes.experiments.demo import run_demo

    show_run(run_demo(out))
