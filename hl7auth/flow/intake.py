"""plan: everything about a received frame that needs no store: parse, refusals of the protocol, check, claims.

Imports wire, rules, steps, domain, flow and errors only.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from hl7auth.domain.answer import ANSWERS
from hl7auth.domain.authorization import (
    Claim,
    diagnoses,
    grouped,
    patient,
    payer_scope,
    read_auts,
    read_claims,
    receiving,
    referral,
    referral_key,
    requester,
    sending,
)
from hl7auth.domain.dialect import Speech, translated, without_absent
from hl7auth.domain.intent import Intent
from hl7auth.errors import Fault
from hl7auth.flow.admission import OTHER_CERTIFICATE, strangers
from hl7auth.flow.channel import Channel
from hl7auth.flow.handshake import ACKNOWLEDGMENTS, ORIGINAL, Handshake, handshake, header_remarks
from hl7auth.flow.indexed import index_entries
from hl7auth.flow.kind import Kind
from hl7auth.flow.link import Link
from hl7auth.flow.shaping import Shaping, as_received, copy_of, shape
from hl7auth.rules.check import Finding, check
from hl7auth.rules.dialect import Dialect
from hl7auth.rules.profile import StatusMap, resolved
from hl7auth.rules.structure import Layout
from hl7auth.steps.run import Shaped
from hl7auth.wire.ack import Location, Problem
from hl7auth.wire.delimiters import Delimiters, read_delimiters
from hl7auth.wire.escapes import escape
from hl7auth.wire.message import NULL, Header, Message, Segment, canonical, parse, read_header
from hl7auth.wire.versions import at_least

_RECEIPTS = frozenset({"CA", "CE", "CR"})
_COPIED = ("PID", "DG1", "RF1")
MAX_COPIED = 4 * 1024 * 1024
"""Characters of patient, diagnoses and referral over all authorizations of a message, each of which keeps its own copy:
a thousand authorizations with 4 KB each are far beyond any referral."""

_NO_HEADER = Header("", "", "", "", "", "", "", "", "", "", "", "", "", "", "")
_SALVAGED = 1024


class Refusal(NamedTuple):
    """Why a message is refused: `ack` is AE (its content) or AR (its kind, or no message at all)."""

    ack: str
    problems: tuple[Problem, ...]


class Plan(NamedTuple):
    """A frame, read as far as possible without the store. `digest` tells the same message sent again.

    Where the channel has steps (`shaping`), `message` is what they made; without it and `refusal`, they dropped it.
    `received_at` is in microseconds since 1970, UTC. `reply_ids` are the control ids of the at most two replies.
    `entries` are what it can be looked up by, where that is worked out already: a commit has better things to do while
    other processes wait for their turn.
    """

    message_id: int
    channel: Channel
    received_at: int
    raw: bytes
    peer: str
    header: Header
    delimiters: Delimiters
    handshake: Handshake
    reply_ids: tuple[str, str]
    message: Message | None = None
    layout: Layout | None = None
    findings: Sequence[Finding] = ()
    refusal: Refusal | None = None
    intent: Intent | None = None
    digest: int = 0
    dialect: Dialect | None = None
    shaping: Shaping | None = None
    link: Link | None = None
    entries: Sequence[tuple[str, str]] | None = None

    @property
    def acts_as(self) -> tuple[str, str]:
        """The message type and event that the message is treated as: a partner's own name means a standard one."""
        header = self.header
        if self.dialect is None:
            return header.message_type, header.trigger_event
        return self.dialect.acts_as(header.message_type, header.trigger_event)

    @property
    def is_acknowledgment(self) -> bool:
        """True for messages that are themselves replies of the general kind."""
        return self.header.message_type in ACKNOWLEDGMENTS


def plan(
    raw: bytes,
    channel: Channel,
    now: int,
    new_id: Callable[[], int],
    notes: Sequence[str] = (),
    peer: str = "",
    shaped: Shaped | None = None,
) -> Plan:
    """The Plan of one frame. Never raises for anything that a sender can send.

    `shaped` is what the channel's steps made of it, where that is known: steps in Python can not run in here.
    """
    message_id, reply_ids = new_id(), (str(new_id()), str(new_id()))
    try:
        message = parse(raw, channel.file.fallback_charset)
        message.notes = (*notes, *message.notes)
    except Fault as fault:
        header, delimiters = salvage(raw)
        location = Location("MSH", field=2) if fault.location == "MSH-2" else None
        is_batch = raw.startswith((b"FHS", b"BHS"))
        text = "batches (FHS, BHS) are not taken by this channel" if is_batch else str(fault)
        refusal = Refusal("AR", (Problem(fault.code, text, location),))
        return Plan(message_id, channel, now, raw, peer, header, delimiters, ORIGINAL, reply_ids, refusal=refusal)
    accepts = channel.file.accepts
    if (accepts.senders or accepts.receivers) and (stranger := refused_stranger(message, channel)):
        return _unplanned(message, stranger, channel, now, message_id, reply_ids, peer)
    if shaped is None and not channel.file.steps:
        return _plan_message(message, channel, now, message_id, reply_ids, peer)
    shaped = shaped or shape(message, channel)
    copy = copy_of(message, shaped, channel)
    if isinstance(copy, Message):
        planned = _plan_message(copy, channel, now, message_id, reply_ids, peer)
    else:
        failed = Refusal("AE", (copy,)) if copy else None
        planned = _unplanned(message, failed, channel, now, message_id, reply_ids, peer)
    return as_received(planned, message, shaped, digest(message, channel) if planned.intent else 0)


