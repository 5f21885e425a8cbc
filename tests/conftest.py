"""Shared by all tests: a cache of their own, and the data sets where the machine has them."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

# A busy machine is no failure.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing that a test decodes lands in the user's cache (a shared one can be set for speed)."""
    os.environ.setdefault("NEURALCODES_CACHE", str(tmp_path_factory.mktemp("cache")))


def _place(variable: str, what: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"needs {what}: set {variable} to its place")
    return Path(value)


@pytest.fixture(scope="session")
def tiny_imagenet_path() -> Path:
    return _place("NEURALCODES_TINY_IMAGENET", "Tiny ImageNet")


@pytest.fixture(scope="session")
def caltech_path() -> Path:
    return _place("NEURALCODES_CALTECH", "the Caltech-101 photographs (a zip file)")
