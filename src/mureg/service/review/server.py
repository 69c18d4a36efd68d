"""Serving the page on this computer until it is stopped or nobody has asked for anything in an hour."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from mureg.errors import UsageError
from mureg.service.review.app import ReviewPage
from mureg.service.review.desk import Desk
from mureg.service.review.guard import Guard

ADDRESS = "127.0.0.1"
"""Of this computer alone: nothing on the network can reach it."""
IDLE_S = 3600.0
"""After which the server stops by itself; a round value."""
_LOOK_S = 1.0
"""Between two looks at the clock; a round value."""


def serve(desk: Desk, port: int, begun: Callable[[str], None], *, idle_s: float = IDLE_S) -> None:
    """Serve a review; returns when it is stopped by a signal, or was idle.

    Args:
        desk: what is reviewed.
        port: 0 for any that is free.
        begun: receives the address to open, once the server listens.
        idle_s: stop after so many seconds without a request.

    Raises:
        UsageError: the port is taken.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((ADDRESS, port))
        except OSError as problem:
            raise UsageError(
                f"port {port} cannot be used ({problem.strerror})", "a free port", "leave --port out"
            ) from problem
        guard = Guard(ReviewPage(desk).app(), listener.getsockname()[1])
        config = uvicorn.Config(
            guard,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=5,
            limit_concurrency=64,
        )
        server = uvicorn.Server(config)
        try:
            with suppress(KeyboardInterrupt):  # the usual end: decisions and results are on the disk
                asyncio.run(_until_idle(server, listener, guard, desk, begun, idle_s))
        finally:
            desk.close()


async def _until_idle(
    server: uvicorn.Server,
    listener: socket.socket,
    guard: Guard,
    desk: Desk,
    begun: Callable[[str], None],
    idle_s: float,
) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    if server.started:
        begun(guard.url)
    while not serving.done():
        await asyncio.wait([serving], timeout=_LOOK_S)
        busy = guard.unanswered or desk.is_writing
        if time.monotonic() - guard.last_asked > idle_s and not busy:
            server.should_exit = True
    await serving
