"""A decision as the message that says it: RPA or RRI as from the payor that was asked (chapter 11, 11.3 and 11.5).

Imports wire and domain only.

The segments of the request come back as they were sent, with its AUTs as they were decided.
"""

from collections.abc import Collection, Sequence
from functools import partial

from hl7auth.domain.answer import (
    ANSWER_HEAD,
    ANSWERS,
    BEHIND_PROCEDURES,
    Body,
    Name,
    Standing,
    last_field,
)
from hl7auth.domain.authorization import Claim, procedure
from hl7auth.domain.crosswalk import CROSSWALK, GRANTING, Decision, approval_status
from hl7auth.domain.decided import Decided
from hl7auth.domain.document import Document
from hl7auth.domain.own_words import Own, in_own_words, procedure_code
from hl7auth.domain.values import Values, write_aut
from hl7auth.wire.ack import Reply, msa, msh, reply_version
from hl7auth.wire.escapes import escape
from hl7auth.wire.message import Message, Segment
from hl7auth.wire.versions import at_least

CANCELLING = {"RQA": "I11", "REF": "I14"}
"""The event of an answer that cancels, by the type of the request."""
_BEFORE_AUT = frozenset({"OBX", "AUT"})
_EACH_BY_ITSELF = frozenset({"A", "U"})
"""AUT-29 of requests whose AUTs are each about themselves."""
_ASKED = "requested_treatments"
_SENT_TO = ("plan", "payor", "payor_name")


def decision_text(
    request: Message,
    claims: Sequence[Claim],
    asked: Document,
    said: Decided,
    reply: Reply,
    own: Own | None = None,
    others: Collection[int] = (),
) -> str:
    """The message as text, in original mode: nobody is to answer it. `asked` is what the store knows of the request;
    `own` is how a partner is told that speaks a dialect: where that has numbers of its own, AUT has none. `others` are
    where the AUTs start that are about something else, and stay as they are."""
    version, c = reply_version(request.header), request.delimiters.component
    kind, structure = ANSWERS.get(request.header.message_type, ANSWERS["RQA"])
    event = request.header.trigger_event
    if said.decision is Decision.CANCELLED:
        event = CANCELLING.get(request.header.message_type, event)
    named = own.name if own else Name(kind, event, structure)
    name = f"{named.kind}{c}{named.event}" + (f"{c}{named.structure}" if at_least(version, "2.3.1") else "")
    lines = [msh(reply, name), msa(reply, "AA", "pended" if said.pends else "")]
    body = Body(request, claims, Standing({}, asked, CROSSWALK[said.decision].status), version)
    allowed = named.segments(version, structure)
    if own is not None and own.dialect.own_segments:
        in_aut = said._replace(unnumbered=True) if own.dialect.own_numbers else said
        lines += _echoed(request, body, in_aut, allowed - own.dialect.own_segments.keys(), others)
        decided = partial(_decided, said)
        return "\r".join(in_own_words(lines, own.dialect, _identifier(said, body), decided, body.marks)) + "\r"
    lines += _echoed(request, body, said, allowed, others)
    if not _covers_all(lines, said):
        head = next((at for at, line in enumerate(lines) if line.startswith("RF1")), 1)
        lines.insert(head + 1, _new(said, body))
    return "\r".join(lines) + "\r"


def _covers_all(lines: Sequence[str], said: Decided) -> bool:
    """Does an AUT speak of everything? One for all does, and so does one for each procedure, where nothing is left out;
    what is granted has to name every procedure, or it would be gone."""
    first = next((at for at, line in enumerate(lines) if line.startswith("PR1")), len(lines))
    if any(line.startswith("AUT") for line in lines[:first]):
        return True
    auts, procedures = (sum(line.startswith(name) for line in lines) for name in ("AUT", "PR1"))
    return auts >= max(procedures, 1) and not said.left_out if said.decision in GRANTING else auts > 0


def _echoed(request: Message, body: Body, said: Decided, allowed: frozenset[str], others: Collection[int]) -> list[str]:
    """The segments behind MSA; procedures that the request left out, as the store knows them."""
    names: list[str] = []
    lines: list[str] = []
    of_line, missing = said, list[str]()
    for segment in request.segments:
        if segment.name not in allowed or segment.name in ANSWER_HEAD:
            continue
        if segment.name not in _BEFORE_AUT:
            lines, missing = [*lines, *missing], []
        if segment.name == "PR1":
            code = procedure(segment).get("code", "")
            of_line, missing = said.of_line(code), _unasked(said, code, body)
        names.append(segment.name)
        if segment.name == "AUT":
            missing = []
        lines.append(segment.text if segment.start in others else _segment(segment, body, of_line))
    lines += missing
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
            lines += [line, *_unasked(said, procedure_code(line, body.marks), body)]
    return lines


