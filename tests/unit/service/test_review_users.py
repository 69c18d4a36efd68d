"""A page for other computers: only with TLS and users, and nobody else learns or changes anything."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import ssl
import subprocess
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the review page needs starlette")
pytest.importorskip("uvicorn", reason="the review page needs uvicorn")

from mureg.cli import main as command_line
from mureg.errors import MuregError, UsageError
from mureg.service.review import connections
from mureg.service.review.access import TokenAccess, TooManyError, UserAccess
from mureg.service.review.desk import Desk
from mureg.service.review.network import ProtectedAddress
from mureg.service.review.server import serve
from mureg.service.review.studies import results_at
from mureg.service.review.users import Users, add_user, read_users
from mureg.service.trail import Trail
from support.certificates import OPENSSL, certificate
from support.reviewed import write_result

PASSWORD = "correct horse battery"
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="no openssl to make a certificate")
DECISION = {"decision": "scanner", "reader": "AB", "seen": 0}


def test_a_password_is_stored_as_a_salted_scrypt_hash(tmp_path) -> None:
    path = tmp_path / "users.json"
    assert add_user(path, "AB", PASSWORD)
    assert add_user(path, "CD", PASSWORD)
    text = path.read_text()
    assert PASSWORD not in text
    stored = json.loads(text)["users"]
    assert stored["AB"]["salt"] != stored["CD"]["salt"]
    assert stored["AB"]["sha"] != stored["CD"]["sha"]
    parameters = {name: stored["AB"][name] for name in "nrp"}
    expected = hashlib.scrypt(
        PASSWORD.encode(), salt=b64decode(stored["AB"]["salt"]), maxmem=2**26, dklen=32, **parameters
    )
    assert b64decode(stored["AB"]["sha"]) == expected
    assert parameters["n"] * parameters["r"] * 128 >= 32 * 2**20, "OWASP asks for 32 MiB with p = 3"
    if os.name == "posix":
        assert path.stat().st_mode & 0o077 == 0
    users = Users(path)
    assert users.password_of("AB", PASSWORD) is not None
    assert users.password_of("AB", PASSWORD + " ") is None
    assert users.password_of("EF", PASSWORD) is None
    assert not add_user(path, "AB", "another password")
    assert users.password_of("AB", PASSWORD) is None, "the file is read again"


@pytest.mark.parametrize(("name", "password"), [("", PASSWORD), ("a\nb", PASSWORD), ("<b>", PASSWORD), ("AB", "short")])
def test_names_and_passwords_that_cannot_be_used_are_refused(tmp_path, name, password) -> None:
    with pytest.raises(UsageError):
        add_user(tmp_path / "users.json", name, password)
    assert not (tmp_path / "users.json").exists()


def test_a_file_that_mureg_did_not_write_is_never_replaced(tmp_path) -> None:
    path = tmp_path / "notes.json"
    for text in ('{"a": 1}', "hello", '{"kind": "users of mureg review", "users": {"a": {"n": "x"}}}'):
        path.write_text(text)
        with pytest.raises(MuregError):
            add_user(path, "AB", PASSWORD)
        with pytest.raises(MuregError):
            read_users(path)
        assert path.read_text() == text


def test_wrong_passwords_are_slowed_down_and_sessions_end(tmp_path, monkeypatch) -> None:
    path = tmp_path / "users.json"
    add_user(path, "AB", PASSWORD)
    access = UserAccess(Users(path))
    session = access.sign_in("AB", PASSWORD, "10.0.0.1")
    cookies = f"{access.cookie}={session}"
    assert access.reader(cookies) == "AB"
    assert access.reader(f"{access.cookie}=x") is None
    for _ in range(5):
        assert access.sign_in("AB", "wrong password", "10.0.0.2") is None
    with pytest.raises(TooManyError):
        access.sign_in("AB", PASSWORD, "10.0.0.2")
    assert access.sign_in("AB", PASSWORD, "10.0.0.1"), "another computer is not kept out"
    later = time.monotonic() + 3601
    with monkeypatch.context() as patch:
        patch.setattr("mureg.service.review.access.time.monotonic", lambda: later)
        assert access.reader(cookies) is None, "after an hour"
    session = access.sign_in("AB", PASSWORD, "10.0.0.1")
    add_user(path, "AB", "another password")
    assert access.reader(f"{access.cookie}={session}") is None, "the password was changed"


def test_the_token_for_the_command_line_of_a_browser_is_taken_once() -> None:
    access = TokenAccess(1)
    once = access.once
    cookie = access.session(once)
    assert cookie is not None
    assert access.reader(f"{access.cookie}={cookie}") == ""
    assert access.session(once) is None
    assert access.session("") is None
    assert access.session(access.token) == cookie
    assert access.reader(f"{access.cookie}={access.token}") is None, "the token is no cookie"


def test_another_address_needs_all_of_certificate_key_and_users(tmp_path) -> None:
    assert ProtectedAddress.of("127.0.0.1", None, None, None) is None
    with pytest.raises(UsageError, match=r"--host 0\.0\.0\.0 without --certificate and --key and --users"):
        ProtectedAddress.of("0.0.0.0", None, None, None)
    with pytest.raises(UsageError, match="without --key"):
        ProtectedAddress.of("127.0.0.1", tmp_path, None, tmp_path)
    study = write_result(tmp_path / "one")
    assert command_line(["review", str(study), "--no-browser", "--host", "192.168.1.1"]) == 2


@needs_openssl
def test_certificates_that_browsers_would_refuse_are_refused(tmp_path) -> None:
    users = tmp_path / "users.json"
    add_user(users, "AB", PASSWORD)
    good = certificate(tmp_path)
    network = ProtectedAddress.of("127.0.0.1", good, good.with_suffix(".key"), users)
    assert network is not None
    assert network.hosts(8443) == {"localhost:8443", "127.0.0.1:8443"}
    other = certificate(tmp_path, name="other")
    nameless = certificate(tmp_path, names="", name="nameless")
    late = certificate(tmp_path, name="late", days=-1) if _takes_negative_days(tmp_path) else None
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    for file, key in (
        (good, other.with_suffix(".key")),
        (nameless, None),
        (late, None),
        (text, good.with_suffix(".key")),
    ):
        if file is not None:
            with pytest.raises(UsageError, match="cannot be used"):
                ProtectedAddress.of("0.0.0.0", file, key or file.with_suffix(".key"), users)


def _takes_negative_days(folder: Path) -> bool:
    try:
        certificate(folder, name="probe", days=-1)
    except subprocess.CalledProcessError:
        return False
    return True


class NetworkPage:
    """A page with TLS and users, and a plain client."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.port = folder, int(url.rstrip("/").rsplit(":", 1)[1])
        self.tls = ssl.create_default_context(cafile=folder / "page.pem")

    def ask(self, method, path, body=None, cookie="", host=None, origin=None, **headers):
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=self.tls)
        lines = {"Host": host or f"localhost:{self.port}", "Cookie": cookie or None, "Origin": origin}
        if method == "POST":
            lines |= {"Content-Type": "application/json", "X-Mureg-Review": "1"}
        lines |= {name.replace("_", "-"): value for name, value in headers.items()}
        text = body if isinstance(body, str | bytes | None) else json.dumps(body)
        connection.request(method, path, text, {name: value for name, value in lines.items() if value is not None})
        answer = connection.getresponse()
        answer.content = answer.read()
        connection.close()
        return answer

    def sign_in(self, name="AB", password=PASSWORD):
        return self.ask("POST", "/login", {"name": name, "password": password})


