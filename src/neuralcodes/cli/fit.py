"""`neuralcodes fit`: fit transforms that make a code shorter."""

from __future__ import annotations

from typing import Annotated

import typer

from neuralcodes.cli import options


def fit(
    transforms: Annotated[
        list[str],
        typer.Argument(
            help="pcaN, whitenN, lwN, discN, int8, binary, pqM …, or several joined: pca128/pq16."
        ),
    ],
    code: Annotated[
        str, typer.Option(help="The code they continue, for instance runs/reference@L6.")
    ],
    on: Annotated[
        str,
        typer.Option(
            help="Folder or zip file of images to learn from, not those that are searched later; "
            "or the word train, for the images that the run was trained on."
        ),
    ],
    labels: Annotated[
        str | None,
        typer.Option(
            help="Which images match, for transforms that learn from pairs: folder (those of a "
            "class folder) or none (told from the codes).",
            show_default="folder where needed",
        ),
    ] = None,
    data: options.Data = None,
    sample: Annotated[
        int | None, typer.Option(help="Use so many of the images.", show_default="all")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of whatever is drawn.")] = 0,
    refit: Annotated[
        bool, typer.Option("--refit", help="Overwrite transforms that are there.")
    ] = False,
    device: options.Device = "auto",
    precision: options.CodePrecision = "fp32",
) -> None:
    """Fit transforms (PCA, whitening, quantisers) of a code; each lies beside the network."""
    from neuralcodes.experiments.fitting import Fitting
    from neuralcodes.experiments.fitting import fit as run

    fitted = run(
        Fitting(
            code=code,
            transforms=tuple(transforms),
            on=on,
            labels=labels,  # type: ignore[arg-type]
            data=data,
            sample=sample,
            seed=seed,
            refit=refit,
            device=device,
            precision=precision,
        )
    )
    for step in fitted:
        spec, facts = step.spec, step.transform.facts
        kept = facts.get("variance_kept")
        typer.echo(
            f"--code {spec.name}: {spec.dims} dimensions, {spec.bytes_per_code} bytes"
            + (f", {kept:.1%} of the variance" if kept is not None else "")
        )
    if fitted and fitted[0].on:
        typer.echo(f"fitted on {fitted[0].on.count} images of {fitted[0].on.source}")
