"""One group of messages run through both configurations, from the state of that time, each message compared.

Imports sqlalchemy, steps, domain, flow, rules, hl7auth.steps_runner and store only.

Today's side is what is stored, wherever the message ran under the version of its channel that is compared with, and
the other side came to the very same; else it is run again too.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, Row

from hl7auth.domain.story import differences
from hl7auth.flow.channel import Channel
from hl7auth.flow.decision import Outcome, decide, failed
from hl7auth.flow.intake import Plan, plan, refuse_frame, under_other_certificate
from hl7auth.flow.linked_plan import plan_linked
from hl7auth.flow.shaping import shape_frame
from hl7auth.rules.finding import finding_entry
from hl7auth.steps.run import Shaped
from hl7auth.steps_runner import StepProcess
from hl7auth.store.bodies import Bodies, BodyFault
from hl7auth.store.forwards import read_forwards
from hl7auth.store.known import PARTY
from hl7auth.store.portions import Replayed
from hl7auth.store.rebuild import broken_off, other_certificate, shaped_then
from hl7auth.whatif.compare import alike, compared, copied
from hl7auth.whatif.reading import Past, fetch, read_past
from hl7auth.whatif.side import Side
from hl7auth.whatif.tally import Tally


class Pair(NamedTuple):
    """A channel as it is and as it would be. `same_steps`: both shape messages alike; `same_ways`: both route alike;
    `copies`: destinations of both, whose steps are not alike."""

    now: Channel
    new: Channel
    same_steps: bool
    same_ways: bool
    copies: tuple[str, ...] = ()

    @property
    def is_tried(self) -> bool:
        """True for a channel that would be another one."""
        return self.now.version != self.new.version


def pair(now: Channel, new: Channel) -> Pair:
    """The two sides of a channel."""
    same_steps = now.file.steps == new.file.steps and now.beside == new.beside
    ways = (
        (each.file.destinations, each.file.routes, each.file.order_by, each.file.replies, each.taken, each.elsewhere)
        for each in (now, new)
    )
    one, other = ({name: each.steps for name, each in side.file.destinations.items()} for side in (now, new))
    alike_beside = now.beside == new.beside
    copies = [name for name in one if name in other and (one[name] != other[name] or not alike_beside)]
    return Pair(now, new, same_steps, next(ways) == next(ways) and not copies, tuple(copies))


class Trial:
    """Runs groups of messages. `examples` is how many are kept of each kind of difference."""

    def __init__(self, connection: Connection, pairs: Mapping[str, Pair], first: int, examples: int) -> None:
        self._connection, self._pairs, self._first, self._examples = connection, pairs, first, examples
        self.runner = StepProcess()  # starts with the first step in Python
        self._answers = {name: (each.now.for_answers(), each.new.for_answers()) for name, each in pairs.items()}
        self._forwards = any(each.file.replies is not None for both in pairs.values() for each in both[:2])

    def close(self) -> None:
        """Ends the process for steps in Python."""
        self.runner.close()

    def run(self, groups: Sequence[Sequence[int]]) -> Tally:
        """What differs in these groups."""
        tally = Tally(self._examples)
        past = read_past(self._connection, [each for group in groups for each in group], self._first)
        for group in groups:
            _Group(self, tally).run(islice(past, len(group)))
        self._connection.rollback()
        return tally

    def planned(self, row: Replayed, *, new: bool) -> Plan:
        """The plan of a stored message under one of the two."""
        found = self._pairs[row.channel]
        came_back = "/" in row.peer  # from a destination
        channel = (self._answers[row.channel] if came_back else found[:2])[new]
        as_then = found.same_steps or (not new and row.channel_version == found.now.version)
        shaped = shaped_then(row, channel) if as_then else self._shaped(row, channel)
        return _planned(row, channel, shaped)

    def _shaped(self, row: Replayed, channel: Channel) -> Shaped | None:
        return shape_frame(row.raw, channel, self.runner) if channel.file.steps else None

    def side(self, before: Sequence[int]) -> Side:
        """What is known before a group begins; `before` are its messages that are not compared."""
        made = Side(partial(fetch, self._connection))
        if self._forwards and before:
            made.forwards(read_forwards(self._connection, list(before)))
        return made

    def found(self, name: str) -> Pair | None:
        """The two sides of a channel; None where it is not there any more."""
        return self._pairs.get(name)

    def is_compared(self, message_id: int) -> bool:
        """False for what came before."""
        return message_id >= self._first


class _Group:
    """Messages that belong together, in their order."""

    def __init__(self, trial: Trial, tally: Tally) -> None:
        self._trial, self._tally = trial, tally
        self._now, self._new = trial.side(()), trial.side(())
        self._otherwise: set[str] = set()
        self._drifted = False

    def run(self, past: Iterable[Past]) -> None:
        for each in past:
            if self._trial.is_compared(each.row.id):
                self._compare(each)
            else:
                self._take(each)
        for key in self._otherwise:
            self._tally.authorizations += _stand_otherwise(self._now, self._new, key)

    def _take(self, past: Past) -> None:
        """What a message did then is so on both sides."""
        if self._trial._forwards:
            known = read_forwards(self._trial._connection, [past.row.id])
            self._now.forwards(known)
            self._new.forwards(known)
        self._now.take(past.row, past.versions)
        self._new.take(past.row, past.versions)

    def _compare(self, past: Past) -> None:
        why = self._skipped(past)
        if why:
            self._tally.skip(why)
            self._take(past)
            return
        self._tally.compared += 1
        row, found = past.replayed, self._trial.found(past.row.channel)
        assert found is not None
        new = _decided(self._trial.planned(row, new=True), self._new)
        trusted = not self._drifted and row.channel_version == (found.now.version or None)
        if trusted and _is_as_stored(new, past):
            now = new if found.same_ways else new._replace(plan=new.plan._replace(channel=found.now))
        else:
            now = _decided(self._trial.planned(row, new=False), self._now)
            if trusted and not self._trial._forwards and not _is_as_stored(now, past):
                self._drifted = True
                self._tally.drifted += 1
        if now is not new:
            made = copied(now, new, found.copies, self._trial.runner)
            self._tally.add(row.id, chain(compared(now, new), made))
            self._otherwise |= {each.record.key for side in (now, new) for each in side.changes}
        self._now.apply(now)
        self._new.apply(new)

    def _skipped(self, past: Past) -> str:
        """Why a message is not compared; empty where it is."""
        if self._trial.found(past.row.channel) is None:
            return "its channel is not there any more"
        if isinstance(past.bodies, BodyFault):
            return "dropped by retention" if past.bodies.dropped else "lost"
        if past.row.disposition == "failed":
            return "failed, and was to be sent again"
        return "judged by its place among others" if past.is_about_links else ""


def _planned(row: Replayed, channel: Channel, shaped: Shaped | None) -> Plan:
    def new_id() -> int:
        return row.id

    try:
        read = plan_linked if channel.file.protocol.links else plan
        planned = read(row.raw, channel, row.received_at, new_id, peer=row.peer, shaped=shaped)
    except Exception:
        planned = None  # as the listener does with what it can not process
    reason = broken_off(row)
    if planned is None or (reason and planned.refusal is None):
        reason = reason or "the message could not be processed"
        planned = refuse_frame(row.raw, reason, channel, row.received_at, new_id, row.peer)
    elif other_certificate(row):  # the archive does not have the certificate
        planned = under_other_certificate(planned)
    return planned._replace(link=None)


def _decided(plan: Plan, side: Side) -> Outcome:
    try:
        return decide(plan, side)
    except Exception:
        return failed(plan)  # as the journal does


def _is_as_stored(outcome: Outcome, past: Past) -> bool:
    """Did a message come to what is stored of it? Where it went is not asked."""
    row, bodies = past.row, past.bodies
    assert isinstance(bodies, Bodies)
    if (outcome.disposition, outcome.code, outcome.duplicate_of) != (row.disposition, row.code, row.duplicate_of):
        return False
    found = orjson.dumps([finding_entry(each) for each in outcome.findings]).decode() if outcome.findings else None
    if found != row.findings or (outcome.plan.shaping.raw if outcome.plan.shaping else None) != bodies.shaped:
        return False
    if not alike(outcome.accept_ack, bodies.accept_ack) or not alike(outcome.reply, bodies.reply):
        return False
    if len(outcome.changes) != len(past.versions):
        return False
    made = sorted(outcome.changes, key=lambda each: (each.record.key, each.record.version))
    return all(_is_version(each, stored) for each, stored in zip(made, past.versions, strict=True))


def _is_version(change: Any, row: Row[Any]) -> bool:
    record = change.record
    one = (record.key, record.version, record.status, record.referral, PARTY.join(record.requester), record.control_id)
    return (
        one == (row.key, row.version, row.status, row.referral, row.requester, row.control_id)
        and change.rule == row.rule
        and orjson.dumps(record.document).decode() == row.document
    )


def _stand_otherwise(now: Side, new: Side, key: str) -> bool:
    one, other = now.record(key), new.record(key)
    if one is None or other is None:
        return one is not other
    if one.document == other.document:
        return one.status != other.status
    return one.status != other.status or bool(differences(one.document, other.document))
