"""A run folder's files, their names and their order.

`config.json` is written first; then come `checkpoints/`, `history.csv`, `weights.safetensors`,
`training.json`, `codes/`, `retrieval/` and, last of the results, `metrics.json`: a folder that has
it is a whole run. `figures/` and `report.html` are made from the results, at any time again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuralcodes.codes.spec import parse_code
from neuralcodes.common.errors import UserError
from neuralcodes.common.files import read_json, write_json
from neuralcodes.networks.names import WEIGHTS_FILE


@dataclass(frozen=True)
class RunFolder:
    """Paths below one run's folder."""

    path: Path

    @property
    def config_file(self) -> Path:
        """Everything that is needed to repeat the run."""
        return self.path / "config.json"

    @property
    def metrics_file(self) -> Path:
        """The run's figures; there only when the run is whole."""
        return self.path / "metrics.json"

    @property
    def history_file(self) -> Path:
        """Figures per epoch."""
        return self.path / "history.csv"

    @property
    def weights_file(self) -> Path:
        """The weights that are evaluated."""
        return self.path / WEIGHTS_FILE

    @property
    def training_file(self) -> Path:
        """How the training ended."""
        return self.path / "training.json"

    @property
    def figures(self) -> Path:
        """Figures as PNG files."""
        return self.path / "figures"

    @property
    def checkpoints(self) -> Path:
        """One checkpoint an epoch."""
        return self.path / "checkpoints"

    @property
    def codes(self) -> Path:
        """The out-of-domain images' codes, LAYER.npy and LAYER.json."""
        return self.path / "codes"

    def retrieval(self, layer: str) -> Path:
        """What the codes of a layer reached."""
        return self.path / "retrieval" / f"{layer}.json"

    def before(self, layer: str) -> Path:
        """What the codes of a layer reached with the weights that the run started with."""
        return self.path / "before" / f"{layer}.json"

    def read_config(self) -> dict[str, Any]:
        """The configuration.

        Raises:
            UserError: not a run folder.
        """
        if not self.path.is_dir():
            raise UserError(f"{self.path}: no such run folder")
        if not self.config_file.is_file():
            raise UserError(f"{self.path}: not a run folder (it has no config.json)")
        config = read_json(self.config_file)
        if not isinstance(config, dict):
            raise UserError(f"{self.config_file}: not a run's configuration")
        return config

    def write_config(self, config: dict[str, Any], resume: bool) -> None:
        """Write the configuration of a new run; a resumed one must have the same.

        Raises:
            UserError: the folder holds another run.
        """
        if self.config_file.is_file():
            if not resume:
                raise UserError(
                    f"{self.path}: holds a run already; give --resume to go on with it or another "
                    "--out"
                )
            _require_same(self.path, self.read_config(), config)
        write_json(self.config_file, config)


def codes_path(target: Path) -> Path:
    """Where codes lie that are given as a path or as RUN@LAYER.

    Raises:
        UserError: a folder, which may hold several.
    """
    if target.is_dir():
        raise UserError(f"{target}: a folder; give codes, for instance {target}@L6 of a run")
    if "@" not in target.name or target.with_name(target.name + ".json").is_file():
        return target
    request = parse_code(str(target))
    return RunFolder(Path(request.network)).codes / (request.layer or "")


def _require_same(path: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    for key in ("network", "train_classes"):
        if old.get(key) != new[key]:
            raise UserError(
                f"{path}: that run has {key} {old.get(key)}, asked for {new[key]}; "
                "give another --out"
            )
    if old["images"]["fingerprint"] != new["images"]["fingerprint"]:
        raise UserError(
            f"{path}: that run has other images ({old['images']['source']}); give their place "
            "with --data, or another --out"
        )
