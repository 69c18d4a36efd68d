"""Who may ask the page for what: this computer's user alone, with the token of this run."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

LARGEST_BODY = 2**16
"""Bytes of a request, 64 KiB: a decision with its comment takes 4; a round value."""
HEADER = "x-mureg-review"
"""A request that changes something carries it: a form on another page cannot set it."""
_HEADERS = (
    (b"content-security-policy", b"default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
     b"object-src 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)  # fmt: skip

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass
class Guard:
    """Checks every request before the page sees it, and adds the headers that keep a browser safe.

    Attributes:
        app: the page.
        port: that it is served on.
        token: a secret of this run; exchanged for a cookie that no script can read.
        last_asked: when a request was let through or answered, by the monotonic clock.
        unanswered: requests that are being worked on.
    """

    app: App
    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    last_asked: float = field(default_factory=time.monotonic)
    unanswered: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with 4xx."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {bytes(name).decode("latin-1").lower(): bytes(v).decode("latin-1") for name, v in scope["headers"]}
        status, words = self._refusal(scope, headers)
        if status:
            await _answer(send, status, words)
            return
        if self._token_in(scope) is not None:
            cookie = f"{self.cookie}={self.token}; HttpOnly; SameSite=Strict; Path=/"
            where = str(scope["path"])
            more = [(b"location", where.encode("latin-1", "replace")), (b"set-cookie", cookie.encode())]
            await _answer(send, 303, "", more)
            return
        self.last_asked, self.unanswered = time.monotonic(), self.unanswered + 1
        try:
            await self.app(scope, _limited(receive), _with_headers(send))
        finally:
            self.last_asked, self.unanswered = time.monotonic(), self.unanswered - 1

    @property
    def cookie(self) -> str:
        """Name of the cookie; browsers share cookies between ports."""
        return f"mureg-review-{self.port}"

    @property
    def url(self) -> str:
        """The address to open in a browser."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str]:
        hosts = {f"127.0.0.1:{self.port}", f"localhost:{self.port}"}
        if headers.get("host") not in hosts:
            return 421, "another host was asked for"
        origin = headers.get("origin")
        if origin is not None and origin not in {f"http://{host}" for host in hosts}:
            return 403, "a request from another page"
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return 403, "a request from another page"
        method = scope["method"]
        if method not in ("GET", "HEAD", "POST"):
            return 405, "only GET, HEAD and POST"
        if len(scope["path"]) > 200 or len(scope.get("query_string", b"")) > 200:
            return 414, "too long an address"
        token = self._token_in(scope)
        if token is not None:
            is_own = method == "GET" and hmac.compare_digest(token.encode(), self.token.encode())
            return (0, "") if is_own else (403, "a wrong token: open the address that mureg review printed")
        if not self._has_cookie(headers.get("cookie", "")):
            return 403, "no token: open the address that mureg review printed"
        return _refusal_of_body(headers) if method == "POST" else (0, "")

    def _token_in(self, scope: Scope) -> str | None:
        values = parse_qs(bytes(scope.get("query_string", b"")).decode("latin-1")).get("token")
        return values[0] if values else None

    def _has_cookie(self, header: str) -> bool:
        try:
            cookie = SimpleCookie(header).get(self.cookie)
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), self.token.encode())


def _refusal_of_body(headers: dict[str, str]) -> tuple[int, str]:
    if headers.get(HEADER) != "1":
        return 403, f"a request without the header {HEADER}"
    if headers.get("content-type", "").split(";")[0].strip() != "application/json":
        return 415, "expected JSON"
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()):
        return 411, "expected a length"
    if len(length) > 10 or int(length) > LARGEST_BODY:
        return 413, "too large"
    return 0, ""


def _limited(receive: Receive) -> Receive:
    """Stop reading a body that is longer than it says."""
    total = 0

    async def limited() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        return message if total <= LARGEST_BODY else {"type": "http.disconnect"}

    return limited


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [(name, value) for name, value in message.get("headers", []) if name.lower() != b"server"]
            message = {**message, "headers": [*kept, *_HEADERS]}
        await send(message)

    return sending


async def _answer(send: Send, status: int, words: str, more: list[tuple[bytes, bytes]] | None = None) -> None:
    body = words.encode()
    length = str(len(body)).encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", length), *(more or []), *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
