"""The one shape of everything that goes wrong: problem details (RFC 9457), for every status and every path.

Imports fastapi, pydantic, sqlalchemy (its errors), observe and errors.
"""

import logging
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.types import ExceptionHandler

from hl7auth.errors import UserError
from hl7auth.observe import log

MEDIA_TYPE = "application/problem+json"


class Place(BaseModel):
    """What is wrong where: `path` is a JSON pointer into the body (`/lines/0/hcpcs`), or `query/NAME`."""

    path: str
    text: str


class ProblemDetails(BaseModel):
    """Problem details. `type` is `about:blank` or `urn:hl7auth:` with a word that programs can go by."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Place] = []
    allowed: list[str] | None = None
    reasons: list[str] | None = None
    scope: str | None = None


class Problem(Exception):
    """An answer that is none of the good ones. `word` names the kind for programs, `more` are further members."""

    def __init__(self, status: int, detail: str, word: str = "", *, headers: Mapping[str, str] | None = None,
                 **more: Any) -> None:  # fmt: skip
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.word = word
        self.headers = headers
        self.more = more


def problem(status: int, detail: str, word: str = "", headers: Mapping[str, str] | None = None,
            more: Mapping[str, Any] | None = None) -> JSONResponse:  # fmt: skip
    """The answer."""
    body = {
        "type": f"urn:hl7auth:{word}" if word else "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **{"errors": [], **(more or {})},
    }
    return JSONResponse(body, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def at(path: str, text: str) -> dict[str, str]:
    """One entry of `errors`."""
    return {"path": path, "text": text}


def invalid(places: Iterable[Mapping[str, str]]) -> Problem:
    """What was sent is not what is asked for: 400, with every place."""
    errors = list(places)
    first = errors[0] if errors else at("", "it is not valid")
    return Problem(400, f"{first['path']}: {first['text']}", "invalid", errors=errors)


def add(app: FastAPI) -> None:
    """Has the application answer everything that goes wrong in this shape."""
    handlers: dict[Any, Any] = {
        Problem: _problem, RequestValidationError: _invalid, HTTPException: _http, UserError: _missing,
        OperationalError: _busy, Exception: _fault,
    }  # fmt: skip
    for kind, handler in handlers.items():
        as_handler: ExceptionHandler = handler
        app.add_exception_handler(kind, as_handler)


async def _problem(_request: Request, error: Problem) -> JSONResponse:
    return problem(error.status, error.detail, error.word, error.headers, error.more)


async def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
    found = invalid(at(_pointer(each["loc"]), _said(each)) for each in error.errors()[:100])
    return problem(found.status, found.detail, found.word, None, found.more)


async def _http(_request: Request, error: HTTPException) -> JSONResponse:
    known = {404: "there is no such path", 405: "this path does not take that method"}
    detail = known.get(error.status_code, str(error.detail))
    return problem(error.status_code, detail, "", error.headers)


async def _missing(_request: Request, error: UserError) -> JSONResponse:
    """What a person asked for that is not there."""
    return problem(404, str(error), "missing")


async def _busy(_request: Request, error: OperationalError) -> JSONResponse:
    log("api.busy", "the database could not be had", level=logging.WARNING, error=True)
    del error
    return problem(503, "the database can not be had just now", "busy", {"Retry-After": "1"})


async def _fault(request: Request, error: Exception) -> JSONResponse:
    log("api.failed", "a request failed", level=logging.ERROR, error=True, method=request.method)
    del error
    return problem(500, "a fault of ours; the log says more", "fault")


def _pointer(location: Iterable[object]) -> str:
    """`("body", "lines", 0, "hcpcs")` is `/lines/0/hcpcs`; of a query or a header its name with that word."""
    first, *rest = location
    if first == "body":
        return "".join(f"/{_escaped(each)}" for each in rest)
    return "/".join([str(first), *(str(each) for each in rest)])


def _escaped(part: object) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


def _said(each: Mapping[str, Any]) -> str:
    """What is wrong, in a sentence and without the value."""
    kind = each["type"]
    if kind == "extra_forbidden":
        return "there is no such field"
    if kind == "missing":
        return "is required"
    if kind == "json_invalid":
        return "the body is no JSON"
    return str(each["msg"]).removeprefix("Value error, ")