@pytest.fixture
def network_page(tmp_path) -> Iterator[NetworkPage]:
    pem = certificate(tmp_path)
    add_user(tmp_path / "users.json", "AB", PASSWORD)
    network = ProtectedAddress.of("127.0.0.1", pem, pem.with_suffix(".key"), tmp_path / "users.json")
    desk = Desk(results_at([write_result(tmp_path / "one")]), Trail(tmp_path / "t.sqlite"))
    urls: list[str] = []
    ready = threading.Event()
    arguments = (desk, 0, lambda url: (urls.append(url), ready.set()))
    thread = threading.Thread(target=serve, args=arguments, kwargs={"idle_s": 3.0, "network": network}, daemon=True)
    thread.start()
    assert ready.wait(20)
    assert urls[0].startswith("https://127.0.0.1:")
    assert "token" not in urls[0]
    yield NetworkPage(tmp_path, urls[0])
    thread.join(20)
    assert not thread.is_alive(), "it stops by itself when nobody asks"


WRONG = [
    ("data without a session", "GET", "/api/studies", None, {}),
    ("a decision without a session", "POST", "/api/studies/0/decision", DECISION, {}),
    ("a script without a session", "GET", "/static/review.js", None, {}),
    ("a token", "GET", "/?token=abc", None, {}),
    ("a wrong cookie", "GET", "/api/studies", None, {"cookie": "__Host-mureg-review=x"}),
    ("another host", "GET", "/login", None, {"host": "evil.example"}),
    ("a foreign origin", "POST", "/login", {"name": "AB", "password": PASSWORD}, {"origin": "https://evil.example"}),
    ("the origin without TLS", "POST", "/login", {"name": "AB", "password": PASSWORD}, {"origin": "http://localhost"}),
    ("another site", "POST", "/login", {"name": "AB", "password": PASSWORD}, {"Sec_Fetch_Site": "cross-site"}),
    ("a form", "POST", "/login", "name=AB", {"Content_Type": "application/x-www-form-urlencoded"}),
    ("no header", "POST", "/login", {"name": "AB", "password": PASSWORD}, {"X_Mureg_Review": None}),
    ("a wrong password", "POST", "/login", {"name": "AB", "password": "wrong password"}, {}),
    ("an unknown name", "POST", "/login", {"name": "EF", "password": PASSWORD}, {}),
    ("a number as password", "POST", "/login", {"name": "AB", "password": 1}, {}),
    ("no password", "POST", "/login", {"name": "AB"}, {}),
    ("too long a password", "POST", "/login", {"name": "AB", "password": "x" * 500}, {}),
    ("too large", "POST", "/login", {"name": "AB", "password": "x" * 70000}, {}),
    ("half a character", "POST", "/login", '{"name": "AB", "password": "\\ud800"}', {}),
    ("no JSON", "POST", "/login", "{", {}),
    ("signing out without a session", "POST", "/logout", {}, {}),
]


