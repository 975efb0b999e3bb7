"""Papers: what a payor wrote about an authorization that was entered by hand.

Imports sqlalchemy, domain.clock and store.statement.run only.
"""

from typing import Any, NamedTuple

from sqlalchemy import Connection

from hl7auth.domain.clock import iso_time
from hl7auth.store.statement import run

_KEEP = (
    "INSERT INTO paper (digest, name, media_type, key, at, by, content) VALUES ({p}, {p}, {p}, {p}, {p}, {p}, {p})"
    " ON CONFLICT (digest) DO NOTHING"
)
_LIST = (
    "SELECT digest, name, media_type, at, by, length(content) AS bytes FROM paper WHERE key = {p} ORDER BY at, digest"
)


class Paper(NamedTuple):
    """The bytes, and the key of the authorization."""

    key: str
    content: bytes


def keep(connection: Connection, named: tuple[str, str, str, str], content: bytes, now: int, by: str) -> None:
    """Keeps one, named by digest, name, media type and key; the same again is kept once."""
    run(connection, _KEEP, (*named, now, by, content))


def paper(connection: Connection, digest: str) -> Paper | None:
    """One of them; None where there is none."""
    row = run(connection, "SELECT key, content FROM paper WHERE digest = {p}", (digest,)).first()
    return None if row is None else Paper(row.key, bytes(row.content))


def papers_of(connection: Connection, key: str) -> list[dict[str, Any]]:
    """The papers of an authorization, without their content."""
    return [row._asdict() | {"at": iso_time(row.at)} for row in run(connection, _LIST, (key,))]
