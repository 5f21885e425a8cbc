"""`neuralcodes evaluate`: score a trained run."""

from __future__ import annotations

from neuralcodes.cli import options


def evaluate(
    run: options.Run,
    data: options.Data = None,
    device: options.Device = "auto",
    precision: options.CodePrecision = "fp32",
) -> None:
    """Score a run's classifier on its splits and its codes on the classes it never saw."""
    from neuralcodes.cli.show import show_run
    from neuralcodes.experiments.founding import evaluate_run, reopen, report_run

    folder, prepared = reopen(run, data)
    evaluate_run(folder, prepared, device, precision)
    report_run(folder, prepared)
    show_run(folder)
