"""Indexing outside of intake: fields of messages that were there before the index, and the words of all.

Imports sqlalchemy, orjson, flow, wire, errors and the store's modules of search only.

Batch by batch, each a transaction with the mark of how far it came: it can be ended at any time and goes on from there.
"""

from collections.abc import Callable, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, Engine

from hl7auth.errors import Fault
from hl7auth.flow.indexed import index_entries
from hl7auth.store.bodies import Bodies, try_bodies
from hl7auth.store.database import connect
from hl7auth.store.field_index import Row, decided_rows, write_rows
from hl7auth.store.statement import run, run_many
from hl7auth.store.words import words_of
from hl7auth.wire.message import parse

BATCH = 500
_LOCK = "SELECT pg_advisory_xact_lock(4716)"
"""Two that index at once take turns."""

_TEXT_TABLE = {
    # the words only, not the text: that is in the message
    "sqlite": ("CREATE VIRTUAL TABLE IF NOT EXISTS message_text USING fts5(words, content='')",),
    "postgresql": (
        "CREATE TABLE IF NOT EXISTS message_text (message_id BIGINT PRIMARY KEY, words TSVECTOR NOT NULL)",
        "CREATE INDEX IF NOT EXISTS message_text_words ON message_text USING gin (words)",
    ),
}
_ADD_TEXT = {
    "sqlite": "INSERT INTO message_text (rowid, words) VALUES ({p}, {p})",
    "postgresql": "INSERT INTO message_text (message_id, words) VALUES ({p}, to_tsvector('simple', {p}))",
}
_STATUSES = "SELECT DISTINCT message_id, status FROM authorization_version WHERE message_id BETWEEN {p} AND {p}"
_MARK = (
    "INSERT INTO search_mark (name, message_id) VALUES ({p}, {p})"
    " ON CONFLICT (name) DO UPDATE SET message_id = excluded.message_id"
)


def silent(_count: int) -> None:
    """Nobody is told."""


def mark(connection: Connection, name: str) -> int:
    """How far an index reaches (`fields` down to this message, `text` up to it); 0 where nothing was noted."""
    found: int | None = run(connection, "SELECT message_id FROM search_mark WHERE name = {p}", (name,)).scalar()
    return found or 0


def index_all(engine: Engine, moved: Callable[[int], None] = silent) -> dict[str, int]:
    """Indexes what is not yet: how many messages by `fields` and by `text`. `moved` is told after each batch."""
    done = {"fields": 0, "text": 0}
    with connect(engine) as connection:
        with connection.begin():
            _lock(connection)
            for sql in _TEXT_TABLE[connection.dialect.name]:
                connection.exec_driver_sql(sql)
        for name, step in (("fields", _index_fields), ("text", _index_text)):
            while count := _batch(connection, step):
                done[name] += count
                moved(count)
    return done


def index_fields(engine: Engine) -> None:
    """Indexes the fields of messages that are not indexed yet."""
    with connect(engine) as connection:
        while _batch(connection, _index_fields):
            pass


def _batch(connection: Connection, step: Callable[[Connection], int]) -> int:
    with connection.begin():
        _lock(connection)
        return step(connection)


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_LOCK)


def _index_fields(connection: Connection) -> int:
    sql = "SELECT id, findings FROM message WHERE id < {p} ORDER BY id DESC LIMIT {p}"
    upper = mark(connection, "fields")
    found = run(connection, sql, (upper, BATCH)).all() if upper else []
    if not found:
        return 0
    rows: list[Row] = []
    statuses: dict[int, list[str]] = {}
    for each in run(connection, _STATUSES, (found[-1].id, found[0].id)):
        statuses.setdefault(each.message_id, []).append(each.status)
    bodies = _bodies(connection, found)
    for each in found:
        rules = [finding["rule"] for finding in orjson.loads(each.findings)] if each.findings else []
        rows += decided_rows(each.id, statuses.get(each.id, ()), rules)
        rows += [(path, value, each.id) for path, value in message_entries(bodies[each.id].judged)]
    write_rows(connection, rows)
    run(connection, _MARK, ("fields", found[-1].id if len(found) == BATCH else 0))
    return len(found)


def _bodies(connection: Connection, rows: Sequence[Any]) -> dict[int, Bodies]:
    """Bodies of messages; those that can not be had are indexed as empty ones, and `archive verify` tells of them."""
    found = try_bodies(connection, [row.id for row in rows])
    return {message_id: each if isinstance(each, Bodies) else Bodies(b"") for message_id, each in found.items()}


def message_entries(raw: bytes) -> list[tuple[str, str]]:
    """(path, folded value) of what a message can be found by; nothing of what is no message."""
    try:
        return index_entries(parse(raw))
    except Fault:
        return []


def _index_text(connection: Connection) -> int:
    sql = "SELECT id FROM message WHERE id > {p} ORDER BY id LIMIT {p}"
    found = run(connection, sql, (mark(connection, "text"), BATCH)).all()
    if found:
        bodies = _bodies(connection, found)
        texts = [(each.id, words_of(bodies[each.id].raw)) for each in found]
        run_many(connection, _ADD_TEXT[connection.dialect.name], texts)
        run(connection, _MARK, ("text", found[-1].id))
    return len(found)
