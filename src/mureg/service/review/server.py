"""Serving the page until it is stopped or nobody has asked for anything in an hour."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from mureg.errors import UsageError
from mureg.service.review.access import TokenAccess, UserAccess
from mureg.service.review.app import ReviewPage
from mureg.service.review.connections import ImpatientProtocol
from mureg.service.review.desk import Desk
from mureg.service.review.guard import Guard
from mureg.service.review.network import LOCAL, ProtectedAddress, bound

ADDRESS = "127.0.0.1"
"""Of this computer alone: nothing on the network can reach it."""
IDLE_S = 3600.0
"""After which the server stops by itself; a round value."""
_LOOK_S = 1.0
"""Between two looks at the clock; a round value."""


def serve(
    desk: Desk,
    port: int,
    begun: Callable[[str], None],
    *,
    idle_s: float = IDLE_S,
    network: ProtectedAddress | None = None,
    opened: Callable[[str], None] | None = None,
) -> None:
    """Serve a review; returns when it is stopped by a signal, or was idle.

    Args:
        desk: what is reviewed.
        port: 0 for any that is free.
        begun: receives the address to open, once the server listens.
        idle_s: stop after so many seconds without a request.
        network: for a page that other computers can reach; None for this computer alone.
        opened: receives an address that can be opened once, for the command line of a browser.

    Raises:
        UsageError: the port is taken, or the address is not one of this computer.
    """
    try:
        listener = bound(socket.AF_INET, (ADDRESS, port)) if network is None else network.listener(port)
    except OSError as problem:
        where = f"port {port}" if network is None else f"{network.host}, port {port},"
        raise UsageError(
            f"{where} cannot be used ({problem.strerror})", "a free port of this computer", "leave --port out"
        ) from problem
    with listener:
        port = int(listener.getsockname()[1])
        guard, config, urls = _guarded(desk, port, network)
        server = uvicorn.Server(config)
        try:
            with suppress(KeyboardInterrupt):  # the usual end: decisions and results are on the disk

                def tell() -> None:
                    begun(urls[0])
                    if opened is not None:
                        opened(urls[1])

                asyncio.run(_until_idle(server, listener, guard, desk, tell, idle_s))
        finally:
            desk.close()


def _guarded(desk: Desk, port: int, network: ProtectedAddress | None) -> tuple[Guard, uvicorn.Config, tuple[str, str]]:
    """The page behind its guard, how it is served, and the addresses for people and for a browser."""
    if network is None:
        token = TokenAccess(port)
        guard = Guard(ReviewPage(desk).app(), token, frozenset(f"{host}:{port}" for host in LOCAL))
        url = f"http://{ADDRESS}:{port}/?token="
        return guard, _config(guard), (url + token.token, url + token.once)
    users = UserAccess(network.users)
    guard = Guard(ReviewPage(desk, users).app(), users, network.hosts(port), "https")
    config = _config(guard, ssl_certfile=str(network.certificate), ssl_keyfile=str(network.key))
    return guard, config, (network.url(port), network.url(port))


def _config(guard: Guard, **tls: str) -> uvicorn.Config:
    return uvicorn.Config(
        guard,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        http=ImpatientProtocol,
        ws="none",
        timeout_graceful_shutdown=5,
        limit_concurrency=64,
        ssl_certfile=tls.get("ssl_certfile"),
        ssl_keyfile=tls.get("ssl_keyfile"),
    )


async def _until_idle(
    server: uvicorn.Server,
    listener: socket.socket,
    guard: Guard,
    desk: Desk,
    begun: Callable[[], None],
    idle_s: float,
) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    if server.started:
        begun()
    while not serving.done():
        await asyncio.wait([serving], timeout=_LOOK_S)
        busy = guard.unanswered or desk.is_writing
        if time.monotonic() - guard.last_asked > idle_s and not busy:
            server.should_exit = True
    await serving
