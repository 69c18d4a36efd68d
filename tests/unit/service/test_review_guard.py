"""The page answers this computer's user alone, and wrong requests change nothing."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the review page needs starlette")
pytest.importorskip("uvicorn", reason="the review page needs uvicorn")

from mureg.service.review.desk import Desk
from mureg.service.review.server import serve
from mureg.service.review.studies import results_at
from mureg.service.trail import Trail
from support.reviewed import POSE, write_result

POSE_ROW = [float(value) for value in POSE.matrix.ravel()]
DECISION = {"decision": "own", "reader": "AB", "seen": 0, "pose": POSE_ROW}


class Page:
    """A page that is served, and a plain client."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        address, self.token = url.removeprefix("http://").split("/?token=")
        self.host, port = address.split(":")
        self.port = int(port)
        answer = self.ask("GET", f"/?token={self.token}", cookie=False)
        self.cookie = answer.getheader("set-cookie", "").split(";")[0]
        self.cookie_line = answer.getheader("set-cookie", "")

    def ask(self, method, path, body=None, cookie=True, origin=None, host=None, **headers):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        lines = {"Host": host or f"127.0.0.1:{self.port}"}
        if cookie:
            lines["Cookie"] = self.cookie if cookie is True else cookie
        if origin:
            lines["Origin"] = origin
        if method == "POST":
            lines |= {"Content-Type": "application/json", "X-Mureg-Review": "1"}
        lines |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = {name: value for name, value in lines.items() if value is not None}
        text = body if isinstance(body, str | bytes | None) else json.dumps(body)
        connection.request(method, path, text, lines)
        answer = connection.getresponse()
        answer.content = answer.read()
        connection.close()
        return answer

    def trail(self) -> int:
        return len(Trail(self.folder / "review.sqlite").rows())


@pytest.fixture
def page(tmp_path) -> Iterator[Page]:
    for number, name in enumerate(("Doe_John", "b")):
        write_result(tmp_path / "batch" / "studies" / name, sources=f"{number}{number}")
    desk = Desk(results_at([tmp_path / "batch"]), Trail(tmp_path / "batch" / "review.sqlite"), "AB")
    told: list[str] = []
    ready = threading.Event()
    thread = threading.Thread(
        target=serve, args=(desk, 0, lambda url: (told.append(url), ready.set())), kwargs={"idle_s": 3.0}, daemon=True
    )
    thread.start()
    assert ready.wait(20)
    yield Page(tmp_path / "batch", told[0])
    thread.join(20)
    assert not thread.is_alive(), "it stops by itself when nobody asks"


WRONG = [
    ("no token", "GET", "/", None, {"cookie": False}),
    ("no token for data", "GET", "/api/studies", None, {"cookie": False}),
    ("a wrong token", "GET", "/?token=abc", None, {"cookie": False}),
    ("an empty token", "GET", "/?token=", None, {"cookie": False}),
    ("a wrong cookie", "GET", "/", None, {"cookie": "mureg-review-1=x"}),
    ("a broken cookie", "GET", "/", None, {"cookie": "\x01=;;=,"}),
    ("another host", "GET", "/", None, {"host": "evil.example"}),
    ("another port as host", "GET", "/", None, {"host": "127.0.0.1:1"}),
    ("a host by another name of this computer", "GET", "/", None, {"host": "attacker.127.0.0.1.nip.io"}),
    ("a foreign origin", "GET", "/api/studies", None, {"origin": "http://evil.example"}),
    ("no origin at all, by a sandboxed page", "GET", "/api/studies", None, {"origin": "null"}),
    ("another site by fetch metadata", "GET", "/api/studies", None, {"Sec_Fetch_Site": "cross-site"}),
    ("another port by fetch metadata", "GET", "/api/studies", None, {"Sec_Fetch_Site": "same-site"}),
    ("a foreign origin that decides", "POST", "/api/studies/0/decision", DECISION, {"origin": "https://evil.example"}),
    ("no header", "POST", "/api/studies/0/decision", DECISION, {"X_Mureg_Review": None}),
    ("a form", "POST", "/api/studies/0/decision", "a=b", {"Content_Type": "application/x-www-form-urlencoded"}),
    ("text", "POST", "/api/studies/0/decision", json.dumps(DECISION), {"Content_Type": "text/plain"}),
    ("a decision by GET", "GET", "/api/studies/0/decision", None, {}),
    ("another method", "DELETE", "/api/studies/0", None, {}),
    ("PUT", "PUT", "/api/studies/0/decision", DECISION, {}),
    ("traversal in a file", "GET", "/static/../../../../etc/passwd", None, {}),
    ("traversal in codes", "GET", "/static/%2e%2e%2fapp.py", None, {}),
    ("a file that is not on the list", "GET", "/static/app.py", None, {}),
    ("a path as index", "GET", "/api/studies/..%2f..", None, {}),
    ("a study that is not there", "GET", "/api/studies/2", None, {}),
    ("a negative study", "GET", "/api/studies/-1", None, {}),
    ("a huge index", "GET", f"/api/studies/{'9' * 150}", None, {}),
    ("too long an address", "GET", f"/{'a' * 5000}", None, {}),
    ("too long a query", "GET", f"/?x={'a' * 3000}", None, {}),
    ("too large", "POST", "/api/studies/0/decision", json.dumps(DECISION | {"comment": "x" * 70000}), {}),
    ("too large a comment", "POST", "/api/studies/0/decision", DECISION | {"comment": "x" * 3000}, {}),
    ("a length that lies", "POST", "/api/studies/0/decision", "{}", {"Content_Length": "99999999999999"}),
    ("no length", "POST", "/api/studies/0/decision", None, {"Content_Length": None, "Transfer_Encoding": "chunked"}),
    ("no JSON", "POST", "/api/studies/0/decision", "{", {}),
    ("a list", "POST", "/api/studies/0/decision", [1], {}),
    ("deep JSON", "POST", "/api/studies/0/decision", "[" * 30000, {}),
    ("NaN", "POST", "/api/studies/0/decision", '{"decision": "own", "reader": "A", "seen": NaN}', {}),
    ("an unknown decision", "POST", "/api/studies/0/decision", DECISION | {"decision": "yes"}, {}),
    ("a number as text", "POST", "/api/studies/0/decision", DECISION | {"seen": "0"}, {}),
    ("no reader", "POST", "/api/studies/0/decision", DECISION | {"reader": ""}, {}),
    ("a reader of spaces", "POST", "/api/studies/0/decision", DECISION | {"reader": "  "}, {}),
    ("a reader of two lines", "POST", "/api/studies/0/decision", DECISION | {"reader": "A\nB"}, {}),
    ("a comment that controls a terminal", "POST", "/api/studies/0/decision", DECISION | {"comment": "\x1b[2J"}, {}),
    ("something besides", "POST", "/api/studies/0/decision", DECISION | {"path": "/etc/passwd"}, {}),
    ("fifteen numbers", "POST", "/api/studies/0/decision", DECISION | {"pose": POSE_ROW[:15]}, {}),
    ("text in a pose", "POST", "/api/studies/0/decision", DECISION | {"pose": ["1", *POSE_ROW[1:]]}, {}),
    ("a pose that stretches", "POST", "/api/studies/0/decision", DECISION | {"pose": [2.0, *POSE_ROW[1:]]}, {}),
    ("infinity", "POST", "/api/studies/0/decision", json.dumps(DECISION).replace(str(POSE_ROW[3]), "1e999"), {}),
    ("own without a pose", "POST", "/api/studies/0/decision", DECISION | {"pose": None}, {}),
    ("a reason of one's own", "POST", "/api/studies/0/decision", DECISION | {"reasons": ["because"]}, {}),
    ("a rejection without a reason", "POST", "/api/studies/0/decision", DECISION | {"decision": "rejected"}, {}),
    ("a pose where the CT is not at hand", "POST", "/api/studies/0/pose", {"pose": POSE_ROW, "number": 1}, {}),
]


