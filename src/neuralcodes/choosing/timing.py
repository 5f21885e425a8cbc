"""How long a collection takes to search codes that are stored in a certain way."""

from __future__ import annotations

import time

import numpy as np

from neuralcodes.choosing.grid import Chain
from neuralcodes.codes.transforms.base import Quantiser, unit_length
from neuralcodes.codes.transforms.registry import get_transform
from neuralcodes.codes.transforms.rows import StoredRows
from neuralcodes.codes.transforms.training import Training
from neuralcodes.index.backend import get_backend
from neuralcodes.index.scan import ScanIndex

TIMED = 30  # queries, one at a time
NEAREST = 10
LEARNED_FROM = 1024  # random codes; what a quantiser learns does not change how long it takes


def stored_by(chain: Chain) -> str:
    """The name of the quantiser that a chain ends in, "" where it ends in none."""
    return chain[-1] if chain and get_transform(chain[-1])[0].is_quantiser else ""


def search_milliseconds(dims: int, images: int, quantiser: str = "") -> float:
    """Time of an exact search for one query among so many codes, on this machine.

    It depends on how codes are stored alone, and so is measured on random ones, laid out as a
    collection keeps them: float32, or a quantiser's bytes (which exact search multiplies as they
    lie, or, where they are few, decodes once for all queries). The fastest of some tries: other
    work on the machine can only add.

    Args:
        dims: length of the codes as they are searched.
        images: how many codes.
        quantiser: what stores them, by name; "" for float32.

    Returns:
        Milliseconds a query.

    Raises:
        UserError: a quantiser that codes of this length do not allow.
    """
    generator = np.random.default_rng(0)
    codes = unit_length(generator.standard_normal((images, dims), dtype=np.float32))
    index = ScanIndex(dims, get_backend("exact").parameters_kind())
    queries = codes[generator.permutation(images)[:TIMED]]
    if quantiser:
        kind, number = get_transform(quantiser)
        some = generator.standard_normal((LEARNED_FROM, dims), dtype=np.float32)
        fitted = kind.fit(Training(unit_length(some)), number)
        assert isinstance(fitted, Quantiser)
        queries = fitted.query(queries)
        index.add(StoredRows(fitted.encode(codes), fitted, dims), np.arange(images))
        del codes
    else:
        index.add(codes, np.arange(images))
    times = []
    for number in range(TIMED):
        query = queries[number % len(queries)][None]
        start = time.perf_counter()
        index.search(query, NEAREST)
        times.append(time.perf_counter() - start)
    return min(times) * 1e3