def refused_stranger(message: Message, channel: Channel) -> Refusal | None:
    """Why a message is refused for who it is from or for, as it came and before any step; None where it is not.

    An acknowledgement is nobody's to answer.
    """
    header, accepts = message.header, channel.file.accepts
    if header.message_type in ACKNOWLEDGMENTS:
        return None
    problems = tuple(strangers(header, message.delimiters, accepts.senders, accepts.receivers))
    return Refusal("AR", problems) if problems else None


def under_other_certificate(planned: Plan) -> Plan:
    """The plan of a message that came under another certificate than its sender has: refused, whatever it wants."""
    refusal = Refusal("AR", (OTHER_CERTIFICATE,))
    return planned._replace(refusal=refusal, intent=None, findings=(), digest=0, link=None)


def asked_by(header: Header, channel: Channel) -> Handshake:
    """What a message asks for, by its header or by its channel's word for it."""
    replies = channel.file.replies
    return handshake(header) if replies is None else replies.asked(header)


def refuse_frame(
    raw: bytes, reason: str, channel: Channel, now: int, new_id: Callable[[], int], peer: str = ""
) -> Plan:
    """The Plan of a frame that did not come whole (broken off, or too large): AR, with its control id if that came."""
    header, delimiters = salvage(raw)
    refusal = Refusal("AR", (Problem("207", reason),))
    ids = (str(new_id()), str(new_id()))
    return Plan(new_id(), channel, now, raw, peer, header, delimiters, ORIGINAL, ids, refusal=refusal)


def salvage(raw: bytes) -> tuple[Header, Delimiters]:
    """What can be read of the MSH of a frame that is no message: enough to name its control id in a refusal."""
    start = max(raw.find(b"MSH"), 0)
    line = re.split(r"[\r\n]", raw[start : start + _SALVAGED].decode("latin_1"), maxsplit=1)[0]
    if not line.startswith("MSH") or len(line) < 8:
        return _NO_HEADER, Delimiters()
    try:
        delimiters = read_delimiters(line[3], line[4 : line.find(line[3], 4)])
        return read_header(Segment(line, delimiters)), delimiters
    except Fault:
        fields = line.split(line[3])
        control_id = fields[9] if len(fields) > 9 and fields[9].isprintable() else ""
        return _NO_HEADER._replace(control_id=control_id, raw_control_id=escape(control_id, Delimiters())), Delimiters()


def _unplanned(
    message: Message,
    refusal: Refusal | None,
    channel: Channel,
    now: int,
    message_id: int,
    reply_ids: tuple[str, str],
    peer: str,
) -> Plan:
    """A message that is not looked at any further: it is refused, or dropped."""
    name = channel.file.profile_of(message)
    dialect = resolved(name, None, channel.editions.get(name, "")).dialect
    header = message.header
    common = (
        message_id,
        channel,
        now,
        message.raw,
        peer,
        header,
        message.delimiters,
        asked_by(header, channel),
        reply_ids,
    )
    return Plan(*common, message, refusal=refusal, dialect=dialect)


def _plan_message(
    message: Message, channel: Channel, now: int, message_id: int, reply_ids: tuple[str, str], peer: str
) -> Plan:
    header, marks = message.header, message.delimiters
    asked = asked_by(header, channel)
    common = (message_id, channel, now, message.raw, peer, header, marks, asked, reply_ids, message)
    if header.message_type in ACKNOWLEDGMENTS:
        return Plan(*common)
    name = channel.file.profile_of(message)
    event = (header.message_type, header.trigger_event)
    kind = channel.kinds.get((name, *event, header.version, header.processing_id)) if header.control_id else None
    if kind is None:
        if problems := _header_problems(header, channel, name):
            dialect = resolved(name, None, channel.editions.get(name, "")).dialect
            return Plan(*common, refusal=Refusal("AR", tuple(problems)), dialect=dialect)
        kind = _kind(header, channel, name)
    profile, structure, acts_as, dialect, names = kind
    if fragment := _fragment(message):
        return Plan(*common, refusal=Refusal("AE", (fragment,)), dialect=dialect)
    where = profile.layout(structure, tuple([segment.name for segment in message.segments]))
    findings = check(message, profile, where)
    findings += header_remarks(header, structure, asked, acts_as[0] in ANSWERS, foreign=acts_as != event)
    errors = tuple(finding.problem for finding in findings if finding.severity == "error")
    if errors and channel.file.errors == "reject":
        return Plan(*common, where, findings, Refusal("AE", errors), dialect=dialect)
    claims = _claims(message, where, kind)
    if len(claims) * len(message.text) > MAX_COPIED and len(claims) * _copied(message) > MAX_COPIED:
        text = "the patient and the diagnoses are too large for so many authorizations in one message"
        return Plan(*common, where, findings, Refusal("AE", (Problem("207", text, Location("AUT")),)), dialect=dialect)
    intent = _intent(message, message_id, claims, names, asked, acts_as, channel)
    if dialect is not None:
        intent = intent._replace(
            context={**intent.context, "patient": without_absent(intent.context["patient"], dialect)}
        )
    return Plan(
        *common, where, findings, None, intent, digest(message, channel), dialect, entries=index_entries(message)
    )