def test_wrong_requests_are_refused_and_change_nothing(page) -> None:
    files = sorted(path for path in page.folder.rglob("*") if path.is_file())
    assert len(WRONG) >= 30
    for name, method, path, body, more in WRONG:
        answer = page.ask(method, path, body, **more)
        assert 400 <= answer.status < 500, (name, answer.status, answer.content[:200])
        assert answer.getheader("x-content-type-options") == "nosniff", name
        assert b"root:" not in answer.content, name
        assert b"Traceback" not in answer.content, name
    assert page.trail() == 0
    assert sorted(path for path in page.folder.rglob("*") if path.is_file()) == files


def test_what_is_no_http_is_refused_and_the_page_lives_on(page) -> None:
    for garbage in (b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"GET /\r\nHost: a\r\nHost: b\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", page.port), 10) as connection:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            assert b"200 OK" not in connection.recv(1000)
    assert page.ask("GET", "/").status == 200


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(page) -> None:
    assert "HttpOnly" in page.cookie_line
    assert "SameSite=Strict" in page.cookie_line
    assert page.token not in page.cookie_line


def test_every_answer_keeps_the_browser_safe(page) -> None:
    for path in ("/", "/studies/0", "/static/review.js", "/api/studies/0", "/api/studies/0/map"):
        answer = page.ask("GET", path)
        assert answer.status == 200, path
        policy = answer.getheader("content-security-policy", "")
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer.getheader("cache-control") == "no-store"
        assert answer.getheader("referrer-policy") == "no-referrer"
        assert answer.getheader("server") is None
        assert page.token.encode() not in answer.content, path
    text = page.ask("GET", "/").content.decode()
    assert "<b>a reason" not in text
    assert "&lt;b&gt;a reason" in text
    for path in ("/", "/studies/0"):
        text = page.ask("GET", path).content.decode()
        assert "<script>" not in text
        assert "style=" not in text
        assert " on" not in "".join(part.split(">")[0] for part in text.split("<")[1:]).replace(" only", ""), (
            "no handlers"
        )
        assert "http" not in text.replace("http-equiv", ""), "nothing from outside"


def test_names_of_studies_are_hidden(page) -> None:
    for path in ("/", "/api/studies", "/studies/0", "/studies/1", "/api/studies/0", "/api/studies/1"):
        text = page.ask("GET", path).content
        assert b"Doe" not in text, path
        assert b"Study 1" in text or b"Study 2" in text, path


def test_two_tabs_on_one_study(page) -> None:
    first = page.ask("POST", "/api/studies/0/decision", DECISION)
    assert first.status == 200
    second = page.ask("POST", "/api/studies/0/decision", DECISION | {"reader": "CD", "decision": "scanner"})
    assert second.status == 409
    table = json.loads(second.content)
    assert "AB decided on this study" in table["problem"]
    assert page.trail() == 1
    again = {"reader": "CD", "decision": "scanner", "seen": table["seen"]}
    assert page.ask("POST", "/api/studies/0/decision", DECISION | again).status == 200
    rows = Trail(page.folder / "review.sqlite").rows()
    assert rows[0].entry.pose_after == tuple(POSE_ROW)
    assert rows[1].entry.pose_before == tuple(POSE_ROW)
    assert rows[1].entry.pose_after == tuple(float(k % 5 == 0) for k in range(16))
    assert json.loads(page.ask("GET", "/api/studies").content)[1]["reviewed"] is None
