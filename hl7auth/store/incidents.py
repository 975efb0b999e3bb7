"""Incidents in the store: written when they begin and end, read when the engine starts, with what is still to be told.

Imports sqlalchemy, flow.incident, store.statement and store.incident_table only.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from hl7auth.flow.incident import Event, Incident
from hl7auth.store.incident_table import IS_OPEN, IS_UNTOLD
from hl7auth.store.statement import run

_OPENED = "INSERT INTO incident (rule, subject, severity, text, opened_at) VALUES ({p}, {p}, {p}, {p}, {p})"
_RESOLVED = f"UPDATE incident SET resolved_at = {{p}} WHERE rule = {{p}} AND subject = {{p}} AND {IS_OPEN}"
_NOTICE = (
    "INSERT INTO notice (incident_id, target, what, text, at, attempts)"
    " SELECT max(id), {p}, {p}, {p}, {p}, 0 FROM incident WHERE rule = {p} AND subject = {p}"
)
_UNTOLD = (
    "SELECT n.id, n.target, n.what, n.text, n.at, i.rule, i.subject, i.severity, i.opened_at, i.text FROM notice n"
    f" JOIN incident i ON i.id = n.incident_id WHERE n.{IS_UNTOLD} ORDER BY n.id"
)


class Notice(NamedTuple):
    """Something that a target is to be told."""

    id: int
    target: str
    event: Event


def open_incidents(connection: Connection) -> list[Incident]:
    """Those that have not ended, oldest first."""
    sql = f"SELECT rule, subject, severity, opened_at, text FROM incident WHERE {IS_OPEN} ORDER BY id"
    rows: Any = run(connection, sql, ())
    return [Incident(*row) for row in rows]


def write_events(connection: Connection, events: Sequence[Event], targets: Sequence[str]) -> None:
    """Writes what began and ended, with a notice for each target that is to be told of it."""
    for event in events:
        incident = event.incident
        if event.what == "opened":
            values = (*incident.key, incident.severity, incident.text, incident.opened_at)
            run(connection, _OPENED, values)
        else:
            run(connection, _RESOLVED, (event.at, *incident.key))
        for target in targets if event.notify is None else event.notify:
            run(connection, _NOTICE, (target, event.what, event.text, event.at, *incident.key))


def untold(connection: Connection) -> list[Notice]:
    """What is still to be told, in the order in which it happened."""
    rows: Any = run(connection, _UNTOLD, ())
    found = []
    for number, target, what, said, at, rule, subject, severity, opened_at, text in rows:
        incident = Incident(rule, subject, severity, opened_at, text)
        found.append(Notice(number, target, Event(what, incident, at, said)))
    return found


def mark_told(connection: Connection, notice_id: int, attempts: int, at: int) -> None:
    """A notice is told, or given up: nobody tells it again."""
    run(connection, "UPDATE notice SET told_at = {p}, attempts = {p} WHERE id = {p}", (at, attempts, notice_id))
