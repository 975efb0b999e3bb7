"""The steps of a channel before a message is planned: what is judged is what they made, who is answered is who sent.

Imports wire, rules, steps, errors, flow.channel, flow.destination and flow.handshake only.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from hl7auth.errors import ConfigError, Fault
from hl7auth.flow.channel import Channel
from hl7auth.flow.destination import full_name
from hl7auth.flow.handshake import ACKNOWLEDGMENTS
from hl7auth.rules.finding import Finding
from hl7auth.steps.calls import Runner
from hl7auth.steps.draft import Unmapped
from hl7auth.steps.faults import StepFailed, StepRefused
from hl7auth.steps.place import read_place
from hl7auth.steps.run import Shaped, Steps, attempt
from hl7auth.steps.table import Table
from hl7auth.wire.ack import Location, Problem
from hl7auth.wire.message import Message, parse

if TYPE_CHECKING:
    from hl7auth.flow.intake import Plan

REFUSED, FAILED = "steps.refused", "steps.failed"
"""The rules of the one finding of a message that steps refused, or failed on."""
MOST_REMARKS = 100
"""What steps have to say about one message: more helps nobody, and a bad message must not fill the store."""


class Shaping(NamedTuple):
    """What steps did. `raw` is None where they left the message as it came; `charset` and `codec` are of what came."""

    raw: bytes | None
    charset: str
    codec: str
    dropped: bool = False
    unmapped: tuple[Unmapped, ...] = ()


def shape(message: Message, channel: Channel, runner: Runner | None = None) -> Shaped:
    """What the steps of a channel make of a message. Acknowledgements are never shaped. Never raises a Fault."""
    if message.header.message_type in ACKNOWLEDGMENTS:
        return Shaped(message.raw)
    return attempt(channel.steps, message, runner)


def shape_frame(raw: bytes, channel: Channel, runner: Runner | None) -> Shaped | None:
    """The same for a frame; None for one that holds no message, of which a plan says so."""
    try:
        message = parse(raw, channel.file.fallback_charset)
    except Fault:
        return None
    return shape(message, channel, runner)


def shape_copy(raw: bytes, steps: Steps, channel: Channel, runner: Runner | None = None) -> Shaped:
    """The copy for a destination. What holds no message can not be shaped: that is its fault."""
    try:
        message = parse(raw, channel.file.fallback_charset)
    except Fault as fault:
        return Shaped(raw, fault=fault)
    return attempt(steps, message, runner)


def mapped_by(channels: Iterable[Channel]) -> Callable[[str, str, str], bool]:
    """Asked with place, table and value: do the tables of these channels have the value by now?

    A place is a channel, or channel/destination. A channel whose tables can not be read has nothing.
    """
    mappings: dict[str, Mapping[str, tuple[Table, ...]]] = {}
    for channel in channels:
        try:
            mappings[channel.name] = channel.steps.mappings
            mappings |= {full_name(channel.name, name): each.mappings for name, each in channel.steps_out.items()}
        except ConfigError:
            continue

    def is_mapped(place: str, table: str, value: str) -> bool:
        tables = mappings.get(place, {}).get(table, ())
        return bool(tables) and all(value in each for each in tables)

    return is_mapped


def why_dropped(shaped: Shaped) -> str:
    """Which step dropped a message, and what it asked."""
    last = shaped.remarks[-1]
    return f"step {last.step}: {last.text}"


def why_failed(fault: Fault) -> str:
    """What a step said against a message, and where."""
    return f"{fault} ({fault.location})" if fault.location else str(fault)


def copy_of(message: Message, shaped: Shaped, channel: Channel) -> Message | Problem | None:
    """What is to be judged in place of what came: None where it was dropped, a Problem where the steps failed."""
    if shaped.fault is not None:
        return _problem(shaped.fault)
    if shaped.dropped:
        return None
    if shaped.raw == message.raw:
        return message
    try:
        copy = parse(shaped.raw, channel.file.fallback_charset)
    except Fault as fault:
        return _problem(StepFailed(f"what the steps of this channel made is no message: {fault}"))
    copy.notes = tuple(dict.fromkeys((*message.notes, *copy.notes)))
    return copy


def as_received(plan: "Plan", message: Message, shaped: Shaped, digest: int) -> "Plan":
    """The plan of a copy as that of the message that came.

    Its sender gets replies about what it sent, in its own terms: control id, names of applications, version,
    processing id and character set. What it asks for (MSH-15 and MSH-16) and what the message is (MSH-9) steps may
    change. `digest` is of what came: steps may make something else of the same message each time.
    """
    theirs = message.header
    header = plan.header._replace(
        sending_application=theirs.sending_application,
        sending_facility=theirs.sending_facility,
        receiving_application=theirs.receiving_application,
        receiving_facility=theirs.receiving_facility,
        control_id=theirs.control_id,
        processing_id=theirs.processing_id,
        version=theirs.version,
        charset=theirs.charset,
        parties=theirs.parties,
        raw_control_id=theirs.raw_control_id,
    )
    findings = plan.findings
    if plan.refusal is None or findings:  # a refusal without findings is told by itself
        findings = [*_findings(shaped), *findings]
    raw = None if shaped.raw == message.raw else shaped.raw
    shaping = Shaping(raw, message.charset, message.codec, shaped.dropped, shaped.unmapped)
    return plan._replace(raw=message.raw, header=header, findings=findings, digest=digest, shaping=shaping)


def _problem(fault: Fault) -> Problem:
    rule = REFUSED if isinstance(fault, StepRefused) else FAILED
    location = _location(fault.location) if fault.location else None
    return Problem(fault.code, f"the message could not be prepared: {fault}", location, rule=rule)


def _findings(shaped: Shaped) -> list[Finding]:
    return list(dict.fromkeys(_said(shaped)))[:MOST_REMARKS]


def _said(shaped: Shaped) -> Iterator[Finding]:
    for remark in shaped.remarks:
        where, text = _location(remark.location), f"{remark.verb}: {remark.text}"
        yield Finding(f"steps.{remark.step}", "information", remark.location, text, "0", where, 0, 0)
    for found in shaped.unmapped:
        text = f"the table {found.table} does not have the value"
        yield Finding("steps.unmapped", "warning", found.location, text, "103", _location(found.location), 0, 0)


def _location(path: str) -> Location:
    try:
        place = read_place(path)
    except ValueError:
        return Location(path.partition("-")[0])
    repetition, component = max(place.repetition, 0), place.component
    return Location(place.segment, max(place.occurrence, 1), place.field, repetition, component, place.subcomponent)
