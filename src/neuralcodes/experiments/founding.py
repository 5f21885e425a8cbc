"""The founding experiment: train, evaluate the classifier and the codes, report.

Its parts run one by one (`train_run`, `evaluate_run`, `report_run`) or all (`reproduce`); each
leaves its results in the run folder, where the next finds them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from neuralcodes.common.errors import UserError
from neuralcodes.common.files import read_json, write_json
from neuralcodes.common.team import Team
from neuralcodes.evaluation.class_retrieval import ClassRetrieval
from neuralcodes.evaluation.score import or_null
from neuralcodes.evaluation.stored import load_retrieval, save_retrieval
from neuralcodes.experiments.configuration import Configuration, Prepared, describe, prepare
from neuralcodes.experiments.evaluate_layers import evaluate_layers
from neuralcodes.experiments.fitted_code import refit_code
from neuralcodes.experiments.runfolder import RunFolder
from neuralcodes.images.tinyimagenet import CLASSES
from neuralcodes.networks.opened import OpenNetwork, open_network, save_network
from neuralcodes.networks.registry import get_network
from neuralcodes.networks.runtime import Runtime, choose_runtime
from neuralcodes.networks.summary import layer_table
from neuralcodes.reports.content import Comparison, RunContent
from neuralcodes.reports.figures import write_history_figure
from neuralcodes.reports.page import write_report
from neuralcodes.reports.retraining import changes, comparable
from neuralcodes.reports.unlabelled import write_unlabelled_report
from neuralcodes.training.batches import Batches
from neuralcodes.training.checkpoint import checkpoint_config
from neuralcodes.training.classification import ClassifierScore, evaluate_classifier
from neuralcodes.training.history import History, read_history, write_history
from neuralcodes.training.loop import train

CLASSIFIED = ("train", "val", "test")

REFERENCE = Comparison(
    name="founding experiment",
    test_accuracy=0.33,
    test_top5=0.60,
    mean_average_precision={"L5": 0.292, "L6": 0.322, "L7": 0.346},
)


@dataclass(frozen=True)
class Reached:
    """A run's results.

    Attributes:
        classification: the classifier's by split; empty without classes.
        retrievals: the codes' by layer.
        before: those of the weights that the run started with, where they were judged.
    """

    classification: dict[str, ClassifierScore]
    retrievals: dict[str, ClassRetrieval]
    before: dict[str, ClassRetrieval]


def reproduce(configuration: Configuration, out: Path, resume: bool = False) -> RunFolder:
    """Run the whole experiment into the folder `out`.

    Raises:
        UserError: whatever a user can mend (images, options, disk).
    """
    prepared = prepare(configuration)
    run = train_run(configuration, prepared, out, resume)
    evaluate_run(run, prepared, configuration.device)
    Team.current().lead(partial(report_run, run, prepared))
    return run


def train_run(
    configuration: Configuration, prepared: Prepared, out: Path, resume: bool = False
) -> RunFolder:
    """Train, and leave configuration, history and weights in the run folder.

    In a team (`common.team`) all ranks train and the first one writes.
    """
    run, team = RunFolder(out), Team.current()
    precision = configuration.precision
    started = checkpoint_config(run.checkpoints) if resume else None
    if started is not None and precision == "auto":
        precision = started["precision"]  # a measurement might come out otherwise this time
    runtime = choose_runtime(configuration.device, precision)
    runtime = replace(runtime, precision=team.share(runtime.precision))  # measured by each
    config = describe(prepared, configuration, runtime)
    team.lead(partial(run.write_config, config, resume))
    team.lead(partial(run.metrics_file.unlink, missing_ok=True))  # until the run is whole again
    kind = get_network(configuration.network)
    trained = train(
        kind,
        prepared.train_classes,
        prepared.split.train,
        prepared.split.val,
        configuration.recipe,
        runtime,
        run.checkpoints,
        resume=resume,
        start=configuration.start,
        after_epoch=partial(_record_history, run),
    )

    def finish() -> None:
        network = OpenNetwork.of(str(out), kind, trained.network, prepared.train_classes)
        if configuration.recipe.fit_code:
            network = refit_code(network, prepared.split.train, runtime)
        save_network(run.weights_file, network)
        write_json(run.training_file, {
            "epochs": len(trained.history),
            "kept_epoch": trained.kept_epoch,
            "stopped_because": trained.stopped_because,
            "weights": network.weights,
        })  # fmt: skip

    team.lead(finish)
    return run


def _record_history(run: RunFolder, history: History) -> None:
    write_history(run.history_file, history)
    write_history_figure(run.figures, history)


def evaluate_run(
    run: RunFolder, prepared: Prepared, device: str = "auto", precision: str = "fp32"
) -> Reached:
    """Score classifier and codes of a trained run; `metrics.json` is written last."""
    team = Team.current()
    _require_same_images(run, prepared)
    team.lead(partial(run.metrics_file.unlink, missing_ok=True))
    runtime = choose_runtime(device, precision)  # type: ignore[arg-type]
    network = open_network(str(run.path))
    labelled = prepared.labelled
    classification = _score_classifier(network, prepared, runtime) if labelled else {}
    retrievals = evaluate_layers(network, prepared, runtime, run.codes)
    reached = Reached(classification, retrievals, _before(run, retrievals))

    def write() -> None:
        for layer, found in retrievals.items():
            save_retrieval(run.retrieval(layer), found, prepared.split.ood.fingerprint())
        write_json(run.metrics_file, _metrics(run, reached))

    team.lead(write)
    return reached


def report_run(run: RunFolder, prepared: Prepared) -> Path:
    """Make the report page and its figures from what the run folder holds."""
    _require_same_images(run, prepared)
    if not run.metrics_file.is_file():
        raise UserError(f"{run.path}: not evaluated yet; run: neuralcodes evaluate {run.path}")
    config, metrics = run.read_config(), read_json(run.metrics_file)
    kind = get_network(config["network"])
    ended = read_json(run.training_file)
    retrievals = {layer: load_retrieval(run.retrieval(layer)) for layer in metrics["map"]}
    content = RunContent(
        config=config,
        history=read_history(run.history_file),
        stopped_because=ended["stopped_because"],
        kept_epoch=ended["kept_epoch"],
        classification={n: ClassifierScore(**v) for n, v in metrics["splits"].items()},
        retrievals=retrievals,
        split=prepared.split,
        layers=layer_table(kind.build(config["train_classes"]), kind.input_size, kind.layers),
        comparison=_comparison(config),
        before=_before(run, retrievals),
    )
    write = write_report if prepared.labelled else write_unlabelled_report
    return write(run.path, content)


def _comparison(config: dict[str, Any]) -> Comparison | None:
    """The reference figures, for a run on the reference's own images and network."""
    images = config["images"]
    whole = images["kind"] == "tiny-imagenet" and images["classes"] == CLASSES
    return REFERENCE if whole and config["network"] == "reference" else None


