"""The application: its routers, its one shape of errors, and its description (OpenAPI 3.1).

Imports fastapi, api and hl7auth's version.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, Depends, FastAPI

from hl7auth import __version__
from hl7auth.api import (
    authorizations,
    bounds,
    charges,
    life,
    manual,
    messages,
    papers,
    problems,
    queue,
    record_routes,
    replaying,
    replays,
)
from hl7auth.api.at_once import AtOnce
from hl7auth.api.operating import Operators, Perform
from hl7auth.api.problems import MEDIA_TYPE, ProblemDetails
from hl7auth.api.records import perform
from hl7auth.api.state import Api, Settings, State

health = APIRouter(tags=["service"])

#: in this order: a key may have slashes, so what stands behind one comes before the key alone; and what is asked most
#: comes first, for every route is tried that stands before
ROUTERS: tuple[APIRouter, ...] = (
    papers.router, charges.behind_keys, authorizations.router, charges.router, health, life.router,
    record_routes.router, manual.router, messages.router, queue.router, replays.router,
)  # fmt: skip


#: what works on operations, by how their kinds begin
PERFORMS: dict[str, Perform] = {
    "authorization.": lambda state, operation, _stopping: perform(state, operation),
    replaying.PLAN: replaying.plan,
    replaying.RUN: replaying.go,
}


@health.get("/health", summary="Is the service there, and the store?")
def read_health(state: Api) -> dict[str, str]:
    """Needs no token, and says nothing but that."""
    with state.reading() as connection:
        connection.exec_driver_sql("SELECT 1")
    return {"status": "ok", "version": __version__}


def create_app(settings: Settings) -> FastAPI:
    """The API over a store. It records what was read until its lifespan ends."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.operator = Operators(state, PERFORMS)
        yield
        app.state.operator.close()
        state.close()

    state = State(settings)
    app = FastAPI(
        title="hl7auth", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan,
        dependencies=[Depends(bounds.known_query)], redirect_slashes=False,
        summary="Prior authorizations: what was asked, granted and used.",
        responses={"default": {"model": ProblemDetails, "description": "What went wrong (RFC 9457)."}},
    )  # fmt: skip
    app.state.api = state
    app.add_middleware(bounds.BoundedBodies)
    app.add_middleware(AtOnce, state)
    problems.add(app)
    for router in ROUTERS:
        app.include_router(router)
    plain = app.openapi

    def described() -> dict[str, Any]:
        return _described(plain())

    app.openapi = described  # type: ignore[method-assign]
    return app


def _described(document: dict[str, Any]) -> dict[str, Any]:
    """The description with our shape of errors: FastAPI tells of one of its own."""
    for path in document["paths"].values():
        for operation in path.values():
            answers = operation["responses"]
            answers.pop("422", None)
            default = answers.get("default")
            if default and "application/json" in default["content"]:
                default["content"][MEDIA_TYPE] = default["content"].pop("application/json")
    for name in ("HTTPValidationError", "ValidationError"):
        document.get("components", {}).get("schemas", {}).pop(name, None)
    return document
