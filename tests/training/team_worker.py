"""One process of several that train together; started by torchrun."""

from __future__ import annotations

import os
import signal
import sys
from itertools import count
from pathlib import Path

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from training_worker import result, train_digits

from neuralcodes.common.errors import UserError
from neuralcodes.common.files import read_json, write_json
from neuralcodes.common.team import Team, end_of_team, start_team
from neuralcodes.training.augmentation import Augmentation


def main(folder: Path) -> None:
    options = read_json(folder / "options.json")
    die = options.pop("die", None)
    if "augmentation" in options:
        options["augmentation"] = Augmentation(**options["augmentation"])
    torch.set_num_threads(1)
    team, _ = start_team("cpu")
    if die is not None and "after_steps" in die:
        if team.rank == die["rank"]:
            _die_after(die["after_steps"])
    elif die is not None and team.rank == die["rank"]:

        def watch(event: str, args: tuple[object, ...]) -> None:
            if event == "os.rename" and die["at"] in str(args):
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        if die["rank"]:  # it writes nothing: it dies when it sees the checkpoint to come

            def epoch_began(event: str, args: tuple[object, ...]) -> None:
                if (folder / "checkpoints" / die["at"]).exists():
                    os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(epoch_began)
    trained = train_digits(folder, **options)
    if Team.current().leads:
        weights = {name: value.tolist() for name, value in trained.network.state_dict().items()}
        write_json(folder / "result.json", {**result(trained), "tensors": weights})


def _die_after(steps: int) -> None:
    taken = count(1)

    def step(*_: object) -> None:
        if next(taken) == steps:
            os.kill(os.getpid(), signal.SIGKILL)

    register_optimizer_step_post_hook(step)


if __name__ == "__main__":
    status = 0
    try:
        main(Path(sys.argv[1]))
    except UserError as error:
        print(f"neuralcodes: {error}", file=sys.stderr)
        status = 2
    end_of_team(status)
    sys.exit(status)
