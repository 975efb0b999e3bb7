"""What the answer to a forwarded request brings its requester, and by which way.

Imports wire, domain, flow and errors only.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

from hl7auth.domain.authorization import Party, referral_key
from hl7auth.domain.intent import Change
from hl7auth.errors import Unreadable
from hl7auth.flow.handshake import due
from hl7auth.flow.intake import Plan
from hl7auth.flow.relay import (
    ANSWERED,
    FAILED,
    OPEN,
    OWN_EXCHANGE,
    REFUSED,
    Deferred,
    Forwarded,
    Relay,
    Returned,
    Way,
    is_owed,
)
from hl7auth.flow.reply import APPLICATION
from hl7auth.wire.escapes import escape
from hl7auth.wire.message import parse
from hl7auth.wire.rewrite import rewritten

if TYPE_CHECKING:
    from hl7auth.flow.decision import Outcome


def translated(plan: Plan, control_id: str, asked: Party) -> Plan:
    """The plan of an answer as if it named what the requester sent, and the requester."""
    if plan.intent is None or plan.message is None:
        return plan
    referral = referral_key(plan.message, asked.scope)
    return plan._replace(intent=plan.intent._replace(answers=control_id, requester=asked, referral=referral))


def sender(plan: Plan) -> Party:
    """Who asks, by MSH-3 and MSH-4."""
    return Party(plan.header.sending_application, plan.header.sending_facility)


def followed(outcome: "Outcome", known: Mapping[int, Forwarded]) -> dict[int, Forwarded]:
    """What is known of forwarded requests after an outcome, where that is something new."""
    relay, plan = outcome.relay, outcome.plan
    if relay is None:
        return {}
    if relay.forward is not None:
        new = relay.forward
        hold_until = plan.received_at + int(new.within * 1_000_000) if new.within else 0
        return {
            new.message_id: Forwarded(
                new.message_id, new.channel, new.destination, OPEN, plan.header.control_id, sender(plan), new.wanted,
                new.enhanced, new.ways, new.within, new.failed, hold_until, 0,
            )
        }  # fmt: skip
    if relay.returned is not None and relay.returned.message_id in known:
        before = known[relay.returned.message_id]
        return {before.message_id: before._replace(state=relay.returned.state, said=relay.returned.said)}
    if relay.again is not None and relay.again in known:
        return {relay.again: known[relay.again]._replace(state=OPEN, said=0)}
    return {}


def answered_id(plan: Plan) -> int | None:
    """The id that MSA-2 of an answer names, if it is one of ours."""
    msa = plan.message.first("MSA") if plan.message is not None else None
    text = msa.value(2) if msa is not None else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def brought_back(plan: Plan, forward: Forwarded, changes: Sequence[Change], *, usable: bool) -> Relay | None:
    """What the answer to a forwarded request brings its requester; None for receipts, and for what it was told before.

    `usable` is false for an answer that was refused or not applied.
    """
    state = _state(plan, usable=usable)
    if state is None or (state == FAILED and forward.state != OPEN):
        return None
    said = _said(plan)
    if said == forward.said:
        return None
    reply = forward.failed
    if state != FAILED:
        try:
            reply = _for_requester(plan, forward)
        except Unreadable:
            state = FAILED
    if not due(forward.wanted, state == ANSWERED):
        reply = None
    way = _way(forward.ways, {change.record.status for change in changes})
    owed = reply is not None and is_owed(forward.hold_until, plan.received_at)
    deferred = None
    if reply is not None and not owed and way is not None:
        deferred = Deferred(way.destination, way.order, own_exchange(reply))
    return Relay(returned=Returned(forward.message_id, state, reply, owed, deferred, way, said))


def own_exchange(raw: bytes) -> bytes:
    """A reply as the first message of an exchange of its own. An ACK asks for nothing, and is never acknowledged."""
    message = parse(raw)
    if message.header.message_type == "ACK":
        return raw
    return rewritten(message, {"MSH": {15: OWN_EXCHANGE[0], 16: OWN_EXCHANGE[1]}})


def _way(found: Sequence[Way], statuses: set[str]) -> Way | None:
    """The way of an answer: the first that is for one of its statuses; None where it is the connection alone."""
    first = next((way for way in found if not way.statuses or not statuses.isdisjoint(way.statuses)), None)
    return first if first is not None and first.destination else None


def _state(plan: Plan, *, usable: bool) -> str | None:
    """By MSA-1: a positive ACK and CA are receipts, after which the answer is still to come."""
    msa = plan.message.first("MSA") if plan.message is not None else None
    code = msa.value(1) if msa is not None else ""
    if not usable:
        return FAILED
    if code in ("AE", "AR", "CE", "CR"):
        return REFUSED
    return None if plan.is_acknowledgment or code != "AA" else ANSWERED


def _said(plan: Plan) -> int:
    """What an answer says, without its header: the same under another control id is no news."""
    message = plan.message
    assert message is not None
    text = "\r".join(segment.text for segment in message.segments[1:])
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big", signed=True)


def _for_requester(plan: Plan, forward: Forwarded) -> bytes:
    """The answer byte for byte, but for the control ids and what concerns the exchange."""
    message = plan.message
    assert message is not None
    mode = "NE" if forward.enhanced else ""
    msa = {2: escape(forward.control_id, message.delimiters)}
    code = message.all("MSA")[0].value(1)
    if code in ("CE", "CR"):
        msa[1] = f"A{code[1]}"  # the payor's receipt is our answer
    return rewritten(message, {"MSH": {10: plan.reply_ids[APPLICATION], 15: mode, 16: mode}, "MSA": msa})
