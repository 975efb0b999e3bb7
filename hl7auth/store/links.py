"""Sequence numbers and continued messages in the store: read at once, written with the messages of their commit.

Imports sqlalchemy, flow, store.bodies, store.link_table and store.statement (running SQL) only.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, and_, select

from hl7auth.flow.decision import Outcome
from hl7auth.flow.intake import Plan
from hl7auth.flow.link import Before, Part, Series, Stream
from hl7auth.store.bodies import read_bodies, sealed_bodies
from hl7auth.store.link_table import continuation
from hl7auth.store.statement import run, run_many

MOST_OVERDUE = 100
"""Continued messages that are given up in one go; the next look finds the rest."""

_SERIES = (
    "SELECT id, channel, sender, facility, awaits, number, size, touched_at FROM continuation WHERE state = 'open'"
)
_STREAM = "channel = {p} AND sender = {p} AND facility = {p}"
_PART_BEFORE = (
    "SELECT m.id, m.accept_ack, m.reply, c.state, m.pack FROM message m JOIN message_part p ON p.message_id = m.id"
    " JOIN continuation c ON c.id = p.whole WHERE m.control_id = {p} AND m.digest = {p}"
    " AND (c.state IN ('open', 'joined') OR (c.state = 'refused' AND p.last = 1)) ORDER BY m.id DESC LIMIT 1"
)
_MOVE = (
    "INSERT INTO sequence (channel, sender, facility, last, message_id) VALUES ({p}, {p}, {p}, {p}, {p})"
    " ON CONFLICT (channel, sender, facility) DO UPDATE SET last = excluded.last, message_id = excluded.message_id"
)
_BEGIN = (
    "INSERT INTO continuation (id, channel, sender, facility, awaits, number, size, touched_at, state)"
    " VALUES ({p}, {p}, {p}, {p}, {p}, 1, {p}, {p}, 'open')"
)
_APPEND = (
    "UPDATE continuation SET awaits = {p}, number = number + 1, size = size + {p}, touched_at = {p} WHERE id = {p}"
)
_PART = "INSERT INTO message_part (whole, number, message_id, last) VALUES ({p}, {p}, {p}, {p})"
_PARTS = "SELECT message_id FROM message_part WHERE whole = {p} ORDER BY number"
_END = "UPDATE continuation SET state = {p}, became = {p} WHERE id = {p}"


class Links:
    """What a transaction knows of links. What it changes waits for `write`, or is dropped by `back_to`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._numbers: dict[Stream, int | None] = {}
        self._waiting: list[tuple[str, tuple[object, ...]]] = []

    def last_number(self, stream: Stream) -> int | None:
        """The sequence number of the last message that was accepted."""
        if stream not in self._numbers:
            row: Any = run(self._connection, f"SELECT last FROM sequence WHERE {_STREAM}", stream).first()
            self._numbers[stream] = row[0] if row else None
        return self._numbers[stream]

    def move(self, stream: Stream, number: int | None, plan: Plan) -> None:
        """That is the last one now; None: the next one may have any number."""
        self._numbers[stream] = number
        self._waiting.append((_MOVE, (*stream, number, plan.message_id)))

    def part_before(self, plan: Plan) -> Before | None:
        """The same part, taken before."""
        row: Any = run(self._connection, _PART_BEFORE, (plan.header.control_id, plan.digest)).first()
        if row is None:
            return None
        accept_ack, reply = row[1], row[2]
        if row[4] is not None:
            sealed = sealed_bodies(self._connection, row[4], row[0])
            accept_ack, reply = sealed.accept_ack, sealed.reply
        return Before(row[0], accept_ack, reply, row[3] == "refused")

    def series(self, stream: Stream, pointer: str) -> Series | None:
        """The open continued message that goes on with this pointer."""
        return _series(run(self._connection, f"{_SERIES} AND {_STREAM} AND awaits = {{p}}", (*stream, pointer)).first())

    def series_by_id(self, series_id: int) -> Series | None:
        """An open continued message."""
        return _series(run(self._connection, f"{_SERIES} AND id = {{p}}", (series_id,)).first())

    def open_series(self, stream: Stream) -> int:
        """How many are open."""
        sql = f"SELECT count(*) FROM continuation WHERE state = 'open' AND {_STREAM}"
        return int(run(self._connection, sql, stream).scalar() or 0)

    def parts(self, series: Series) -> list[bytes]:
        """The parts that came, as they came."""
        ids = [int(row[0]) for row in run(self._connection, _PARTS, (series.id,))]
        bodies = read_bodies(self._connection, ids)
        return [bodies[message_id].raw for message_id in ids]

    def peer(self, series: Series) -> str:
        """Where the first part came from."""
        return str(run(self._connection, "SELECT peer FROM message WHERE id = {p}", (series.id,)).scalar() or "")

    def begin(self, plan: Plan, part: Part, stream: Stream) -> None:
        """A first part."""
        values = (plan.message_id, *stream, part.pointer, len(plan.raw), plan.received_at)
        self._waiting.append((_BEGIN, values))
        self._waiting.append((_PART, (plan.message_id, 1, plan.message_id, 0)))

    def append(self, series: Series, plan: Plan, awaits: str) -> None:
        """A further part; the last one has nothing to await."""
        self._waiting.append((_APPEND, (awaits, len(plan.raw), plan.received_at, series.id)))
        self._waiting.append((_PART, (series.id, series.number + 1, plan.message_id, int(not awaits))))

    def end(self, series: Series, state: str, whole: int) -> None:
        """The continued message is not open any more; `whole` is the id of the message that it became."""
        self._waiting.append((_END, (state, whole, series.id)))

    @property
    def waiting(self) -> int:
        """How much is to be written."""
        return len(self._waiting)

    def back_to(self, waiting: int) -> None:
        """Drops what came since then; a number moves last, so none has moved."""
        del self._waiting[waiting:]

    def write(self, outcomes: Sequence[Outcome]) -> None:
        """Writes what was changed, and which messages the batches among these have."""
        for sql, values in self._waiting:
            run(self._connection, sql, values)
        self._waiting.clear()
        for outcome in outcomes:
            taken = outcome.plan.link.taken if outcome.plan.link is not None else None
            if taken is not None:
                members = [member.message_id for group in taken.groups for member in group.members]
                whole = outcome.plan.message_id
                rows = [(whole, number, each, int(number == len(members))) for number, each in enumerate(members, 1)]
                run_many(self._connection, _PART, rows)


def overdue(engine: Engine, channel: str, before: int) -> list[int]:
    """The ids of continued messages whose next part has been awaited since before that time (microseconds)."""
    open_ = and_(continuation.c.state == "open", continuation.c.channel == channel)
    query = select(continuation.c.id).where(open_, continuation.c.touched_at <= before).order_by(continuation.c.id)
    with engine.execution_options(reads_only=True).connect() as connection:
        return [int(row.id) for row in connection.execute(query.limit(MOST_OVERDUE))]


def _series(row: Any) -> Series | None:
    return Series(row[0], Stream(*row[1:4]), *row[4:]) if row else None
