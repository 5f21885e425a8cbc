from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "collection"))  # its painted pictures

from painted import lay_pictures, save_small
from serving import Running, in_process
from starlette.testclient import TestClient

from neuralcodes.collection.collection import Collection
from neuralcodes.serve.settings import Settings


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"{save_small(tmp_path_factory.mktemp('network') / 'small.safetensors')}@L6"


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serve-cache")


@pytest.fixture
def place(tmp_path: Path, code: str) -> Path:
    """A collection's folder; it holds 30 pictures in three folders."""
    pictures = lay_pictures(tmp_path / "pictures", 30)
    with Collection.create(tmp_path / "made.nc", code, device="cpu") as made:
        made.sync([pictures])
    return tmp_path / "made.nc"


@pytest.fixture
def collection(place: Path) -> Iterator[Collection]:
    with Collection.open(place, device="cpu") as opened:
        yield opened


@pytest.fixture
def settings(cache: Path) -> Settings:
    return Settings(cache=cache, decoders=1)


@pytest.fixture
def client(collection: Collection, settings: Settings) -> Iterator[TestClient]:
    """The application in this process."""
    with in_process(collection, settings) as client:
        yield client


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, code: str) -> Iterator[Running]:
    """A server process for all tests that leave its collection as it is."""
    folder = tmp_path_factory.mktemp("served")
    with Collection.create(folder / "made.nc", code, device="cpu") as made:
        made.sync([lay_pictures(folder / "pictures", 30)])
    running = Running(folder / "made.nc")
    yield running
    running.stop()
