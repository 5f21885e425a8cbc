"""Put a run's network into the package, in half precision, as the network `shipped`.

    python tools/ship.py runs/modern-b --stages runs/modern-a runs/modern-b

Copies configuration and history of the training's stages to results/shipped/. Then run
`python benchmarks/shipped.py`, which measures the file and writes its figures and model card.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from neuralcodes.common.errors import UserError
from neuralcodes.common.files import read_json, write_json, write_text
from neuralcodes.networks.names import SHIPPED
from neuralcodes.networks.opened import WEIGHTS_FILE, open_network, save_network

PACKAGE = Path("src/neuralcodes/networks") / SHIPPED
RECORD = Path("results") / SHIPPED
LARGEST = 16_000_000  # bytes


def main() -> None:
    """Read the options and do it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="run folder or weights file")
    parser.add_argument("--stages", type=Path, nargs="+", required=True, help="in their order")
    options = parser.parse_args()
    PACKAGE.mkdir(exist_ok=True)
    file = PACKAGE / WEIGHTS_FILE
    save_network(file, open_network(options.run), half=True)
    if file.stat().st_size > LARGEST:
        raise UserError(f"{file}: {file.stat().st_size:,} bytes; at most {LARGEST:,} may ship")
    for number, stage in enumerate(options.stages, start=1):
        kept = RECORD / f"stage-{number}"
        kept.mkdir(parents=True, exist_ok=True)
        write_json(kept / "config.json", read_json(stage / "config.json"))
        write_text(kept / "history.csv", (stage / "history.csv").read_text(encoding="utf-8"))
    print(f"{file}: {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
