"""Emptying the tables of bodies that a pack has, a few at a time, so that intake never waits for long.

Imports sqlalchemy, packs, store and errors only.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Row, select
from sqlalchemy.exc import OperationalError

from hl7auth.errors import UserError
from hl7auth.packs.format import Record
from hl7auth.packs.reader import Pack
from hl7auth.store.bodies import Bodies
from hl7auth.store.database import connect
from hl7auth.store.schema import message
from hl7auth.store.statement import run_many

AT_ONCE = 250
"""Messages of one transaction: some 10 ms, in which nobody else writes to SQLite."""
_TRIES = 15
"""Each waits two seconds for the database."""

_EMPTY = (
    "UPDATE message SET pack = {p}, raw = {p}, shaped = NULL, accept_ack = NULL, reply = NULL"
    " WHERE id = {p} AND pack IS NULL"
)
_TAKE_ANSWER = "UPDATE delivery SET answer = NULL WHERE id = {p} AND answer = {p}"


def empty(engine: Engine, pack_id: int, made: Pack, ids: Sequence[int]) -> Iterator[int]:
    """Empties these messages; yields how many are done. Raises UserError where a body is not what the pack has."""
    for at in range(0, len(ids), AT_ONCE):
        some = ids[at : at + AT_ONCE]
        records = {message_id: made.read(message_id) for message_id in some}
        with patient(engine) as connection:
            for row in _full(connection, some):
                _require_same(row, records[row.id])
            run_many(connection, _EMPTY, [(pack_id, b"", message_id) for message_id in some])
            answers = [answer for record in records.values() for answer in record.answers]
            run_many(connection, _TAKE_ANSWER, answers)
        yield at + len(some)


def _full(connection: Connection, ids: Sequence[int]) -> Sequence[Row[Any]]:
    columns = (message.c.id, *(message.c[name] for name in Bodies._fields))
    return connection.execute(select(*columns).where(message.c.id.in_(ids), message.c.pack.is_(None))).all()


def _require_same(row: Row[Any], record: Record) -> None:
    if tuple(row)[1:] != record[:4]:
        raise UserError(f"message {row.id} is not in its pack as it is in the table: it was left in the table")


@contextmanager
def patient(engine: Engine) -> Iterator[Connection]:
    """One transaction, begun when the database is free. Raises UserError where it never is, or can not be written."""
    with connect(engine) as connection:
        for left in reversed(range(_TRIES)):
            try:
                transaction = connection.begin()
                break
            except OperationalError as error:
                connection.rollback()
                if not left:
                    raise UserError(f"the database could not be written: {error.orig}") from None
        try:
            with transaction:
                yield connection
        except OperationalError as error:
            raise UserError(f"the database could not be written: {error.orig}; seal again to go on") from None
