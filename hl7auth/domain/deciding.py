"""A decision as the message that says it: RPA or RRI as from the payor that was asked (chapter 11, 11.3 and 11.5).

Imports wire and domain only.

The segments of the request come back as they were sent, with its AUTs as they were decided.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from hl7auth.domain.answer import (
    ANSWER_HEAD,
    ANSWERS,
    BEHIND_PROCEDURES,
    Body,
    Standing,
    allowed_segments,
    last_field,
)
from hl7auth.domain.authorization import Claim
from hl7auth.domain.crosswalk import CROSSWALK, GRANTING, Decision, approval_status
from hl7auth.domain.document import Document
from hl7auth.domain.values import Values, write_aut
from hl7auth.wire.ack import Reply, msa, msh, reply_version
from hl7auth.wire.escapes import escape
from hl7auth.wire.message import Message, Segment
from hl7auth.wire.versions import at_least

_CANCELLING = {"RQA": "I11", "REF": "I14"}
_ASKED = "requested_treatments"


class Decided(NamedTuple):
    """What is said about a request. `quantity` is AUT-9, or AUT-18 where it has a `unit`; None grants what was asked.
    `number` and `assigner` are AUT-6, empty where no number is given; `reason` is AUT-17 and `comment` AUT-28."""

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


def decision_text(request: Message, claims: Sequence[Claim], asked: Document, said: Decided, reply: Reply) -> str:
    """The message as text, in original mode: nobody is to answer it. `asked` is what the store knows of the request."""
    version, c = reply_version(request.header), request.delimiters.component
    own = request.header.message_type
    kind, structure = ANSWERS.get(own, ANSWERS["RQA"])
    event = request.header.trigger_event
    if said.decision is Decision.CANCELLED:
        event = _CANCELLING.get(own, event)
    name = f"{kind}{c}{event}" + (f"{c}{structure}" if at_least(version, "2.3.1") else "")
    pends = said.decision in (Decision.PENDED, Decision.CONTACT_PAYER)
    lines = [msh(reply, name), msa(reply, "AA", "pended" if pends else "")]
    body = Body(request, claims, Standing({}, asked, CROSSWALK[said.decision].status), version)
    lines += _echoed(request, body, said, allowed_segments(version, structure))
    if not any(line.startswith("AUT") for line in lines):
        head = next((at for at, line in enumerate(lines) if line.startswith("RF1")), 1)
        lines.insert(head + 1, _written({}, "", said, body))
    return "\r".join(lines) + "\r"


def _echoed(request: Message, body: Body, said: Decided, allowed: frozenset[str]) -> list[str]:
    """The segments behind MSA; procedures that the request left out, as the store knows them."""
    names, lines = [], []
    for segment in request.segments:
        if segment.name in allowed and segment.name not in ANSWER_HEAD:
            names.append(segment.name)
            lines.append(_segment(segment, body, said))
    if "PR1" not in names:
        at = names.index("PID") + 1 if "PID" in names else len(names)
        while at < len(names) and names[at] not in BEHIND_PROCEDURES:
            at += 1
        lines[at:at] = [line for line in body.stored_procedures() if line.startswith("PR1")]
    return lines


def _segment(segment: Segment, body: Body, said: Decided) -> str:
    if segment.name == "RF1":
        return body.referral(segment)
    _, aut = body.own.get(segment.start, (None, None)) if segment.name == "AUT" else (None, None)
    return segment.text if aut is None else _written(aut.stated, aut.raw_identifier, said, body)


def _written(values: Values, identifier: str, said: Decided, body: Body) -> str:
    """An AUT with the decision over what was asked, under the number that is given now or was named before."""
    if said.number:
        parts = (said.number, said.assigner) if said.assigner else (said.number,)
        identifier = body.marks.component.join(escape(part, body.marks) for part in parts)
    return write_aut(values | _values(values, said), identifier, body.marks, last_field(body.version))


def _values(asked: Values, said: Decided) -> Values:
    values: Values = {"approval_status": approval_status(said.decision)}
    if said.on is not None:
        values["process_date"] = said.on.isoformat()
    if said.reason:
        values["reason"] = said.reason
    if said.comment:
        values["comment"] = said.comment
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
    elif _ASKED in asked and said.decision is Decision.CERTIFIED_TOTAL:
        values["authorized_treatments"] = asked[_ASKED]
    if asked.get("requested_disciplines"):
        values["authorized_disciplines"] = asked["requested_disciplines"]
    return values
