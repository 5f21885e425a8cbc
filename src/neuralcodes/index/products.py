"""All products of codes with each other, at the rate of the machine.

The matrix is symmetric, so half of the products do. NumPy knows that. But the OpenBLAS in it goes
by a list of processors, and gives those that it does not know kernels for AVX2: on AMD's Zen 5 half
of what the processor can do with AVX-512. oneDNN, which PyTorch brings, asks the processor itself;
where that helps, the upper half is made by it, block by block.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from neuralcodes.common.machine import cpu_count

Floats = npt.NDArray[np.float32]

BLOCK = 256  # codes: smaller ones waste less on the diagonal, and run nearly as fast as larger ones
ENOUGH = 2**30  # multiplications below which the choice is not worth loading PyTorch
OF_AVX2 = {"Haswell", "Zen"}  # OpenBLAS's names of kernels without AVX-512


def products_of(codes: Floats, out: Floats) -> None:
    """Products of each code with each, symmetric to the bit.

    Args:
        codes: float32 n×d.
        out: float32 n×n, written to.
    """
    count, dims = codes.shape
    if count * count * dims >= ENOUGH and _onednn_is_faster():
        _by_onednn(codes, out)
    else:
        np.matmul(codes, codes.T, out=out)


def _by_onednn(codes: Floats, out: Floats) -> None:
    import torch
    from threadpoolctl import threadpool_limits
    from torch.nn.functional import linear

    def alone() -> None:
        """One thread a worker: none waits for another at the end of each product."""
        torch.get_num_threads()  # sets the number for this thread, so that it is not set later
        threadpool_limits(1, user_api="openmp")

    def pack(rows: slice) -> Any:
        # PyTorch complains about memory that it may not write to, as of a mapped file
        part = codes[rows] if codes.flags.writeable else codes[rows].copy()
        return torch.from_numpy(part).to_mkldnn()

    def multiply(one: int, other: int) -> None:
        with torch.inference_mode():
            made = linear(blocks[one], blocks[other]).to_dense().numpy()
        if other == one:  # a product may round otherwise than its mirror image
            made = np.triu(made) + np.triu(made, 1).T
        out[rows[one], rows[other]] = made
        out[rows[other], rows[one]] = made.T

    count = len(codes)
    rows = [slice(at, min(at + BLOCK, count)) for at in range(0, count, BLOCK)]
    pairs = [(one, other) for one in range(len(rows)) for other in range(one, len(rows))]
    with ThreadPoolExecutor(cpu_count(), initializer=alone) as pool:
        blocks = list(pool.map(pack, rows))
        for done in [pool.submit(multiply, *pair) for pair in pairs]:
            done.result()


@cache
def _onednn_is_faster() -> bool:
    """Whether this processor has AVX-512 and NumPy's OpenBLAS does not use it."""
    try:
        import torch
        from threadpoolctl import threadpool_info
    except ImportError:
        return False
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    if not torch.backends.mkldnn.is_available():
        return False
    kernels = {
        pool.get("architecture")
        for pool in threadpool_info()
        if pool["internal_api"] == "openblas" and "numpy" in pool["filepath"]
    }
    return bool(kernels) and kernels <= OF_AVX2
