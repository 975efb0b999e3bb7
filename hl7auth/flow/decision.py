"""decide: what a planned message does to what the store knows, and what its sender is told.

Imports wire, domain, flow and errors only.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from hl7auth.domain import semantics
from hl7auth.domain.answer import standing
from hl7auth.domain.change import Refused
from hl7auth.domain.intent import Change, Intent, Known
from hl7auth.domain.order import older_changes
from hl7auth.domain.remarks import remarks
from hl7auth.errors import Unreadable
from hl7auth.flow.forwarding import elsewhere, relayed, waiting_still
from hl7auth.flow.intake import Plan, Refusal
from hl7auth.flow.relay import Forwarded, Relay
from hl7auth.flow.reply import ACCEPT, APPLICATION, MAX_REPORTED, answer_text, encoded, milder, reply_to
from hl7auth.flow.returning import brought_back, translated
from hl7auth.rules.check import Finding
from hl7auth.rules.finding import Severity
from hl7auth.wire.ack import Location, Problem, acknowledge, reply_version
from hl7auth.wire.versions import at_least


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
    """An accepted message that the store has: its id and the replies it got, unless retention has `dropped` these."""

    message_id: int
    accept_ack: bytes | None
    reply: bytes | None
    dropped: bool = False


class KnownToChannel(Known, Protocol):
    """What deciding asks of the store."""

    def same_message(self, control_id: str, digest: int) -> Stored | None:
        """The accepted message with this control id and content."""

    def control_id_used(self, plan: Plan) -> bool:
        """True when the sender used this control id before for the same event, with any content."""

    def forward(self, message_id: int) -> Forwarded | None:
        """How it stands with a message, if it was forwarded."""

    def forwarded(self, plan: Plan) -> Forwarded | None:
        """The forwarded message that this one answers, where answers to it may come from its sender."""


class Outcome(NamedTuple):
    """What is written and what is answered. `code` is MSA-1 of the reply, as if one were always sent; CA while it is
    another who answers.

    `joined` is the continued message that this one was the last part of. `relay` is what the `replies` of the channel
    have to do with it.
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
    relay: Relay | None = None

    @property
    def replies(self) -> list[bytes]:
        """What goes back on the connection, in order: the accept acknowledgement, then the application's answer."""
        return [each for each in (self.accept_ack, self.reply) if each is not None]


def decide(plan: Plan, known: KnownToChannel) -> Outcome:
    """The Outcome of a Plan. Pure: the same plan and knowledge give the same outcome."""
    if plan.channel.returns and (forward := known.forwarded(plan)) is not None:
        return _returned(plan, forward, known)
    return _decided(plan, known)


def _returned(plan: Plan, forward: Forwarded, known: KnownToChannel) -> Outcome:
    """The answer to a message that was forwarded, which its sender knows by a control id of its own."""
    outcome = _decided(translated(plan, forward.control_id, forward.requester), known)
    if outcome.disposition in (Disposition.DUPLICATE, Disposition.FAILED):
        return outcome
    usable = outcome.disposition in (Disposition.ACCEPTED, Disposition.IGNORED)
    return outcome._replace(relay=brought_back(outcome.plan, forward, outcome.changes, usable=usable))


def _decided(plan: Plan, known: KnownToChannel) -> Outcome:
    if plan.is_acknowledgment:
        return Outcome(plan, Disposition.IGNORED, "", plan.findings)
    if plan.refusal is not None:
        return refused(plan, plan.refusal)
    if plan.intent is None:
        return _filtered(plan)
    stored = known.same_message(plan.header.control_id, plan.digest)
    if stored is not None:
        replies = _not_kept(plan) if stored.dropped else (stored.accept_ack, stored.reply)
        outcome = Outcome(plan, Disposition.DUPLICATE, "AA", plan.findings, *replies, duplicate_of=stored.message_id)
        if plan.channel.file.replies is None and not _lacks_reply(outcome):
            return outcome
        return _again(outcome, stored.message_id, known)
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


def _again(outcome: Outcome, message_id: int, known: KnownToChannel) -> Outcome:
    """A message that came again, and may have been forwarded: then it waits for the same answer."""
    forward = known.forward(message_id)
    if forward is None:
        return outcome
    reply, relay = waiting_still(outcome.plan, forward, outcome.reply)
    return outcome._replace(reply=reply, relay=relay)


def _lacks_reply(outcome: Outcome) -> bool:
    """It was forwarded, perhaps, by a version of its channel that did so."""
    return outcome.reply is None and outcome.plan.handshake.application_due(True)


