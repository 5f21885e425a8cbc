"""Codes into a FiftyOne data set, its samples found by their files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from neuralcodes.collection.pictures import Pictures
from neuralcodes.collection.results import ImageRecord
from neuralcodes.collection.store import Store
from neuralcodes.collection.tables import codes_of
from neuralcodes.common.errors import UserError

BATCH = 4096


def give_codes(
    store: Store,
    records: Iterable[ImageRecord],
    pictures: Pictures,
    dataset: Any,
    field: str,
    brain_key: str | None,
) -> int:
    """Set a field of samples to their codes; see `OpenCollection.to_fiftyone`."""
    samples: dict[str, list[Any]] = {}
    for sample, path in zip(dataset.values("id"), dataset.values("filepath"), strict=True):
        samples.setdefault(os.path.realpath(path), []).append(sample)
    wanted = []
    for record in records:
        place = os.path.realpath(os.fsdecode(pictures.path(record.place)))
        if not record.member and place in samples:
            wanted.append((record, samples[place]))
    if not wanted:
        raise UserError(f"{store.path}: no image of it is a file of this FiftyOne data set")
    given = []
    for start in range(0, len(wanted), BATCH):
        part = wanted[start : start + BATCH]
        codes = codes_of(store, [record for record, _ in part])
        values = {
            sample: code for (_, found), code in zip(part, codes, strict=True) for sample in found
        }
        dataset.set_values(field, values, key_field="id")
        given += list(values)
    if brain_key is not None:
        _brain().compute_similarity(
            dataset.select(given), embeddings=field, brain_key=brain_key, metric="euclidean"
        )
    return len(given)


def _brain() -> Any:
    try:
        import fiftyone.brain
    except ModuleNotFoundError:
        raise UserError("fiftyone is not installed: pip install fiftyone") from None
    return fiftyone.brain
