"""What a channel would do with messages: each planned as its listener plans it, and decided on what the store knows.

Imports sqlalchemy, flow, store, replay.material, replay.wish, steps, observe and errors only.
"""

import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from hl7auth.flow.channel import Channel
from hl7auth.flow.decision import Disposition, Outcome, decide
from hl7auth.flow.intake import Plan, plan
from hl7auth.flow.linked_plan import plan_linked
from hl7auth.flow.repeating import as_second, replayer
from hl7auth.flow.shaping import shape_frame
from hl7auth.observe import log
from hl7auth.replay.material import Piece
from hl7auth.replay.wish import CHANNEL, Expected, Wish, unfit
from hl7auth.steps.calls import Runner
from hl7auth.store.bodies import BodyFault
from hl7auth.store.known import KnownToBatch
from hl7auth.store.replays import Item, State, has_plans_before, replayed_before

REMEMBERED = 20_000
"""Messages whose effects on one another a plan follows; then it goes on from the store as it is."""

_NO_PART = "a part of a continued message: a replay takes whole messages"
_NO_LINK = "it is about sequence numbers alone"
_ACKNOWLEDGMENT = "an acknowledgement: there is nothing to do"


class Unplanned(NamedTuple):
    """Why a message is not given to its channel: `skipped` for what has nothing to do there."""

    reason: str
    skipped: bool = True


def planned(
    piece: Piece, channel: Channel, at: int, new_id: Callable[[], int], peer: str, runner: Runner | None
) -> Plan | Unplanned:
    """The Plan of a message, by the functions that take messages in; its place among others is not looked at."""
    if len(piece.raw) > channel.file.framing.max_bytes:
        return Unplanned(
            f"it is larger than its channel takes (max_bytes: {channel.file.framing.max_bytes})", skipped=False
        )
    if "/" in piece.peer:  # it came back from a destination
        channel, peer = channel.for_answers(), piece.peer
    try:
        shaped = shape_frame(piece.raw, channel, runner) if channel.file.steps else None
        found = (plan_linked if _links(channel) else plan)(piece.raw, channel, at, new_id, (), peer, shaped)
    except Exception:
        log("replay.failed", "a message could not be processed", level=logging.ERROR, error=True)
        return Unplanned("it could not be processed", skipped=False)
    if found.is_acknowledgment:
        return Unplanned(_ACKNOWLEDGMENT)
    link = found.link
    if link is not None and (link.part is not None or (link.number is not None and link.number <= 0)):
        return Unplanned(_NO_PART if link.part is not None else _NO_LINK)
    return found._replace(link=None)


def _links(channel: Channel) -> bool:
    """Do messages of a channel depend on one another? Else they are read once, and not twice."""
    return channel.file.protocol.joins or channel.file.protocol.sequence != "ignore"


