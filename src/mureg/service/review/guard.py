"""Who may ask the page for what: this computer's user with the token of this run, or users who have signed in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from mureg.service.review.access import Access, TokenAccess

LARGEST_BODY = 2**16
"""Bytes of a request, 64 KiB: a decision with its comment takes 4; a round value."""
SLOWEST_S = 15.0
"""For the next part of a request; a round value. A client that stops in the middle must not keep others out."""
READER = "mureg.reader"
"""Where the page finds in the scope of a request who asks."""
_WITHOUT_SIGN_IN = {("GET", "/login"), ("POST", "/login"), ("GET", "/static/login.js"), ("GET", "/static/review.css"),
                    ("GET", "/favicon.ico")}  # fmt: skip
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
Answer = tuple[int, str, list[tuple[bytes, bytes]]]
"""Status, words and further headers."""


@dataclass
class Guard:
    """Checks every request before the page sees it, and adds the headers that keep a browser safe.

    Attributes:
        app: the page.
        access: how it knows who asks.
        hosts: that a request may name, lower case, with the port.
        scheme: http or https.
        last_asked: when a request was let through or answered, by the monotonic clock.
        unanswered: requests that are being worked on.
    """

    app: App
    access: Access
    hosts: frozenset[str]
    scheme: str = "http"
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
        answer = self._answer_at_once(scope, headers)
        if answer is not None:
            await _answer(send, *answer)
            return
        reader = self.access.reader(headers.get("cookie", ""))
        is_open = reader is None
        self.last_asked = self.last_asked if is_open else time.monotonic()
        self.unanswered += 1
        try:
            await self.app({**scope, READER: reader}, _limited(receive), _with_headers(send))
        finally:
            self.unanswered -= 1
            self.last_asked = self.last_asked if is_open else time.monotonic()

    def _answer_at_once(self, scope: Scope, headers: dict[str, str]) -> Answer | None:
        """The answer to a request that the page does not see; None where it is let through."""
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            return refusal
        token = _token_in(scope)
        if token is not None:
            return self._exchanged(token, scope)
        method, path = str(scope["method"]), str(scope["path"])
        if self.access.reader(headers.get("cookie", "")) is None:
            if isinstance(self.access, TokenAccess):
                return 403, "no token: open the address that mureg review printed", []
            if (method, path) not in _WITHOUT_SIGN_IN:
                if method == "GET" and not path.startswith(("/api/", "/static/")):
                    return 303, "", [(b"location", b"/login")]
                return 401, "not signed in", []
        return _refusal_of_body(headers) if method == "POST" else None

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> Answer | None:
        if headers.get("host", "").lower() not in self.hosts:
            return 421, "another host was asked for", []
        origin = headers.get("origin")
        is_foreign = origin is not None and origin.lower() not in {f"{self.scheme}://{host}" for host in self.hosts}
        if is_foreign or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return 403, "a request from another page", []
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "only GET, HEAD and POST", []
        if len(scope["path"]) > 200 or len(scope.get("query_string", b"")) > 400:
            return 414, "too long an address", []
        return None

    def _exchanged(self, token: str, scope: Scope) -> Answer:
        """A cookie for a token."""
        session = None
        if isinstance(self.access, TokenAccess) and scope["method"] == "GET":
            session = self.access.session(token)
        if session is None:
            return 403, "a wrong or used token: open the address that mureg review printed", []
        self.last_asked = time.monotonic()
        cookie = f"{self.access.cookie}={session}; HttpOnly; SameSite=Strict; Path=/"
        where = str(scope["path"]) if not str(scope["path"]).startswith("//") else "/"
        return 303, "", [(b"location", where.encode("latin-1", "replace")), (b"set-cookie", cookie.encode())]


def _token_in(scope: Scope) -> str | None:
    values = parse_qs(bytes(scope.get("query_string", b"")).decode("latin-1"), keep_blank_values=True).get("token")
    return values[0] if values else None


def _refusal_of_body(headers: dict[str, str]) -> Answer | None:
    if headers.get(HEADER) != "1":
        return 403, f"a request without the header {HEADER}", []
    if headers.get("content-type", "").split(";")[0].strip() != "application/json":
        return 415, "expected JSON", []
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()):
        return 411, "expected a length", []
    if len(length) > 10 or int(length) > LARGEST_BODY:
        return 413, "too large", []
    return None


def _limited(receive: Receive) -> Receive:
    """Stop reading a body that is longer than it says, or of which no more arrives."""
    total, is_whole = 0, False

    async def limited() -> Message:
        nonlocal total, is_whole
        if is_whole:  # all that follows is the end of the connection
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), SLOWEST_S)
        except TimeoutError:
            return {"type": "http.disconnect"}
        is_whole = not message.get("more_body", False)
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


async def _answer(send: Send, status: int, words: str, more: list[tuple[bytes, bytes]]) -> None:
    body = words.encode()
    length = str(len(body)).encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", length), *more, *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
