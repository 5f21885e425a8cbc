"""`neuralcodes choose`: which code to use, measured on a user's own images."""

from __future__ import annotations

import json as json_format
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuralcodes.cli import collections, options
from neuralcodes.common.errors import UserError

if TYPE_CHECKING:
    from neuralcodes.choosing.outcome import Choice


def choose(
    images: Annotated[
        str,
        typer.Argument(
            metavar="IMAGES",
            help="Folder or zip file of class folders, Tiny ImageNet, or the word digits. A folder "
            "without class folders is judged by augmented views: an estimate.",
        ),
    ],
    networks: Annotated[
        list[str] | None,
        typer.Option(
            help="Run folders, weights files, the word shipped, or names of pretrained networks "
            "such as hf:NAME; several by repeating it or joined by commas.",
            show_default="shipped, and all in runs/",
        ),
    ] = None,
    layers: Annotated[
        str, typer.Option(help="Names joined by commas; named: those with an alias; or all.")
    ] = "named",
    dims: Annotated[
        str, typer.Option(help="Dimensions to reduce to, joined by commas.")
    ] = "16,32,64,128,256,512",
    sizes: Annotated[
        str, typer.Option("--bytes", help="Sizes of product quantisers, joined by commas.")
    ] = "8,16,32,64",
    poolings: Annotated[
        str, typer.Option(help="Of maps: flatten, mac, spoc, gem, crow, rmac, joined by commas.")
    ] = "flatten",
    transforms: Annotated[
        str,
        typer.Option(help="Chains joined by commas; one without its number stands for all sizes."),
    ] = "none,half,pca,whiten,disc,pca/int8,pca128/pq",
    indexes: Annotated[
        str,
        typer.Option(
            help="Measured on the few best codes, joined by commas. all: every one installed that "
            "needs no place. Also milvus:FILE.db or milvus:http://HOST:19530; none for no index."
        ),
    ] = "all",
    budget: Annotated[
        str | None, typer.Option(help="What a stored code may take, for instance 64B.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="folder: the class folders tell what is similar. none: estimate it from augmented "
            "views. both: compare the two.",
            show_default="folder where there are some",
        ),
    ] = None,
    classes: Annotated[
        str,
        typer.Option(
            help="auto: those that no network was trained on; all; a range from 0 such as "
            "190:200; or folder names joined by commas."
        ),
    ] = "auto",
    max_images: Annotated[int, typer.Option(help="Of more, so many are drawn.")] = 5000,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for codes, scores and report.", show_default="choices/NAME"),
    ] = None,
    collection: Annotated[
        str, typer.Option(help="Name of the collection in the commands that are printed.")
    ] = "pictures.nc",
    seed: Annotated[int, typer.Option(help="Of whatever is drawn.")] = 0,
    device: options.Device = "auto",
    precision: options.CodePrecision = "fp32",
    json: collections.Json = False,
) -> None:
    """Find the network, layer, size and index to use, by measuring many on your own images."""
    from neuralcodes.experiments.choice import Choosing, with_defaults
    from neuralcodes.experiments.choice import choose as run

    name = Path(os.path.abspath(images)).stem
    choosing = with_defaults(
        Choosing(
            place=images,
            networks=tuple(part for text in networks or () for part in _listed(text)),
            out=out or Path("choices") / name,
            layers=_listed(layers),
            dims=_numbers("--dims", dims),
            sizes=_numbers("--bytes", sizes),
            poolings=_listed(poolings),
            transforms=_listed(transforms),
            indexes=() if indexes == "none" else _listed(indexes),
            budget=_parse_budget(budget),
            labels=labels,  # type: ignore[arg-type]
            classes=classes,
            max_images=max_images,
            seed=seed,
            device=device,
            precision=precision,
            collection=collection,
        )
    )
    choice = run(choosing, lambda line: typer.echo(line, err=True))
    if json:
        typer.echo(json_format.dumps(choice.to_json(), indent=2))
    else:
        _show(choice, choosing.out)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in _listed(text))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise UserError(f"{option} {text}: give whole numbers joined by commas, such as 32,128")
    return numbers


def _parse_budget(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        amount = collections.parse_bytes(text)
    except UserError:
        raise UserError(f"--budget {text}: give bytes a code, such as 64B or 1K") from None
    return amount


def _show(choice: Choice, out: Path) -> None:
    from neuralcodes.reports.choice_words import (
        certainty,
        layer_answer,
        quality_lines,
        subject_line,
    )

    chosen = choice.chosen
    typer.echo(subject_line(choice))
    shown = [point for point in choice.points if point.front or point.code == chosen.code]
    typer.echo("codes that no code of as few bytes beats (*: recommended):")
    typer.echo(
        collections.table(
            [">", "code", ">bytes", ">dims", ">ms", ">mAP", "95 % interval"],
            [
                [
                    "*" if point.code == chosen.code else "",
                    point.code,
                    f"{point.bytes:,}",
                    f"{point.dims:,}",
                    f"{point.milliseconds:.2f}",
                    f"{point.map:.4f}",
                    f"{point.low:.4f} to {point.high:.4f}",
                ]
                for point in sorted(shown, key=lambda point: point.bytes)
            ],
        )
    )
    if choice.indexes:
        typer.echo("indexes:")
        typer.echo(
            collections.table(
                ["code", "index", ">recall@10", "95 % interval", ">ms", ">bytes an image"],
                [
                    [
                        one.code,
                        one.backend,
                        f"{one.recall:.3f}",
                        f"{one.low:.3f} to {one.high:.3f}",
                        f"{one.milliseconds:.2f}",
                        f"{one.bytes:,.0f}",
                    ]
                    for one in choice.indexes
                ],
            )
        )
    typer.echo(f"recommended: --code {chosen.code}")
    for line in (f"rule: {choice.decision.rule}", *quality_lines(choice), *certainty(choice)):
        typer.echo(line)
    answer = layer_answer(choice)
    typer.echo(f"{answer.question} {answer.verdict}")
    for command in choice.commands:
        typer.echo(f"  {command}")
    if choice.commands_note:
        typer.echo(choice.commands_note)
    typer.echo(f"report: {out / 'report.html'}")
