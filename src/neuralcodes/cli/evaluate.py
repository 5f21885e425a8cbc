"""`neuralcodes evaluate`: score a trained run, or codes by a protocol."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuralcodes.cli import options
from neuralcodes.common.errors import UserError

if TYPE_CHECKING:
    from neuralcodes.evaluation.judging import Evaluation


def evaluate(
    target: Annotated[
        Path | None,
        typer.Argument(
            help="A run folder; with --protocol, a collection, codes (of `extract`, or RUN@LAYER), "
            "or the code of a pretrained network, which is made of the images of --data."
        ),
    ] = None,
    data: options.Data = None,
    device: options.Device = "auto",
    precision: options.CodePrecision = "fp32",
    protocol: Annotated[
        str | None,
        typer.Option(help="Judge codes: class-retrieval, oxford5k, own … (`list` shows them)."),
    ] = None,
    gnd: Annotated[
        Path | None,
        typer.Option("--gnd", "--labels", help="The protocol's ground truth: a file or folder."),
    ] = None,
    queries: Annotated[
        Path | None, typer.Option(help="Codes of the queries, where boxes were cut out.")
    ] = None,
    distractors: Annotated[
        list[Path] | None, typer.Option(help="Codes of further images to search; repeatable.")
    ] = None,
    rerank: Annotated[
        str, typer.Option(help="Steps such as aqe10, dba10+alphaqe50 or kreciprocal20.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="Write the values here (.json), for `compare`.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score a run on classes it never saw, or codes by a protocol of the field."""
    if protocol == "list":
        _list_protocols()
        return
    if target is None:
        raise UserError("TARGET: give a run folder, or a collection or codes and a --protocol")
    if protocol is None:
        if gnd or queries or distractors or rerank or out or as_json:
            raise UserError("--protocol: say by which one; `--protocol list` shows them")
        _evaluate_run(target, data, device, precision)
        return
    from neuralcodes.codes.store import load_codes
    from neuralcodes.evaluation.judging import evaluate_codes
    from neuralcodes.evaluation.protocols.registry import get_protocol
    from neuralcodes.evaluation.stored import save_evaluation
    from neuralcodes.experiments.extraction import codes_to_judge
    from neuralcodes.experiments.runfolder import codes_path
    from neuralcodes.ranking.steps import parse_steps

    known = get_protocol(protocol)
    steps = list(parse_steps(rerank).values()) if rerank else []
    with codes_to_judge(target, data, device, precision) as codes:
        evaluation = evaluate_codes(
            known.open(gnd, codes.keys),
            codes,
            load_codes(codes_path(queries)) if queries else None,
            [load_codes(codes_path(path)) for path in distractors or ()],
            steps,
        )
    if out:
        save_evaluation(out, evaluation)
    if evaluation.fitted_on_these:
        typer.echo(
            f"warning: {', '.join(evaluation.fitted_on_these)}: fitted on these very images, so "
            "the figures are too good for any others; fit on other images to measure",
            err=True,
        )
    if as_json:
        typer.echo(json.dumps(evaluation.to_json(), indent=2))
    else:
        _show(evaluation)


def _evaluate_run(run: Path, data: Path | None, device: str, precision: str) -> None:
    from functools import partial

    from neuralcodes.cli.show import show_run
    from neuralcodes.common.team import start_team
    from neuralcodes.experiments.founding import evaluate_run, reopen, report_run

    if run.with_name(run.name + ".npy").is_file() or run.suffix in (".npy", ".json"):
        raise UserError(f"{run}: these are codes; say by which --protocol they are judged")
    team, device = start_team(device)
    folder, prepared = reopen(run, data)
    evaluate_run(folder, prepared, device, precision)
    team.lead(partial(report_run, folder, prepared))
    show_run(folder)


def _list_protocols() -> None:
    from neuralcodes.evaluation.protocols.registry import protocols

    for known in protocols():
        typer.echo(f"{known.name:<16} {known.title}")
        if known.files:
            typer.echo(f"{'':<16} --gnd: {known.files}")


def _show(evaluation: Evaluation) -> None:
    e = evaluation
    typer.echo(f"{e.protocol}: {len(e.queries)} queries among {e.database} images, {e.spec.name}")
    if e.queried_with == "whole images":
        typer.echo("queries are whole images: give codes of their boxes with --queries")
    for cost in e.steps:
        typer.echo(
            f"{cost.step}: {cost.offline_seconds:.2f} s for the database, {cost.seconds:.2f} s "
            f"for the queries, {cost.bytes / 1e6:.1f} MB more"
        )
    if e.ranked is not None:
        typer.echo(f"re-ranked to {e.ranked} rows a query; relevant images behind count as last")
    width = max(len(score.measure) for scores in e.tasks.values() for score in scores)
    for name, scores in e.tasks.items():
        for score in scores:
            low, high = score.interval()
            without = len(score.values) - len(score.defined)
            typer.echo(
                f"{name + ' ' if name else ''}{score.measure:<{width}}  {score.mean:.4f}  "
                f"({low:.4f} to {high:.4f}, 95 %)"
                + (f"  {without} queries without relevant images left out" if without else "")
            )
