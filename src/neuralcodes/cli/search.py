"""`neuralcodes search`: the images nearest to a picture or to words."""

from __future__ import annotations

from typing import Annotated

import typer

from neuralcodes.cli import collections, options


def search(
    collection: collections.Where,
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[IMAGE...]",
            help="Files, file: addresses, ARCHIVE/NAME, or id:N of the collection. Several are "
            "searched by together.",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            help="Words to search by, alone or with pictures, where the collection's network has a "
            "text side (CLIP, SigLIP); repeatable."
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many.")] = 10,
    crop: Annotated[
        str | None, typer.Option(help="X,Y,W,H: search by this part of the picture, in pixels.")
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Leave out what is nearer to this image than to the query; repeatable."),
    ] = None,
    filter: collections.Filter = None,
    exact: Annotated[bool, typer.Option("--exact", help="Do without the index.")] = False,
    code: collections.Code = None,
    device: options.Device = "auto",
    json: Annotated[bool, typer.Option("--json", help="One JSON line a result.")] = False,
    html: collections.Html = None,
    open_: collections.Open = False,
    pictures: Annotated[
        str, typer.Option(help="In the terminal: auto, kitty, iterm, sixel or no.")
    ] = "auto",
) -> None:
    """Find the images of a collection that are nearest to one or several pictures or to words."""
    from neuralcodes.collection.searchable import SearchableCollection

    with SearchableCollection.open(collection, code=code, device=device) as opened:
        results = opened.search(
            images or (),
            k,
            text=text or (),
            crop=collections.parse_crop(crop),
            exclude=exclude or (),
            filter=filter,
            exact=exact or opened.read_sooner,
        )
        if results.warning:
            typer.echo(f"note: {results.warning}", err=True)
        if json:
            for match in results:
                collections.say(match.to_json())
        else:
            _show(results, pictures)
        if html is not None or open_:
            collections.sheet(results.to_html(), html, open_, "search.html")


def _show(results: object, pictures: str) -> None:
    from neuralcodes.collection.results import Results, shown_probability
    from neuralcodes.collection.terminal import KINDS, show, terminal_kind
    from neuralcodes.common.errors import UserError

    assert isinstance(results, Results)
    if pictures not in KINDS:
        raise UserError(f"--pictures {pictures}: choose {', '.join(KINDS)}")
    calibrated = bool(results.means)
    rows = [
        (
            str(match.rank),
            f"{match.distance:.4f}",
            *([shown_probability(match.probability)] if calibrated else []),
            f"id:{match.id}",
            f"{match.image.width}×{match.image.height}",
            match.image.label,
            collections.shown_path(match.path),
        )
        for match in results
    ]
    head = [
        ">#",
        ">distance",
        *([">match"] if calibrated else []),
        "id",
        ">pixels",
        "label",
        "image",
    ]
    lines = collections.table(head, rows).split("\n")
    kind = terminal_kind() if pictures == "auto" else pictures
    typer.echo(lines[0] if rows else "nothing found")
    for line, match in zip(lines[1:], results, strict=False):
        typer.echo(line)
        picture = results.picture(match) if kind != "no" else None
        if picture is not None:
            typer.echo(show(picture, kind), nl=False)
    if calibrated and rows:
        typer.echo(results.means)
