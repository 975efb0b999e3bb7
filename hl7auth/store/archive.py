"""Reading back messages: as they came, as they were answered, and what they changed.

Imports sqlalchemy, domain, store.bodies, store.forward_table, store.schema, store.link_table and errors only.

Everything comes as plain data, ready to be shown. Lists are oldest first, newest last, cut at the newest `limit`.
"""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, select

from hl7auth.domain.clock import iso_time
from hl7auth.domain.key import shown_key
from hl7auth.errors import UserError
from hl7auth.store.bodies import BodyFault, bodies_of_rows, dropped_ids, read_bodies
from hl7auth.store.forward_table import forward_entry
from hl7auth.store.link_table import continuation, message_part
from hl7auth.store.schema import authorization_version as versions
from hl7auth.store.schema import message

Entry = dict[str, Any]

LISTED = (
    message.c.id, message.c.channel, message.c.received_at, message.c.peer, message.c.control_id,
    message.c.message_type, message.c.trigger_event, message.c.version, message.c.sender, message.c.disposition,
    message.c.code, message.c.duplicate_of, message.c.channel_version,
)  # fmt: skip


def list_messages(connection: Connection, filters: Mapping[str, str], limit: int) -> list[Entry]:
    """Messages without their bodies. Filters: channel, control_id, message_type, trigger_event, disposition, sender."""
    query = select(*LISTED).where(_equal(message.c, filters)).order_by(message.c.id.desc())
    return [message_entry(row) for row in _newest(connection, query, limit)]


def read_message(connection: Connection, message_id: int) -> Entry:
    """One message with its bytes (`raw`, `shaped` where steps made something else of it, `accept_ack`, `reply`),
    findings and what it changed. Raises UserError.

    Where the bytes can not be had they are None, and `lost` says why, or `dropped` where retention wanted it so.
    """
    row = connection.execute(select(message).where(message.c.id == message_id)).first()
    if row is None:
        raise UserError(f"there is no message {message_id}")
    changed = select(versions.c.key, versions.c.version, versions.c.status, versions.c.rule)
    changed = changed.where(versions.c.message_id == message_id).order_by(versions.c.key)
    entry = message_entry(row)
    entry["findings"] = json.loads(row.findings) if row.findings else []
    entry["changed"] = [
        {"key": shown_key(each.key), "version": each.version, "status": each.status, "by": each.rule}
        for each in connection.execute(changed)
    ]
    entry |= _relations(connection, row)
    if (forwarded := forward_entry(connection, message_id)) is not None:
        entry["forwarded"] = forwarded
    bodies = bodies_of_rows(connection, [row])[row.id]
    if isinstance(bodies, BodyFault):
        why = "dropped" if bodies.dropped else "lost"
        return entry | {"raw": None, "shaped": None, "accept_ack": None, "reply": None, why: str(bodies)}
    return entry | bodies._asdict()


def read_whole(connection: Connection, message_id: int) -> Entry:
    """The same, for who can do nothing without the bytes. Raises UserError where they can not be had."""
    entry = read_message(connection, message_id)
    if entry["raw"] is None:
        raise UserError(entry.get("lost") or entry["dropped"])
    return entry


def _relations(connection: Connection, row: Row[Any]) -> Entry:
    """Of a part or a message of a batch, what it is part of; of a joined message or a batch, the ids of its parts."""
    found: Entry = {}
    place = select(message_part.c.whole, message_part.c.number, continuation.c.state, continuation.c.became)
    place = place.outerjoin(continuation, continuation.c.id == message_part.c.whole)
    of = connection.execute(place.where(message_part.c.message_id == row.id)).first()
    if of is not None:
        found["part"] = {"number": of.number, "of": str(of.became or of.whole), "state": of.state or "batch"}
    series = select(continuation.c.id).where(continuation.c.became == row.id).scalar_subquery()
    whole = row.id if row.disposition == "batch" else series
    parts = select(message_part.c.message_id).where(message_part.c.whole == whole).order_by(message_part.c.number)
    if row.disposition != "part" and (ids := [str(each.message_id) for each in connection.execute(parts)]):
        found["parts"] = ids
    return found


def read_raw(connection: Connection, filters: Mapping[str, str], limit: int) -> list[tuple[int, bytes]]:
    """Ids and received bytes, for export; none of what retention has dropped. Raises BodyFault where one is lost."""
    query = select(message.c.id).where(_equal(message.c, filters)).order_by(message.c.id.desc())
    ids = [row.id for row in _newest(connection, query, limit)]
    gone = dropped_ids(connection)
    kept = [message_id for message_id in ids if message_id not in gone]
    found = read_bodies(connection, kept)
    return [(message_id, found[message_id].raw) for message_id in kept]


def _equal(columns: Any, filters: Mapping[str, str]) -> ColumnElement[bool]:
    return and_(True, *(columns[name] == value for name, value in filters.items()))


def _newest(connection: Connection, query: Select[Any], limit: int) -> list[Row[Any]]:
    rows = connection.execute(query.limit(limit) if limit else query).all()
    return list(reversed(rows))


def message_entry(row: Row[Any]) -> Entry:
    """A message as lists show it, of a row with those columns."""
    entry = {
        "id": str(row.id),
        "received_at": iso_time(row.received_at),
        "channel": row.channel,
        "channel_version": row.channel_version,
        "peer": row.peer,
        "control_id": row.control_id,
        "event": f"{row.message_type}^{row.trigger_event}" if row.trigger_event else row.message_type,
        "hl7_version": row.version,
        "sender": row.sender,
        "disposition": row.disposition,
        "code": row.code,
    }
    return entry | ({"duplicate_of": str(row.duplicate_of)} if row.duplicate_of else {})
