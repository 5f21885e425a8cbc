"""How fast this machine is at our work, beside its own limit and the libraries that are here.

Everything needed is in the package: random pictures, random weights of the real networks, random
codes in clusters. Contestants take turns, so that only ratios count; the benchmarks against peers
that are not installed with us are in the repository's `benchmarks/`.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuralcodes.common.errors import UserError
from neuralcodes.common.machine import cpu_count, describe_machine, versions
from neuralcodes.common.racing import Ratio, race

SEED = 0
PICTURES = 400
DIMS = 128
K = 10


@dataclass(frozen=True)
class Row:
    """One piece of work.

    Attributes:
        name: what was done.
        rate: how much of it a second, and of what.
        unit: of the rate.
        peers: ours over others in speed.
    """

    name: str
    rate: float
    unit: str
    peers: dict[str, Ratio]

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "name": self.name,
            "rate": self.rate,
            "unit": self.unit,
            "peers": {
                name: {"ratio": r.median, "low": r.low, "high": r.high}
                for name, r in self.peers.items()
            },
        }


def bench(rounds: int = 5, codes: int = 50_000, only: str = "") -> dict[str, Any]:
    """Race all rows, or one.

    Args:
        rounds: that are counted of each row.
        codes: in the search row.
        only: name of a row; all when empty.

    Returns:
        "machine" and "rows", JSON-ready.

    Raises:
        UserError: no such row, or a number below 1.
    """
    if rounds < 1 or codes < 1000:
        raise UserError("--rounds: give at least 1, and --codes at least 1,000")
    rows: dict[str, Callable[[int, int], Row]] = {
        "decode": _decode, "forward": _forward, "search": _search,
    }  # fmt: skip
    if only and only not in rows:
        raise UserError(f"--only {only}: choose {', '.join(rows)}")
    wanted = [only] if only else list(rows)
    return {
        "machine": {**describe_machine(), "versions": versions()},
        "rows": [rows[name](rounds, codes).to_json() for name in wanted],
    }


def _decode(rounds: int, _codes: int) -> Row:
    """JPEG files of 64×64 to pixels, on all cores, against Pillow in a loop."""
    from PIL import Image

    from neuralcodes.images.decode import decode

    generator = np.random.default_rng(SEED)
    files = []
    for _ in range(PICTURES):
        small = Image.fromarray(generator.integers(0, 256, size=(8, 8, 3), dtype=np.uint8))
        out = io.BytesIO()
        small.resize((64, 64), Image.Resampling.BICUBIC).save(out, "JPEG", quality=85)
        files.append(out.getvalue())

    def ours() -> None:
        with ThreadPoolExecutor(cpu_count()) as pool:
            for _ in pool.map(lambda data: decode(data, (64, 64)), files):
                pass

    def pillow() -> None:
        for data in files:
            np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    seconds, ratios = race(ours, {"Pillow": pillow}, rounds)
    return Row("decode", len(files) / seconds, "images of 64×64 a second", ratios)


def _forward(rounds: int, _codes: int) -> Row:
    """Pixels to codes by the shipped network, at the faster precision, against eager PyTorch."""
    import torch

    from neuralcodes.codes.encoder import Encoder
    from neuralcodes.codes.spec import parse_code
    from neuralcodes.networks.opened import OpenNetwork
    from neuralcodes.networks.registry import get_network
    from neuralcodes.networks.runtime import choose_runtime

    kind = get_network("compact")
    runtime = choose_runtime()
    network = OpenNetwork.of("random", kind, kind.build(10), 10)
    encoder = Encoder(network, [parse_code("random")], runtime)
    plain = kind.build(10).eval().to(runtime.device)
    generator = np.random.default_rng(SEED)
    pixels = generator.integers(0, 256, size=(100, *kind.input_size, 3), dtype=np.uint8)
    values = encoder.inputs(pixels).contiguous()

    def theirs() -> None:
        with torch.no_grad():
            plain(values).cpu()

    seconds, ratios = race(
        lambda: encoder.encode(pixels), {"PyTorch fp32, default layout": theirs}, rounds
    )
    return Row("forward", len(pixels) / seconds, f"codes a second ({runtime.precision})", ratios)


def _search(rounds: int, codes: int) -> Row:
    """One query at a time at recall@10 of 0.95, by the index that would be chosen."""
    from sklearn.neighbors import NearestNeighbors

    from neuralcodes.index.backend import get_backend
    from neuralcodes.index.choose import choose_index
    from neuralcodes.index.recall import tune
    from neuralcodes.index.scan import ScanIndex

    generator = np.random.default_rng(SEED)
    # pictures lie in clusters of a few dozen directions, not evenly in all of them
    centres = generator.standard_normal((200, DIMS), dtype=np.float32)
    basis = generator.standard_normal((24, DIMS), dtype=np.float32)
    count = codes + 200
    values = centres[generator.integers(200, size=count)] + generator.standard_normal(
        (count, 24), dtype=np.float32
    ) @ (0.3 * basis)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    queries, base = values[:200], np.ascontiguousarray(values[200:])
    choice = choose_index(codes, DIMS)
    index = get_backend(choice.backend)(DIMS, choice.parameters, lambda ids: base[ids])
    index.train(base)
    index.add(base, np.arange(codes))
    exact = ScanIndex(DIMS)
    exact.add(base, np.arange(codes))
    if not index.exact:
        tune(index, queries, exact.search(queries, K), 0.95)
    brute = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(base)
    some = queries[:50]

    def each(ask: Callable[[Any], object]) -> Callable[[], None]:
        def work() -> None:
            for query in some:
                ask(query[None])

        return work

    seconds, ratios = race(
        each(lambda query: index.search(query, K)),
        {
            "every code read": each(lambda query: exact.search(query, K)),
            "scikit-learn": each(lambda query: brute.kneighbors(query, return_distance=False)),
        },
        rounds,
    )
    name = f"queries a second, one at a time, {codes:,} codes of {DIMS} ({choice.backend})"
    return Row("search", len(some) / seconds, name, ratios)
