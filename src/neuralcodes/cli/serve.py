"""`neuralcodes serve`: search a collection in the browser and over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuralcodes.cli import collections, options


def serve(
    collection: collections.Where,
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
    from neuralcodes.common.errors import needs_extra

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

    def begun(address: str) -> None:
        typer.echo(f"{collection} is served at {address} (Ctrl-C ends it)")
        if open_:
            typer.launch(address)

    with Collection.open(collection, code=code, device=device) as opened:
        run(opened, settings, begun)