def _score_classifier(
    network: OpenNetwork, prepared: Prepared, runtime: Runtime
) -> dict[str, ClassifierScore]:
    module = runtime.place(network.module)
    parts = prepared.split.named()
    return {
        name: evaluate_classifier(module, Batches(parts[name], network.kind, runtime), name)
        for name in CLASSIFIED
    }


def _before(run: RunFolder, after: dict[str, ClassRetrieval]) -> dict[str, ClassRetrieval]:
    """What the run's start reached, of layers that can be compared with the run's own."""
    kept = {layer: run.before(layer) for layer in after if run.before(layer).is_file()}
    found = {layer: load_retrieval(path) for layer, path in kept.items()}
    return {layer: value for layer, value in found.items() if comparable(value, after[layer])}


def _metrics(run: RunFolder, reached: Reached) -> dict[str, Any]:
    ended = read_json(run.training_file)
    metrics = {
        "splits": {name: score.to_json() for name, score in reached.classification.items()},
        **_means(reached.retrievals),
        "codes": {layer: r.spec.to_json() for layer, r in reached.retrievals.items()},
        "epochs": ended["epochs"],
        "kept_epoch": ended["kept_epoch"],
        "stopped_because": ended["stopped_because"],
    }
    if reached.before:
        found = changes(reached.before, reached.retrievals)
        metrics["before"] = {
            **_means(reached.before),
            "codes": {layer: r.spec.to_json() for layer, r in reached.before.items()},
        }
        metrics["change"] = {change.alias: change.difference.to_json() for change in found}
    return metrics


def _means(retrievals: dict[str, ClassRetrieval]) -> dict[str, Any]:
    scores = {layer: r.average_precision for layer, r in retrievals.items()}
    intervals = {layer: score.interval() for layer, score in scores.items()}
    return {
        "map": {layer: or_null(score.mean) for layer, score in scores.items()},
        "map_low": {layer: or_null(low) for layer, (low, _) in intervals.items()},
        "map_high": {layer: or_null(high) for layer, (_, high) in intervals.items()},
    }


def _require_same_images(run: RunFolder, prepared: Prepared) -> None:
    if not run.weights_file.is_file():
        run.read_config()
        raise UserError(f"{run.path}: not trained yet; run: neuralcodes train --out {run.path}")
    recorded = run.read_config()["images"]["fingerprint"]
    if recorded != prepared.images.fingerprint():
        raise UserError(
            f"--data: not the images that {run.path} was trained on "
            f"(they were {run.read_config()['images']['source']}); give their place"
        )


def reopen(path: Path, data: Path | None) -> tuple[RunFolder, Prepared]:
    """A run folder and its images, split as they were when it was trained.

    Raises:
        UserError: not a run folder, or the images are not at hand.
    """
    run = RunFolder(path)
    config = run.read_config()
    images = config["images"]
    configuration = Configuration(
        data=data,
        images=images["kind"],
        classes=images["classes"] or None,
        train_classes=config["train_classes"],
        labels=config.get("labels", "folder"),
        network=config["network"],
    )
    return run, prepare(configuration)
