"""Messages queued for one destination: as deliveries, which a running engine sends in the order of their keys.

Imports sqlalchemy, flow, steps, store, replay, observe and errors only.
"""

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection, Engine

from hl7auth.flow.channel import Channel
from hl7auth.flow.decision import Disposition, Outcome
from hl7auth.flow.outbox import Delivery, lanes
from hl7auth.flow.repeating import replayer
from hl7auth.observe import now
from hl7auth.replay.judging import Unplanned, planned
from hl7auth.replay.material import Piece, Reading
from hl7auth.replay.sending import delivered
from hl7auth.replay.wish import DESTINATION
from hl7auth.steps.calls import Runner
from hl7auth.store.database import connect, lock_writers
from hl7auth.store.deliveries import RECORD, write_deliveries
from hl7auth.store.replays import Item, Settled, State, settle
from hl7auth.store.statement import run


class ToDestination:
    """Queues deliveries; each with its item in one transaction. What arrived or will is left alone."""

    at_once = 100
    tries: tuple[State, ...] = (State.WAITING,)

    def __init__(
        self, engine: Engine, channels: Mapping[str, Channel], runners: Mapping[str, Runner], said: tuple[str, str]
    ) -> None:
        """`said` is who planned it, and why it is done again."""
        self._engine, self._channels, self._runners, self._said = engine, channels, runners, said
        self._reader = connect(engine.execution_options(reads_only=True))
        self._reading = Reading(self._reader)

    def close(self) -> None:
        """Lets go of the database."""
        self._reading.close()
        self._reader.close()

    def carry(self, items: Sequence[Item]) -> list[Settled]:
        """Queues them in their order."""
        pieces = self._reading.read(items)
        with self._engine.begin() as connection:
            lock_writers(connection)
            found = [self._one(connection, item, piece) for item, piece in zip(items, pieces, strict=True)]
            settle(connection, found, now())
        return found

    def _one(self, connection: Connection, item: Item, piece: Piece) -> Settled:
        to = item.target.removeprefix(DESTINATION)
        if piece.fault:
            return Settled(item, State.FAILED, reason=piece.fault)
        if not item.again and (there := delivered(connection, item.place, to)) is not None:
            return Settled(item, State.SKIPPED, reason=f"delivery {there[0]} of it is {there[1]}")
        sql = "SELECT max(queued_at) FROM delivery WHERE message_id = {p} AND destination = {p}"
        last: int | None = run(connection, sql, (item.place, to)).scalar_one()
        at = max(now(), last + 1) if last is not None else now()
        write_deliveries(connection, [Delivery(item.place, to, self._lanes(connection, piece, to, at), at)])
        sql = "SELECT max(id) FROM delivery WHERE message_id = {p} AND destination = {p} AND part = 0"
        number: int = run(connection, sql, (item.place, to)).scalar_one()
        why = replayer(item.plan, again=bool(item.again)) + (f": {self._said[1]}" if item.again else "")
        run(connection, RECORD, (number, at, self._said[0], "replay", why))
        return Settled(item, State.DONE, "queued", delivery_id=number)

    def _lanes(self, connection: Connection, piece: Piece, to: str, at: int) -> tuple[str, ...]:
        """The keys whose order it keeps there: those that it names, and those that it changed."""
        owner, _, name = to.partition("/")
        order = self._channels[owner].order_of(name)
        sql = "SELECT DISTINCT key FROM authorization_version WHERE message_id = {p}"
        changed = {row[0] for row in run(connection, sql, (piece.place,))} if order == "authorization" else set()
        channel = self._channels.get(piece.channel, self._channels[owner])
        found = planned(piece, channel, at, _one_id(piece.place), "", self._runners.get(channel.name))
        alone = (f"#{piece.place}",)
        own = alone if isinstance(found, Unplanned) else lanes(Outcome(found, Disposition.ACCEPTED, "AA"), order)
        return tuple(sorted(changed | ({*own} - {*alone}))) if changed else own


def _one_id(number: int) -> Callable[[], int]:
    return lambda: number
