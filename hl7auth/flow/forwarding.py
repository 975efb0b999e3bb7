"""How a channel with `replies` answers a request: itself, here or elsewhere, or by the payor's system.

Imports wire, domain, flow and errors only.
"""

from hl7auth.domain import semantics
from hl7auth.domain.answer import Standing, standing
from hl7auth.domain.intent import Change, Intent, Known
from hl7auth.flow.intake import Plan
from hl7auth.flow.relay import (
    ANSWERED,
    DESK,
    FAILED,
    OWN_EXCHANGE,
    REFUSED,
    Deferred,
    Forwarded,
    Forwarding,
    Hold,
    Relay,
    Way,
    has_way,
)
from hl7auth.flow.replies import CONNECTION, Chosen, Forward, choose, ways
from hl7auth.flow.reply import APPLICATION, answer_text, encoded, reply_to
from hl7auth.wire.ack import Problem, acknowledge
from hl7auth.wire.rewrite import rewritten

LATE = "the payor has not answered yet; send this message again to get its answer"
LOST = "the payor could not be reached, or its answer can not be used; send this message again to try once more"

_MODES = {"original": ("", ""), "enhanced": ("AL", "AL")}


def relayed(
    plan: Plan, intent: Intent, changes: tuple[Change, ...], known: Known
) -> tuple[bytes | None, Relay, tuple[Change, ...]]:
    """The reply on the connection, all else, and the changes. Raises Unreadable for what can not be forwarded."""
    replies, message = plan.channel.file.replies, plan.message
    assert replies is not None
    assert message is not None
    now = standing(intent, changes, known)
    chosen = choose(replies, message, now.status or "")
    if chosen.answer != "rpa" and intent.promised:  # its sender is not told that it pends
        intent = intent._replace(promised=False)
        changes = tuple(semantics.apply(intent, known))
        now = standing(intent, changes, known)
    if chosen.answer == "forward":
        assert chosen.forward is not None
        return None, _forwarded(plan, intent, now, chosen, chosen.forward), changes
    if not plan.handshake.application_due(True):
        return None, Relay(chosen.answer, CONNECTION), changes
    reply = reply_to(plan, APPLICATION)
    if chosen.answer == "rpa" and replies.decided_within_seconds and now.waiting:
        return None, _held(plan, intent, now, chosen, replies.decided_within_seconds), changes
    away = _is_away(plan, chosen.to)
    if chosen.answer == "ack":
        text = acknowledge(reply, "AA")
    else:
        text = answer_text(plan, intent, now, reply, OWN_EXCHANGE if away else plan.handshake.modes)
    if away:
        deferred = Deferred(plan.channel.full(chosen.to), plan.channel.order_of(chosen.to), encoded(plan, text))
        return None, Relay(chosen.answer, chosen.to, deferred), changes
    return encoded(plan, text), Relay(chosen.answer, CONNECTION), changes


def elsewhere(plan: Plan, reply: bytes) -> tuple[bytes | None, Relay | None]:
    """A negative answer takes the way of answers; what is no message, or in original mode, stays on the connection."""
    replies, message = plan.channel.file.replies, plan.message
    assert replies is not None
    to = choose(replies, message, "").to if message is not None else CONNECTION
    if not _is_away(plan, to):
        return reply, None
    return None, Relay("ack", to, Deferred(plan.channel.full(to), plan.channel.order_of(to), reply))


def waiting_still(plan: Plan, forward: Forwarded, reply: bytes | None) -> tuple[bytes | None, Relay | None]:
    """What a forwarded message gets that came again: the answer that there is, or it waits for the one to come.

    One that failed is sent to the payor once more, if the channel still asks there. An answer that went its own way
    does not come back here as well.
    """
    if forward.state in (ANSWERED, REFUSED) or (forward.state == FAILED and not _asks(plan, forward.destination)):
        return (None if plan.handshake.enhanced and has_way(forward.ways) else reply), None
    wanted = forward.within and forward.wanted != "NE"
    here = forward.destination == DESK
    hold = Hold(forward.message_id, forward.within, has_way(forward.ways), here) if wanted else None
    again = forward.message_id if forward.state == FAILED else None
    return None, Relay("forward", CONNECTION, hold=hold, again=again)


