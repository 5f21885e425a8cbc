"""The founding experiment in small: handwritten digits, a small network, two minutes at most."""

from __future__ import annotations

import shutil
from pathlib import Path

from neuralcodes.common.errors import UserError
from neuralcodes.experiments.configuration import Configuration
from neuralcodes.experiments.founding import reproduce
from neuralcodes.experiments.runfolder import RunFolder
from neuralcodes.images.digits import TRAIN_CLASSES
from neuralcodes.training.recipe import Recipe

DEMO = Configuration(
    images="digits",
    train_classes=TRAIN_CLASSES,
    network="small",
    recipe=Recipe(learning_rate=1e-3, batch_size=32, max_epochs=30, patience=3, keep="best"),
    device="cpu",
    precision="fp32",
)


def run_demo(out: Path) -> RunFolder:
    """Run the demo into `out`, over an earlier demo if there is one.

    Raises:
        UserError: `out` holds something else.
    """
    run = RunFolder(out)
    if out.exists():
        if run.config_file.is_file() and run.read_config()["images"]["kind"] == "digits":
            shutil.rmtree(out)
        elif not out.is_dir() or any(out.iterdir()):
            raise UserError(f"{out}: holds something that is not a demo; give another --out")
    return reproduce(DEMO, out)
