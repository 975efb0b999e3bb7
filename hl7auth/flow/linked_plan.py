"""plan for channels whose messages may depend on those before: sequence numbers read, parts told from wholes.

Imports wire, steps, errors and the other modules of flow that read messages only.
"""

import re
from collections.abc import Callable, Sequence

from hl7auth.errors import Fault
from hl7auth.flow.channel import Channel
from hl7auth.flow.continuation import has_parts, joined, part_of, part_problem
from hl7auth.flow.handshake import ORIGINAL
from hl7auth.flow.intake import Plan, Refusal, digest, plan, salvage
from hl7auth.flow.link import Link
from hl7auth.steps.run import Shaped
from hl7auth.wire.ack import Location, Problem
from hl7auth.wire.message import Message, parse

_NUMBER = re.compile(r"-1|\d{1,15}", re.ASCII)


def plan_linked(
    raw: bytes,
    channel: Channel,
    now: int,
    new_id: Callable[[], int],
    notes: Sequence[str] = (),
    peer: str = "",
    shaped: Shaped | None = None,
) -> Plan:
    """The Plan of one frame, as `plan` makes it, with what ties it to other messages. Never raises.

    What comes in parts is shaped by the steps of the channel when it is whole.
    """
    agreed = channel.file.protocol
    came = _read(raw, channel)
    in_parts = came is not None and agreed.joins and has_parts(came)
    as_it_is = Shaped(raw) if in_parts and channel.file.steps else shaped
    planned = plan(raw, channel, now, new_id, notes, peer, as_it_is)
    if came is None or planned.is_acknowledgment:
        return planned
    if in_parts and not _is_rejected(planned):
        planned = _with_parts(planned, came, new_id, shaped)
    if agreed.sequence != "ignore":
        planned = _with_number(planned, came.header.sequence_number, required=agreed.sequence == "require")
    return planned


def _read(raw: bytes, channel: Channel) -> Message | None:
    """What came, before any steps."""
    try:
        return parse(raw, channel.file.fallback_charset)
    except Fault:
        return None


def _is_rejected(planned: Plan) -> bool:
    """True when MSH already says that the message is not for this channel."""
    return planned.refusal is not None and planned.refusal.ack == "AR"


def _with_parts(planned: Plan, message: Message, new_id: Callable[[], int], shaped: Shaped | None) -> Plan:
    """A part, to be kept; or a whole message with its segments put together, and the bytes that were received."""
    if problem := part_problem(message):
        return planned._replace(refusal=Refusal("AE", (problem,)))
    part = part_of(message)
    if part is not None:
        content = digest(message, planned.channel)
        return planned._replace(refusal=None, digest=content, link=Link(new_id(), part=part))
    ids = iter((planned.message_id, *map(int, planned.reply_ids)))
    try:
        whole = joined([planned.raw], planned.channel.file.fallback_charset)
    except Fault as fault:
        return planned._replace(refusal=Refusal("AR", (Problem(fault.code, str(fault)),)))
    if shaped is not None and shaped.raw == planned.raw:
        shaped = shaped._replace(raw=whole)
    again = plan(whole, planned.channel, planned.received_at, lambda: next(ids), message.notes, planned.peer, shaped)
    return again._replace(raw=planned.raw)


def _with_number(planned: Plan, text: str, *, required: bool) -> Plan:
    if not text and not required:
        return planned
    where = Location("MSH", 1, 13)
    if not text or not _NUMBER.fullmatch(text):
        said = "MSH-13 is no sequence number" if text else "this channel wants a sequence number (MSH-13)"
        if not _is_rejected(planned):
            problem = Problem("102" if text else "101", said, where, rule="sequence.number")
            planned = planned._replace(refusal=Refusal("AE", (problem,)), findings=(), intent=None, link=None)
        return planned
    number = int(text)
    link = (planned.link or Link())._replace(number=number)
    if number <= 0 and not _is_rejected(planned):
        # it is about the link: whatever else stands in it is not judged, and not applied
        return planned._replace(refusal=None, intent=None, findings=(), link=Link(number=number))
    return planned._replace(link=link)


def plan_overdue(series_id: int, channel: Channel, now: int, new_id: Callable[[], int]) -> Plan:
    """The Plan of giving up a continued message (by the message id of its first part) whose next part did not come."""
    ids = (new_id(), (str(new_id()), str(new_id())))
    header, delimiters = salvage(b"")
    return Plan(ids[0], channel, now, b"", "", header, delimiters, ORIGINAL, ids[1], link=Link(overdue=series_id))