@needs_openssl
def test_who_has_not_signed_in_learns_and_changes_nothing(network_page) -> None:
    for name, method, path, body, more in WRONG:
        answer = network_page.ask(method, path, body, **more)
        assert 400 <= answer.status < 500, (name, answer.status, answer.content[:200])
        assert answer.getheader("set-cookie") is None, name
        assert answer.getheader("cache-control") == "no-store", name
    for path in ("/", "/studies/0"):
        answer = network_page.ask("GET", path)
        assert (answer.status, answer.getheader("location")) == (303, "/login")
    assert Trail(network_page.folder / "t.sqlite").rows() == ()


@needs_openssl
def test_the_reader_of_a_decision_is_who_signed_in(network_page) -> None:
    answer = network_page.sign_in()
    assert answer.status == 204
    line = answer.getheader("set-cookie")
    assert line.startswith("__Host-mureg-review=")
    for part in ("HttpOnly", "Secure", "SameSite=strict", "Path=/"):
        assert part.lower() in line.lower()
    cookie = line.split(";")[0]
    assert b"AB" in network_page.ask("GET", "/", cookie=cookie).content
    other = network_page.ask("POST", "/api/studies/0/decision", DECISION | {"reader": "CD"}, cookie=cookie)
    assert other.status == 422
    assert network_page.ask("POST", "/api/studies/0/decision", DECISION, cookie=cookie).status == 200
    assert [row.entry.reader for row in Trail(network_page.folder / "t.sqlite").rows()] == ["AB"]
    assert network_page.ask("POST", "/logout", {}, cookie=cookie).status == 204
    assert network_page.ask("GET", "/api/studies", cookie=cookie).status == 401


@needs_openssl
def test_without_tls_nothing_is_answered(network_page) -> None:
    with socket.create_connection(("127.0.0.1", network_page.port), 10) as connection:
        connection.sendall(b"GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            answer = connection.recv(1000)
        except ConnectionError:
            answer = b""
    assert b"200" not in answer


def test_connections_that_say_nothing_do_not_keep_readers_out(tmp_path, monkeypatch) -> None:
    """Eighty of them, more than are served at once."""
    monkeypatch.setattr(connections, "SLOWEST_S", 1.0)
    desk = Desk(results_at([write_result(tmp_path / "one")]), Trail(tmp_path / "t.sqlite"), "AB")
    urls: list[str] = []
    ready = threading.Event()
    arguments = (desk, 0, lambda url: (urls.append(url), ready.set()))
    threading.Thread(target=serve, args=arguments, kwargs={"idle_s": 6.0}, daemon=True).start()
    assert ready.wait(20)
    address, token = urls[0].removeprefix("http://").split("/?token=")
    host, port = address.split(":")
    silent = [socket.create_connection((host, int(port)), 10) for _ in range(80)]
    for connection in silent[::2]:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
    time.sleep(3.0)
    client = http.client.HTTPConnection(host, int(port), timeout=20)
    client.request("GET", f"/?token={token}", headers={"Host": address})
    assert client.getresponse().status == 303
    client.close()
    for connection in silent:
        connection.close()
