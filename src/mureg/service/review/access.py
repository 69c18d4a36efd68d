"""Whose requests are let through: whoever holds the token of this run, or users who have signed in."""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from threading import Lock
from typing import Any, Protocol

from mureg.errors import UsageError
from mureg.service.review.users import Password, Users, normal

LOG = logging.getLogger("mureg.review")

SESSION_S, LONGEST_S = 3600.0, 12 * 3600.0
"""After so long without a request, and in all, a user has to sign in again: an idle hour, a working day."""
_FAILURES, _WAIT_S = 5, 30.0
"""After so many wrong passwords from one address, none is tried for a while. Names are not locked: anybody on the
network could keep a reader out."""
_REMEMBERED = 1000
"""Addresses and sessions at most; a round value."""
_AT_ONCE = 4
"""Passwords that may wait to be tried; each takes some tenths of a second. A round value."""


class TooManyError(UsageError):
    """Passwords are tried too often."""


class Access(Protocol):
    """A way to know who asks."""

    @property
    def cookie(self) -> str:
        """Name of the cookie."""
        ...

    def reader(self, cookies: str) -> str | None:
        """Who sent a Cookie header: a user's name, "" for the holder of the token, None for anybody else."""
        ...


@dataclass
class TokenAccess:
    """A secret of this run, as Jupyter has it, exchanged for a cookie that no script can read.

    Attributes:
        port: of the page; browsers share cookies between ports.
        token: printed for the user.
        once: for the browser that is opened, whose command line other users of this computer can see: it is taken once.
    """

    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    once: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    _session: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def cookie(self) -> str:
        """See `Access`."""
        return f"mureg-review-{self.port}"

    def reader(self, cookies: str) -> str | None:
        """See `Access`."""
        value = value_in(cookies, self.cookie)
        return "" if value is not None and _alike(value, self._session) else None

    def session(self, token: str) -> str | None:
        """The value of the cookie that a token is worth; None for a wrong one."""
        if _alike(token, self.token):
            return self._session
        if self.once and _alike(token, self.once):
            self.once = ""
            return self._session
        return None


@dataclass
class _Session:
    name: str
    password: Password
    begun: float
    asked: float


class UserAccess:
    """Users who sign in by name and password."""

    cookie = "__Host-mureg-review"
    """The prefix lets browsers take it from this host over TLS alone."""

    def __init__(self, users: Users) -> None:
        self._users = users
        self._lock, self._trying, self._waiting = Lock(), Lock(), 0
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def reader(self, cookies: str) -> str | None:
        """See `Access`; a user whose password was changed or who was removed has to sign in again."""
        value, now = value_in(cookies, self.cookie), time.monotonic()
        with self._lock:
            session = self._sessions.get(value or "")
            if value is None or session is None:
                return None
            is_late = now - session.asked > SESSION_S or now - session.begun > LONGEST_S
            if is_late or self._users.passwords.get(session.name) != session.password:
                del self._sessions[value]
                return None
            session.asked = now
            return session.name

    def sign_in(self, name: str, password: str, address: str) -> str | None:
        """The value of a new cookie for a name and password; None where they are wrong.

        Raises:
            TooManyError: too many wrong ones before.
        """
        with self._lock:
            self._refuse_often(address)
            self._waiting += 1
        try:
            with self._trying:  # one at a time: memory and time of this computer are not for whoever asks
                stored = self._users.password_of(name, password)
        finally:
            with self._lock:
                self._waiting -= 1
        with self._lock:
            if stored is None:
                self._failures[address] = (self._failures.pop(address, (0, 0.0))[0] + 1, time.monotonic())
                _forget(self._failures)
                LOG.warning("a name or password was wrong")
                return None
            self._failures.pop(address, None)
            value, now = secrets.token_urlsafe(32), time.monotonic()
            self._sessions[value] = _Session(normal(name), stored, now, now)
            _forget(self._sessions)
        return value

    def sign_out(self, cookies: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(value_in(cookies, self.cookie) or "", None)

    def _refuse_often(self, address: str) -> None:
        count, at = self._failures.get(address, (0, 0.0))
        if count >= _FAILURES and time.monotonic() - at < _WAIT_S:
            raise TooManyError("too many wrong passwords", "the right one", f"wait for {_WAIT_S:.0f} seconds")
        if self._waiting >= _AT_ONCE:
            raise TooManyError("too many sign-ins at once", "fewer", "try again in a few seconds")


def value_in(header: str, name: str) -> str | None:
    """The value of one cookie in a Cookie header."""
    try:
        morsel = SimpleCookie(header).get(name)
    except CookieError:
        return None
    return None if morsel is None else morsel.value


def _alike(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode())


def _forget(table: OrderedDict[str, Any]) -> None:
    while len(table) > _REMEMBERED:
        table.popitem(last=False)
