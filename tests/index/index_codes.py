"""Codes as networks make them, for the index tests: clustered, some equal, some zero."""

from __future__ import annotations

import numpy as np


def clustered(count: int, dims: int, seed: int = 0, clusters: int = 60) -> np.ndarray:
    """float32 count×dims of length 1, around the same centres for every seed."""
    centres = np.random.default_rng(99).normal(size=(clusters, dims))
    generator = np.random.default_rng(seed)
    # noise in few directions: real codes lie near a surface of few dimensions
    basis = np.random.default_rng(98).normal(size=(12, dims))
    noise = generator.normal(size=(count, 12)) @ basis * 0.25
    codes = centres[generator.integers(clusters, size=count)] + noise
    return (codes / np.linalg.norm(codes, axis=1, keepdims=True)).astype(np.float32)


def true_distances(queries: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """float64 q×n, each from the difference."""
    wide = codes.astype(np.float64)
    return np.stack([np.sqrt(((wide - q) ** 2).sum(axis=1)) for q in queries.astype(np.float64)])
