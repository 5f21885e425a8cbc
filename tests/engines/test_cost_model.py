"""docs/scale.md says what the cost model says, and the model agrees with the package."""

from __future__ import annotations

from types import ModuleType

import pytest

from neuralcodes.index.milvus import MilvusIndex
from scripts import ROOT, load_script


@pytest.fixture(scope="module")
def model() -> ModuleType:
    return load_script("benchmarks/cost_model.py")


def test_the_docs_table_is_the_models(model: ModuleType) -> None:
    table = model.table(model.Inputs(), [1e6, 1e8, 1e9])
    assert table in (ROOT / "docs" / "scale.md").read_text(), "python benchmarks/cost_model.py"


def test_it_adds_up(model: ModuleType) -> None:
    given = model.Inputs(images=10**6, images_per_second=100, workers=10, worker_price=2)
    found = model.cost(given)
    assert found.extraction_hours == pytest.approx(10**6 / 1000 / 3600)
    assert found.extraction_price == pytest.approx(found.extraction_hours * 20)
    assert found.codes_bytes == 512 * 10**6
    assert found.milvus_bytes == MilvusIndex.server_bytes(10**6, 128)
    slow = model.cost(model.Inputs(images=10**6, read_bytes_per_second=1e6, workers=1))
    assert slow.extraction_hours == pytest.approx(10**6 / 10 / 3600)  # the store is the limit