class Judge:
    """Looks at the messages of one plan in their order, portion by portion."""

    def __init__(
        self, connection: Connection, plan: int, wish: Wish, channels: Mapping[str, Channel],
        runners: Mapping[str, Runner],
    ) -> None:  # fmt: skip
        self._connection = connection
        self._plan, self._wish, self._channels, self._runners = plan, wish, channels, runners
        self._has_plans = has_plans_before(connection, plan)
        self._known = KnownToBatch(connection)
        self._looked_at = 0
        self._numbers = itertools.count(-(2**62))
        self._second: dict[int, Plan] = {}
        self.versions: dict[str, str] = {}

    @property
    def notes(self) -> list[str]:
        """What a reader of the expectations has to know."""
        told = f"what is expected of messages behind the first {REMEMBERED} is told from the store as it is now"
        return [told] if self._looked_at > REMEMBERED else []

    def look(self, pieces: Sequence[Piece], first: int, at: int) -> list[Item]:
        """The items of some messages, the first of which has that number; `at` is the time that they are judged at."""
        items, plans = [], []
        for number, piece in enumerate(pieces, start=first):
            item, found = self._begin(piece, number, at)
            items.append(item)
            plans.append(found)
        whole = [each for each in plans if each is not None]
        if self._looked_at // REMEMBERED != (self._looked_at + len(whole)) // REMEMBERED:
            self._known = KnownToBatch(self._connection)
        self._looked_at += len(whole)
        self._known.load(whole)
        before = self._before(items)
        return [
            self._judged(item, found, piece, before) if found is not None else item
            for item, found, piece in zip(items, plans, pieces, strict=True)
        ]

    def _begin(self, piece: Piece, number: int, at: int) -> tuple[Item, Plan | None]:
        name = self._wish.target.removeprefix(CHANNEL) if self._wish.target else piece.channel
        item = Item(self._plan, number, piece.source, piece.place, "", "", piece.fingerprint, f"{CHANNEL}{name}")
        if reason := unfit(piece):
            state = State.FAILED if piece.fault else State.SKIPPED
            return item._replace(state=state, expected=Expected.LEFT_OUT, reason=reason), None
        channel = self._channels.get(name)
        if channel is None:
            reason = f"the channel '{name}' is not there" if name else "it has no channel: say --to-channel"
            return item._replace(state=State.FAILED, expected=Expected.LEFT_OUT, reason=reason), None
        self.versions[name] = channel.version
        peer, runner = replayer(self._plan), self._runners.get(name)
        found = planned(piece, channel, at, lambda: next(self._numbers), peer, runner)
        if isinstance(found, Unplanned):
            state = State.SKIPPED if found.skipped else State.FAILED
            return item._replace(state=state, expected=Expected.LEFT_OUT, reason=found.reason), None
        return item._replace(control_id=found.header.control_id, event=found.header.event), found

    def _before(self, items: Sequence[Item]) -> dict[tuple[int, str], str]:
        """Of messages that earlier replays brought in vain: under which version of the channel, and which replay."""
        if not self._has_plans:
            return {}
        wanted = [(each.fingerprint, each.target) for each in items if each.state == State.WAITING]
        found = replayed_before(self._connection, self._plan, wanted)
        return {
            pair: f"replay {each.plan}: {each.state}"
            for pair, each in found.items()
            if each.state in (State.REFUSED, State.NOTHING)
            and each.version == self.versions.get(pair[1].removeprefix(CHANNEL))
        }

    def _judged(self, item: Item, found: Plan, piece: Piece, before: Mapping[tuple[int, str], str]) -> Item:
        if not piece.source and piece.disposition == "accepted" and item.target == f"{CHANNEL}{piece.channel}":
            return self._done(item, found, piece, piece.place)  # whatever has become of the channel since
        try:
            outcome = decide(found, self._known)
        except BodyFault:
            # its replies can not be read, but it was accepted: that is known without them
            return self._done(item, found, piece, None)
        except Exception:
            log("replay.failed", "a message could not be judged", level=logging.ERROR, error=True)
            return item._replace(state=State.FAILED, expected=Expected.LEFT_OUT, reason="it could not be judged")
        if outcome.disposition is Disposition.DUPLICATE:
            return self._done(item, found, piece, outcome.duplicate_of)
        said = before.get((item.fingerprint, item.target))
        if said is not None and not self._wish.again:
            reason = f"{said}, under the same version of the channel"
            return item._replace(state=State.SKIPPED, expected=Expected.DONE, reason=reason)
        self._known.apply(outcome)
        return item._replace(expected=expected(outcome))

    def _done(self, item: Item, found: Plan, piece: Piece, by: int | None) -> Item:
        """A message whose effect is there: left alone, unless it is to be done once more."""
        if by is not None and by < 0:
            reason = "it repeats another message of this replay"
            return item._replace(state=State.SKIPPED, expected=Expected.LEFT_OUT, reason=reason)
        if not self._wish.again or "/" in piece.peer:
            reason = f"it was applied as message {by}" if by is not None else "it was applied"
            return item._replace(state=State.SKIPPED, expected=Expected.DONE, reason=reason)
        second = as_second(found._replace(peer=replayer(self._plan, again=True)))
        outcome = decide(second, self._known)
        if outcome.disposition is Disposition.DUPLICATE:
            reason = "it repeats another message of this replay"
            return item._replace(state=State.SKIPPED, expected=Expected.LEFT_OUT, reason=reason)
        self._known.apply(outcome)
        return item._replace(expected=expected(outcome), again=1)


def expected(outcome: Outcome) -> Expected:
    """What a message would do, in a word."""
    if outcome.disposition in (Disposition.REFUSED, Disposition.PARKED, Disposition.FAILED):
        return Expected.REFUSED
    if outcome.disposition is not Disposition.ACCEPTED or not outcome.changes:
        return Expected.NOTHING
    return Expected.NEW if all(each.before is None for each in outcome.changes) else Expected.CHANGED
