"""`neuralcodes evaluate`: score a trained run, or codes by a protocol."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuralcodes.cli import options
from neuralcodes.common.errors import UserError

if TYPE_CHECKING:
    from neuralcodes.codes.store import Codes
    from neuralcodes.evaluation.judging import Evaluation


def evaluate(
    targets: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="target",
            help="A run folder; with --protocol, a collection, codes (of `extract`, or RUN@LAYER), "
            "or the code of a pretrained network, which is made of the images of --data. Several "
            "codes, or a folder of them, are one database: they are read piece by piece.",
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
        list[Path] | None,
        typer.Option(help="Codes of further images to search, or a folder of them; repeatable."),
    ] = None,
    rerank: Annotated[
        str, typer.Option(help="Steps such as aqe10, dba10+alphaqe50 or kreciprocal20.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="Write the values here (.json), for `compare`.")
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="local, or ray: judge codes on the machines of a Ray cluster, which see their "
            "files under the same names."
        ),
    ] = "local",
    address: options.RayAddress = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score a run on classes it never saw, or codes by a protocol of the field."""
    if protocol == "list":
        _list_protocols()
        return
    if not targets:
        raise UserError("TARGET: give a run folder, or a collection or codes and a --protocol")
    if protocol is None:
        if gnd or queries or distractors or rerank or out or as_json or engine != "local":
            raise UserError("--protocol: say by which one; `--protocol list` shows them")
        if len(targets) > 1:
            raise UserError(f"{targets[1]}: one run folder at a time; codes need a --protocol")
        _evaluate_run(targets[0], data, device, precision)
        return
    from functools import partial

    from neuralcodes.common.team import start_team
    from neuralcodes.engines.names import require_engine
    from neuralcodes.evaluation.stored import save_evaluation
    from neuralcodes.experiments.shards import load_shards, shard_paths

    require_engine(engine, address, None)
    team, device = start_team(device)
    if engine != "local" and not team.alone:
        raise UserError(f"--engine {engine}: give it to one process, without torchrun")
    further = load_shards(distractors or (), named=False)
    if len(targets) > 1 or engine != "local" or shard_paths(targets[0]):
        if rerank:
            raise UserError("--rerank: looks at all codes together; give them as one file")
        evaluation = _judge_shards(targets, protocol, gnd, queries, further, engine, address)
    else:
        evaluation = _judge(
            targets[0], data, device, precision, protocol, gnd, queries, further, rerank
        )
    if out:
        team.lead(partial(save_evaluation, out, evaluation))
    if evaluation.fitted_on_these and team.leads:
        typer.echo(
            f"warning: {', '.join(evaluation.fitted_on_these)}: fitted on these very images, so "
            "the figures are too good for any others; fit on other images to measure",
            err=True,
        )
    if as_json:
        typer.echo(json.dumps(evaluation.to_json(), indent=2))
    else:
        _show(evaluation)


def _judge(
    target: Path,
    data: Path | None,
    device: str,
    precision: str,
    protocol: str,
    gnd: Path | None,
    queries: Path | None,
    distractors: list[Codes],
    rerank: str,
) -> Evaluation:
    from neuralcodes.evaluation.judging import evaluate_codes
    from neuralcodes.evaluation.protocols.registry import get_protocol
    from neuralcodes.experiments.extraction import codes_to_judge
    from neuralcodes.ranking.steps import parse_steps

    known = get_protocol(protocol)
    steps = list(parse_steps(rerank).values()) if rerank else []
    with codes_to_judge(target, data, device, precision) as codes:
        truth = known.open(gnd, codes.keys)
        return evaluate_codes(truth, codes, _load_queries(queries), distractors, steps)


def _judge_shards(
    targets: list[Path],
    protocol: str,
    gnd: Path | None,
    queries: Path | None,
    distractors: list[Codes],
    engine: str,
    address: str | None,
) -> Evaluation:
    from neuralcodes.engines.names import opened_map
    from neuralcodes.evaluation.judging_shards import evaluate_shards
    from neuralcodes.evaluation.protocols.registry import get_protocol
    from neuralcodes.experiments.shards import load_shards

    shards = load_shards(targets)
    truth = get_protocol(protocol).open(gnd, [key for shard in shards for key in shard.keys])
    with opened_map(engine, address) as each:
        return evaluate_shards(truth, shards, _load_queries(queries), distractors, each)


def _load_queries(path: Path | None) -> Codes | None:
    from neuralcodes.codes.store import load_codes
    from neuralcodes.experiments.runfolder import codes_path

    return load_codes(codes_path(path)) if path else None


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
