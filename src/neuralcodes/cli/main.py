"""The `neuralcodes` command: gathers the verbs and turns user errors into one line, status 2."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

import neuralcodes
from neuralcodes.common.errors import UserError
from neuralcodes.common.logs import show_logs
from neuralcodes.common.team import end_of_team

VERBS = (
    "demo", "reproduce", "train", "evaluate", "compare", "crops", "extract", "fit", "choose",
    "report", "layers", "index", "search", "serve", "explain", "duplicates", "calibrate", "info",
    "verify", "export", "remove", "compact", "bench",
)  # fmt: skip


def make_app(verbs: Sequence[str] = VERBS) -> typer.Typer:
    """The command with these verbs; each is the function of its name in its module here."""
    app = typer.Typer(
        help="Image retrieval with neural codes.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        callback=_options,
    )
    for verb in verbs:
        app.command()(getattr(importlib.import_module(f"neuralcodes.cli.{verb}"), verb))
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"neuralcodes {neuralcodes.__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            show_default=False,
            help="Log what is done on standard error; -vv in detail. Before the command's name.",
        ),
    ] = 0,
) -> None:
    """Options of the command itself."""
    show_logs(verbose)


def main() -> None:
    """Run the command line. Exit status: 0 done, 2 a user can mend it, 130 interrupted."""
    try:
        _run()
    except SystemExit as end:  # how typer ends, and errors do
        end_of_team(end.code if isinstance(end.code, int) else int(end.code is not None))
        raise


def _run() -> None:
    named = sys.argv[1:2]
    try:
        # all of them take longer to be made than a search
        make_app(named if named and named[0] in VERBS else VERBS)()
    except UserError as error:
        _leave(f"neuralcodes: {error}", 2)
    except MemoryError:
        _leave("neuralcodes: not enough memory; close other programs or use fewer images", 2)
    except KeyboardInterrupt:
        _leave("neuralcodes: interrupted; what was finished is kept", 130)


def _leave(line: str, status: int) -> None:
    print(" ".join(line.split()), file=sys.stderr)
    sys.exit(status)
