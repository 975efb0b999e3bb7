"""Bounds on what anybody may send: bodies, and names of the query.

Imports fastapi, starlette and api.problems only.
"""

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hl7auth.api.problems import at, invalid, problem

MAX_BODY = 8 * 1024 * 1024
"""Bytes: a paper of 5 MB as base64, and more JSON than any authorization has."""

_KNOWN = "known_query"
_NUL = "has a character that no text has (NUL)"


class BoundedBodies:
    """Answers 413 to a body beyond MAX_BODY, having read no more than that."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > self._limit:
            await self._refuse(scope, receive, send)
            return
        held: list[Message] = []
        size, more = 0, True
        while more:
            message = await receive()
            held.append(message)
            more = message["type"] == "http.request" and message.get("more_body", False)
            size += len(message.get("body", b""))
            if size > self._limit:
                await self._refuse(scope, receive, send)
                return

        async def again() -> Message:
            return held.pop(0) if held else await receive()

        await self._app(scope, again, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = problem(413, f"a body has at most {self._limit} bytes", "too-large", {"Connection": "close"})
        await answer(scope, receive, send)


async def known_query(request: Request) -> None:
    """A dependency: names of the query that nobody asks for are mistakes, and named. So is a NUL, which no database on
    a server takes into a text."""
    if "\x00" in request.scope["path"]:
        raise invalid([at("path", _NUL)])
    if not request.scope["query_string"]:
        return
    if b"%00" in request.scope["query_string"]:
        raise invalid(at(f"query/{name}", _NUL) for name, value in request.query_params.multi_items()
                      if "\x00" in name + value)  # fmt: skip
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return
    known = _names(route)
    unknown = sorted(set(request.query_params.keys()) - known)
    if unknown:
        allowed = ", ".join(sorted(known)) or "none"
        raise invalid(at(f"query/{name}", f"there is no such parameter (there are: {allowed})") for name in unknown)
    twice = [name for name in known if len(request.query_params.getlist(name)) > 1]
    if twice:
        raise invalid(at(f"query/{name}", "is given twice") for name in sorted(twice))


def _names(route: APIRoute) -> frozenset[str]:
    """The parameters that a route takes, worked out once and kept with it."""
    found: frozenset[str] | None = vars(route).get(_KNOWN)
    if found is None:
        params = get_flat_params(route.dependant)
        found = frozenset(each.alias for each in params if isinstance(each.field_info, Query))
        vars(route)[_KNOWN] = found
    return found
