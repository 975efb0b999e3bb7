"""The renewal: every version written anew from the archive, for a store of an older way to tell numbers apart.

Imports sqlalchemy, flow, store and errors only.

What was accepted then is applied again, in its order, with its ids and times; what was refused then stays refused, for
its sender was told so. Nothing is written before all of it is known to go through.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, delete, func, insert, select

from hl7auth.errors import UserError
from hl7auth.flow.channel import Channel
from hl7auth.flow.decision import Disposition, Outcome
from hl7auth.store.balances import forget
from hl7auth.store.database import connect, lock_writers
from hl7auth.store.journal import Journal
from hl7auth.store.portions import BEFORE_ALL, Portion, extent, portion_after
from hl7auth.store.rebuild import Progress, Report, planned_again, reader, scratch, silent
from hl7auth.store.schema import authorization_version as versions

_AT_ONCE = 500
"""Versions that are copied at once."""


class Renewed(NamedTuple):
    """What was done: messages applied again, and the versions there were and are."""

    messages: int
    versions_before: int
    versions: int


def renew(live: Engine, channels: Mapping[str, Channel], moved: Progress = silent) -> Renewed:
    """Puts the versions that a replay makes in place of those that are stored, in one transaction.

    Raises UserError, having changed nothing, where a message that was accepted would not be now, where its channel is
    gone, or where messages came in meanwhile.
    """
    applied = 0
    with scratch() as engine:
        with reader(live) as connection:
            journal = Journal(engine)
            total, last = extent(connection)
            connection.rollback()
            low, done = BEFORE_ALL, 0
            while (portion := portion_after(connection, low, last, channels)) is not None:
                connection.rollback()
                applied += _applied(portion, channels, journal)
                low, done = portion.high, done + portion.messages
                moved(done, total)
            journal.close()
        with connect(live) as writing, writing.begin(), connect(engine) as rebuilt:
            lock_writers(writing)
            if extent(writing)[1] != last:
                raise UserError("messages came in meanwhile; nothing was changed: stop the engine, and try again")
            before = writing.execute(select(func.count()).select_from(versions)).scalar_one()
            return Renewed(applied, before, _replaced(writing, rebuilt))


def _applied(portion: Portion, channels: Mapping[str, Channel], journal: Journal) -> int:
    for fault in portion.lost.values():
        raise UserError(f"{fault}; nothing was changed")
    accepted = [row for row in portion.rows if row.disposition == Disposition.ACCEPTED]
    for row in accepted:
        if row.id in portion.orphans:
            told = f"message {row.id} came by the channel '{row.channel}', which is not there any more"
            raise UserError(f"{told}; nothing was changed")
    plans = [planned_again(row, channels[row.channel], Report()) for row in accepted]
    for outcome in journal.commit(plans) if plans else ():
        if outcome.disposition != Disposition.ACCEPTED:
            raise UserError(f"{_otherwise(outcome)}; nothing was changed")
    return len(plans)


def _otherwise(outcome: Outcome) -> str:
    """The message and the rules by which it would not be accepted; no word of what it says."""
    rules = list(dict.fromkeys(each.rule for each in outcome.findings if each.severity == "error"))
    by = f" ({', '.join(rules[:5])})" if rules else ""
    return f"message {outcome.plan.message_id} was accepted, and would be {outcome.disposition} now{by}"


def _replaced(writing: Connection, rebuilt: Connection) -> int:
    writing.execute(delete(versions))
    forget(writing)
    count = 0
    for rows in _copied(rebuilt):
        writing.execute(insert(versions), rows)
        count += len(rows)
    return count


def _copied(rebuilt: Connection) -> Iterator[list[dict[str, Any]]]:
    query = select(versions).order_by(versions.c.message_id, versions.c.key, versions.c.version)
    for some in rebuilt.execute(query).partitions(_AT_ONCE):
        yield [row._asdict() for row in some]
