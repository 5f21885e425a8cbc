from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from painted import lay_pictures, save_small

from neuralcodes.collection.collection import Collection


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small(tmp_path_factory.mktemp("network") / "small.safetensors")


@pytest.fixture(scope="session")
def code(network: Path) -> str:
    return f"{network}@L6"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Twelve pictures in three folders."""
    return lay_pictures(tmp_path / "pictures", 12)


@pytest.fixture
def make(tmp_path: Path, code: str) -> Iterator[Callable[..., Collection]]:
    """Make collections that are closed at the end."""
    made: list[Collection] = []

    def make(name: str = "collection", **options: object) -> Collection:
        made.append(Collection.create(tmp_path / name, code, device="cpu", **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for collection in made:
        collection.close()


@pytest.fixture
def collection(make: Callable[..., Collection], pictures: Path) -> Collection:
    """Holds `pictures`."""
    made = make()
    made.sync([pictures])
    return made
