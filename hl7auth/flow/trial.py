"""Trying messages out: plan and decide against a memory instead of a store.

Imports domain, flow, rules and steps only.
"""

import itertools
from collections.abc import Sequence

from hl7auth.domain.intent import Record
from hl7auth.flow.channel import Channel
from hl7auth.flow.decision import Disposition, Outcome, Stored, decide
from hl7auth.flow.intake import Plan
from hl7auth.flow.link import Before, Part, Series, Stream
from hl7auth.flow.linked_decision import decide_linked, rows
from hl7auth.flow.linked_plan import plan_linked
from hl7auth.flow.relay import Forwarded
from hl7auth.flow.returning import followed
from hl7auth.flow.shaping import shape_frame
from hl7auth.steps.calls import Runner

TRIAL_TIME = 1_767_225_600_000_000
"""2026-01-01: what is tried twice must look the same twice."""


class Memory:
    """What a trial knows: the effects of the messages before."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._stored: dict[tuple[str, int], Stored] = {}
        self._used: set[tuple[str, ...]] = set()
        self._forwards: dict[int, Forwarded] = {}

    def apply(self, outcome: Outcome) -> None:
        """Takes over what a message did."""
        if outcome.disposition is Disposition.ACCEPTED:
            header, digest = outcome.plan.header, outcome.plan.digest
            self._stored[(header.control_id, digest)] = Stored(
                outcome.plan.message_id, outcome.accept_ack, outcome.reply
            )
            self._used.add(_identity(outcome.plan))
        self._records |= {change.record.key: change.record for change in outcome.changes}
        if outcome.relay is not None:
            self._forwards |= followed(outcome, self._forwards)

    def load(self, plans: Sequence[Plan]) -> None:
        """Everything is there already."""

    def same_message(self, control_id: str, digest: int) -> Stored | None:
        """The accepted message with this control id and content."""
        return self._stored.get((control_id, digest))

    def control_id_used(self, planned: Plan) -> bool:
        """True when the sender used this control id before for the same event."""
        return _identity(planned) in self._used

    def forward(self, message_id: int) -> Forwarded | None:
        """How it stands with a message, if it was forwarded."""
        return self._forwards.get(message_id)

    def forwarded(self, planned: Plan) -> Forwarded | None:
        """The forwarded message that this one answers. In a trial it may name the requester's own control id: who
        writes an example does not know the id that the payor would see."""
        msa = planned.message.first("MSA") if planned.message is not None else None
        named = msa.value(2) if msa is not None else ""
        found = [each for each in self._forwards.values() if named in (str(each.message_id), each.control_id)]
        return found[-1] if found else None

    def record(self, key: str) -> Record | None:
        """The current record of a key."""
        return self._records.get(key)

    def in_referral(self, referral: str, *, requests: bool = False) -> list[Record]:
        """The current authorizations of a referral (or another set), or the requests."""
        return [each for each in self._records.values() if each.referral == referral and each.is_request is requests]

    def asked_by(self, control_id: str) -> list[Record]:
        """The current requests that a message with this control id made."""
        return [each for each in self._records.values() if each.is_request and each.control_id == control_id]


class LinksInMemory:
    """What a trial knows of sequence numbers and continued messages; nothing is ever overdue in it."""

    def __init__(self) -> None:
        self._numbers: dict[Stream, int | None] = {}
        self._open: dict[int, Series] = {}
        self._parts: dict[int, list[Plan]] = {}

    def last_number(self, stream: Stream) -> int | None:
        """The sequence number of the last message that was accepted."""
        return self._numbers.get(stream)

    def move(self, stream: Stream, number: int | None, planned: Plan) -> None:  # noqa: ARG002 - the store keeps its id
        """That is the last one now."""
        self._numbers[stream] = number

    def part_before(self, planned: Plan) -> Before | None:
        """The same part of a message that is open; a trial keeps no replies."""
        same = (planned.header.control_id, planned.digest)
        known = (part for id_, parts in self._parts.items() if id_ in self._open for part in parts)
        found = next((part for part in known if (part.header.control_id, part.digest) == same), None)
        return Before(found.message_id, None, None, False) if found else None

    def series(self, stream: Stream, pointer: str) -> Series | None:
        """The open continued message that goes on with this pointer."""
        return next((each for each in self._open.values() if (each.stream, each.awaits) == (stream, pointer)), None)

    def series_by_id(self, series_id: int) -> Series | None:
        """An open continued message."""
        return self._open.get(series_id)

    def open_series(self, stream: Stream) -> int:
        """How many are open."""
        return sum(each.stream == stream for each in self._open.values())

    def parts(self, series: Series) -> list[bytes]:
        """The parts that came."""
        return [part.raw for part in self._parts[series.id]]

    def peer(self, series: Series) -> str:
        """Where the first part came from."""
        return self._parts[series.id][0].peer

    def begin(self, planned: Plan, part: Part, stream: Stream) -> None:
        """A first part."""
        number, size = planned.message_id, len(planned.raw)
        self._open[number] = Series(number, stream, part.pointer, 1, size, planned.received_at)
        self._parts[number] = [planned]

    def append(self, series: Series, planned: Plan, awaits: str) -> None:
        """A further part."""
        size, number = series.size + len(planned.raw), series.number + 1
        self._open[series.id] = series._replace(awaits=awaits, number=number, size=size, touched_at=planned.received_at)
        self._parts[series.id].append(planned)

    def end(self, series: Series, state: str, whole: int) -> None:  # noqa: ARG002 - nobody asks a trial how it ended
        """It is not open any more."""
        self._open.pop(series.id, None)


def _identity(planned: Plan) -> tuple[str, ...]:
    header = planned.header
    return (header.control_id, header.sending_application, header.sending_facility, header.trigger_event)


def try_out(messages: Sequence[bytes], channel: Channel, runner: Runner | None = None) -> list[Outcome]:
    """The outcomes of messages sent one after another to an empty store; `runner` runs steps in Python."""
    memory, links, new_id = Memory(), LinksInMemory(), itertools.count(1).__next__
    outcomes = []
    back = channel.for_answers() if channel.file.replies is not None and channel.file.replies.forwards else channel
    for raw in messages:
        # where parts are joined, steps shape the whole, and none of them is in Python
        shaped = shape_frame(raw, channel, runner) if channel.file.steps and not channel.file.protocol.joins else None
        planned = plan_linked(raw, channel, TRIAL_TIME, new_id, shaped=shaped)
        if back is not channel and memory.forwarded(planned) is not None:
            planned = plan_linked(raw, back, TRIAL_TIME, new_id)
        outcome = decide(planned, memory) if planned.link is None else decide_linked(planned, memory, links)
        for each in rows(outcome):
            memory.apply(each)
        outcomes.append(outcome)
    return outcomes
