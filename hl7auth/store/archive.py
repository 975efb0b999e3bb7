"""Reading back: messages as they came and were answered, authorizations as they are and as they were.

Imports sqlalchemy, domain, store.schema and errors only.

Everything comes as plain data, ready to be shown. Lists are oldest first, newest last, cut at the newest `limit`.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, select

from hl7auth.domain.document import shown
from hl7auth.domain.intent import shown_key
from hl7auth.errors import UserError
from hl7auth.store.schema import authorization_version as versions
from hl7auth.store.schema import message

Entry = dict[str, Any]

_LISTED = (
    message.c.id, message.c.channel, message.c.received_at, message.c.peer, message.c.control_id,
    message.c.message_type, message.c.trigger_event, message.c.version, message.c.sender, message.c.disposition,
    message.c.code, message.c.duplicate_of,
)  # fmt: skip


def list_messages(connection: Connection, filters: Mapping[str, str], limit: int) -> list[Entry]:
    """Messages without their bodies. Filters: channel, control_id, message_type, trigger_event, disposition, sender."""
    query = select(*_LISTED).where(_equal(message.c, filters)).order_by(message.c.id.desc())
    return [_message_entry(row) for row in _newest(connection, query, limit)]


def read_message(connection: Connection, message_id: int) -> Entry:
    """One message with its bytes (`raw`, `accept_ack`, `reply`), findings and what it changed. Raises UserError."""
    row = connection.execute(select(message).where(message.c.id == message_id)).first()
    if row is None:
        raise UserError(f"there is no message {message_id}")
    changed = select(versions.c.key, versions.c.version, versions.c.status, versions.c.rule)
    changed = changed.where(versions.c.message_id == message_id).order_by(versions.c.key)
    entry = _message_entry(row)
    entry["findings"] = json.loads(row.findings) if row.findings else []
    entry["changed"] = [
        {"key": shown_key(each.key), "version": each.version, "status": each.status, "by": each.rule}
        for each in connection.execute(changed)
    ]
    return entry | {"raw": row.raw, "accept_ack": row.accept_ack, "reply": row.reply}


def read_raw(connection: Connection, filters: Mapping[str, str], limit: int) -> list[tuple[int, bytes]]:
    """Ids and received bytes, for export."""
    query = select(message.c.id, message.c.raw).where(_equal(message.c, filters)).order_by(message.c.id.desc())
    return [(row.id, row.raw) for row in _newest(connection, query, limit)]


def list_authorizations(
    connection: Connection, filters: Mapping[str, str], limit: int, *, open_requests: bool = False
) -> list[Entry]:
    """Current documents; with `open_requests` the requests without a number that wait for an answer.

    Filters: status, patient (id), payor (code).
    """
    waiting = and_(versions.c.key >= "?", versions.c.key < "@")
    where = [versions.c.current == 1, waiting if open_requests else ~waiting]
    if open_requests:
        where.append(versions.c.status.in_(("requested", "pended")))
    if "status" in filters:
        where.append(versions.c.status == filters["status"])
    query = select(versions.c.document).where(*where).order_by(versions.c.message_id.desc(), versions.c.key.desc())
    deep = {name: value for name, value in filters.items() if name in _DEEP}
    if not deep:
        return [shown(json.loads(row.document)) for row in _newest(connection, query, limit)]
    found = (json.loads(row.document) for row in connection.execute(query))
    kept = [document for document in found if all(_DEEP[name](document) == value for name, value in deep.items())]
    return [shown(document) for document in reversed(kept[:limit] if limit else kept)]


def read_authorization(connection: Connection, key: str) -> Entry:
    """The current document of an authorization or open request. Raises UserError."""
    return shown(json.loads(_versions_of(connection, key)[-1].document))


def read_history(connection: Connection, key: str) -> list[Entry]:
    """Every version, oldest first: when, by which message, by which rule, what changed, and the document."""
    entries: list[Entry] = []
    before: Entry = {}
    for row in _versions_of(connection, key):
        document = shown(json.loads(row.document))
        entries.append(
            {
                "version": row.version,
                "at": iso_time(row.at),
                "message": str(row.message_id),
                "by": row.rule,
                "status": row.status,
                "changed": changed_fields(before, document),
                "document": document,
            }
        )
        before = document
    return entries


def changed_fields(before: Entry, after: Entry) -> list[str]:
    """The top-level fields in which two shown documents differ, in the order of the newer one."""
    silent = {"version", "provenance", "key"}
    names = [*after, *(name for name in before if name not in after)]
    return [name for name in names if name not in silent and before.get(name) != after.get(name)]


def iso_time(microseconds: int) -> str:
    """A stored time in ISO 8601, UTC, to the millisecond."""
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC).isoformat(timespec="milliseconds")


_DEEP = {
    "patient": lambda document: document.get("patient", {}).get("id"),
    "payor": lambda document: document.get("payor", {}).get("code"),
}


def _versions_of(connection: Connection, key: str) -> Sequence[Row[Any]]:
    for stored in (key, f"?{key}", f"?#{key}"):
        query = select(versions).where(versions.c.key == stored).order_by(versions.c.version)
        rows = connection.execute(query).all()
        if rows:
            return rows
    raise UserError(f"there is no authorization or request '{key}'")


def _equal(columns: Any, filters: Mapping[str, str]) -> ColumnElement[bool]:
    return and_(True, *(columns[name] == value for name, value in filters.items()))


def _newest(connection: Connection, query: Select[Any], limit: int) -> list[Row[Any]]:
    rows = connection.execute(query.limit(limit) if limit else query).all()
    return list(reversed(rows))


def _message_entry(row: Row[Any]) -> Entry:
    entry = {
        "id": str(row.id),
        "received_at": iso_time(row.received_at),
        "channel": row.channel,
        "peer": row.peer,
        "control_id": row.control_id,
        "event": f"{row.message_type}^{row.trigger_event}" if row.trigger_event else row.message_type,
        "hl7_version": row.version,
        "sender": row.sender,
        "disposition": row.disposition,
        "code": row.code,
    }
    return entry | ({"duplicate_of": str(row.duplicate_of)} if row.duplicate_of else {})
