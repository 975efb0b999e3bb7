"""Reading back the versions of one authorization: its story, how it stood at a time, and why a field says what it does.

Imports sqlalchemy, wire, steps, domain, flow, store.bodies, store.schema and errors only.

A key is looked up as it stands, then as a request under a referral, then as one under a control id, each time by the
primary key. Everything comes as plain data, ready to be shown.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, select

from hl7auth.domain.clock import iso_time
from hl7auth.domain.document import shown
from hl7auth.domain.path import read_path, require_known, spelled, value_at
from hl7auth.domain.place import Place, Said, place_of, read_said
from hl7auth.domain.story import Cause, Source, Version, cause, differences, opening, said, sentences
from hl7auth.errors import Fault, UserError
from hl7auth.flow.channel import Channel
from hl7auth.flow.intake import plan
from hl7auth.steps.run import Shaped
from hl7auth.store.bodies import BodyFault, try_bodies
from hl7auth.store.schema import authorization_version as versions
from hl7auth.store.schema import message
from hl7auth.wire.message import parse

Entry = dict[str, Any]
_NO_CHANNELS: Mapping[str, Channel] = MappingProxyType({})


class Then(NamedTuple):
    """What was known of an authorization at a time: nothing before its `first` version came, in microseconds."""

    document: Entry | None
    sentence: str
    first: int
    until: int | None


def read_history(connection: Connection, key: str) -> list[Entry]:
    """Every version, oldest first: who sent what when, by which rule, what changed, and the document. UserError."""
    entries: list[Entry] = []
    before: Version | None = None
    for version in read_versions(connection, key)[1]:
        changed = differences(before.document if before else None, version.document)
        entries.append(
            {
                "version": version.number,
                "at": iso_time(version.at),
                **_source_entry(version),
                "by": version.rule,
                "status": version.status,
                "changed": list(dict.fromkeys(str(each.field[0]) for each in changed)),
                "changes": [each.entry() for each in changed],
                "story": sentences(version, before),
                "document": shown(version.document),
            }
        )
        before = version
    return entries


def read_at(connection: Connection, key: str, moment: int) -> Then:
    """What was known at that time (microseconds since 1970): the last version whose message had come. UserError."""
    stored, first = find(connection, key)
    row = connection.execute(_at_query(stored, moment)).first()
    if row is None:
        return Then(None, f"nothing was known yet: the first message about it came {iso_time(first)}", first, None)
    version = _version(row)
    after = versions.c.version == version.number + 1
    until = connection.execute(select(versions.c.at).where(versions.c.key == stored, after)).scalar()
    return Then(shown(version.document), opening(version), first, until)


def read_why(connection: Connection, key: str, field: str, channels: Mapping[str, Channel] = _NO_CHANNELS) -> Entry:
    """The message, version and rule that gave a field its value, and where in the message it stands. UserError.

    The message is read as its channel agreed with the partner, or by the standard where that channel is not known.
    """
    path = read_path(field)
    stored, found = read_versions(connection, key)
    require_known(path, [version.document for version in found])
    reason = cause(found, path)
    entry: Entry = {"key": key, "field": spelled(path), "value": value_at(found[-1].document, path)}
    if reason is None:
        return entry | {"version": None, "story": [f"No message has ever set {spelled(path)} of {key}."]}
    place = _place(connection, stored, reason, channels)
    entry["before"] = reason.before
    entry |= {"version": reason.version.number, "at": iso_time(reason.version.at), **_source_entry(reason.version)}
    entry |= {"by": reason.version.rule, "place": place.entry() if place else None}
    later = sum(version.number > reason.version.number for version in found)
    return entry | {"story": _reasons(entry, reason, place, later)}


def read_versions(connection: Connection, key: str) -> tuple[str, list[Version]]:
    """The key as stored, and every version, oldest first. Raises UserError for an unknown key."""
    stored, _ = find(connection, key)
    rows = connection.execute(_versions_query(stored)).all()
    return stored, [_version(row) for row in rows]


def find(connection: Connection, key: str) -> tuple[str, int]:
    """The key as stored, and when its first message came, in microseconds. Raises UserError for an unknown key."""
    for stored in (key, f"?{key}", f"?#{key}"):
        query = select(versions.c.at).where(versions.c.key == stored).order_by(versions.c.version).limit(1)
        first = connection.execute(query).scalar()
        if first is not None:
            return stored, first
    raise UserError(f"there is no authorization or request '{key}'")


def _versions_query(stored: str) -> Select[Any]:
    """The versions of a key with what is known of their messages, oldest first."""
    columns = [versions.c[name] for name in ("version", "at", "status", "rule", "document", "message_id")]
    names = ("channel", "sender", "facility", "message_type", "trigger_event", "control_id")
    joined = versions.outerjoin(message, message.c.id == versions.c.message_id)
    query = select(*columns, *(message.c[name] for name in names)).select_from(joined)
    return query.where(versions.c.key == stored).order_by(versions.c.version)


def _at_query(stored: str, moment: int) -> Select[Any]:
    newest_first = _versions_query(stored).order_by(None).order_by(versions.c.version.desc())
    return newest_first.where(versions.c.at <= moment).limit(1)


def _version(row: Row[Any]) -> Version:
    source = None
    if row.channel is not None:
        event = f"{row.message_type}^{row.trigger_event}" if row.trigger_event else row.message_type
        source = Source(row.message_id, row.channel, row.sender, row.facility, event, row.control_id)
    return Version(row.version, row.at, row.status, row.rule, json.loads(row.document), row.message_id, source)


def _source_entry(version: Version) -> Entry:
    entry: Entry = {"message": str(version.message_id)}
    if version.source is not None:
        names = ("channel", "sender", "facility", "event", "control_id")
        entry |= {name: getattr(version.source, name) for name in names}
    return entry


def _place(connection: Connection, stored: str, reason: Cause, channels: Mapping[str, Channel]) -> Place | None:
    version = reason.version
    bodies = try_bodies(connection, [version.message_id]).get(version.message_id)
    raw = None if bodies is None or isinstance(bodies, BodyFault) else bodies.judged
    channel = channels.get(version.source.channel) if version.source else None
    said = _said(raw, channel, version) if raw is not None else None
    return place_of(said, stored, version.document, reason.path) if said is not None else None


def _said(raw: bytes, channel: Channel | None, version: Version) -> Said | None:
    """What the message said as it was judged: behind the steps of its channel, which are not run again."""
    if channel is not None:
        planned = plan(raw, channel, version.at, lambda: version.message_id, shaped=Shaped(raw))
        if planned.intent is not None and planned.message is not None:
            intent = planned.intent
            return Said(planned.message, intent.message_type, intent.trigger_event, intent.claims)
    try:
        return read_said(parse(raw))
    except Fault:
        return None


def _reasons(entry: Entry, reason: Cause, place: Place | None, later: int) -> list[str]:
    name = entry["field"]
    now = f"{name} is {said(entry['value'])}" if entry["value"] is not None else f"{name} has no value any more"
    before = f"; before, it was {said(reason.before)}." if reason.before is not None else "."
    told = [now + before, opening(reason.version)]
    if place is not None:
        told.append(f"In that message it stands in {place.text}.")
    if later > 0:
        told.append(f"{later} later version{'s' if later > 1 else ''} left it as it was.")
    return told
