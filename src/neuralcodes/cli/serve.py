"""`neuralcodes serve`: search a collection in the browser and over HTTP."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from neuralcodes.cli import collections, options


def serve(
    collection: Annotated[
        list[Path],
        typer.Argument(
            help="A collection's folder. Several, as other codes of the same pictures, are served "
            "together: the page switches between them and keeps the query.",
            show_default=False,
        ),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but loopback needs a token.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")
    ] = 8321,
    token: Annotated[
        str,
        typer.Option(
            envvar="NEURALCODES_TOKEN",
            show_envvar=True,
            show_default=False,
            help="Who has it may use the service. Others on this machine can read a command line: "
            "the variable is safer.",
        ),
    ] = "",
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    report: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Folder of a run or a choice whose plots the quality page shows too; as often as "
            "needed.",
        ),
    ] = None,
    code: collections.Code = None,
    device: options.Device = "auto",
) -> None:
    """Open search in the browser, and an HTTP API for programs (its description is at /docs)."""
    from neuralcodes.common.errors import UserError, needs_extra

    try:
        from neuralcodes.serve.running import run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("neuralcodes"):
            raise
        raise needs_extra(str(error.name), "serve") from None
    from neuralcodes.collection.collection import Collection
    from neuralcodes.serve.settings import Settings

    settings = Settings(host=host, port=port, token=token, reports=tuple(report or ()))
    settings.check()
    if code is not None and len(collection) > 1:
        raise UserError("--code goes with one collection, not with several")

    def begun(address: str) -> None:
        names = ", ".join(map(str, collection))
        verb = "is" if len(collection) == 1 else "are"
        typer.echo(f"{names} {verb} served at {address} (Ctrl-C ends it)")
        if open_:
            typer.launch(address)

    with ExitStack() as opened:
        first, *others = (
            opened.enter_context(Collection.open(one, code=code, device=device))
            for one in collection
        )
        run(first, settings, begun, others)
