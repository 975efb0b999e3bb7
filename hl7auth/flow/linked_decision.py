"""decide for messages that are tied to others: in sequence, part of a continued one, or the end of a batch.

Imports wire, flow and errors only.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from hl7auth.errors import Fault
from hl7auth.flow.batch_reply import decide_batch
from hl7auth.flow.continuation import difference, joined
from hl7auth.flow.decision import Disposition, KnownToChannel, Outcome, acknowledgment, decide, refused
from hl7auth.flow.intake import Plan, Refusal, plan
from hl7auth.flow.link import Before, Link, Part, Series, Stream
from hl7auth.flow.reply import MAX_REPORTED
from hl7auth.wire.ack import Location, Problem
from hl7auth.wire.message import Message, parse

JOINED, REFUSED, OVERDUE = "joined", "refused", "overdue"
"""How a continued message ends."""

_TAKEN = (Disposition.ACCEPTED, Disposition.DUPLICATE, Disposition.PART, Disposition.FILTERED)


class Loading(KnownToChannel, Protocol):
    """What deciding asks of the store, of which more can be loaded."""

    def load(self, plans: Sequence[Plan], /) -> None:
        """Asks for everything that these plans can touch."""


class Links(Protocol):
    """What the store knows of sequence numbers and continued messages; what is changed is written with the rest."""

    def last_number(self, stream: Stream) -> int | None:
        """The sequence number of the last message that was accepted."""

    def move(self, stream: Stream, number: int | None, plan: Plan) -> None:
        """That is the last one now; None: the next one may have any number."""

    def part_before(self, plan: Plan) -> Before | None:
        """The same part, taken before."""

    def series(self, stream: Stream, pointer: str) -> Series | None:
        """The open continued message that goes on with this pointer."""

    def series_by_id(self, series_id: int) -> Series | None:
        """An open continued message."""

    def open_series(self, stream: Stream) -> int:
        """How many are open."""

    def parts(self, series: Series) -> list[bytes]:
        """The parts that came, as they came."""

    def peer(self, series: Series) -> str:
        """Where the first part came from."""

    def begin(self, plan: Plan, part: Part, stream: Stream) -> None:
        """A first part."""

    def append(self, series: Series, plan: Plan, awaits: str) -> None:
        """A further part; the last one has nothing to await."""

    def end(self, series: Series, state: str, whole: int) -> None:
        """The continued message is not open any more; `whole` is the id of the message that it became."""


class _Shared(NamedTuple):
    plan: Plan
    known: Loading
    links: Links

    @property
    def stream(self) -> Stream:
        header = self.plan.header
        return Stream(self.plan.channel.name, header.sending_application, header.sending_facility)

    @property
    def link(self) -> Link:
        assert self.plan.link is not None
        return self.plan.link

    def expecting(self, number: int | str) -> "_Shared":
        """The same, answered with this MSA-4."""
        return self._replace(plan=self.plan._replace(link=self.link._replace(expected=str(number))))


def decide_linked(plan: Plan, known: Loading, links: Links) -> Outcome:
    """The Outcome of a Plan with a link. Raises nothing that a sender could cause."""
    shared = _Shared(plan, known, links)
    if shared.link.taken is not None:
        return decide_batch(plan, shared.link.taken)
    if shared.link.overdue:
        return _overdue(shared)
    return _content(shared) if shared.link.number is None else _in_sequence(shared, shared.link.number)


def rows(outcome: Outcome) -> list[Outcome]:
    """What is written for an outcome: a joined message beside its last part, nothing where nothing was overdue."""
    if outcome.plan.link is not None and outcome.plan.link.overdue:
        return []  # it was completed meanwhile, or could not be given up now; else the plan is that of the whole
    return [outcome] if outcome.joined is None else [outcome, outcome.joined]


def _in_sequence(shared: _Shared, number: int) -> Outcome:
    """Chapter 2, 2.10.1. Only what is accepted moves the number; what is out of sequence changes nothing."""
    plan, links = shared.plan, shared.links
    last = links.last_number(shared.stream)
    if plan.refusal is not None and plan.refusal.ack == "AR":
        return refused((shared if last is None else shared.expecting(last + 1)).plan, plan.refusal)
    if number <= 0:
        return _about_the_link(shared, number, last)
    if last is not None and number != last + 1:
        again = _content(shared) if number == last and _came_before(shared) else None
        return again or _out_of_sequence(shared.expecting(last + 1))
    outcome = _content(shared.expecting(number))
    if outcome.disposition in _TAKEN:
        links.move(shared.stream, number, plan)
    return outcome


def _came_before(shared: _Shared) -> bool:
    """True for the message whose acknowledgement was lost: it gets the stored one."""
    plan = shared.plan
    if shared.link.part is not None:
        return shared.links.part_before(plan) is not None
    return plan.refusal is None and shared.known.same_message(plan.header.control_id, plan.digest) is not None


def _out_of_sequence(shared: _Shared) -> Outcome:
    plan = shared.plan
    text = f"MSH-13 is not the sequence number that is expected, {shared.link.expected}; nothing of it was applied"
    problem = Problem("199", text, Location("MSH", 1, 13), rule="sequence.expected")
    return refused(plan, Refusal("AE" if plan.handshake.accept_due(False) else "AR", (problem,)))


def _about_the_link(shared: _Shared, number: int, last: int | None) -> Outcome:
    """0 asks where to go on; -1 says that the next number is the first of a new count."""
    if number < 0:
        shared.links.move(shared.stream, None, shared.plan)
        last = None
    plan = shared.expecting(-1 if last is None else last + 1).plan
    code = "CA" if plan.handshake.accept_due(True) else "AA"
    assert plan.message is not None
    text = "about the sequence numbers alone: nothing was applied" if len(plan.message.segments) > 1 else ""
    return Outcome(plan, Disposition.LINK, "AA", accept_ack=acknowledgment(plan, code, text=text))


def _content(shared: _Shared) -> Outcome:
    part = shared.link.part
    if part is None:
        return decide(shared.plan, shared.known)
    if shared.plan.refusal is not None:
        return refused(shared.plan, shared.plan.refusal)
    return _part(shared, part)


def _part(shared: _Shared, part: Part) -> Outcome:
    plan, links = shared.plan, shared.links
    series = links.series(shared.stream, part.continues) if part.continues else None
    before = links.part_before(plan)
    if before is not None and not (before.settled and series is not None):
        replies = (before.accept_ack, before.reply)
        return Outcome(plan, Disposition.DUPLICATE, "AA", (), *replies, duplicate_of=before.message_id)
    if part.pointer and (other := links.series(shared.stream, part.pointer)) and other != series:
        text = "another message of this sender goes on with the same pointer (DSC-1) and is not complete yet"
        return _refused(plan, text, Location("DSC", 1, 1), "continuation.pointer")
    if not part.continues:
        return _first(shared, part)
    if series is None:
        text = "no message goes on with this pointer (MSH-14): its first parts did not come, or too long ago"
        return _refused(plan, text, Location("MSH", 1, 14), "continuation.unknown")
    return _further(shared, part, series)


def _first(shared: _Shared, part: Part) -> Outcome:
    plan = shared.plan
    if shared.links.open_series(shared.stream) >= plan.channel.file.protocol.continued.open:
        text = "too many continued messages of this sender are not complete yet"
        return _refused(plan, text, Location("DSC"), "continuation.many")
    shared.links.begin(plan, part, shared.stream)
    assert plan.message is not None
    return _kept(plan, plan.message)


def _further(shared: _Shared, part: Part, series: Series) -> Outcome:
    plan, links = shared.plan, shared.links
    raws = links.parts(series)
    assert plan.message is not None
    first = parse(raws[0], plan.channel.file.fallback_charset)
    if field := difference(first, plan.message):
        return _refused(plan, f"{field} is another one than in the first part", Location("MSH"), "continuation.differs")
    bounds = plan.channel.file.protocol.continued
    if series.number >= bounds.parts or series.size + len(plan.raw) > bounds.bytes:
        text = f"the whole would have more than {bounds.parts} parts or {bounds.bytes} bytes; nothing of it was applied"
        refusal = _refused(plan, text, Location("MSH", 1, 14), "continuation.large")
        return refusal._replace(joined=_given_up(shared, series, raws, text, "continuation.large"))
    links.append(series, plan, part.pointer)
    if part.pointer:
        return _kept(plan, first)
    return _last(shared, series, [*raws, plan.raw])


def _last(shared: _Shared, series: Series, raws: Sequence[bytes]) -> Outcome:
    """The whole is decided as one message; the application's answer is about its first part, and goes with the last."""
    part = shared.plan
    whole = _whole(shared, raws, part.peer)
    shared.known.load([whole])
    outcome = decide(whole, shared.known)
    taken = outcome.disposition in _TAKEN
    shared.links.end(series, JOINED if taken else REFUSED, whole.message_id)
    accept_ack = None
    if taken or outcome.reply is not None or outcome.relay is not None:
        accept_ack = acknowledgment(part, "CA") if part.handshake.accept_due(True) else None
    elif part.handshake.accept_due(False):
        # who wants no application's answer learns here that the whole was refused
        problems = [each.problem for each in outcome.findings if each.severity == "error"]
        accept_ack = acknowledgment(part, "CE", problems[:MAX_REPORTED])
    return Outcome(part, Disposition.PART, outcome.code, (), accept_ack, outcome.reply, joined=outcome)


