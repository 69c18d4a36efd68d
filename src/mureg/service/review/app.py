"""The page: what each address answers."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Annotated, Any

import jinja2
import numpy as np
from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from mureg import RESEARCH_USE_ONLY, __version__
from mureg.errors import MuregError
from mureg.geometry import RigidTransform
from mureg.service.review.access import TooManyError, UserAccess
from mureg.service.review.bench import SentVolume, StaleRequestError
from mureg.service.review.decide import DecisionRequest, Sixteen
from mureg.service.review.desk import Desk
from mureg.service.review.drawing import MoveQuery
from mureg.service.review.guard import READER
from mureg.service.review.requests import body_of
from mureg.service.review.sign_in import SignIn
from mureg.service.trail import AlreadyDecidedError

_PLACE = Path(__file__).parent
_FILES = {
    "review.js": "text/javascript",
    "planes.js": "text/javascript",
    "polar.js": "text/javascript",
    "worklist.js": "text/javascript",
    "login.js": "text/javascript",
    "review.css": "text/css",
}


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class PoseRequest:
    """A pose to show.

    Attributes:
        pose: ``ct_from_spect`` row by row.
        number: by which the page knows the answer.
        tab: a number of the window's own: of its poses only the newest is worked on.
    """

    pose: Sixteen
    number: Annotated[int, Field(ge=0)] = 0
    tab: Annotated[int, Field(ge=0, lt=2**53)] = 0


class ReviewPage:
    """Answers to the requests that the guard let through."""

    def __init__(self, desk: Desk, users: UserAccess | None = None) -> None:
        self._whole_desk, self._users = desk, users
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_PLACE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
        )

    def app(self) -> Starlette:
        """The application, without the guard."""
        one = "/api/studies/{index:int}"
        sign_in = [] if self._users is None else SignIn(self._users, self._page).routes()
        return Starlette(
            routes=[
                *sign_in,
                Route("/", self.worklist),
                Route("/studies/{index:int}", self.study),
                Route("/studies/{index:int}/plain", self.plain),
                Route("/static/{name}", self.file),
                Route("/favicon.ico", self.no_icon),
                Route("/api/studies", self.list_studies),
                Route(one, self.describe),
                Route(f"{one}/spect", self.spect),
                Route(f"{one}/map", self.map),
                Route(f"{one}/planes.png", self.planes),
                Route(f"{one}/state", self.state),
                Route(f"{one}/pose", self.pose, methods=["POST"]),
                Route(f"{one}/words", self.words, methods=["POST"]),
                Route(f"{one}/decision", self.decision, methods=["POST"]),
                Route(f"{one}/write", self.write, methods=["POST"]),
            ],
            exception_handlers={MuregError: _refused, HTTPException: _failed, ValidationError: _invalid},
        )

    async def worklist(self, request: Request) -> Response:
        """The list of studies."""
        desk = self._desk(request)
        return self._page(request, "worklist.html.jinja", studies=await run_in_threadpool(desk.worklist))

    async def study(self, request: Request) -> Response:
        """The page of one study."""
        return self._study_page(request, "study.html.jinja")

    async def plain(self, request: Request) -> Response:
        """A study for browsers without scripts: a form that moves the map on a picture."""
        move = MoveQuery.of(request.query_params)
        return self._study_page(request, "plain.html.jinja", move=move, query=move.as_query())

    async def planes(self, request: Request) -> Response:
        """Three planes at a pose as a picture, for browsers that cannot draw."""
        index, move = self._index(request), MoveQuery.of(request.query_params)
        desk = self._desk(request)
        picture = await run_in_threadpool(desk.planes, index, move)
        return Response(picture, media_type="image/png")

    async def file(self, request: Request) -> Response:
        """A script or style: one of a fixed list, never a path."""
        name = request.path_params["name"]
        if name not in _FILES:
            raise HTTPException(404)
        return Response((_PLACE / "static" / name).read_bytes(), media_type=_FILES[name])

    async def no_icon(self, _request: Request) -> Response:
        """Browsers ask for one."""
        return Response(status_code=204)

    async def list_studies(self, request: Request) -> Response:
        """The worklist for the script."""
        return JSONResponse(await run_in_threadpool(self._desk(request).worklist))

    async def describe(self, request: Request) -> Response:
        """See `Desk.study`."""
        return JSONResponse(await run_in_threadpool(self._desk(request).study, self._index(request)))

    async def state(self, request: Request) -> Response:
        """See `Desk.state`."""
        return JSONResponse(await run_in_threadpool(self._desk(request).state, self._index(request)))

    async def spect(self, request: Request) -> Response:
        """The SPECT as bytes; header in JSON."""
        return _volume(await run_in_threadpool(self._whole_desk.bench(self._index(request)).spect))

    async def map(self, request: Request) -> Response:
        """The map as bytes; with ``?now`` the one that is at hand."""
        bench, at_once = self._whole_desk.bench(self._index(request)), "now" in request.query_params
        return _volume(await run_in_threadpool(lambda: bench.map(at_once=at_once)))

    async def pose(self, request: Request) -> Response:
        """What a pose does to the heart."""
        index, asked = self._index(request), await body_of(request, PoseRequest)
        answer = await run_in_threadpool(self._desk(request).at_pose, index, _transform(asked.pose), asked.tab)
        image: SentVolume = answer.pop("image")
        sent = image.header() | {"values": base64.b64encode(image.values).decode()}
        return JSONResponse(answer | {"image": sent, "number": asked.number})

    async def words(self, request: Request) -> Response:
        """A pose in words, by the program that writes the result."""
        index, asked = self._index(request), await body_of(request, PoseRequest)
        return JSONResponse(await run_in_threadpool(self._desk(request).words, index, _transform(asked.pose)))

    async def decision(self, request: Request) -> Response:
        """Store a decision."""
        index, asked = self._index(request), await body_of(request, DecisionRequest)
        return JSONResponse(await run_in_threadpool(self._desk(request).decide, index, asked))

    async def write(self, request: Request) -> Response:
        """Write a result that was not completed."""
        return JSONResponse(await run_in_threadpool(self._desk(request).write_again, self._index(request)))

    def _index(self, request: Request) -> int:
        index = int(request.path_params["index"])
        if index >= len(self._whole_desk.studies):
            raise HTTPException(404)
        return index

    def _desk(self, request: Request) -> Desk:
        """The review as whoever asks may see it."""
        return self._whole_desk.of_user(_reader(request)) if self._users is not None else self._whole_desk

    def _study_page(self, request: Request, template: str, **values: Any) -> Response:
        index, desk = self._index(request), self._whole_desk
        name, is_phantom = desk.name(index), desk.studies[index].is_phantom
        return self._page(
            request, template, index=index, name=name, phantom=is_phantom, count=len(desk.studies), **values
        )

    def _page(self, request: Request, template: str, **values: Any) -> Response:
        text = self._templates.get_template(template).render(
            version=__version__,
            use=RESEARCH_USE_ONLY,
            blinded=self._whole_desk.blinded,
            user=_reader(request) if self._users is not None else "",
            **values,
        )
        return HTMLResponse(text)


def _reader(request: Request) -> str:
    return str(request.scope.get(READER) or "")


def _transform(sixteen: tuple[float, ...]) -> RigidTransform:
    return RigidTransform(np.asarray(sixteen, dtype=np.float64).reshape(4, 4))


def _volume(volume: SentVolume) -> Response:
    headers = {"x-volume": json.dumps(volume.header())}
    return Response(volume.values, media_type="application/octet-stream", headers=headers)


def _refused(_request: Request, problem: Exception) -> Response:
    status = 409 if isinstance(problem, _CONFLICTS) else 429 if isinstance(problem, TooManyError) else 422
    table: dict[str, Any] = {"problem": str(problem), "stale": isinstance(problem, StaleRequestError)}
    if isinstance(problem, AlreadyDecidedError):
        table["seen"] = problem.number
    return JSONResponse(table, status)


def _failed(_request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    return JSONResponse({"problem": problem.detail}, problem.status_code)


def _invalid(_request: Request, problem: Exception) -> Response:
    assert isinstance(problem, ValidationError)
    first = problem.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return JSONResponse({"problem": f"{where}: {first['msg']}"}, 400)


_CONFLICTS = (AlreadyDecidedError, StaleRequestError)
