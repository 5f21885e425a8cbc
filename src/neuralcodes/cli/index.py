"""`neuralcodes index`: make a collection, or bring it up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuralcodes.cli import collections, options


def index(
    collection: Annotated[Path, typer.Option(help="The collection's folder; made if absent.")],
    pictures: Annotated[
        list[str] | None,
        typer.Argument(
            help="Folders, zip, tar and Parquet files, images; also in object stores, such as "
            "s3://BUCKET/FOLDER. Without any, all that was indexed before.",
            show_default=False,
        ),
    ] = None,
    code: Annotated[
        str | None,
        typer.Option(
            help="What an image's code is: NETWORK or NETWORK@LAYER, where NETWORK is a run, a "
            "weights file, `shipped` or a pretrained network such as hf:facebook/dinov2-small. "
            "Kept for good; of a new collection [shipped]."
        ),
    ] = None,
    dtype: Annotated[
        str,
        typer.Option(
            help="Of a new one's codes: float32 or float16; those that end in a quantiser are "
            "kept in its own bytes."
        ),
    ] = "",
    recall: Annotated[
        float | None,
        typer.Option(help="Share of the true nearest that searches shall find [0.95 at first]."),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            "--index",
            "--backend",
            help="Index to use [chosen by count and memory]: exact, hnsw, …; milvus:FILE.db or "
            "milvus:http://HOST:19530 for one that Milvus keeps.",
        ),
    ] = None,
    memory: Annotated[str | None, typer.Option(help="What the index may take, e.g. 2G.")] = None,
    metadata: Annotated[
        Path | None,
        typer.Option(help="CSV or Parquet file with a column `path` and columns of your own."),
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Let images go also where a place holds none now.")
    ] = False,
    retry_bad: Annotated[
        bool, typer.Option("--retry-bad", help="Try unreadable files again.")
    ] = False,
    archives: Annotated[
        bool | None,
        typer.Option(
            "--archives/--no-archives",
            help="Also open zip and tar files that lie in the folders; remembered.",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="local, or ray: read and compute on the machines of a Ray cluster, which see the "
            "pictures under the same names. The codes are the same."
        ),
    ] = "local",
    address: options.RayAddress = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Networks at work with ray.", show_default="one a GPU, or a processor"),
    ] = None,
    device: options.Device = "auto",
    precision: Annotated[
        str, typer.Option(help="Of a new one's codes: fp32, bf16 or auto (the faster).")
    ] = "fp32",
    json: collections.Json = False,
) -> None:
    """Index pictures for search; run it again to take in what has changed since."""
    from neuralcodes.collection.opening import open_or_create
    from neuralcodes.collection.walk import open_root
    from neuralcodes.engines.names import opened_engine, require_engine

    require_engine(engine, address, workers)
    for path in pictures or ():
        open_root(path)  # before anything is made
    with open_or_create(
        collection,
        code,
        dtype=dtype or None,
        device=device,
        precision=precision,
        something=bool(pictures or metadata),
    ) as opened:
        if recall is not None or backend is not None or memory is not None:
            opened.wish(recall=recall, backend=backend, memory=collections.parse_bytes(memory))
        if pictures or not metadata:
            with opened_engine(engine, opened, address, workers) as chosen:
                report = opened.sync(
                    pictures or (),
                    prune=prune,
                    retry_bad=retry_bad,
                    archives=archives,
                    engine=chosen,
                )
            if json:
                collections.say(report.to_json())
            else:
                typer.echo(report.summary())
            for note in report.notes:
                typer.echo(f"note: {note}", err=True)
            for bad in report.bad[:20]:
                typer.echo(f"bad: {bad.path}: {bad.reason}", err=True)
            if len(report.bad) > 20:
                typer.echo(
                    f"and {len(report.bad) - 20} more: neuralcodes info {collection} --bad",
                    err=True,
                )
        if metadata:
            given, missed = opened.set_metadata(metadata)
            typer.echo(f"metadata for {given} image(s); {missed} row(s) fit no image", err=json)
        if not json:
            typer.echo(f"{len(opened)} images in {collection}")
