"""Who may sign in to a page that others on the network can reach: names, and salted hashes of their passwords."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mureg.errors import MuregError, UsageError
from mureg.files.atomic import writing
from mureg.files.settings import read_json

LOG = logging.getLogger("mureg.review")

KIND = "users of mureg review"
FEWEST_CHARACTERS, MOST_CHARACTERS = 10, 200
"""Of a password: more than the 8 of NIST SP 800-63B; the upper limit bounds the work."""
_N, _R, _P = 2**15, 8, 3
"""Of scrypt (RFC 7914): 32 MiB and some tenths of a second for each try; OWASP, Password Storage Cheat Sheet, 2023."""
_MOST_BYTES = 2**26
"""Memory that scrypt may take: twice what it needs."""
_NAME = re.compile(r"[\w@+-][\w .@+-]{0,39}")
"""Letters and digits of any script; at most 40, so that a name fits into a line of the page."""


@dataclass(frozen=True)
class Password:
    """A password as it is stored; ``salt`` and ``sha`` in base 64, the others as `hashlib.scrypt` takes them."""

    salt: str
    sha: str
    n: int = _N
    r: int = _R
    p: int = _P

    @classmethod
    def of(cls, password: str) -> Password:
        """With a new salt."""
        salt = secrets.token_bytes(16)
        empty = cls(base64.b64encode(salt).decode(), "")
        return cls(empty.salt, base64.b64encode(empty._hash(password)).decode())

    def fits(self, password: str) -> bool:
        """Whether it is this one; takes as long where it is not."""
        return hmac.compare_digest(self._hash(password), base64.b64decode(self.sha))

    def _hash(self, password: str) -> bytes:
        words = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
        salt = base64.b64decode(self.salt)
        return hashlib.scrypt(words, salt=salt, n=self.n, r=self.r, p=self.p, maxmem=_MOST_BYTES, dklen=32)


_NOBODY = Password(base64.b64encode(bytes(16)).decode(), base64.b64encode(bytes(32)).decode())
"""Compared with where a name is not known, so that the time does not tell."""


class Users:
    """The users in a file, which is read again when it has changed."""

    def __init__(self, path: Path) -> None:
        """Read the users; raise `UsageError` or `UnreadableInputError` for a file without any."""
        self.path = path
        self._state: tuple[int, int] | None = None
        self._passwords = read_users(path)
        if not self._passwords:
            raise UsageError(
                f"no users in {path.name}", "one at least", "add one: mureg review --add-user NAME --users FILE"
            )

    @property
    def passwords(self) -> Mapping[str, Password]:
        """By name; nobody where the file was removed or damaged meanwhile."""
        try:
            status = self.path.stat()
            state = status.st_mtime_ns, status.st_size
            if state != self._state:
                self._state, self._passwords = state, read_users(self.path)
        except (OSError, MuregError):
            LOG.warning("the file of users cannot be read")
            self._state, self._passwords = None, {}
        return self._passwords

    def password_of(self, name: str, password: str) -> Password | None:
        """The stored password of a user who gave the right one; None for anybody else."""
        stored = self.passwords.get(normal(name))
        fits = (stored or _NOBODY).fits(password)
        return stored if fits else None


def normal(name: str) -> str:
    """One form of a name that can be typed in several."""
    return unicodedata.normalize("NFC", name.strip())


def read_users(path: Path) -> dict[str, Password]:
    """The users in a file. Raises `UnreadableInputError` or `UsageError` for what mureg did not write."""
    table: Any = read_json(path)
    try:
        if table["kind"] != KIND:
            raise ValueError
        passwords = {str(name): Password(**stored) for name, stored in table["users"].items()}
        for password in passwords.values():
            within = 2 <= password.n <= 2**20 and 1 <= password.r * password.p <= 2**8
            if not within or not base64.b64decode(password.sha) or not base64.b64decode(password.salt):
                raise ValueError
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UsageError(
            f"{path.name} is no file of users", "a file that mureg review --add-user wrote", "choose another name"
        ) from None
    return passwords


def add_user(path: Path, name: str, password: str) -> bool:
    """Add a user to a file, made where it is missing, or give the user another password.

    Returns:
        Whether the user is new.

    Raises:
        UsageError: a name or password that cannot be used, or a file that mureg did not write.
    """
    name = normal(name)
    if not _NAME.fullmatch(name):
        raise UsageError(
            "a user name that cannot be used", "1 to 40 letters, digits, spaces and .@+-", "give the reader's initials"
        )
    if not FEWEST_CHARACTERS <= len(password) <= MOST_CHARACTERS:
        limits = f"{FEWEST_CHARACTERS} to {MOST_CHARACTERS}"
        raise UsageError(f"a password of {len(password)} characters", limits, "choose another one")
    users = read_users(path) if os.path.lexists(path) else {}
    is_new = name not in users
    table = {"kind": KIND, "users": {each: asdict(p) for each, p in (users | {name: Password.of(password)}).items()}}
    with writing(path) as scratch:
        if os.name == "posix":
            scratch.chmod(0o600)
        scratch.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return is_new
