"""Messages brought to channels: through the same plan, decision and commit as those that come in, many at a time.

Imports sqlalchemy, flow, store, replay, steps, observe and errors only.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection, Engine

from hl7auth.errors import UserError
from hl7auth.flow.channel import Channel
from hl7auth.flow.decision import Disposition, Outcome
from hl7auth.flow.intake import Plan
from hl7auth.flow.repeating import as_second, replayer
from hl7auth.observe import ids, now
from hl7auth.replay.judging import Unplanned, planned
from hl7auth.replay.material import Piece, Reading
from hl7auth.replay.wish import CHANNEL
from hl7auth.steps.calls import Runner
from hl7auth.store.database import connect
from hl7auth.store.journal import Journal
from hl7auth.store.replays import Item, Settled, State, next_items, settle
from hl7auth.store.statement import run

_ASIDE = 1 << 21
"""Half of the ids of a millisecond: an engine that runs beside begins with the other half."""
_STATES: Mapping[Disposition, State] = {
    Disposition.ACCEPTED: State.DONE,
    Disposition.DUPLICATE: State.SKIPPED,
    Disposition.REFUSED: State.REFUSED,
    Disposition.PARKED: State.REFUSED,
    Disposition.FAILED: State.FAILED,
}
_NOT_TAKEN = "the database did not take the messages (is it locked, or full?): what was done stays, run it again"
_MEANWHILE = "it was applied meanwhile"


class ToChannels:
    """Brings messages to the channels that their items name. Their bytes stay as they are."""

    at_once = 250
    tries: tuple[State, ...] = (State.WAITING,)

    def __init__(self, engine: Engine, channels: Mapping[str, Channel], runners: Mapping[str, Runner]) -> None:
        self._engine, self._channels, self._runners = engine, channels, runners
        self._reader = connect(engine.execution_options(reads_only=True))
        self._reading = Reading(self._reader)
        numbers, offset = ids(), _ASIDE + secrets.randbelow(_ASIDE // 2)
        self._new_id: Callable[[], int] = lambda: numbers() + offset
        self._journal = Journal(engine, self._new_id, self._beside)
        self._last = 0
        self._under: dict[int, Item] = {}
        self._settled: list[Settled] = []

    def close(self) -> None:
        """Lets go of the database and of the files."""
        self._journal.close()
        self._reading.close()
        self._reader.close()

    def carry(self, items: Sequence[Item]) -> list[Settled]:
        """Commits them as one batch, each with what became of it."""
        self._settled, self._under = [], {}
        plans = []
        for item, piece in zip(items, self._reading.read(items), strict=True):
            found = self._planned(item, piece)
            if isinstance(found, Settled):
                self._settled.append(found)
            else:
                plans.append(found)
                self._under[found.received_at] = item
        if self._settled:
            with self._engine.begin() as connection:
                settle(connection, self._settled, now())
        if plans:
            self._commit(plans)
        return sorted(self._settled, key=lambda each: each.item.number)

    def _planned(self, item: Item, piece: Piece) -> Plan | Settled:
        name = item.target.removeprefix(CHANNEL)
        channel = self._channels.get(name)
        if piece.fault or channel is None:
            return Settled(item, State.FAILED, reason=piece.fault or f"the channel '{name}' is not there")
        self._last = max(now(), self._last + 1)  # no two messages of a run have the same time
        peer = replayer(item.plan, again=bool(item.again))
        found = planned(piece, channel, self._last, self._new_id, peer, self._runners.get(name))
        if isinstance(found, Unplanned):
            return Settled(item, State.SKIPPED if found.skipped else State.FAILED, reason=found.reason)
        if item.again:
            return as_second(found)
        if _is_told_of_duplicates(channel) and (number := self._stored(found)) is not None:
            return Settled(item, State.SKIPPED, reason=f"{_MEANWHILE}, as message {number}")
        return found

    def _stored(self, found: Plan) -> int | None:
        sql = "SELECT id FROM message WHERE control_id = {p} AND digest = {p} AND disposition = 'accepted' LIMIT 1"
        number: int | None = run(self._reader, sql, (found.header.control_id, found.digest)).scalar()
        self._reader.rollback()
        return number

    def _commit(self, plans: Sequence[Plan]) -> None:
        outcomes = self._journal.commit(plans)
        if not any(outcome.disposition is Disposition.FAILED for outcome in outcomes):
            return
        # what the journal could not write has no word of what became of it either
        first, last = (self._under[each.received_at].number for each in (plans[0], plans[-1]))
        plan = self._under[plans[0].received_at].plan
        with connect(self._engine.execution_options(reads_only=True)) as connection:
            left = next_items(connection, plan, self.tries, first - 1, len(plans))
        open_ = [item for item in left if item.number <= last]
        self._settled = [each for each in self._settled if each.item not in open_]
        if len(open_) == len(plans):
            raise UserError(_NOT_TAKEN)
        lost = [Settled(item, State.FAILED, reason="it could not be stored") for item in open_]
        with self._engine.begin() as connection:
            settle(connection, lost, now())
        self._settled += lost

    def _beside(self, connection: Connection, outcomes: Sequence[Outcome]) -> None:
        found = [_settled(self._under[outcome.plan.received_at], outcome) for outcome in outcomes]
        settle(connection, found, now())
        numbers = {each.item.number for each in found}  # a batch may be tried again
        self._settled = [each for each in self._settled if each.item.number not in numbers] + found


def _settled(item: Item, outcome: Outcome) -> Settled:
    plan = outcome.plan
    reason = ""
    if outcome.disposition is Disposition.DUPLICATE:
        reason = f"{_MEANWHILE}, as message {outcome.duplicate_of}"
    elif outcome.disposition is not Disposition.ACCEPTED:
        errors = [each for each in outcome.findings if each.severity == "error"]
        reason = f"{errors[0].path} {errors[0].text}".strip() if errors else str(outcome.disposition)
    state = _STATES.get(outcome.disposition, State.NOTHING)
    return Settled(item, state, outcome.code, reason, plan.channel.version, plan.message_id)


def _is_told_of_duplicates(channel: Channel) -> bool:
    """Do its routes send on what came before? Then it must not even come."""
    return any("duplicate" in route.disposition for route in channel.file.routes)
