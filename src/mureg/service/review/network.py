"""The page on another address than that of this computer alone: certificate, key, and the names it may be asked for."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from mureg.errors import UsageError
from mureg.service.review.users import Users

LOCAL = ("127.0.0.1", "localhost")
"""Hosts that nothing but this computer can reach."""
_ANY = ("0.0.0.0", "::", "")


@dataclass(frozen=True)
class ProtectedAddress:
    """A page for several computers.

    Attributes:
        host: name or address of this computer on which it is served; 0.0.0.0 for all of its addresses.
        certificate, key: PEM files; the certificate with its chain.
        users: who may sign in.
        names: under which the page may be opened: those of the certificate, and the host.
    """

    host: str
    certificate: Path
    key: Path
    users: Users
    names: tuple[str, ...]

    @classmethod
    def of(cls, host: str, certificate: Path | None, key: Path | None, users: Path | None) -> ProtectedAddress | None:
        """From what the command line gives; None where the page is for this computer alone.

        Raises:
            UsageError: another host without certificate, key and users, or files that cannot be used.
        """
        if host in LOCAL and certificate is None and key is None and users is None:
            return None
        missing = [
            name
            for name, value in (("--certificate", certificate), ("--key", key), ("--users", users))
            if value is None
        ]
        if certificate is None or key is None or users is None:
            raise UsageError(
                f"--host {host} without {' and '.join(missing)}",
                "TLS certificate, key and users for a page that others can reach, since it shows patients",
                "give all three, or leave --host out",
            )
        for file in (certificate, key, users):
            if not file.is_file():
                raise UsageError(f"{file.name} is no file", "a file", "check the path")
        own = (host,) if host not in _ANY else ()
        return cls(host, certificate, key, Users(users), tuple(dict.fromkeys((*names_in(certificate, key), *own))))

    def listener(self, port: int) -> socket.socket:
        """A socket that is bound; raises `OSError`."""
        infos = socket.getaddrinfo(self.host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = infos[0]
        return bound(family, address)

    def hosts(self, port: int) -> frozenset[str]:
        """What a request may give as its Host."""
        forms = {f"[{name}]" if ":" in name else name.lower() for name in self.names}
        return frozenset({f"{form}:{port}" for form in forms} | (forms if port == 443 else set()))

    def url(self, port: int) -> str:
        """The address to open."""
        name = self.names[-1] if self.host not in _ANY else self.names[0]
        return f"https://{f'[{name}]' if ':' in name else name}:{port}/"


def bound(family: int, address: tuple[Any, ...]) -> socket.socket:
    """A socket at an address that no other program shares; raises `OSError`."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # on Windows SO_REUSEADDR would let another program take the same port
        exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR if exclusive is None else exclusive, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def names_in(certificate: Path, key: Path) -> tuple[str, ...]:
    """Names and addresses that a certificate is for; wildcards are left out.

    A connection is made in memory, so that OpenSSL says whether key and certificate belong together and are valid now.

    Raises:
        UsageError: they cannot be used, or name nothing.
    """
    try:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(certificate, key, password=_refuse_password)
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        client.load_verify_locations(certificate)
        stated = _handshake(client, server)
    except ssl.SSLCertVerificationError as problem:
        _refuse(certificate, problem.verify_message)
    except (OSError, ValueError) as problem:  # of which SSLError is one
        _refuse(certificate, getattr(problem, "reason", None) or getattr(problem, "strerror", None) or str(problem))
    names = tuple(name for kind, name in stated if kind in ("DNS", "IP Address") and "*" not in name)
    if not names:
        _refuse(certificate, "it names no computer (subjectAltName)")
    return names


def _handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> list[tuple[str, str]]:
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    waiting = list(ends)
    for _ in range(20):  # far more flights than a handshake has
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                continue
        if not waiting:
            break
    stated: Any = (ends[0].getpeercert() or {}).get("subjectAltName", ())
    return [(str(kind), str(name)) for kind, name in stated]


def _refuse_password() -> NoReturn:
    raise ValueError("the key is protected by a password")


def _refuse(certificate: Path, why: str) -> NoReturn:
    raise UsageError(
        f"{certificate.name} and its key cannot be used ({why.lower().replace('_', ' ')})",
        "a valid certificate in PEM form with the name of this computer, and its key without a password",
        "ask who runs your network",
    )