def _kind(header: Header, channel: Channel, name: str) -> Kind:
    """What the channel makes of messages like this one, whose header it accepts."""
    profile, event = channel.compiled(name, header.version), (header.message_type, header.trigger_event)
    dialect = resolved(name, None, channel.editions.get(name, "")).dialect
    acts_as = dialect.acts_as(*event) if dialect else event
    structure = profile.structure_of(*event) or profile.structure_of(*acts_as) or ""
    kind = Kind(profile, structure, acts_as, dialect, profile.names)
    channel.kinds[(name, *event, header.version, header.processing_id)] = kind
    return kind


def _copied(message: Message) -> int:
    return sum(len(each.text) for name in _COPIED for each in message.all(name))


def _claims(message: Message, where: Layout, kind: Kind) -> list[Claim]:
    unread, is_request = kind.profile.unread, kind.acts_as[0] in ANSWERS
    if kind.dialect is None:
        return read_claims(message, where, unread)
    speech = Speech(kind.dialect, kind.names, payer_scope(message, is_request), not is_request)
    return grouped(*translated(message, where, *read_auts(message, where, unread), speech))


def _intent(
    message: Message,
    message_id: int,
    claims: list[Claim],
    names: StatusMap,
    asked: Handshake,
    acts_as: tuple[str, str],
    channel: Channel,
) -> Intent:
    header = message.header
    is_request = acts_as[0] in ANSWERS
    by = requester(header, is_request)
    msa, rf1 = message.first("MSA"), message.first("RF1")
    acknowledged = msa.value(1) if msa else ""
    return Intent(
        message_id=message_id,
        message_type=acts_as[0],
        trigger_event=acts_as[1],
        control_id=header.control_id,
        claims=tuple(claims),
        context={"patient": patient(message), "referral": referral(message), "diagnoses": diagnoses(message)},
        referral=referral_key(message, by.scope),
        requester=by,
        answers=msa.value(2) if msa else "",
        receipt_only=not is_request and acknowledged in _RECEIPTS,
        promised=is_request and asked.application_due(True),
        referral_status=rf1.value(1) if rf1 else "",
        names=names,
        terms=channel.file.terms,
        sender=sending(header),
        receiver=receiving(header),
        sent_at=header.sent_at,
        referral_action=_action(rf1) if rf1 and len(rf1.fields) > 25 and at_least(header.version, "2.8") else "",
        has_procedures=message.first("PR1") is not None,
        acknowledged="" if is_request else acknowledged,
    )


def _action(rf1: Segment) -> str:
    action = rf1.value(25)
    return "" if action == NULL else action


def digest(message: Message, channel: Channel) -> int:
    """A signed 64-bit fingerprint of what was sent, without MSH-7, which a sender may renew when it sends again.

    Messages that differ only in trailing separators have the same (chapter 2, 2.6).
    """
    data = f"{channel.name}\0{canonical(message, leave_out=7)}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big", signed=True)


def _header_problems(header: Header, channel: Channel, profile: str) -> list[Problem]:
    """What MSH must say before anything else is looked at (chapter 2, 2.9.2.1: type, processing id, version)."""
    accepts = channel.file.accepts
    problems = []

    def problem(code: str, text: str, field: int, component: int = 0) -> None:
        problems.append(Problem(code, text, Location("MSH", 1, field, 0, component)))

    if not header.control_id:
        problem("101", "MSH-10 Message Control ID is empty", 10)
    if not header.message_type:
        problem("101", "MSH-9 Message Type is empty", 9)
    elif not (events := channel.events(header.message_type, profile)):
        problem("200", "this channel does not accept this message type (MSH-9.1)", 9, 1)
    elif header.trigger_event not in events:
        problem("201", "this event does not exist for this message type (MSH-9.2)", 9, 2)
    if header.version not in accepts.versions:
        problem("203", "this channel does not accept this version of HL7 (MSH-12)", 12)
    if header.processing_id not in accepts.processing_ids:
        problem("202", "this channel does not accept this processing id (MSH-11)", 11)
    return problems


def _fragment(message: Message) -> Problem | None:
    """A part of a longer message (chapter 2, 2.10.2) must not be taken for the whole of it."""
    if message.segments[0].field(14):
        return Problem("207", "continued messages (MSH-14) are not taken by this channel", Location("MSH", 1, 14))
    for name in ("DSC", "ADD"):
        if message.first(name):
            return Problem("207", f"continued messages ({name}) are not taken by this channel", Location(name))
    return None


@lru_cache(maxsize=8)
def timestamp(second: int) -> str:
    """A second since 1970 as an HL7 time stamp in UTC."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y%m%d%H%M%S+0000")
