"""Papers: letters, faxes and reports that belong to a request or an authorization, kept as they are.

Imports fastapi, pydantic, api, domain and store.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response
from pydantic import Field, WithJsonSchema, field_validator
from sqlalchemy import Connection

from hl7auth.api.authorizations import nothing, visible
from hl7auth.api.etag import IfMatch
from hl7auth.api.life import desk_of
from hl7auth.api.problems import Problem
from hl7auth.api.record_shapes import Shape, Word
from hl7auth.api.security import require
from hl7auth.api.state import Api
from hl7auth.store import audit, pages, processes
from hl7auth.store.papers import keep, paper, papers_of
from hl7auth.store.processes import Stored
from hl7auth.store.tokens import READ, WRITE, Caller

router = APIRouter(tags=["papers"])

Reader = Annotated[Caller, Depends(require(READ))]
Writer = Annotated[Caller, Depends(require(WRITE))]
Key = Annotated[str, Path(min_length=1, max_length=300)]
_MEDIA = r"^[A-Za-z0-9.+-]{1,60}/[A-Za-z0-9.+-]{1,60}$"
MOST_PAPERS = 100
"""Of one request: more is an archive of another kind, and nobody reads it before deciding."""


class Document(Shape):
    """The payor's letter, fax or screen, as base64."""

    name: Word
    media_type: Annotated[str, Field(pattern=_MEDIA)]
    content: Annotated[str, Field(min_length=1), WithJsonSchema({"type": "string", "pattern": "^([A-Za-z0-9+/]{4})+$"})]

    @field_validator("content")
    @classmethod
    def _is_base64(cls, value: str) -> str:
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("is no base64") from None
        return value


class Documents(Shape):
    """What was asked for, or what speaks for or against a request."""

    documents: Annotated[list[Document], Field(min_length=1, max_length=10)]


@router.post("/requests/{key:path}/papers", status_code=201, summary="Attach documents to a request")
def attach_papers(state: Api, caller: Writer, key: Key, body: Documents, if_match: IfMatch = "") -> dict[str, Any]:
    """They are kept, and stand in its history and in the audit log. It stays as it is: `resume` goes on with it."""
    with state.reading() as connection:
        stored = visible(connection, caller, key)

    def work(connection: Connection, process: Stored) -> None:
        if len(papers_of(connection, stored)) + len(body.documents) > MOST_PAPERS:
            raise Problem(409, f"a request has at most {MOST_PAPERS} papers", "too-many")
        found = kept(connection, stored, body.documents, caller.name, state.now)
        names = ", ".join(each["name"] for each in found)[:200]
        processes.record(
            connection, process.id, (process.state, "papers", process.state), state.now, caller.name, names
        )
        audit.write(connection, caller.name, "request.papers", stored, {"papers": found}, state.now)

    with state.alone():
        desk_of(state, if_match).noted(key, caller.name, work)
    with state.reading() as connection:
        return {"items": papers_of(connection, stored)}


@router.get("/requests/{key:path}/papers", summary="The papers of a request")
@router.get("/authorizations/{key:path}/papers", summary="The papers of an authorization")
def list_papers(state: Api, caller: Reader, key: Annotated[str, Path(min_length=1, max_length=300)]) -> dict[str, Any]:
    """Without their content."""
    with state.reading() as connection:
        stored = visible(connection, caller, key)
        found = papers_of(connection, stored)
    state.saw(caller.name, "authorization.papers", stored)
    return {"items": found}


@router.get("/papers/{digest}", summary="One paper", response_class=Response)
def read_paper(state: Api, caller: Reader, digest: Annotated[str, Path(pattern="^[0-9a-f]{64}$")]) -> Response:
    """Its bytes, to be saved and not shown: whoever entered it said what it is."""
    with state.reading() as connection:
        found = paper(connection, digest)
        if found is None or not pages.may_see(connection, found.key, caller.sees):
            raise nothing(digest)
    if _digest(found.key, found.content) != digest:
        raise Problem(410, "the paper is damaged: it is not what was kept", "damaged")
    state.saw(caller.name, "paper.read", found.key, paper=digest)
    headers = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"}
    return Response(found.content, media_type="application/octet-stream", headers=headers)


def kept(connection: Connection, key: str, documents: Sequence[Document], by: str, now: int) -> list[dict[str, Any]]:
    """Keeps them for a request or an authorization; what the audit log says of each. The same again is kept once."""
    found = []
    for each in documents:
        content = base64.b64decode(each.content)
        digest = _digest(key, content)
        keep(connection, (digest, each.name, each.media_type, key), content, now, by)
        said = {"name": each.name, "media_type": each.media_type, "bytes": len(content)}
        found.append({"digest": digest, "sha256": hashlib.sha256(content).hexdigest()} | said)
    return found


def _digest(key: str, content: bytes) -> str:
    return hashlib.sha256(key.encode() + b"\0" + content).hexdigest()
