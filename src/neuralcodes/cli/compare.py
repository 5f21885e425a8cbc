"""`neuralcodes compare`: is one code really better than another?"""

from __future__ import annotations

import json
from typing import Annotated

import typer

HELP = "A run (all its layers), RUN@LAYER, or a stored evaluation (.json)."


def compare(
    a: Annotated[str, typer.Argument(help=HELP)],
    b: Annotated[str, typer.Argument(help="The other, judged on the same queries.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Test two codes on the same queries (paired) and say whether the difference is real."""
    from neuralcodes.experiments.comparison import compare_stored, stored_files, verdict

    pairs = compare_stored(stored_files(a), stored_files(b))
    if as_json:
        facts = [
            {"a": pair.a, "b": pair.b, "name": pair.name, **pair.difference.to_json()}
            for pair in pairs
        ]
        typer.echo(json.dumps(facts, indent=2))
        return
    for number, pair in enumerate(pairs):
        if number == 0 or (pairs[number - 1].a, pairs[number - 1].b) != (pair.a, pair.b):
            typer.echo(f"A: {pair.a}\nB: {pair.b}")
        d = pair.difference
        typer.echo(
            f"{pair.name} over {d.queries} queries: A {d.mean_a:.4f}, B {d.mean_b:.4f}, "
            f"B - A {d.difference:+.4f} (95 % interval {d.low:+.4f} to {d.high:+.4f}, p {d.p:.2g})"
        )
        typer.echo(verdict(d))
