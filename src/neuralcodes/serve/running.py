"""`run`: serve until a signal comes, then finish what was begun."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI

from neuralcodes.collection.collection import Collection
from neuralcodes.common.errors import UserError
from neuralcodes.serve.app import create_app
from neuralcodes.serve.connections import protocol
from neuralcodes.serve.services import Services
from neuralcodes.serve.settings import Settings

SIGNALS = (signal.SIGINT, signal.SIGTERM)
BACKLOG = 512
CONNECTIONS = 1000  # at once, idle ones too
HEADERS_BYTES = 65_536


class _Server(uvicorn.Server):
    """Tells the service when a signal comes, and who waits when it listens."""

    def __init__(
        self, config: uvicorn.Config, services: Services, begun: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._services = services
        self._begun = begun

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._begun()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again at the end: as if what was asked for were a fault
        before = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # not here: what a signal interrupts may hold the very locks that this takes
        threading.Thread(target=self._services.drain, daemon=True).start()
        super().handle_exit(sig, frame)


def run(
    collection: Collection,
    settings: Settings,
    begun: Callable[[str], None],
    others: Sequence[Collection] = (),
) -> None:
    """Serve a collection until SIGINT or SIGTERM.

    Args:
        collection: open.
        settings: where, and with which limits.
        begun: is called with the address once it answers there.
        others: open; served with it, see `services`.

    Raises:
        UserError: the address is taken or not ours, one collection twice, or settings that would
            be unsafe.
    """
    settings.check()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    listening = listen(settings)
    try:
        app = create_app(collection, settings, others)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            http=protocol(settings.head_seconds),
            ws="none",
            lifespan="on",
            limit_concurrency=CONNECTIONS,
            backlog=BACKLOG,
            h11_max_incomplete_event_size=HEADERS_BYTES,
            timeout_graceful_shutdown=settings.shutdown_seconds,
        )
        server = _Server(config, _services(app), lambda: begun(address(settings, listening)))
        server.run(sockets=[listening])
    finally:
        listening.close()


def _services(app: FastAPI) -> Services:
    services: Services = app.state.services
    return services


def listen(settings: Settings) -> socket.socket:
    """A socket that listens where the settings say.

    Raises:
        UserError: it cannot.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            settings.host.strip("[]"), settings.port, type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )[0]  # fmt: skip
    except (socket.gaierror, UnicodeError, OverflowError):
        raise UserError(f"--host {settings.host}: no such address") from None
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        reason = (error.strerror or str(error)).lower()
        raise UserError(
            f"--host {settings.host} --port {settings.port}: {reason}; --port 0 takes any free port"
        ) from None
    return listening


def address(settings: Settings, listening: socket.socket) -> str:
    """Where to point a browser."""
    port = listening.getsockname()[1]
    host = settings.host
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    elif ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"http://{host}:{port}/"
