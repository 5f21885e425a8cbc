"""Codes into FiftyOne, against a STAND-IN: FiftyOne (with its database) is not installed here.

`Samples` has the few methods of `fiftyone.Dataset` that are used, with the signatures of
FiftyOne 1.x. What these tests show is that the right samples get the right codes by these calls,
not that FiftyOne takes them; the last test does that where FiftyOne is installed.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuralcodes.collection.collection import Collection
from neuralcodes.common.errors import UserError


class Samples:
    """The stand-in."""

    def __init__(self, paths: list[str]) -> None:
        self.fields: dict[str, list[Any]] = {
            "id": [f"sample{number}" for number in range(len(paths))],
            "filepath": paths,
        }

    def values(self, field: str) -> list[Any]:
        return list(self.fields[field])

    def set_values(self, field: str, values: dict[str, Any], key_field: str) -> None:
        column = self.fields.setdefault(field, [None] * len(self.fields["id"]))
        for row, key in enumerate(self.fields[key_field]):
            if key in values:
                column[row] = values[key]

    def select(self, ids: list[str]) -> list[str]:
        return ids


def test_samples_get_their_files_codes(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [image.path for image in collection.images()]
    (tmp_path / "link.jpg").symlink_to(files[4])
    samples = Samples([*files[::-1], str(tmp_path / "other.jpg"), str(tmp_path / "link.jpg")])
    monkeypatch.setattr("neuralcodes.collection.fiftyone.BATCH", 5)
    assert collection.to_fiftyone(samples) == 13
    codes = samples.values("neuralcode")
    wanted = collection.codes([image.id for image in collection.images()])
    np.testing.assert_array_equal(np.stack(codes[:12]), wanted[::-1])
    assert codes[12] is None
    np.testing.assert_array_equal(codes[13], wanted[4])


def test_similarity_is_indexed_over_those_with_a_code(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    brain = types.ModuleType("fiftyone.brain")
    brain.compute_similarity = lambda view, **how: asked.update(view=view, **how)  # type: ignore[attr-defined]
    package = types.ModuleType("fiftyone")
    package.brain = brain  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fiftyone", package)
    monkeypatch.setitem(sys.modules, "fiftyone.brain", brain)
    first = next(collection.images())
    samples = Samples(["elsewhere.jpg", first.path])
    assert collection.to_fiftyone(samples, "look", brain_key="alike") == 1
    assert asked == {
        "view": ["sample1"], "embeddings": "look", "brain_key": "alike", "metric": "euclidean",
    }  # fmt: skip


def test_no_file_in_common(collection: Collection) -> None:
    with pytest.raises(UserError, match="no image of it is a file"):
        collection.to_fiftyone(Samples(["elsewhere.jpg"]))


def test_with_fiftyone_itself(collection: Collection) -> None:
    fiftyone = pytest.importorskip("fiftyone", reason="needs FiftyOne")
    samples = fiftyone.Dataset()
    samples.add_samples([fiftyone.Sample(filepath=i.path) for i in collection.images()])
    assert collection.to_fiftyone(samples) == 12
    codes = np.stack(samples.values("neuralcode"))
    ids = [image.id for image in collection.images()]
    np.testing.assert_array_equal(codes, collection.codes(ids))
