"""Retraining as in the paper: a network's weights, adapted to a collection, and what that gained.

The codes of the start are judged on the same images that the run's own are judged on, and kept in
`before/`; the difference is that of each query's average precision.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from neuralcodes.common.errors import UserError
from neuralcodes.common.team import Team
from neuralcodes.evaluation.class_retrieval import ClassRetrieval
from neuralcodes.evaluation.stored import save_retrieval
from neuralcodes.experiments.configuration import Configuration, Prepared, prepare
from neuralcodes.experiments.evaluate_layers import evaluate_layers
from neuralcodes.experiments.founding import evaluate_run, report_run, train_run
from neuralcodes.experiments.runfolder import RunFolder
from neuralcodes.networks.opened import OpenNetwork, open_network
from neuralcodes.networks.registry import get_network
from neuralcodes.networks.runtime import choose_runtime


def open_start(name: str, network: str | None = None) -> OpenNetwork:
    """The weights that a training starts with.

    Args:
        name: of a run folder or weights file.
        network: the network that shall be trained, if one was named.

    Raises:
        UserError: no such weights, weights of another network, or of one that is not ours to build.
    """
    start = open_network(name)
    if network is not None and network != start.kind.name:
        raise UserError(
            f"--network {network}: {name} holds weights of {start.kind.name}; leave --network out"
        )
    if start.classes < 1:
        raise UserError(f"--from {name}: a pretrained network of another library; only ours train")
    return start


def retrain(configuration: Configuration, out: Path, resume: bool = False) -> RunFolder:
    """Train from given weights into the folder `out`, judge before and after, and report.

    Without given weights "before" is the network with the random weights that it starts with.

    Raises:
        UserError: whatever a user can mend (images, options, weights, disk).
    """
    prepared = prepare(configuration)
    run = train_run(configuration, prepared, out, resume)
    start = configuration.start or _untrained(configuration, prepared)

    def judge() -> None:
        judge_start(run, start, prepared, configuration.device)
        evaluate_run(run, prepared, configuration.device)
        report_run(run, prepared)

    Team.current().lead(judge)
    return run


def judge_start(
    run: RunFolder, start: OpenNetwork, prepared: Prepared, device: str = "auto"
) -> dict[str, ClassRetrieval]:
    """Judge the codes that a run started with, in fp32, and keep that in `before/`."""
    runtime = choose_runtime(device, "fp32")
    with TemporaryDirectory() as folder:
        found = evaluate_layers(start, prepared, runtime, Path(folder))
    for layer, retrieval in found.items():
        save_retrieval(run.before(layer), retrieval, prepared.split.ood.fingerprint())
    return found


def _untrained(configuration: Configuration, prepared: Prepared) -> OpenNetwork:
    kind = get_network(configuration.network)
    torch.manual_seed(configuration.recipe.seed * 1_000_003)  # as the training loop does
    return OpenNetwork.of("untrained", kind, kind.build(prepared.train_classes), 1)
