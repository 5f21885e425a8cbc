"""Put a run's network into the package, in half precision, as the network `shipped`.

    python tools/ship.py runs/modern-c runs/modern-e --stages runs/modern-a runs/modern-c …
        [--fit-code] [--data DIR]

Of several runs that began with one another's weights it takes the mean of their weights, which
finds more than each of them (Wortsman et al., "Model soups", ICML 2022); a run named twice counts
twice. With `--fit-code` the code is fitted anew to images of the training classes
(`experiments/fitted_code.py`). Copies configuration and history of the training's stages to
results/shipped/. Then run `python benchmarks/shipped.py`, which measures the file and writes its
figures and card.
"""

from __future__ import annotations

import argparse
import copy
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from neuralcodes.common.errors import UserError
from neuralcodes.common.files import read_json, write_json, write_text
from neuralcodes.experiments.configuration import Configuration, prepare
from neuralcodes.experiments.fitted_code import refit_code
from neuralcodes.networks.names import SHIPPED
from neuralcodes.networks.opened import WEIGHTS_FILE, OpenNetwork, open_network, save_network
from neuralcodes.networks.runtime import choose_runtime

PACKAGE = Path("src/neuralcodes/networks") / SHIPPED
RECORD = Path("results") / SHIPPED
LARGEST = 16_000_000  # bytes


def main() -> None:
    """Read the options and do it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", help="run folders or weights files")
    parser.add_argument("--stages", type=Path, nargs="+", required=True, help="in their order")
    parser.add_argument("--fit-code", action="store_true", help="fit the code layer anew")
    parser.add_argument("--data", type=Path, default=os.environ.get("NEURALCODES_TINY_IMAGENET"))
    options = parser.parse_args()
    PACKAGE.mkdir(exist_ok=True)
    file = PACKAGE / WEIGHTS_FILE
    made = mean_of([open_network(run) for run in options.runs])
    if options.fit_code:
        train = prepare(Configuration(data=options.data, network=made.kind.name)).split.train
        made = refit_code(made, train, choose_runtime("cpu", "fp32"))
    save_network(file, made, half=True)
    if file.stat().st_size > LARGEST:
        raise UserError(f"{file}: {file.stat().st_size:,} bytes; at most {LARGEST:,} may ship")
    names = [Path(run).name.removesuffix(".safetensors") for run in options.runs]
    stages = [stage.resolve().name for stage in options.stages]  # what starts are named by
    write_json(RECORD / "mean.json", {"of": names, "stages": stages})
    for number, stage in enumerate(options.stages, start=1):
        kept = RECORD / f"stage-{number}"
        kept.mkdir(parents=True, exist_ok=True)
        write_json(kept / "config.json", read_json(stage / "config.json"))
        write_text(kept / "history.csv", (stage / "history.csv").read_text(encoding="utf-8"))
    for kept in RECORD.glob("stage-*"):  # of a longer list before
        if int(kept.name.split("-")[1]) > len(stages):
            shutil.rmtree(kept)
    print(f"{file}: {file.stat().st_size:,} bytes")


def mean_of(networks: Sequence[OpenNetwork]) -> OpenNetwork:
    """The network whose weights and statistics are the mean of theirs.

    Raises:
        UserError: they are not of one kind.
    """
    first = networks[0]
    if any((n.kind.name, n.classes) != (first.kind.name, first.classes) for n in networks):
        raise UserError(f"{', '.join(n.name for n in networks)}: not one network and its classes")
    states = [network.module.state_dict() for network in networks]
    mean = {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(value.dtype)
        for name, value in states[0].items()
    }
    module = copy.deepcopy(first.module)
    module.load_state_dict(mean)
    return OpenNetwork.of(first.name, first.kind, module, first.classes)


if __name__ == "__main__":
    main()