def _decided(said: Decided, code: str) -> tuple[Decision, str]:
    of_line = said.of_line(code) if code else said
    return of_line.decision, of_line.reason


def _new(said: Decided, body: Body) -> str:
    """An AUT that the request has not: of the plan and payor that it was sent to, and as what (AUT-13)."""
    asked = body.now.request or {}
    places = (asked, *asked.get("lines", ()))
    sent_to: Document = next((each for each in places if each.get("payor")), {})
    kind = next((each["referral_type"] for each in places if each.get("referral_type")), None)
    # a request that has no AUT at all asks for what the one before asked for
    keys = _SENT_TO if body.own else (*_SENT_TO, _ASKED)
    values: Values = {key: sent_to[key] for key in keys if sent_to.get(key)} or _insurer(body.request)
    return _written(values | ({"referral_type": kind} if kind else {}), "", said, body)


def _insurer(request: Message) -> Values:
    """The payor of a request without an AUT: IN1-3 and IN1-4, else who it was sent to."""
    insurance = next((each for each in request.segments if each.name == "IN1"), None)
    code = insurance.value(3, 1) if insurance is not None else ""
    if insurance is None or not code:
        code = request.header.receiving_application or request.header.receiving_facility
        return {"payor": {"code": code}} if code else {}
    name = insurance.value(4, 1)
    return {"payor": {"code": code} | ({"text": name} if name else {})}


def _unasked(said: Decided, code: str, body: Body) -> list[str]:
    """An AUT for a procedure that had none of its own, and of which not the same is said as of all."""
    of_line = said.of_line(code)
    if held := _ended(said, code):
        return [_written(held, "", said, body)]
    is_apart = of_line.decision is Decision.NOT_CERTIFIED or code in {each.code for each in said.by_line}
    return [_new(of_line, body)] if is_apart else []


def _ended(said: Decided, code: str) -> Values | None:
    """What was granted of a procedure by itself, and is ended by a cancellation; None where nothing was."""
    if said.ends is None or not code:
        return None
    lines = [line for line in said.ends.get("lines", ()) if "payor" in line]
    return next((line for line in lines if (line.get("procedure") or {}).get("code", "") == code), None)


def _segment(segment: Segment, body: Body, said: Decided) -> str:
    if segment.name == "RF1":
        return body.referral(segment)
    _, aut = body.own.get(segment.start, (None, None)) if segment.name == "AUT" else (None, None)
    if aut is None:
        return segment.text
    _, code = body.places.get(segment.start, (0, None))
    held = said.ends if code is None else _ended(said, code)
    text = _written(held or aut.stated, aut.raw_identifier, said, body)
    if aut.action not in _EACH_BY_ITSELF or said.decision not in GRANTING:
        return text
    # what was asked of this line alone is granted to it alone: all others of the set stay as they are
    return text + body.marks.field * (29 - text.count(body.marks.field)) + aut.action


def _written(values: Values, identifier: str, said: Decided, body: Body) -> str:
    """An AUT with the decision over what was asked, under the number that is given now or was named before."""
    identifier = "" if said.unnumbered else _identifier(said, body) or identifier
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
        values |= {"authorized_treatments": {"quantity": "0"}, "authorized_units": None}
        values |= {"effective_date": None, "expiration_date": None}
    return values


def _granted(asked: Values, said: Decided) -> Values:
    values: Values = {}
    effective = said.effective or (None if asked.get("effective_date") else said.on)
    if effective is not None:
        values["effective_date"] = effective.isoformat()
    if said.expiration is not None:
        values["expiration_date"] = said.expiration.isoformat()
    quantity = said.quantity
    if quantity is None and _ASKED in asked:
        quantity = said.together
    if quantity is not None:
        key, other = ("authorized_units", "authorized_treatments")[:: 1 if said.unit else -1]
        values[other] = None
        values[key] = {"quantity": format(quantity, "f")} | ({"unit": said.unit} if said.unit else {})
    elif said.decision is Decision.CERTIFIED_TOTAL and _ASKED in asked:
        values["authorized_treatments"] = asked[_ASKED]
    elif (asked.get("authorized_treatments") or {}).get("quantity", "1").strip("0.") == "":
        values["authorized_treatments"] = None  # a request says 0 for "not yet"
    if asked.get("requested_disciplines"):
        values["authorized_disciplines"] = asked["requested_disciplines"]
    return values
