"""Who asks: bearer tokens, and what they are for.

Imports fastapi, api and store.tokens (Caller).
"""

from collections.abc import Awaitable, Callable

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from hl7auth.api.problems import Problem
from hl7auth.api.state import State, state_of
from hl7auth.store.tokens import Caller

_bearer = HTTPBearer(auto_error=False, description="A token made by `hl7auth token create`.")
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


def may_enter(state: State, caller: Caller) -> None:
    """Raises Problem (403) for a token that is bound to other channels than that by which all goes in that is entered
    here: it could not even see what it entered."""
    if not caller.sees_channel(state.desk):
        text = f"the token '{caller.name}' is not for the channel '{state.desk}', by which this goes in"
        raise Problem(403, text, "other-channel")


def require(scope: str = "") -> Callable[..., Awaitable[Caller]]:
    """A dependency that gives the Caller: 401 without a token in force, 403 naming the scope that it lacks; without a
    scope any token will do."""

    async def dependency(
        request: Request,
        credentials: HTTPAuthorizationCredentials | None = Depends(_bearer),  # noqa: B008 - FastAPI's way
    ) -> Caller:
        state = await state_of(request)
        if credentials is None:
            raise Problem(401, "a bearer token is needed: hl7auth token create", "no-token", headers=_CHALLENGE)
        caller = await state.glance.caller(credentials.credentials)
        if caller is None:
            raise Problem(401, "the token is unknown or revoked", "bad-token", headers=_CHALLENGE)
        if scope and not caller.may(scope):
            raise Problem(403, f"the token '{caller.name}' lacks the scope {scope}", "missing-scope", scope=scope)
        request.state.caller = caller
        return caller

    return dependency
