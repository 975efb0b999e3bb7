"""A decision as the message that says it: RPA or RRI as from the payor that was asked (chapter 11, 11.3 and 11.5).

Imports wire and domain only.

The segments of the request come back as they were sent, with its AUTs as they were decided.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from hl7auth.domain.answer import (
    ANSWER_HEAD,
    ANSWERS,
    BEHIND_PROCEDURES,
    Body,
    Name,
    Standing,
    last_field,
)
from hl7auth.domain.authorization import Claim
from hl7auth.domain.crosswalk import CROSSWALK, GRANTING, Decision, approval_status
from hl7auth.domain.document import Document
from hl7auth.domain.own_words import Own, in_own_words, procedure_code
from hl7auth.domain.values import Values, write_aut
from hl7auth.wire.ack import Reply, msa, msh, reply_version
from hl7auth.wire.escapes import escape
from hl7auth.wire.message import Message, Segment
from hl7auth.wire.versions import at_least

CANCELLING = {"RQA": "I11", "REF": "I14"}
"""The event of an answer that cancels, by the type of the request."""
_ASKED = "requested_treatments"
_SENT_TO = ("plan", "payor", "payor_name")


class LeftOut(NamedTuple):
    """A procedure that is not granted where others are: its code (PR1-3), and why not (AUT-17 of its line)."""

    code: str
    reason: str


class Contact(NamedTuple):
    """Whom to call about a request that pends: AUT-25 and AUT-27, from the version on that has them."""

    name: str
    phone: str


class Decided(NamedTuple):
    """What is said about a request. `quantity` is AUT-9, or AUT-18 where it has a `unit`; None grants what was asked.
    `number` and `assigner` are AUT-6, empty where no number is given; `reason` is AUT-17 and `comment` AUT-28.
    With procedures `left_out` it is certified in part: as a whole A2, and by its lines A1 and A3."""

    decision: Decision
    number: str = ""
    assigner: str = ""
    effective: date | None = None
    expiration: date | None = None
    quantity: Decimal | None = None
    unit: str = ""
    reason: str = ""
    comment: str = ""
    on: date | None = None
    left_out: tuple[LeftOut, ...] = ()
    contact: Contact | None = None


def wrong_lines(said: Decided, asked: Document) -> str:
    """What keeps these procedures from being left out of an approval; empty where nothing does."""
    codes = {str((line.get("procedure") or {}).get("code", "")) for line in asked.get("lines", [])} - {""}
    left_out = {each.code for each in said.left_out}
    if not left_out:
        return ""
    if said.decision is not Decision.CERTIFIED_PARTIAL:
        return "an approval that leaves procedures out is one in part"
    if unknown := sorted(left_out - codes):
        known = ", ".join(sorted(codes)) or "none"
        return f"the request has no procedure '{unknown[0]}' (it has: {known})"
    if codes == left_out:
        return "every procedure is left out: that is a denial"
    return "" if all(each.reason.strip() for each in said.left_out) else "say why a procedure is left out"


def pending(reason: str, contact: Contact | None) -> Decided:
    """That a request pends, or that its payor is to be called about it."""
    return Decided(Decision.CONTACT_PAYER if contact else Decision.PENDED, reason=reason, contact=contact)


def decision_text(
    request: Message, claims: Sequence[Claim], asked: Document, said: Decided, reply: Reply, own: Own | None = None
) -> str:
    """The message as text, in original mode: nobody is to answer it. `asked` is what the store knows of the request;
    `own` is how a partner is told that speaks a dialect: where that has numbers of its own, AUT has none."""
    version, c = reply_version(request.header), request.delimiters.component
    kind, structure = ANSWERS.get(request.header.message_type, ANSWERS["RQA"])
    event = request.header.trigger_event
    if said.decision is Decision.CANCELLED:
        event = CANCELLING.get(request.header.message_type, event)
    named = own.name if own else Name(kind, event, structure)
    name = f"{named.kind}{c}{named.event}" + (f"{c}{named.structure}" if at_least(version, "2.3.1") else "")
    pends = said.decision in (Decision.PENDED, Decision.CONTACT_PAYER)
    lines = [msh(reply, name), msa(reply, "AA", "pended" if pends else "")]
    body = Body(request, claims, Standing({}, asked, CROSSWALK[said.decision].status), version)
    allowed = named.segments(version, structure)
    if own is not None and own.dialect.own_segments:
        in_aut = said._replace(number="", assigner="") if own.dialect.own_numbers else said
        lines += _echoed(request, body, in_aut, allowed - own.dialect.own_segments.keys())
        decided = partial(_decided, said)
        return "\r".join(in_own_words(lines, own.dialect, _identifier(said, body), decided, body.marks)) + "\r"
    lines += _echoed(request, body, said, allowed)
    first = next((at for at, line in enumerate(lines) if line.startswith("PR1")), len(lines)) if said.left_out else None
    if not any(line.startswith("AUT") for line in lines[:first]):
        head = next((at for at, line in enumerate(lines) if line.startswith("RF1")), 1)
        lines.insert(head + 1, _new(said, body))
    return "\r".join(lines) + "\r"


def _echoed(request: Message, body: Body, said: Decided, allowed: frozenset[str]) -> list[str]:
    """The segments behind MSA; procedures that the request left out, as the store knows them."""
    names: list[str] = []
    lines: list[str] = []
    of_line = said
    for segment in request.segments:
        if segment.name not in allowed or segment.name in ANSWER_HEAD:
            continue
        if names and names[-1] == "PR1" and segment.name != "AUT":
            lines += _unasked(of_line, body)
        if segment.name == "PR1":
            of_line = _of_line(said, segment.value(3, 1))
        names.append(segment.name)
        lines.append(_segment(segment, body, of_line))
    if names and names[-1] == "PR1":
        lines += _unasked(of_line, body)
    if "PR1" not in names:
        at = names.index("PID") + 1 if "PID" in names else len(names)
        while at < len(names) and names[at] not in BEHIND_PROCEDURES:
            at += 1
        lines[at:at] = _stored(body, said)
    return lines


def _stored(body: Body, said: Decided) -> list[str]:
    """The procedures that the store knows; those that are left out with an AUT that says so."""
    lines: list[str] = []
    for line in body.stored_procedures():
        if line.startswith("PR1"):
            lines += [line, *_unasked(_of_line(said, procedure_code(line, body.marks)), body)]
    return lines


def _of_line(said: Decided, code: str) -> Decided:
    """What is said about one procedure, where lines are decided differently: in total, or not at all."""
    if not said.left_out:
        return said
    for each in said.left_out:
        if each.code == code:
            return said._replace(decision=Decision.NOT_CERTIFIED, reason=each.reason, left_out=())
    return said._replace(decision=Decision.CERTIFIED_TOTAL, left_out=())


def _decided(said: Decided, code: str) -> tuple[Decision, str]:
    of_line = _of_line(said, code) if code else said
    return of_line.decision, of_line.reason


def _new(said: Decided, body: Body) -> str:
    """An AUT that the request has not: of the plan and payor that it was sent to, and as what (AUT-13)."""
    asked = body.now.request or {}
    places = (asked, *asked.get("lines", ()))
    sent_to: Document = next((each for each in places if each.get("payor")), {})
    kind = next((each["referral_type"] for each in places if each.get("referral_type")), None)
    values: Values = {key: sent_to[key] for key in _SENT_TO if sent_to.get(key)}
    return _written(values | ({"referral_type": kind} if kind else {}), "", said, body)


def _unasked(said: Decided, body: Body) -> list[str]:
    """An AUT for a procedure that had none of its own, and is not what is said of all."""
    return [_new(said, body)] if said.decision is Decision.NOT_CERTIFIED else []


def _segment(segment: Segment, body: Body, said: Decided) -> str:
    if segment.name == "RF1":
        return body.referral(segment)
    _, aut = body.own.get(segment.start, (None, None)) if segment.name == "AUT" else (None, None)
    return segment.text if aut is None else _written(aut.stated, aut.raw_identifier, said, body)


def _written(values: Values, identifier: str, said: Decided, body: Body) -> str:
    """An AUT with the decision over what was asked, under the number that is given now or was named before."""
    identifier = _identifier(said, body) or identifier
    return write_aut(values | _values(values, said), identifier, body.marks, last_field(body.version))


def _identifier(said: Decided, body: Body) -> str:
    parts = [each for each in (said.number, said.assigner) if said.number and each]
    return body.marks.component.join(escape(part, body.marks) for part in parts)


def _values(asked: Values, said: Decided) -> Values:
    values: Values = {"approval_status": approval_status(said.decision)}
    if said.on is not None:
        values["process_date"] = said.on.isoformat()
    if said.reason:
        values["reason"] = said.reason
    if said.comment:
        values["comment"] = said.comment
    if said.contact is not None:
        called = {"source_text": said.contact.name, "source_date": values.get("process_date")}
        values |= {**called, "source_phone": said.contact.phone}
    if said.decision in GRANTING:
        values |= _granted(asked, said)
    elif said.decision is Decision.NOT_CERTIFIED:
        values |= {"authorized_treatments": {"quantity": "0"}, "effective_date": None, "expiration_date": None}
    return values


def _granted(asked: Values, said: Decided) -> Values:
    values: Values = {}
    if said.effective is not None:
        values["effective_date"] = said.effective.isoformat()
    if said.expiration is not None:
        values["expiration_date"] = said.expiration.isoformat()
    if said.quantity is not None:
        key = "authorized_units" if said.unit else "authorized_treatments"
        values[key] = {"quantity": format(said.quantity, "f")} | ({"unit": said.unit} if said.unit else {})
    elif _ASKED in asked and (said.decision is Decision.CERTIFIED_TOTAL or said.left_out):
        values["authorized_treatments"] = asked[_ASKED]
    if asked.get("requested_disciplines"):
        values["authorized_disciplines"] = asked["requested_disciplines"]
    return values
