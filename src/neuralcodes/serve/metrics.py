"""`Metrics`: what Prometheus may know of the service, at /metrics."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counters of one application, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.requests = Counter(
            "neuralcodes_requests", "Requests answered", ["route", "method", "status"],
            registry=registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "neuralcodes_request_seconds", "Time of a request", ["route"], buckets=SECONDS,
            registry=registry,
        )  # fmt: skip
        self.active = Gauge("neuralcodes_active_requests", "Requests now", registry=registry)
        self.refused = Counter(
            "neuralcodes_refused", "Requests refused before any work", ["reason"],
            registry=registry,
        )  # fmt: skip
        self.passes = Histogram(
            "neuralcodes_batch_pictures", "Pictures in a pass of the network",
            buckets=(1, 2, 4, 8, 16, 32, 64), registry=registry,
        )  # fmt: skip
        self.pass_seconds = Histogram(
            "neuralcodes_batch_seconds", "Time of a pass", buckets=SECONDS, registry=registry
        )
        self.decodes = Histogram(
            "neuralcodes_decode_seconds", "Time of decoding a picture", ["outcome"],
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.jobs = Counter(
            "neuralcodes_jobs", "Jobs that ended", ["kind", "state"], registry=registry
        )
        self.images = Gauge(
            "neuralcodes_images", "Images with a code", ["collection"], registry=registry
        )
        self.waiting = Gauge(
            "neuralcodes_waiting_pictures", "Pictures that wait for the network", ["collection"],
            registry=registry,
        )  # fmt: skip
        self.added = Counter("neuralcodes_images_added", "Images added", registry=registry)
        self.removed = Counter("neuralcodes_images_removed", "Images removed", registry=registry)

    def batch(self, pictures: int, seconds: float) -> None:
        """A pass of the network is over."""
        self.passes.observe(pictures)
        self.pass_seconds.observe(seconds)

    def decode(self, seconds: float, outcome: str) -> None:
        """A picture was decoded, was bad, or its decoder was killed."""
        self.decodes.labels(outcome).observe(seconds)

    def job(self, kind: str, state: str) -> None:
        """A job has ended."""
        self.jobs.labels(kind, state).inc()

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        text: bytes = generate_latest(self.registry)
        return text
