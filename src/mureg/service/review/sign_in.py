"""The form with which a user signs in to a page on the network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mureg.service.review.access import UserAccess
from mureg.service.review.requests import body_of

Page = Callable[..., Response]
"""Makes the answer from a request and the name of a template."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class SignInRequest:
    """What the form sends."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    password: Annotated[str, Field(min_length=1, max_length=400)]


class SignIn:
    """Answers to the requests of the form."""

    def __init__(self, users: UserAccess, page: Page) -> None:
        self._users, self._page = users, page

    def routes(self) -> list[Route]:
        """Where they are asked for."""
        return [
            Route("/login", self.form, methods=["GET"]),
            Route("/login", self.begin, methods=["POST"]),
            Route("/logout", self.end, methods=["POST"]),
        ]

    async def form(self, request: Request) -> Response:
        """The form."""
        return self._page(request, "login.html.jinja")

    async def begin(self, request: Request) -> Response:
        """A cookie for a name and its password."""
        asked: SignInRequest = await body_of(request, SignInRequest)
        address = request.client.host if request.client is not None else ""
        session = await run_in_threadpool(self._users.sign_in, asked.name, asked.password, address)
        if session is None:
            raise HTTPException(401, "The name or the password is wrong.")
        answer = Response(status_code=204)
        answer.set_cookie(self._users.cookie, session, path="/", secure=True, httponly=True, samesite="strict")
        return answer

    async def end(self, request: Request) -> Response:
        """Forget the cookie."""
        self._users.sign_out(request.headers.get("cookie", ""))
        answer = Response(status_code=204)
        answer.delete_cookie(self._users.cookie, path="/", secure=True, httponly=True, samesite="strict")
        return answer
