"""What rules have to look at: requests that nobody has worked on, and what was submitted and not ruled about.

Imports sqlalchemy, domain, observe (how ids tell the time) and store only.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from hl7auth.domain.process import Event, Process
from hl7auth.domain.ruling import Before
from hl7auth.observe import first_id
from hl7auth.store.processes import Stored
from hl7auth.store.statement import run

MOST = 100
"""Requests in one look."""

#: spelled as the partial index spells it; what is Changed by a person is that person's until it is submitted
_NEW = (
    "SELECT v.key, v.message_id FROM authorization_version v CROSS JOIN message m"
    " WHERE m.id = v.message_id AND v.current = 1 AND v.status IN ('requested', 'pended') AND v.message_id >= {{p}}"
    " AND m.message_type NOT IN ('RPA', 'RRI') AND m.channel IN ({marks})"
    " AND NOT EXISTS (SELECT 1 FROM process p WHERE p.key = v.key AND p.is_last = 1 AND (p.state IN"
    " ('In Process', 'Pended') OR (p.state = 'Changed' AND 'hl7' <> (SELECT h.by FROM process_history h WHERE"
    " h.process_id = p.id ORDER BY h.id DESC LIMIT 1))))"
    " ORDER BY v.message_id LIMIT {most}"
)
_SUBMITTED = (
    "SELECT p.key, h.event, h.by, h.at FROM process p JOIN process_history h ON h.process_id = p.id"
    " WHERE p.is_last = 1 AND p.state = 'In Process' AND p.channel IN ({marks})"
    " AND h.event IN ('submit', 'technical_error')"
    " AND h.id = (SELECT max(o.id) FROM process_history o WHERE o.process_id = p.id)"
    " ORDER BY h.id LIMIT {most}"
)


class Submitted(NamedTuple):
    """What is In Process and was not ruled about: what happened last, by whom, when in microseconds since 1970."""

    key: str
    event: str
    by: str
    at: int


def read_new(connection: Connection, channels: Sequence[str], since: int) -> list[str]:
    """Keys of requests that came by these channels since a time and that nobody has worked on, oldest first."""
    sql = _NEW.format(marks=_marks(channels), most=MOST)
    return [row.key for row in run(connection, sql, (first_id(since), *channels))]


def read_submitted(connection: Connection, channels: Sequence[str]) -> list[Submitted]:
    """What was submitted last, and has not been ruled about since."""
    sql = _SUBMITTED.format(marks=_marks(channels), most=MOST)
    rows: Any = run(connection, sql, tuple(channels))
    return [Submitted(*row) for row in rows]


def read_before(connection: Connection, process: Stored) -> Before:
    """What is known of a request beside its document."""
    rows: Any = run(
        connection,
        "SELECT d.code, d.resolved_at, d.process_id FROM process_pend d JOIN process p ON p.id = d.process_id"
        " WHERE p.key = {p} ORDER BY d.id",
        (process.key,),
    )
    pends = [(row.code, row.resolved_at is not None, row.process_id == process.id) for row in rows]
    sql = "SELECT message_type, trigger_event FROM message WHERE id = {p}"
    asked: Any = run(connection, sql, (process.request_message_id,)).first()
    event = "" if asked is None else f"{asked.message_type}^{asked.trigger_event}"
    sql = "SELECT decision FROM process WHERE key = {p} AND version < {p} ORDER BY version"
    earlier: Any = run(connection, sql, (process.key, process.version))
    return Before(
        process.version, "expedited" if process.expedited else "standard", process.channel, process.member,
        process.source, event, tuple(row.decision for row in earlier if row.decision),
        tuple(code for code, _, _ in pends), frozenset(code for code, resolved, _ in pends if resolved),
        tuple(code for code, resolved, own in pends if own and not resolved),
    )  # fmt: skip


def waits_for_rules(connection: Connection, process: Stored) -> bool:
    """In Process since it was submitted, and no rule and nobody else has looked at it since."""
    sql = "SELECT event FROM process_history WHERE process_id = {p} ORDER BY id DESC LIMIT 1"
    last = run(connection, sql, (process.id,)).scalar()
    return process.state is Process.IN_PROCESS and last in (Event.SUBMIT, Event.TECHNICAL_ERROR)


def _marks(values: Sequence[str]) -> str:
    return ", ".join(["{p}"] * len(values))