def failed(plan: Plan) -> Outcome:
    """The engine could not do its part: AE 207, nothing applied; the sender may send the same message again."""
    text = "the message could not be stored; nothing of it was applied, send it again"
    return refused(plan, Refusal("AE", (Problem("207", text),)), Disposition.FAILED)


def refused(plan: Plan, refusal: Refusal, disposition: Disposition = Disposition.REFUSED) -> Outcome:
    """A negative reply where one is due: CE or CR to who wants an accept acknowledgement, else AE or AR.

    A negative accept acknowledgement ends the exchange: there is nothing left for an application to answer. An
    answer is never answered by an application, save in original mode, where its sender could not know otherwise.
    """
    problems, shake = (*refusal.problems, *milder(plan, plan.findings))[:MAX_REPORTED], plan.handshake
    answers = plan.acts_as[0] in ("RPA", "RRI")
    accept_ack = reply = None
    if plan.is_acknowledgment:
        pass
    elif shake.accept_due(False):
        accept_ack = encoded(plan, acknowledge(reply_to(plan, ACCEPT), "C" + refusal.ack[1], problems))
    elif shake.application_due(False) and not (answers and shake.enhanced):
        reply = encoded(plan, acknowledge(reply_to(plan, APPLICATION), refusal.ack, problems))
    findings = [*plan.findings, *_as_findings(plan, refusal)]
    outcome = Outcome(plan, disposition, refusal.ack, findings, accept_ack, reply)
    if reply is None or plan.channel.file.replies is None or disposition is Disposition.FAILED:
        return outcome
    return _elsewhere(outcome, reply)


def _elsewhere(outcome: Outcome, reply: bytes) -> Outcome:
    """An ACK that takes the way of answers."""
    there, relay = elsewhere(outcome.plan, reply)
    return outcome._replace(reply=there, relay=relay)


def acknowledgment(plan: Plan, code: str, problems: Sequence[Problem] = (), text: str = "") -> bytes:
    """A general acknowledgement of a message, in the bytes that its sender used."""
    return encoded(plan, acknowledge(reply_to(plan, ACCEPT), code, problems, text))


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
    accept_ack, reply = _told(plan, "the message was taken and filtered out: this channel does nothing with it")
    outcome = Outcome(plan, Disposition.FILTERED, "AA", plan.findings, accept_ack, reply)
    return outcome if reply is None or plan.channel.file.replies is None else _elsewhere(outcome, reply)


def _not_kept(plan: Plan) -> tuple[bytes | None, bytes | None]:
    """The replies to a message that comes again when retention has dropped those that it got."""
    return _told(plan, "the message was taken before, and its reply is not kept any more: nothing of it was done again")


def _told(plan: Plan, text: str) -> tuple[bytes | None, bytes | None]:
    """A positive accept acknowledgement, and an ACK in place of the application's answer, where they are due."""
    remark = (Problem("0", text, None, "I"),) if at_least(reply_version(plan.header), "2.7") else ()
    accept_ack = reply = None
    if plan.handshake.accept_due(True):
        accept_ack = encoded(plan, acknowledge(reply_to(plan, ACCEPT), "CA", remark, text))
    if plan.acts_as[0] not in ("RPA", "RRI") and plan.handshake.application_due(True):
        reply = encoded(plan, acknowledge(reply_to(plan, APPLICATION), "AA", remark, text))
    return accept_ack, reply


def _accepted(plan: Plan, intent: Intent, changes: tuple[Change, ...], known: Known) -> Outcome:
    accept_ack = reply = None
    remarked = remarks(intent, changes, known)
    findings = [*plan.findings, *map(_as_finding, remarked)] if remarked else plan.findings
    if plan.handshake.accept_due(True):
        told = milder(plan, findings)[:MAX_REPORTED]
        accept_ack = encoded(plan, acknowledge(reply_to(plan, ACCEPT), "CA", told))
    if plan.channel.file.replies is not None and intent.is_request:
        try:
            reply, relay, changes = relayed(plan, intent, changes, known)
        except Unreadable as fault:
            return refused(plan, Refusal("AE", (Problem("207", f"the message can not be forwarded: {fault}"),)))
        code = "AA" if relay.forward is None else "CA"
        return Outcome(plan, Disposition.ACCEPTED, code, findings, accept_ack, reply, changes, relay=relay)
    if intent.is_request and plan.handshake.application_due(True):
        text = answer_text(
            plan, intent, standing(intent, changes, known), reply_to(plan, APPLICATION), plan.handshake.modes
        )
        reply = encoded(plan, text)
    return Outcome(plan, Disposition.ACCEPTED, "AA", findings, accept_ack, reply, changes)
