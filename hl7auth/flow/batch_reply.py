"""The end of a batch (chapter 2, 2.10.3): what its frame says, and its answer: a batch of the replies to its messages.

Imports wire, flow.decision, flow.intake, flow.link and flow.channel only.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from hl7auth.errors import Fault
from hl7auth.flow.channel import Channel
from hl7auth.flow.decision import Disposition, Outcome, acknowledgment
from hl7auth.flow.handshake import ORIGINAL
from hl7auth.flow.intake import Plan, timestamp
from hl7auth.flow.link import Group, Link, Taken
from hl7auth.rules.check import Finding
from hl7auth.wire.ack import FALLBACK_VERSION, Location, Problem
from hl7auth.wire.delimiters import Delimiters, read_delimiters
from hl7auth.wire.escapes import escape, unescape
from hl7auth.wire.message import Header

_COMMENT = 80
"""BTS-2 and FTS-2 are ST 80."""


class Envelope(NamedTuple):
    """A FHS or BHS line as it was read: its fields by HL7 number, and its delimiters. Empty where there was none."""

    fields: tuple[str, ...] = ()
    delimiters: Delimiters = Delimiters()

    def field(self, number: int) -> str:
        """The raw text of a field."""
        return self.fields[number] if number < len(self.fields) else ""


def read_envelope(line: str) -> Envelope:
    """The fields of a FHS or BHS line without control characters; nothing of one that has no delimiters."""
    line = "".join(char for char in line if char.isprintable())
    try:
        marks = read_delimiters(line[3:4], line[4 : line.find(line[3], 4)] if line[3:4] else "")
    except (Fault, IndexError):
        return Envelope()
    return Envelope((line[:3], line[3], *line[4:].split(line[3])), marks)


def plan_batch(taken: Taken, channel: Channel, now: int, new_id: Callable[[], int], peer: str) -> Plan:
    """The Plan of what stands around the messages of a batch: kept, and answered, after them."""
    line = taken.file or next((group.header for group in taken.groups if group.header), "")
    envelope = read_envelope(line)
    message_id, ids = new_id(), (str(new_id()), str(new_id()))
    header = _header(envelope, line[:3] or "BHS", taken.version)
    return Plan(
        message_id, channel, now, taken.lines, peer, header, envelope.delimiters, ORIGINAL, ids, link=Link(taken=taken)
    )


def decide_batch(plan: Plan, taken: Taken) -> Outcome:
    """The Outcome of the frame: its reply as the channel says, and a finding for everything that does not add up."""
    faults = [*(fault for group in taken.groups for fault in group.faults), *taken.faults]
    findings = [_finding(fault) for fault in faults]
    replies = plan.channel.file.protocol.batch.replies
    code = "AE" if faults or any(member.bad for group in taken.groups for member in group.members) else "AA"
    reply = None if replies == "none" else b"\r".join(_lines(plan, taken, replies)) + b"\r"
    return Outcome(plan, Disposition.BATCH, code, findings, reply=reply)


def _lines(plan: Plan, taken: Taken, replies: str) -> Iterator[bytes]:
    number = 0
    is_file = bool(taken.file or not taken.groups)  # a trailer alone is answered too
    if is_file:
        yield _head(plan, "FHS", taken.file, plan.reply_ids[0])
    for number, group in enumerate(taken.groups, 1):
        if group.header or not taken.file or group.members:
            own = plan.reply_ids[1] + (f"-{number}" if len(taken.groups) > 1 else "")
            yield _head(plan, "BHS", group.header, own)
        told = list(_replies(plan, group, replies))
        yield from told
        yield _tail("BTS", len(told), _summary(group), plan.delimiters)
    if is_file:
        yield _tail("FTS", number, "; ".join(taken.faults), plan.delimiters)


def _replies(plan: Plan, group: Group, replies: str) -> Iterator[bytes]:
    for member in group.members:
        if replies == "all" or (replies == "errors" and member.bad):
            yield from (reply.rstrip(b"\r") for reply in member.replies)
    if group.faults:
        envelope = read_envelope(group.header)
        header = _header(envelope, "BHS", plan.header.version)
        about = plan._replace(header=header, delimiters=envelope.delimiters, reply_ids=(plan.reply_ids[1] + "-0", ""))
        problems = [Problem("207", fault, Location("BTS"), rule="batch.count") for fault in group.faults]
        yield acknowledgment(about, "AE", problems).rstrip(b"\r")


def _head(plan: Plan, name: str, line: str, own: str) -> bytes:
    """FHS or BHS of a reply: parties swapped, and in field 12 the control id of what is answered."""
    theirs = read_envelope(line)
    f = theirs.delimiters.field
    parties = [theirs.field(number) for number in (5, 6, 3, 4)]
    sent_at = timestamp(plan.received_at // 1_000_000)
    if set("+-") & set(f + theirs.delimiters.encoding_characters):
        sent_at = sent_at[:14]
    fields = [name, theirs.delimiters.encoding_characters, *parties, sent_at, "", "", "", own, theirs.field(11)]
    return f.join(fields).rstrip(f).encode("latin_1", "replace")


def _tail(name: str, count: int, comment: str, marks: Delimiters) -> bytes:
    fields = [name, str(count), escape(comment[:_COMMENT], marks)]
    return marks.field.join(fields).rstrip(marks.field).encode("latin_1", "replace")


def _summary(group: Group) -> str:
    """`3 messages: 2 accepted, 1 refused; BTS-1 says 4 messages, 3 found`: what was applied, first of all."""
    counted = Counter(member.disposition for member in group.members)
    told = ", ".join(f"{count} {name}" for name, count in counted.items())
    text = f"{len(group.members)} messages" + (f": {told}" if told else "")
    return "; ".join([text, *group.faults])


def _header(envelope: Envelope, name: str, version: str) -> Header:
    marks = envelope.delimiters

    def first(number: int) -> str:
        return unescape(envelope.field(number).split(marks.component)[0], marks)

    raw_id = envelope.field(11)
    parties = (envelope.field(3), envelope.field(4), envelope.field(5), envelope.field(6))
    return Header(
        first(3), first(4), first(5), first(6), envelope.field(7), name, "", "", unescape(raw_id, marks), "P",
        version or FALLBACK_VERSION, "", "", "", "", parties, raw_id,
    )  # fmt: skip


def _finding(text: str) -> Finding:
    where = Location("BTS" if text.startswith("BTS") else "FTS" if text.startswith("FTS") else "BHS")
    return Finding("batch.count", "error", where.segment, text, "207", where, 0, 0)
