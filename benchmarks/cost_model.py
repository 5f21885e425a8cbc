"""What a collection of so many images takes: time, room, memory and money.

    python benchmarks/cost_model.py [--images 1e8] [--set NAME=VALUE …]

Every input is a line of `INPUTS` with its source; measure your own and give them with --set. No
price is ours: those here are examples, to be replaced by what you pay.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields, replace

from neuralcodes.index.choose import choose_index
from neuralcodes.index.milvus import MilvusIndex

GB = 1e9


@dataclass(frozen=True)
class Inputs:
    """What the model is fed with."""

    images: float = 1e6
    image_bytes: float = 100_000  # a JPEG of half a megapixel; Tiny ImageNet's are 2,000
    dims: float = 128  # of the shipped code
    number_bytes: float = 4  # of a stored number; 1 with int8, 2 with float16
    row_bytes: float = 388  # of the database, an image: path, hash, facts (docs/storage.md)
    images_per_second: float = 300  # of one worker, read and computed; measure yours
    worker_price: float = 1.0  # an hour of one worker
    read_bytes_per_second: float = 50e6  # of one worker from the object store
    index_codes_per_second: float = 600  # written to Milvus by one client (engines.json)
    memory_price: float = 4.0  # a month of 1 GB of memory in use
    disk_price: float = 0.1  # a month of 1 GB of disk
    workers: float = 8


@dataclass(frozen=True)
class Cost:
    """What comes out; bytes, hours, and money in the unit of the prices."""

    source_bytes: float
    codes_bytes: float
    database_bytes: float
    local_index: str
    local_index_bytes: float
    milvus_index: str
    milvus_bytes: float
    writer_bytes: float
    extraction_hours: float
    indexing_hours: float
    extraction_price: float
    month_price: float


def cost(given: Inputs) -> Cost:
    """Work it out."""
    count, dims = int(given.images), int(given.dims)
    codes = count * dims * given.number_bytes
    database = count * given.row_bytes
    local = choose_index(count, dims, memory=2**62)
    server = MilvusIndex.server_bytes(count, dims)
    rate = min(given.images_per_second, given.read_bytes_per_second / given.image_bytes)
    hours = count / (rate * given.workers) / 3600
    # the writer and every searching process hold ids, a mask, and Milvus's list of ids
    writer = count * (8 + 8 + 1)
    return Cost(
        source_bytes=count * given.image_bytes,
        codes_bytes=codes,
        database_bytes=database,
        local_index=local.backend,
        local_index_bytes=local.bytes,
        milvus_index=MilvusIndex.suggest(count, dims).kind,
        milvus_bytes=server,
        writer_bytes=writer,
        extraction_hours=hours,
        indexing_hours=count / given.index_codes_per_second / 3600,
        extraction_price=hours * given.workers * given.worker_price,
        month_price=server / GB * given.memory_price
        + (codes + database + 2 * codes) / GB * given.disk_price,
    )


def table(given: Inputs, counts: list[float]) -> str:
    """One column a count, as Markdown."""
    found = [cost(replace(given, images=count)) for count in counts]
    rows = [["", *(f"{count:,.0f}" for count in counts)]]
    rows.append(["---", *("---:" for _ in counts)])
    for field in fields(Cost):
        values = [getattr(one, field.name) for one in found]
        name = field.name.replace("_bytes", " (GB)").replace("_", " ")
        if field.name.endswith("_bytes"):
            values = [f"{value / GB:,.2f}" for value in values]
        elif isinstance(values[0], float):
            values = [f"{value:,.1f}" for value in values]
        rows.append([name, *map(str, values)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=float, nargs="+", default=[1e6, 1e8, 1e9])
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args()
    values = {name: float(value) for name, _, value in (one.partition("=") for one in given.set)}
    print(table(replace(Inputs(), **values), given.images))


if __name__ == "__main__":
    main()
