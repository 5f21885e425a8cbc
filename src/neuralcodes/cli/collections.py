"""What the verbs about collections share: options, tables, JSON, sheets."""

from __future__ import annotations

import json
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from neuralcodes.common.errors import UserError

Where = Annotated[Path, typer.Argument(metavar="COLLECTION", help="A collection's folder.")]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]
Html = Annotated[
    Path | None, typer.Option(help="Write a contact sheet: one HTML file that needs no other.")
]
Open = Annotated[bool, typer.Option("--open", help="Open the contact sheet in the browser.")]
Filter = Annotated[
    str | None,
    typer.Option(
        help="Only images that fit, e.g. 'label == \"cat\" and width > 300 and date > 2024-01-01'. "
        "Columns: path name folder label size width height kind date added id, and your own."
    ),
]
Code = Annotated[
    str | None, typer.Option(help="Where the collection's network is now, if it has moved.")
]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of text; those whose head begins with > stand to the right."""
    names = [name.lstrip(">") for name in head]
    widths = [max(len(line[i]) for line in [names, *rows]) for i in range(len(names))]
    lines = []
    for row in [names, *rows]:
        cells = [
            cell.rjust(width) if name.startswith(">") else cell.ljust(width)
            for cell, width, name in zip(row, widths, head, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def say(value: Any) -> None:
    """Print one JSON line."""
    typer.echo(json.dumps(value, ensure_ascii=True))


def sheet(html: str, path: Path | None, show: bool, fallback: str) -> None:
    """Write a contact sheet where it is wanted, and open it."""
    from neuralcodes.common.files import write_text

    if path is None and not show:
        return
    target = path or Path(fallback)
    write_text(target, html)
    typer.echo(f"sheet: {target}", err=True)
    if show and not webbrowser.open(target.absolute().as_uri()):
        typer.echo(f"no browser could be opened; open {target} yourself", err=True)


def parse_crop(text: str | None) -> tuple[int, int, int, int] | None:
    """X,Y,W,H in pixels.

    Raises:
        UserError: not four whole numbers.
    """
    if text is None:
        return None
    parts = text.split(",")
    try:
        left, top, width, height = (int(part) for part in parts)
    except ValueError:
        raise UserError(
            f"--crop {text}: give X,Y,W,H in pixels, for instance 10,20,64,64"
        ) from None
    return left, top, width, height


def parse_bytes(text: str | None) -> int | None:
    """An amount of memory: 500M, 2G.

    Raises:
        UserError: none.
    """
    if text is None:
        return None
    units = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    number = text.upper().removesuffix("B").removesuffix("I")
    factor = units.get(number[-1:], 1)
    try:
        amount = int(float(number.rstrip("KMGT")) * factor)
    except ValueError:
        amount = 0
    if amount <= 0:
        raise UserError(f"--memory {text}: give an amount such as 500M or 2G")
    return amount


def size(amount: float) -> str:
    """Bytes for people."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while amount >= 1000 and len(units) > 1:
        amount /= 1000
        units.pop(0)
    return f"{amount:.0f} B" if units[0] == "B" else f"{amount:.1f} {units[0]}"


def shown_path(path: str) -> str:
    """A path as seen from the current folder, where it lies below it."""
    here = f"{Path.cwd()}/"
    return path.removeprefix(here)
