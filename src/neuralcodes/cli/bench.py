"""`neuralcodes bench`: how fast this machine is at our work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuralcodes.cli import collections


def bench(
    rounds: Annotated[int, typer.Option(help="Turns of each contestant that count.")] = 5,
    codes: Annotated[int, typer.Option(help="Codes to search among.")] = 50_000,
    only: Annotated[str, typer.Option(help="One row: decode, forward or search.")] = "",
    json: collections.Json = False,
    out: Annotated[
        Path | None, typer.Option(help="Also write it to this file.", show_default=False)
    ] = None,
) -> None:
    """Race decoding, the network and search against what is installed here, in turns."""
    from neuralcodes.common.files import write_json
    from neuralcodes.experiments.benching import bench as measure

    found = measure(rounds, codes, only)
    if out is not None:
        write_json(out, found)
    if json:
        collections.say(found)
        return
    machine = found["machine"]
    typer.echo(f"{machine['cpu']}, {machine['cores']} cores")
    for row in found["rows"]:
        typer.echo(f"{row['name']}: {row['rate']:,.0f} {row['unit']}")
        for peer, r in row["peers"].items():
            typer.echo(f"  {r['ratio']:.2f} × {peer} ({r['low']:.2f} to {r['high']:.2f})")
