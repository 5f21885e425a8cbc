"""A run's figures in a few lines of text."""

from __future__ import annotations

import typer

from neuralcodes.common.files import read_json
from neuralcodes.experiments.runfolder import RunFolder


def show_run(run: RunFolder) -> None:
    """Print a finished run's figures and the place of its report."""
    metrics = read_json(run.metrics_file)
    epochs, kept = metrics["epochs"], metrics["kept_epoch"]
    typer.echo(f"trained {epochs} epoch(s), weights of epoch {kept}: {metrics['stopped_because']}")
    typer.echo("split   cross-entropy  accuracy  top-5")
    for name, score in metrics["splits"].items():
        typer.echo(
            f"{name:<6}  {score['cross_entropy']:>13.4f}  {score['accuracy']:>8.4f}"
            f"  {score['top5_accuracy']:.4f}"
        )
    typer.echo("code    mAP on unseen classes (95 % interval)")
    for layer, mean in metrics["map"].items():
        low, high = metrics["map_low"][layer], metrics["map_high"][layer]
        typer.echo(f"{layer:<6}  {mean:.4f}  ({low:.4f} to {high:.4f})")
    typer.echo(f"report: {run.path / 'report.html'}")
