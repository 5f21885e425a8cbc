"""Work over many images on all cores, in blocks, with one progress bar."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from neuralcodes.common.machine import cpu_count
from neuralcodes.common.progress import progress


def over_blocks(count: int, block: int, work: Callable[[range], None], what: str) -> None:
    """Call `work` with consecutive ranges of at most `block` rows that make up 0…count.

    Threads: reading, checksums and decoders let go of the interpreter lock. The first error ends
    the rest after the blocks in flight and is raised here.
    """
    ranges = [range(start, min(start + block, count)) for start in range(0, count, block)]
    pool = ThreadPoolExecutor(cpu_count())
    try:
        with progress(count, what) as bar:
            for rows, _ in zip(ranges, pool.map(work, ranges), strict=True):
                bar.update(len(rows))
    finally:
        pool.shutdown(cancel_futures=True)
