"""The notebook runs from top to bottom on a slice, and is stored with the full run's outputs."""

import copy
from pathlib import Path

import nbclient
import nbformat
import pytest

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "founding_experiment.ipynb"


@pytest.fixture(scope="module")
def stored():
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.mark.slow
def test_it_runs_on_a_slice(stored, tiny_imagenet_path, tmp_path, monkeypatch):
    monkeypatch.setenv("NEURALCODES_RUN", str(tmp_path / "run"))
    monkeypatch.setenv("NEURALCODES_CLASSES", "4")
    monkeypatch.setenv("NEURALCODES_EPOCHS", "1")
    notebook = copy.deepcopy(stored)
    nbclient.NotebookClient(notebook, timeout=280, kernel_name="python3").execute()
    text = all_text(notebook)
    assert "{'train': 800, 'val': 100, 'test': 100, 'ood': 1000}" in text
    assert text.count("values, mAP") == 3
    assert pictures(notebook) == pictures(stored) == 5


def test_it_is_stored_with_the_outputs_of_the_full_run(stored):
    text = all_text(stored)
    assert "{'train': 76000, 'val': 9500, 'test': 9500, 'ood': 5000}" in text
    assert "40,516,382" in text
    assert text.count("values, mAP") == 3
    assert not [
        o for cell in stored.cells for o in cell.get("outputs", []) if o.get("name") == "stderr"
    ]


def all_outputs(notebook):
    return [o for cell in notebook.cells for o in cell.get("outputs", [])]


def all_text(notebook):
    return "".join(o.text for o in all_outputs(notebook) if o.get("name") == "stdout")


def pictures(notebook):
    return sum("image/png" in o.get("data", {}) for o in all_outputs(notebook))
