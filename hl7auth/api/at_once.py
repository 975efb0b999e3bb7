"""Reads by key, answered before the framework: they are asked most, and its part of them is the greater one.

Imports starlette (its types), fastapi, api and store only.

Only what is as it should be is answered here: one key, a token in force with the scope, and something under the key
that it may see. Everything else goes on to the framework as if this was not there, which knows what to say of it.
"""

import logging

from starlette.types import ASGIApp, Receive, Scope, Send

from hl7auth.api.authorizations import answer_of, look_for
from hl7auth.api.state import State
from hl7auth.observe import log
from hl7auth.store.tokens import READ

_PREFIX = "/authorizations/"
_BEARER = b"bearer "
_OTHERS = frozenset([b"if-none-match", b"content-length", b"transfer-encoding"])
"""Headers of a request that is more than a read by key."""


class AtOnce:
    """The application with its short cut."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        asked = _asked(scope)
        answer = None if asked is None else await self._answer(*asked)
        await (self._app if answer is None else answer)(scope, receive, send)

    async def _answer(self, key: str, token: str) -> ASGIApp | None:
        try:
            caller = await self._state.glance.caller(token)
            if caller is None or not caller.may(READ):
                return None
            found = await look_for(self._state, caller, key)
            return None if found is None else answer_of(self._state, caller, found)
        except Exception:
            log("api.busy", "a read by key is tried again", level=logging.WARNING, error=True)
            return None


def _asked(scope: Scope) -> tuple[str, str] | None:
    """The key and the token of a plain read by key."""
    if scope["type"] != "http" or scope["method"] != "GET" or scope["query_string"]:
        return None
    path: str = scope["path"]
    key = path[len(_PREFIX) :]
    if not path.startswith(_PREFIX) or not 1 <= len(key) <= 300 or "/" in key or "\x00" in key:
        return None
    tokens = []
    for name, value in scope["headers"]:
        if name in _OTHERS:
            return None
        if name == b"authorization":
            tokens.append(value)
    if len(tokens) != 1 or tokens[0][: len(_BEARER)].lower() != _BEARER:
        return None
    return key, tokens[0][len(_BEARER) :].decode("latin-1")
