"""`Settings` of the service: where it listens, whom it lets in, and its limits."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from neuralcodes.common.errors import UserError
from neuralcodes.common.machine import cpu_count
from neuralcodes.images.cache import cache_root

MB = 2**20
LEAST_TOKEN = 16
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True)
class Settings:
    """How the service behaves. Sizes in bytes, times in seconds.

    Attributes:
        host, port: where it listens; port 0 takes any free one.
        token: who has it may use the service; empty: everybody who reaches it, on loopback only.
        upload_bytes: largest picture.
        request_bytes: largest request, all its pictures together.
        pending_bytes: bodies of all requests at once; more are answered 429.
        pictures: in one request, at most.
        pixels: of a picture, at most.
        active: requests at once; more are answered 429.
        threads: requests worked on at once.
        head_seconds, body_seconds: a request's head and body must have come after so long.
        decoders: processes that decode pictures.
        decode_seconds, decode_bytes: time and memory (address space) a picture may take there.
        batch: pictures a pass of the network, at most.
        batch_wait: how long the first of a pass waits for company.
        batch_queue: pictures that wait for the network; more are answered 429.
        jobs: that wait; more are answered 429.
        most: results that can be reached, over all pages.
        page: results a page, at most.
        cache: folder of thumbnails and uploads.
        reports: folders of runs and choices whose plots the quality page shows.
        thumbnail_bytes, upload_cache_bytes: room that these take.
        shutdown_seconds: how long requests may go on after the signal to stop.
    """

    host: str = "127.0.0.1"
    port: int = 8321
    token: str = field(default="", repr=False)
    upload_bytes: int = 20 * MB
    request_bytes: int = 64 * MB
    pending_bytes: int = 256 * MB
    pictures: int = 64
    pixels: int = 50_000_000
    active: int = 64
    threads: int = 32
    head_seconds: float = 15.0
    body_seconds: float = 60.0
    decoders: int = field(default_factory=lambda: max(2, min(8, cpu_count())))
    decode_seconds: float = 10.0
    decode_bytes: int = 1536 * MB
    batch: int = 32
    batch_wait: float = 0.003
    batch_queue: int = 256
    jobs: int = 256
    most: int = 10_000
    page: int = 1000
    cache: Path = field(default_factory=lambda: cache_root() / "serve")
    reports: tuple[Path, ...] = ()
    thumbnail_bytes: int = 2048 * MB
    upload_cache_bytes: int = 512 * MB
    shutdown_seconds: int = 30

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)

    def check(self) -> None:
        """Refuse what would be unsafe.

        Raises:
            UserError: an address beyond this machine without a token, or a token too short.
        """
        if self.token and (len(self.token) < LEAST_TOKEN or not self.token.isascii()):
            raise UserError(
                f"--token: give at least {LEAST_TOKEN} ASCII characters; a good one: "
                "openssl rand -hex 16"
            )
        if not self.token and not self.loopback:
            raise UserError(
                f"--host {self.host}: others can reach it, so it needs a token: set "
                "NEURALCODES_TOKEN or give --token (a good one: openssl rand -hex 16)"
            )


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
