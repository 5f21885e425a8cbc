"""`neuralcodes layers`: the layers of a network that can be codes."""

from __future__ import annotations

from typing import Annotated

import typer


def layers(
    network: Annotated[
        str,
        typer.Argument(
            help="A network's name, a run folder, `shipped`, or a pretrained network such as "
            "hf:facebook/dinov2-small; without it names are listed."
        ),
    ] = "",
    classes: Annotated[int, typer.Option(help="Classes, for a network without weights.")] = 190,
) -> None:
    """List a network's layers: name, output shape, parameters."""
    from neuralcodes.networks.names import SHIPPED, SOURCES, carries_weights
    from neuralcodes.networks.opened import open_network
    from neuralcodes.networks.registry import get_network, network_names
    from neuralcodes.networks.summary import layer_table, render_table

    if not network:
        typer.echo("\n".join([*network_names(), *([SHIPPED] if carries_weights() else [])]))
        typer.echo(f"and pretrained ones: {', '.join(f'{s}:NAME' for s in SOURCES)}", err=True)
        return
    if network in network_names():
        kind = get_network(network)
        module = kind.build(classes)
    else:
        opened = open_network(network)
        kind, module = opened.kind, opened.module
    typer.echo(render_table(layer_table(module, kind.input_size, kind.layers)))
