"""decide: what a planned message does to what the store knows, and what its sender is told.

Imports wire, domain, flow and errors only.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from hl7auth.domain import semantics
from hl7auth.domain.answer import ANSWERS, Name, answer, standing
from hl7auth.domain.change import Refused
from hl7auth.domain.intent import Change, Intent, Known
from hl7auth.domain.order import older_changes
from hl7auth.domain.remarks import remarks
from hl7auth.flow.intake import Plan, Refusal, timestamp
from hl7auth.rules.check import Finding
from hl7auth.rules.finding import Severity
from hl7auth.wire import charset
from hl7auth.wire.ack import Location, Problem, Reply, acknowledge, reply_version
from hl7auth.wire.versions import at_least

MAX_REPORTED = 50
"""ERR segments in one reply: more than this helps nobody, and a bad message must not make a giant reply."""


class Disposition(StrEnum):
    """What became of a message. `ignored`: an acknowledgement, kept and never answered. `parked`: older than what it
    would change, kept and not applied. `filtered`: dropped by a step of the channel, kept and not applied. `part`: kept
    until the rest of its message has come. `link`: about sequence numbers alone. `batch`: the frame around the messages
    of a batch."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    DUPLICATE = "duplicate"
    FAILED = "failed"
    PARKED = "parked"
    IGNORED = "ignored"
    FILTERED = "filtered"
    PART = "part"
    LINK = "link"
    BATCH = "batch"


class Stored(NamedTuple):
    """An accepted message that the store has: its id and the replies it got."""

    message_id: int
    accept_ack: bytes | None
    reply: bytes | None


class KnownToChannel(Known, Protocol):
    """What deciding asks of the store."""

    def same_message(self, control_id: str, digest: int) -> Stored | None:
        """The accepted message with this control id and content."""

    def control_id_used(self, plan: Plan) -> bool:
        """True when the sender used this control id before for the same event, with any content."""


class Outcome(NamedTuple):
    """What is written and what is answered. `code` is MSA-1 of the reply, as if one were always sent.

    `joined` is the continued message that this one was the last part of.
    """

    plan: Plan
    disposition: Disposition
    code: str
    findings: Sequence[Finding] = ()
    accept_ack: bytes | None = None
    reply: bytes | None = None
    changes: tuple[Change, ...] = ()
    duplicate_of: int | None = None
    joined: "Outcome | None" = None

    @property
    def replies(self) -> list[bytes]:
        """What goes back on the connection, in order: the accept acknowledgement, then the application's answer."""
        return [each for each in (self.accept_ack, self.reply) if each is not None]


def decide(plan: Plan, known: KnownToChannel) -> Outcome:
    """The Outcome of a Plan. Pure: the same plan and knowledge give the same outcome."""
    if plan.is_acknowledgment:
        return Outcome(plan, Disposition.IGNORED, "", plan.findings)
    if plan.refusal is not None:
        return refused(plan, plan.refusal)
    if plan.intent is None:
        return _filtered(plan)
    stored = known.same_message(plan.header.control_id, plan.digest)
    if stored is not None:
        replies = (stored.accept_ack, stored.reply)
        return Outcome(plan, Disposition.DUPLICATE, "AA", plan.findings, *replies, duplicate_of=stored.message_id)
    if plan.channel.file.duplicates == "strict" and known.control_id_used(plan):
        text = "MSH-10 was used before for another message"
        return refused(plan, Refusal("AE", (Problem("205", text, Location("MSH", 1, 10)),)))
    try:
        changes = tuple(semantics.apply(plan.intent, known))
    except Refused as fault:
        return refused(plan, Refusal("AE", fault.problems))
    if plan.channel.file.order.older == "park" and any(same for _, same in older_changes(plan.intent, changes)):
        text = "MSH-7 is before that of what this message would change; it was kept, and nothing of it was applied"
        problem = Problem("207", text, Location("MSH", 1, 7), rule="order.older")
        return refused(plan, Refusal("AE", (problem,)), Disposition.PARKED)
    return _accepted(plan, plan.intent, changes, known)


def failed(plan: Plan) -> Outcome:
    """The engine could not do its part: AE 207, nothing applied; the sender may send the same message again."""
    text = "the message could not be stored; nothing of it was applied, send it again"
    return refused(plan, Refusal("AE", (Problem("207", text),)), Disposition.FAILED)


def refused(plan: Plan, refusal: Refusal, disposition: Disposition = Disposition.REFUSED) -> Outcome:
    """A negative reply where one is due: CE or CR to who wants an accept acknowledgement, else AE or AR.

    A negative accept acknowledgement ends the exchange: there is nothing left for an application to answer. An
    answer is never answered by an application, save in original mode, where its sender could not know otherwise.
    """
    problems, shake = (*refusal.problems, *_milder(plan, plan.findings))[:MAX_REPORTED], plan.handshake
    answers = plan.acts_as[0] in ("RPA", "RRI")
    accept_ack = reply = None
    if plan.is_acknowledgment:
        pass
    elif shake.accept_due(False):
        accept_ack = _encoded(plan, acknowledge(_reply(plan, 0), "C" + refusal.ack[1], problems))
    elif shake.application_due(False) and not (answers and shake.enhanced):
        reply = _encoded(plan, acknowledge(_reply(plan, 1), refusal.ack, problems))
    findings = [*plan.findings, *_as_findings(plan, refusal)]
    return Outcome(plan, disposition, refusal.ack, findings, accept_ack, reply)


