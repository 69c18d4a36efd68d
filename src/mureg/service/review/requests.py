"""Bodies of requests as objects."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request


async def body_of(request: Request, kind: type[Any]) -> Any:
    """The body as an object. Raises `ValidationError` or `HTTPException` for anything else."""
    try:
        table = json.loads(await request.body(), parse_constant=_refuse_constant)
    except ClientDisconnect:
        raise HTTPException(408, "a part of a request") from None
    except (ValueError, RecursionError):
        raise HTTPException(400, "no JSON") from None
    return TypeAdapter(kind).validate_json(json.dumps(table))


def _refuse_constant(name: str) -> float:
    raise ValueError(name)