def _whole(shared: _Shared, raws: Sequence[bytes], peer: str) -> Plan:
    """The plan of the joined message, under its own id. Its parts have theirs: it has no accept acknowledgement."""
    part, link = shared.plan, shared.link
    ids = iter((link.spare or part.message_id, *map(int, part.reply_ids)))
    try:
        raw = joined(raws, part.channel.file.fallback_charset)
    except Fault as fault:
        first = plan(raws[0], part.channel, part.received_at, lambda: next(ids), (), peer)
        raw, refusal = b"\r".join(raws), Refusal("AE", (Problem(fault.code, str(fault), rule="continuation.part"),))
        whole = first._replace(raw=raw, refusal=refusal, intent=None)
    else:
        whole = plan(raw, part.channel, part.received_at, lambda: next(ids), (), peer)
    shake = whole.handshake._replace(accept="NE")
    return whole._replace(handshake=shake, link=Link(expected=link.expected))


def _overdue(shared: _Shared) -> Outcome:
    """The next part of a continued message did not come in time: what came is refused as a whole, for all to see."""
    series = shared.links.series_by_id(shared.link.overdue)
    bounds = shared.plan.channel.file.protocol.continued
    if series is None or series.touched_at + int(bounds.seconds * 1_000_000) > shared.plan.received_at:
        return Outcome(shared.plan, Disposition.IGNORED, "")
    text = f"part {series.number + 1} did not come within {bounds.seconds:g} s; nothing of the message was applied"
    return _given_up(shared, series, shared.links.parts(series), text, "continuation.overdue", OVERDUE)


def _given_up(
    shared: _Shared, series: Series, raws: Sequence[bytes], text: str, rule: str, state: str = REFUSED
) -> Outcome:
    whole = _whole(shared, raws, shared.links.peer(series))
    problem = Problem("100", text, Location("DSC", 1, 1), rule=rule)
    whole = whole._replace(findings=(), intent=None)
    shared.links.end(series, state, whole.message_id)
    return refused(whole, Refusal("AE", (problem,)))


def _refused(plan: Plan, text: str, location: Location, rule: str) -> Outcome:
    return refused(plan, Refusal("AE", (Problem("100", text, location, rule=rule),)))


def _kept(plan: Plan, first: Message) -> Outcome:
    """A part is on disk. In original mode its sender waits for an AA, unless it is part of an answer."""
    accept_ack = None
    if plan.handshake.accept_due(True):
        accept_ack = acknowledgment(plan, "CA")
    elif not plan.handshake.enhanced and first.first("MSA") is None:
        accept_ack = acknowledgment(plan, "AA", text="a part; kept until the rest has come")
    return Outcome(plan, Disposition.PART, "AA", (), accept_ack)