def acknowledgment(plan: Plan, code: str, problems: Sequence[Problem] = (), text: str = "") -> bytes:
    """A general acknowledgement of a message, in the bytes that its sender used."""
    return _encoded(plan, acknowledge(_reply(plan, 0), code, problems, text))


def _milder(plan: Plan, findings: Sequence[Finding]) -> tuple[Problem, ...]:
    """What is no error and is told all the same, where the channel says so; before 2.5 an ERR has no severity."""
    severities = _TOLD[plan.channel.file.tells]
    if not severities or plan.message is None or not at_least(reply_version(plan.header), "2.5"):
        return ()
    return tuple(finding.problem for finding in findings if finding.severity in severities)


#: by the channel's `tells`: the findings that are told beside errors
_TOLD: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "warnings": frozenset({"warning", "alert"}),
    "all": frozenset({"warning", "alert", "information"}),
}


def _as_findings(plan: Plan, refusal: Refusal) -> list[Finding]:
    """What the check did not find itself: faults of the header, and refusals of the store's knowledge."""
    if plan.findings and plan.refusal is refusal:
        return []
    return [_as_finding(problem) for problem in refusal.problems]


def _as_finding(problem: Problem) -> Finding:
    where = problem.location or Location("")
    path = where.segment + (f"[{where.occurrence}]" if where.occurrence > 1 else "")
    path += (f"-{where.field}" if where.field else "") + (f".{where.component}" if where.component else "")
    rule = problem.rule or f"protocol.{problem.code}"
    severity: Severity = "warning" if problem.severity == "W" else "error"
    return Finding(rule, severity, path, problem.text, problem.code, where, 0, 0)


def _filtered(plan: Plan) -> Outcome:
    """A step dropped the message: whoever is owed a reply learns that it came, and need not be sent again.

    An answer is owed none by an application. The remark stands where the version has room for it.
    """
    text = "the message was taken and filtered out: this channel does nothing with it"
    remark = (Problem("0", text, None, "I"),) if at_least(reply_version(plan.header), "2.7") else ()
    accept_ack = reply = None
    if plan.handshake.accept_due(True):
        accept_ack = _encoded(plan, acknowledge(_reply(plan, 0), "CA", remark, text))
    if plan.acts_as[0] not in ("RPA", "RRI") and plan.handshake.application_due(True):
        reply = _encoded(plan, acknowledge(_reply(plan, 1), "AA", remark, text))
    return Outcome(plan, Disposition.FILTERED, "AA", plan.findings, accept_ack, reply)


def _accepted(plan: Plan, intent: Intent, changes: tuple[Change, ...], known: Known) -> Outcome:
    accept_ack = reply = None
    remarked = remarks(intent, changes, known)
    findings = [*plan.findings, *map(_as_finding, remarked)] if remarked else plan.findings
    if plan.handshake.accept_due(True):
        told = _milder(plan, findings)[:MAX_REPORTED]
        accept_ack = _encoded(plan, acknowledge(_reply(plan, 0), "CA", told))
    if intent.is_request and plan.handshake.application_due(True):
        reply = _encoded(plan, _answer(plan, intent, changes, known))
    return Outcome(plan, Disposition.ACCEPTED, "AA", findings, accept_ack, reply, changes)


def _answer(plan: Plan, intent: Intent, changes: tuple[Change, ...], known: Known) -> str:
    assert plan.message is not None
    assert plan.layout is not None
    now = standing(intent, changes, known)
    return answer(plan.message, intent.claims, now, _reply(plan, 1), plan.handshake.modes, _own_name(plan))


def _own_name(plan: Plan) -> Name | None:
    """What the answer is called where the partner has names of its own."""
    kind, event = plan.acts_as
    if plan.dialect is None or plan.message is None or kind not in ANSWERS:
        return None
    name = plan.dialect.own_name(f"{ANSWERS[kind][0]}^{event}", plan.header.trigger_event)
    if not name or plan.header.event not in plan.dialect.events:
        return None
    own, _, trigger = name.partition("^")
    profile = plan.channel.compiled(plan.channel.file.profile_of(plan.message), reply_version(plan.header))
    structure = profile.structure_of(own, trigger) or f"{own}_{trigger}"
    return Name(own, trigger, structure, profile.structures.get(structure))


def _reply(plan: Plan, number: int) -> Reply:
    expected = plan.link.expected if plan.link is not None else ""
    sent_at = timestamp(plan.received_at // 1_000_000)
    return Reply(plan.header, plan.delimiters, sent_at, plan.reply_ids[number], expected)


def _encoded(plan: Plan, text: str) -> bytes:
    """In the bytes that the sender used; what they can not carry becomes escapes.

    Framing bytes that a sender left raw inside a segment are never sent back raw: they would end the frame.
    """
    mark = plan.delimiters.escape
    for byte in ("\x0b", "\x1c"):
        if byte in text:
            text = text.replace(byte, f"{mark}X{ord(byte):02X}{mark}" if mark else "?")
    received = plan.shaping or plan.message
    if received is None:
        return text.encode("ascii", "replace")
    if not received.charset:
        try:
            return text.encode(received.codec)
        except UnicodeEncodeError:
            pass
    return charset.encode(text, received.charset, plan.delimiters.escape)
