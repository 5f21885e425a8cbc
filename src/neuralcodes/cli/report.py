"""`neuralcodes report`: make a run's page and figures again."""

from __future__ import annotations

import typer

from neuralcodes.cli import options


def report(run: options.Run, data: options.Data = None) -> None:
    """Make the report page and figures of an evaluated run again."""
    from neuralcodes.experiments.founding import reopen, report_run

    typer.echo(f"report: {report_run(*reopen(run, data))}")