def _asks(plan: Plan, destination: str) -> bool:
    """Does the channel, as it is now, forward anything to that destination?"""
    replies = plan.channel.file.replies
    return replies is not None and any(plan.channel.full(each.to) == destination for each in replies.forwards)


def _forwarded(plan: Plan, intent: Intent, now: Standing, chosen: Chosen, forward: Forward) -> Relay:
    channel, message = plan.channel, plan.message
    assert message is not None
    accept, application = _MODES[forward.mode]
    raw = rewritten(message, {"MSH": {10: str(plan.message_id), 15: accept, 16: application}})
    found = _ways(plan)
    wanted = plan.handshake.application
    within = forward.within_seconds if wanted != "NE" else 0
    forwarding = Forwarding(
        plan.message_id,
        channel.name,
        Deferred(channel.full(forward.to), channel.order_of(forward.to), raw),
        wanted,
        plan.handshake.enhanced,
        found,
        within,
        _late(plan, intent, now, forward, way=has_way(found)) if within else None,
        _refusal(plan, LOST, "F") if forward.failed == "refuse" else None,
    )
    hold = Hold(plan.message_id, within, has_way(found)) if within else None
    return Relay("forward", chosen.to, forward=forwarding, hold=hold)


def _held(plan: Plan, intent: Intent, now: Standing, chosen: Chosen, seconds: float) -> Relay:
    """The connection waits for the decision that is made here; when it takes too long, it is told what is so far."""
    found, shake = _ways(plan), plan.handshake
    late = encoded(plan, answer_text(plan, intent, now, reply_to(plan, APPLICATION), shake.modes))
    forwarding = Forwarding(
        plan.message_id, plan.channel.name, None, shake.application, shake.enhanced, found, seconds, late, None
    )
    hold = Hold(plan.message_id, seconds, has_way(found), here=True)
    return Relay("rpa", chosen.to, forward=forwarding, hold=hold)


def _ways(plan: Plan) -> tuple[Way, ...]:
    """Where an answer may go that is still to come."""
    channel, message = plan.channel, plan.message
    assert message is not None
    assert channel.file.replies is not None
    return tuple(Way(statuses, channel.full(to), channel.order_of(to)) if to != CONNECTION
                 else Way(statuses, "", channel.file.order_by)
                 for statuses, to in ways(channel.file.replies, message))  # fmt: skip


def _late(plan: Plan, intent: Intent, now: Standing, forward: Forward, *, way: bool) -> bytes | None:
    """What is told on the connection when the payor takes too long.

    Only what waits is told to pend: the store may have a decision that the payor is just asked to change. In enhanced
    mode an answer that comes later by its own way needs no word before.
    """
    shake = plan.handshake
    if forward.late == "pended" and now.waiting:
        reply = reply_to(plan, APPLICATION)
        reply = reply._replace(control_id=f"{reply.control_id}L")
        return (
            encoded(plan, answer_text(plan, intent, now, reply, shake.modes)) if shake.application_due(True) else None
        )
    if forward.late == "silent" or (shake.enhanced and way):
        return None
    return _refusal(plan, LATE, "L")


def _refusal(plan: Plan, text: str, mark: str) -> bytes | None:
    """AR: for reasons that have nothing to do with the content (table 0008), so that it may be sent again."""
    if not plan.handshake.application_due(False):
        return None
    reply = reply_to(plan, APPLICATION)
    reply = reply._replace(control_id=f"{reply.control_id}{mark}")
    return encoded(plan, acknowledge(reply, "AR", (Problem("207", text),)))


def _is_away(plan: Plan, to: str) -> bool:
    """In original mode the answer is the reply on the connection: HL7 knows no other."""
    return to != CONNECTION and plan.handshake.enhanced
