"""The page: what each address answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import jinja2
import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
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
from mureg.service.review.bench import SentVolume, StaleRequestError
from mureg.service.review.decide import DecisionRequest, Sixteen
from mureg.service.review.desk import Desk
from mureg.service.trail import AlreadyDecidedError

_PLACE = Path(__file__).parent
_FILES = {
    "review.js": "text/javascript",
    "planes.js": "text/javascript",
    "polar.js": "text/javascript",
    "worklist.js": "text/javascript",
    "review.css": "text/css",
}


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class PoseRequest:
    """A pose to show: ``ct_from_spect`` row by row, and the number by which the page knows the answer."""

    pose: Sixteen
    number: Annotated[int, Field(ge=0)] = 0


class ReviewPage:
    """Answers to the requests that the guard let through."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_PLACE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
        )

    def app(self) -> Starlette:
        """The application, without the guard."""
        one = "/api/studies/{index:int}"
        return Starlette(
            routes=[
                Route("/", self.worklist),
                Route("/studies/{index:int}", self.study),
                Route("/static/{name}", self.file),
                Route("/favicon.ico", self.no_icon),
                Route("/api/studies", self.list_studies),
                Route(one, self.describe),
                Route(f"{one}/spect", self.spect),
                Route(f"{one}/map", self.map),
                Route(f"{one}/picture", self.picture),
                Route(f"{one}/state", self.state),
                Route(f"{one}/pose", self.pose, methods=["POST"]),
                Route(f"{one}/words", self.words, methods=["POST"]),
                Route(f"{one}/decision", self.decision, methods=["POST"]),
                Route(f"{one}/write", self.write, methods=["POST"]),
            ],
            exception_handlers={MuregError: _refused, HTTPException: _failed, ValidationError: _invalid},
        )

    async def worklist(self, _request: Request) -> Response:
        """The list of studies."""
        return self._page("worklist.html.jinja", studies=await run_in_threadpool(self.desk.worklist))

    async def study(self, request: Request) -> Response:
        """The page of one study."""
        index = self._index(request)
        return self._page("study.html.jinja", index=index, name=self.desk.name(index), count=len(self.desk.studies))

    async def file(self, request: Request) -> Response:
        """A script or style: one of a fixed list, never a path."""
        name = request.path_params["name"]
        if name not in _FILES:
            raise HTTPException(404)
        return Response((_PLACE / "static" / name).read_bytes(), media_type=_FILES[name])

    async def no_icon(self, _request: Request) -> Response:
        """Browsers ask for one."""
        return Response(status_code=204)

    async def list_studies(self, _request: Request) -> Response:
        """The worklist for the script."""
        return JSONResponse(await run_in_threadpool(self.desk.worklist))

    async def describe(self, request: Request) -> Response:
        """See `Desk.study`."""
        return JSONResponse(await run_in_threadpool(self.desk.study, self._index(request)))

    async def state(self, request: Request) -> Response:
        """See `Desk.state`."""
        return JSONResponse(await run_in_threadpool(self.desk.state, self._index(request)))

    async def spect(self, request: Request) -> Response:
        """The SPECT as bytes; header in JSON."""
        return _volume(await run_in_threadpool(self.desk.bench(self._index(request)).spect))

    async def map(self, request: Request) -> Response:
        """The map as bytes; with ``?now`` the one that is at hand."""
        bench, at_once = self.desk.bench(self._index(request)), "now" in request.query_params
        return _volume(await run_in_threadpool(lambda: bench.map(at_once=at_once)))

    async def picture(self, request: Request) -> Response:
        """The picture of the result, for browsers that cannot draw."""
        index = self._index(request)
        place = self.desk.studies[index].folder / "qc.png"
        if not self.desk.is_open(index) or not place.is_file():
            raise HTTPException(404)
        return Response(place.read_bytes(), media_type="image/png")

    async def pose(self, request: Request) -> Response:
        """What a pose does to the heart."""
        index, asked = self._index(request), await _body(request, PoseRequest)
        answer = await run_in_threadpool(self.desk.at_pose, index, _transform(asked.pose))
        image: SentVolume = answer.pop("image")
        sent = image.header() | {"values": base64.b64encode(image.values).decode()}
        return JSONResponse(answer | {"image": sent, "number": asked.number})

    async def words(self, request: Request) -> Response:
        """A pose in words, by the program that writes the result."""
        index, asked = self._index(request), await _body(request, PoseRequest)
        return JSONResponse(await run_in_threadpool(self.desk.words, index, _transform(asked.pose)))

    async def decision(self, request: Request) -> Response:
        """Store a decision."""
        index, asked = self._index(request), await _body(request, DecisionRequest)
        return JSONResponse(await run_in_threadpool(self.desk.decide, index, asked))

    async def write(self, request: Request) -> Response:
        """Write a result that was not completed."""
        return JSONResponse(await run_in_threadpool(self.desk.write_again, self._index(request)))

    def _index(self, request: Request) -> int:
        index = int(request.path_params["index"])
        if index >= len(self.desk.studies):
            raise HTTPException(404)
        return index

    def _page(self, template: str, **values: Any) -> Response:
        text = self._templates.get_template(template).render(
            version=__version__, use=RESEARCH_USE_ONLY, blinded=self.desk.blinded, **values
        )
        return HTMLResponse(text)


def _transform(sixteen: tuple[float, ...]) -> RigidTransform:
    return RigidTransform(np.asarray(sixteen, dtype=np.float64).reshape(4, 4))


async def _body(request: Request, kind: type[Any]) -> Any:
    """The body as an object. Raises `ValidationError` for anything else."""
    try:
        table = json.loads(await request.body(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise HTTPException(400, "no JSON") from None
    return TypeAdapter(kind).validate_json(json.dumps(table))


def _refuse_constant(name: str) -> float:
    raise ValueError(name)


def _volume(volume: SentVolume) -> Response:
    headers = {"x-volume": json.dumps(volume.header())}
    return Response(volume.values, media_type="application/octet-stream", headers=headers)


def _refused(_request: Request, problem: Exception) -> Response:
    status: Callable[[Exception], int] = lambda error: 409 if isinstance(error, _CONFLICTS) else 422  # noqa: E731
    table: dict[str, Any] = {"problem": str(problem), "stale": isinstance(problem, StaleRequestError)}
    if isinstance(problem, AlreadyDecidedError):
        table["seen"] = problem.number
    return JSONResponse(table, status(problem))


def _failed(_request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    return JSONResponse({"problem": problem.detail}, problem.status_code)


def _invalid(_request: Request, problem: Exception) -> Response:
    assert isinstance(problem, ValidationError)
    first = problem.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return JSONResponse({"problem": f"{where}: {first['msg']}"}, 400)


_CONFLICTS = (AlreadyDecidedError, StaleRequestError)
