"""Taking on what is worked on later: an operation, and where its caller asks how it stands.

Imports fastapi, sqlalchemy, api and store.
"""

import hashlib
import secrets
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

from fastapi import Header, Request, Response
from sqlalchemy import Connection

from hl7auth.api.problems import Problem
from hl7auth.api.state import State
from hl7auth.store import operations
from hl7auth.store.tokens import Caller

IdempotencyKey = Annotated[
    str,
    Header(
        max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$", description="The same call again, with this, is done once."
    ),
]  # fmt: skip
ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {"description": "Taken on.", "headers": {"Operation-Location": {"schema": {"type": "string"}}}}
}


class Asked(NamedTuple):
    """What is asked for: `said` is what the call says, `more` what its work needs beside. `beside` is done in the same
    transaction where it is taken on anew, with the id of the operation; what it raises takes nothing on."""

    kind: str
    said: Mapping[str, Any]
    more: Mapping[str, Any] = {}
    beside: Callable[[Connection, str], None] | None = None


def accept(state: State, caller: Caller, asked: Asked, key: str, at: tuple[Request, Response]) -> dict[str, Any]:
    """Takes it on, or finds it taken on before with that Idempotency-Key; tells where to come back for the result.
    Raises Problem (422) where the key was used for another call."""
    request, response = at
    hashed = hashlib.sha256(repr((asked.kind, dict(asked.said))).encode()).hexdigest()
    operation = operations.Operation(
        secrets.token_hex(8), asked.kind, caller.name, state.now, key, hashed, {**asked.said, **asked.more}
    )

    def take(connection: Connection) -> tuple[str, bool]:
        known, same = operations.accept(connection, operation)
        if known == operation.id and asked.beside is not None:
            asked.beside(connection, known)
        return known, same

    known, same = state.write(take)
    if not same:
        raise Problem(422, "this Idempotency-Key was used for another call", "idempotency-key")
    if known == operation.id:
        request.app.state.operator.put(asked.kind, known)
    response.headers["Operation-Location"] = f"{str(request.base_url).rstrip('/')}/operation/{known}"
    return {"operation": known}
