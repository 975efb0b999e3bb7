"""The rebuild: the whole archive replayed into an empty store, which must come out as the live one.

Imports sqlalchemy, flow, steps, store, observe's floor and errors only.

Messages are replayed in the order of their ids, with their ids, times and channels, by the functions that took them in,
as the steps of their channel left them then.
The live store is only read, a portion at a time, so that a serving engine goes on; memory stays flat.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, event, func, select

from hl7auth.domain.key import shown_key
from hl7auth.errors import UserError
from hl7auth.flow.admission import OTHER_CERTIFICATE
from hl7auth.flow.channel import Channel
from hl7auth.flow.intake import Plan, refuse_frame, under_other_certificate
from hl7auth.flow.linked_plan import plan_linked
from hl7auth.flow.repeating import as_second, repeats
from hl7auth.flow.shaping import FAILED, REFUSED
from hl7auth.steps.faults import StepRefused
from hl7auth.steps.run import Shaped
from hl7auth.store.database import connect, open_database
from hl7auth.store.given import take_over
from hl7auth.store.journal import Journal
from hl7auth.store.portions import BEFORE_ALL, Portion, Replayed, extent, portion_after
from hl7auth.store.schema import authorization_version as versions
from hl7auth.store.schema import message, metadata

Progress = Callable[[int, int], None]
Take = Callable[[Sequence[int]], None]

MOST_REPORTED = 1_000
"""Differences that are told apart; further ones are counted."""

_SMALL_CACHE = "PRAGMA cache_size = -16384"  # 16 MiB
_VERSION = tuple(column for column in versions.c if column.name != "current")
_VERDICT = (message.c.id, message.c.disposition, message.c.code, message.c.duplicate_of)


@dataclass(slots=True)
class Difference:
    """What the live store and its rebuild say differently, the message that caused the first of these, and how many.

    `what` is message, version, current, channel or body; `subject` the key or channel, of messages both verdicts.
    """

    what: str
    subject: str
    message: int
    text: str
    count: int = 1

    def entry(self) -> dict[str, object]:
        """The difference as `db check` shows it."""
        names = {"what": self.what, "subject": self.subject, "message": str(self.message)}
        return names | {"text": self.text, "count": self.count}


@dataclass(slots=True)
class Report:
    """What was replayed and compared, what could not be replayed and why, and every difference.

    `other_version` counts the messages that ran under another version of their channel than it has now, and `given`
    those whose bodies retention has dropped: what they changed is taken over from the live store.
    """

    messages: int = 0
    versions: int = 0
    failed: int = 0
    broken_off: int = 0
    other_version: int = 0
    links: int = 0
    given: int = 0
    differences: list[Difference] = field(default_factory=list)
    further: int = 0
    _known: dict[tuple[str, str], Difference] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        """True when the rebuild came out as the live store."""
        return not self.differences

    def add(self, what: str, subject: str, message_id: int, text: str) -> None:
        """Counts a difference; the first of its kind and subject is kept."""
        known = self._known.get((what, subject))
        if known is not None:
            known.count += 1
        elif len(self.differences) >= MOST_REPORTED:
            self.further += 1
        else:
            self._known[(what, subject)] = found = Difference(what, subject, message_id, text)
            self.differences.append(found)


def silent(_done: int, _total: int) -> None:
    """Shows no progress."""


def rebuild(live: Engine, channels: Mapping[str, Channel], moved: Progress = silent) -> Report:
    """Replays the archive of `live` and compares; `moved` hears of every portion, with messages done and in all.

    Reads the messages that are there when it begins. Raises UserError where there is no room for the rebuild.
    """
    report = Report()
    with reader(live) as connection, scratch() as engine:
        journal = Journal(engine)
        total, last = extent(connection)
        connection.rollback()
        low, done = BEFORE_ALL, 0
        while (portion := portion_after(connection, low, last, channels)) is not None:
            _replay(portion, channels, journal, report, lambda ids: take_over(connection, engine, ids))
            with connect(engine.execution_options(reads_only=True)) as rebuilt:
                _compare(portion, connection, rebuilt, report)
            connection.rollback()  # ends the snapshot of this portion
            low, done = portion.high, done + portion.messages
            moved(done, total)
        journal.close()
        _check_strays(connection, last, report)
    return report


@contextmanager
def reader(live: Engine) -> Iterator[Connection]:
    """A connection that can not write, and sees one state of the store until its transaction ends."""
    sqlite = live.dialect.name == "sqlite"
    options: dict[str, Any] = {} if sqlite else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with connect(live.execution_options(reads_only=True, **options)) as connection:
        if sqlite:
            connection.detach()  # what is set here ends with it
            connection.exec_driver_sql("PRAGMA query_only = ON")
            connection.exec_driver_sql(_SMALL_CACHE)
            connection.rollback()
        yield connection


@contextmanager
def scratch() -> Iterator[Engine]:
    """An empty store in the folder for temporary files; nobody misses it after a power cut."""
    with TemporaryDirectory(prefix="hl7auth-rebuild-") as folder:
        engine = open_database(f"sqlite:///{Path(folder) / 'rebuilt.db'}")
        event.listen(engine, "connect", _hurry)
        metadata.create_all(engine)
        try:
            yield engine
        finally:
            engine.dispose()


def _hurry(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute(_SMALL_CACHE)


def _replay(portion: Portion, channels: Mapping[str, Channel], journal: Journal, report: Report, take: Take) -> None:
    """Replays the messages, and takes over those that can not be replayed, all in their order."""
    plans: list[Plan] = []
    given: list[int] = []
    for number, row in portion.in_order():
        if row is None and number in portion.given:
            _commit(journal, plans)
            given.append(number)
            report.given += 1
            continue
        take(given)
        given.clear()
        if row is None:
            report.add("body", "", number, str(portion.lost[number]))
        elif _is_replayed(row, portion, report):
            plans.append(planned_again(row, channels[row.channel], report))
    take(given)
    _commit(journal, plans)


def _is_replayed(row: Replayed, portion: Portion, report: Report) -> bool:
    """False for what is counted instead."""
    report.messages += 1
    if row.id in portion.orphans:
        text = "the channel is not there any more: its messages are not replayed"
        report.add("channel", row.channel, row.id, text)
    elif row.id in portion.links:
        report.links += 1
    elif row.disposition == "failed":
        report.failed += 1  # nothing of it was applied, and its sender was told so
    else:
        return True
    return False


def _commit(journal: Journal, plans: list[Plan]) -> None:
    if plans:
        journal.commit(plans)
        plans.clear()


def planned_again(row: Replayed, channel: Channel, report: Report) -> Plan:
    """The plan of a stored message as it was made when it came, under the version of the channel that it keeps.

    No bytes of it are stored a second time.
    """
    if row.channel_version != (channel.version or None):
        report.other_version += row.channel_version is not None
        channel = channel.model_copy(update={"version": row.channel_version or ""})

    if "/" in row.peer:  # it came back from a destination
        channel = channel.for_answers()

    def new_id() -> int:
        return int(row.id)

    try:
        planned = plan_linked(
            row.raw, channel, row.received_at, new_id, peer=row.peer, shaped=shaped_then(row, channel)
        )
    except Exception:
        planned = None  # as the listener does with what it can not process
    reason = broken_off(row)
    if planned is None or (reason and planned.refusal is None):
        report.broken_off += 1
        reason = reason or "the message could not be processed"
        planned = refuse_frame(row.raw, reason, channel, row.received_at, new_id, row.peer)
    elif other_certificate(row):  # the archive does not have the certificate
        planned = under_other_certificate(planned)
    elif repeats(row.peer):
        planned = as_second(planned)
    shaping = planned.shaping._replace(raw=None) if planned.shaping else None
    return planned._replace(raw=b"", shaping=shaping, link=None)


def shaped_then(row: Replayed, channel: Channel) -> Shaped | None:
    """What steps made of a stored message when it came. They are not run again: tables and functions change."""
    found = json.loads(row.findings) if row.findings else []
    fault = next((each for each in found if each["rule"] in (REFUSED, FAILED)), None)
    if fault is not None:
        return Shaped(row.raw, fault=StepRefused(fault["text"]))
    if row.shaped is not None or row.disposition == "filtered":
        return Shaped(row.shaped or row.raw, dropped=row.disposition == "filtered")
    return Shaped(row.raw) if channel.file.steps else None


def broken_off(row: Replayed) -> str:
    """Why the listener refused a frame that it did not have whole; empty for a message that was judged.

    The archive has the bytes that came, and these alone may read like a whole message.
    """
    found = json.loads(row.findings) if row.findings and row.disposition == "refused" and row.code == "AR" else []
    return found[0]["text"] if len(found) == 1 and (found[0]["rule"], found[0]["path"]) == ("protocol.207", "") else ""


def other_certificate(row: Replayed) -> bool:
    """Was a message refused for the certificate that it came under?"""
    found = json.loads(row.findings) if row.findings and row.disposition == "refused" else []
    return [each["text"] for each in found] == [OTHER_CERTIFICATE.text]


def _compare(portion: Portion, live: Connection, rebuilt: Connection, report: Report) -> None:
    verdicts = {row.id: row for row in rebuilt.execute(_verdicts_query(portion.low, portion.high))}
    for row in live.execute(_verdicts_query(portion.low, portion.high)):
        if row.id in portion.skipped or row.disposition == "failed":
            continue
        other = verdicts.get(row.id)
        if other is None:
            raise UserError("the rebuild could not be written: is there room in the folder for temporary files?")
        if tuple(row) != tuple(other):
            subject = f"{_verdict(row)}, rebuilt: {_verdict(other)}"
            report.add("message", subject, row.id, f"the message was {subject}")
    stored, again = (_versions(connection, portion) for connection in (live, rebuilt))
    report.versions += len(stored)
    for name in sorted(stored.keys() | again.keys(), key=lambda each: (stored.get(each) or again[each]).message_id):
        text = _differ(stored.get(name), again.get(name))
        if text:
            caused_by = (stored.get(name) or again[name]).message_id
            report.add("version", shown_key(name[0]), caused_by, f"version {name[1]}: {text}")


def _verdicts_query(low: int, high: int) -> Select[Any]:
    return select(*_VERDICT).where(message.c.id > low, message.c.id <= high).order_by(message.c.id)


def _verdict(row: Row[Any]) -> str:
    """`accepted (AA)`, `duplicate (AA) of 77`."""
    return f"{row.disposition} ({row.code or 'no reply'})" + (f" of {row.duplicate_of}" if row.duplicate_of else "")


def _versions(connection: Connection, portion: Portion) -> dict[tuple[str, int], Row[Any]]:
    rows = connection.execute(_versions_query(portion.low, portion.high))
    return {(row.key, row.version): row for row in rows if row.message_id not in portion.without_versions}


def _versions_query(low: int, high: int) -> Select[Any]:
    """The versions that these messages made, by the index of messages."""
    return select(*_VERSION).where(versions.c.message_id > low, versions.c.message_id <= high)


def _differ(live: Row[Any] | None, rebuilt: Row[Any] | None) -> str:
    """In what two versions differ, by the names of columns and of fields: no value of a patient is told."""
    if live is None:
        return "only the rebuild has it"
    if rebuilt is None:
        return "only the live store has it"
    one, other = live._asdict(), rebuilt._asdict()
    columns = [name for name in one if name != "document" and one[name] != other[name]]
    told = [f"status {one['status']}, rebuilt: {other['status']}"] if "status" in columns else []
    told += [name for name in dict.fromkeys([*columns, *_fields(live, rebuilt)]) if name != "status"]
    return f"differs in {', '.join(told)}" if told else ""


def _fields(live: Row[Any], rebuilt: Row[Any]) -> list[str]:
    """The fields of the document that differ."""
    if live.document == rebuilt.document:
        return []
    try:
        one, other = json.loads(live.document), json.loads(rebuilt.document)
    except ValueError:
        return ["document"]
    return [name for name in {**one, **other} if one.get(name) != other.get(name)]


def _check_strays(live: Connection, last: int, report: Report) -> None:
    """What no replay of messages can find: versions behind the last one, and keys whose newest is not the current."""
    there = select(message.c.id).where(message.c.id == versions.c.message_id).exists()
    strays = select(versions.c.key, versions.c.version, versions.c.message_id)
    for row in live.execute(strays.where(versions.c.message_id > last, ~there).order_by(versions.c.message_id)):
        text = f"version {row.version}: its message is not in the archive"
        report.add("version", shown_key(row.key), row.message_id, text)
    for row in live.execute(_not_current_query()):
        text = f"version {row.newest} is the newest, and {row.marked} version(s) are marked as current"
        report.add("current", shown_key(row.key), row.caused_by, text)


def _not_current_query() -> Select[Any]:
    """The keys whose newest version is not the one that is marked as current."""
    newest, marked = func.max(versions.c.version), func.sum(versions.c.current)
    named = (newest.label("newest"), marked.label("marked"), func.max(versions.c.message_id).label("caused_by"))
    query = select(versions.c.key, *named).group_by(versions.c.key)
    return query.having((marked != 1) | (func.max(versions.c.version * versions.c.current) != newest))
