"""All products of codes with each other, at the rate of the machine.

The matrix is symmetric, so half of the products do. NumPy knows that. But the OpenBLAS in it goes
by a list of processors, and gives those that it does not know kernels for AVX2: on AMD's Zen 5 half
of what the processor can do with AVX-512. oneDNN, which PyTorch brings, asks the processor itself;
where that helps, the upper half is made by it, block by block.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

BLOCK = 512  # codes: smaller ones waste less on the diagonal, larger ones run faster
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
    from torch.nn.functional import linear

    starts = range(0, len(codes), BLOCK)
    with torch.inference_mode():
        # PyTorch complains about memory that it may not write to, as of a mapped file
        parts = (codes[at : at + BLOCK] for at in starts)
        owned = (part if part.flags.writeable else part.copy() for part in parts)
        blocks = [torch.from_numpy(part).to_mkldnn() for part in owned]
        for number, at in enumerate(starts):
            for other in range(number, len(blocks)):
                made = linear(blocks[number], blocks[other]).to_dense().numpy()
                if other == number:  # a product may round otherwise than its mirror image
                    made = np.triu(made) + np.triu(made, 1).T
                rows, columns = slice(at, at + BLOCK), slice(starts[other], starts[other] + BLOCK)
                out[rows, columns] = made
                out[columns, rows] = made.T


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
