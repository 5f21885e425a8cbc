"""`Shared`: what collections that are served together have in common; limits are of the whole."""

from __future__ import annotations

from dataclasses import dataclass

from neuralcodes.serve.decoding import Decoders
from neuralcodes.serve.diskcache import DiskCache
from neuralcodes.serve.metrics import Metrics
from neuralcodes.serve.settings import Settings


@dataclass(frozen=True)
class Shared:
    """Parts that know no collection.

    Attributes:
        metrics: counts.
        decoders: decode every picture that a client or a collection brings.
        thumbnails, uploads: files by content, so that an upload is known in each collection.
    """

    metrics: Metrics
    decoders: Decoders
    thumbnails: DiskCache
    uploads: DiskCache

    @classmethod
    def of(cls, settings: Settings) -> Shared:
        """By these settings.

        Raises:
            UserError: no place for the cache.
        """
        metrics = Metrics()
        return cls(
            metrics,
            Decoders(settings, metrics.decode),
            DiskCache(settings.cache / "thumbnails", settings.thumbnail_bytes),
            DiskCache(settings.cache / "uploads", settings.upload_cache_bytes),
        )
