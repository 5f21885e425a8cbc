"""A run's figures in a few lines of text."""

from __future__ import annotations

from typing import Any

import typer

from neuralcodes.common.files import read_json
from neuralcodes.experiments.runfolder import RunFolder


def show_run(run: RunFolder) -> None:
    """Print a finished run's figures and the place of its report."""
    metrics = read_json(run.metrics_file)
    epochs, kept = metrics["epochs"], metrics["kept_epoch"]
    typer.echo(f"trained {epochs} epoch(s), weights of epoch {kept}: {metrics['stopped_because']}")
    if metrics["splits"]:
        typer.echo("split   cross-entropy  accuracy  top-5")
    for name, score in metrics["splits"].items():
        typer.echo(
            f"{name:<6}  {score['cross_entropy']:>13.4f}  {score['accuracy']:>8.4f}"
            f"  {score['top5_accuracy']:.4f}"
        )
    judged = "on unseen classes" if metrics["splits"] else "estimated from views of unseen images"
    typer.echo(f"code    mAP {judged} (95 % interval)")
    for layer in metrics["map"]:
        typer.echo(f"{layer:<6}  {_estimate(metrics, layer)}")
    if "change" in metrics:
        _show_change(metrics)
    typer.echo(f"report: {run.path / 'report.html'}")


def _show_change(metrics: dict[str, Any]) -> None:
    before = metrics["before"]
    typer.echo("code    before, and what training changed (paired, 95 % interval)")
    for layer, change in metrics["change"].items():
        verdict = "no clear change"
        if change["real"]:
            verdict = "better" if change["difference"] > 0 else "worse"
        typer.echo(
            f"{layer:<6}  {_estimate(before, layer)}  {change['difference']:+.4f} "
            f"({change['low']:+.4f} to {change['high']:+.4f}): {verdict}"
        )


def _estimate(means: dict[str, Any], layer: str) -> str:
    value, low, high = (means[key][layer] for key in ("map", "map_low", "map_high"))
    return "not defined" if value is None else f"{value:.4f}  ({low:.4f} to {high:.4f})"
