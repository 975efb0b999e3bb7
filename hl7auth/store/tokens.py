"""API tokens: who may do what, of which payors and on which channels. Of a token only its hash is kept.

Imports sqlalchemy, domain.clock, errors and store.statement.run only.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row

from hl7auth.domain.clock import iso_time
from hl7auth.errors import UserError
from hl7auth.store.statement import run

CHARGE_READ = "billing.charge.read"
READ = "clinical.authorization.read"
WRITE = "clinical.authorization.write"
REQUEST = "clinical.authorization.request"
ADMIN = "admin"
SCOPES = (CHARGE_READ, READ, WRITE, REQUEST, ADMIN)
"""What a token may be for; `admin` holds all the others."""

_CALLER = "SELECT name, scopes, payors, channels FROM token WHERE hash = {p} AND revoked_at IS NULL"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class Caller(NamedTuple):
    """Who asks. An empty set of payors or channels is all of them."""

    name: str
    scopes: frozenset[str]
    payors: frozenset[str]
    channels: frozenset[str]

    def may(self, scope: str) -> bool:
        """True with that scope, or as an administrator."""
        return scope in self.scopes or ADMIN in self.scopes

    def sees_payor(self, payor: str) -> bool:
        """True when what is of that payor may be seen."""
        return not self.payors or payor in self.payors

    def sees(self, payor: str, channel: str) -> bool:
        """True when what is of that payor and came by that channel may be seen."""
        return self.sees_payor(payor) and self.sees_channel(channel)

    def sees_channel(self, channel: str) -> bool:
        """True when what came by that channel may be seen."""
        return not self.channels or channel in self.channels


def digest(token: str) -> str:
    """What is kept of a token. It is 256 random bits: nobody finds it again by trying."""
    return hashlib.sha256(token.encode()).hexdigest()


class Rights(NamedTuple):
    """What a token is for. No payors or channels are all of them."""

    scopes: Sequence[str]
    payors: Sequence[str] = ()
    channels: Sequence[str] = ()


def create(connection: Connection, token: str, name: str, rights: Rights, now: int) -> None:
    """Keeps a new token. Raises UserError for a name that is taken or none, and for a scope that there is not."""
    if not _NAME.fullmatch(name):
        raise UserError(f"'{name}' is no name for a token: letters, digits and . _ - @, at most 64")
    if wrong := [each for each in rights.scopes if each not in SCOPES]:
        raise UserError(f"there is no scope '{wrong[0]}' (scopes: {', '.join(SCOPES)})")
    if not rights.scopes:
        raise UserError(f"a token without a scope can do nothing (scopes: {', '.join(SCOPES)})")
    sql = (
        "INSERT INTO token (name, hash, scopes, payors, channels, created_at) VALUES ({p}, {p}, {p}, {p}, {p}, {p})"
        " ON CONFLICT (name) DO NOTHING"
    )
    lists = [json.dumps(sorted(set(each))) for each in rights]
    if not run(connection, sql, (name, digest(token), *lists, now)).rowcount:
        raise UserError(f"there is a token '{name}' already; names are not given twice")


def revoke(connection: Connection, name: str, now: int) -> None:
    """From now on it opens nothing. Raises UserError where there is no such token in force."""
    sql = "UPDATE token SET revoked_at = {p} WHERE name = {p} AND revoked_at IS NULL"
    if not run(connection, sql, (now, name)).rowcount:
        raise UserError(f"there is no token '{name}' in force")


def caller(connection: Connection, token: str) -> Caller | None:
    """Whose token it is; None for one that is unknown or revoked."""
    row = run(connection, _CALLER, (digest(token),)).first()
    return None if row is None else Caller(row.name, _set(row.scopes), _set(row.payors), _set(row.channels))


def tokens(connection: Connection) -> list[dict[str, Any]]:
    """All tokens that there ever were, without what opens anything."""
    return [_entry(row) for row in run(connection, "SELECT * FROM token ORDER BY created_at, name", ())]


def _entry(row: Row[Any]) -> dict[str, Any]:
    return {
        "name": row.name,
        "scopes": json.loads(row.scopes),
        "payors": json.loads(row.payors),
        "channels": json.loads(row.channels),
        "created_at": iso_time(row.created_at),
        "revoked_at": None if row.revoked_at is None else iso_time(row.revoked_at),
    }


@lru_cache(maxsize=1_000)
def _set(text: str) -> frozenset[str]:
    return frozenset(json.loads(text))
