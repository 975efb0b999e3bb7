"""A decision of the desk as a message: composed for the request, committed as if it came, and sent by the reply route.

Imports sqlalchemy, domain, flow, store and wire.
"""

from collections.abc import Callable, Mapping

from sqlalchemy import Connection

from hl7auth.domain.deciding import Decided, decision_text
from hl7auth.domain.document import Document
from hl7auth.domain.process import Missing, Needed
from hl7auth.flow.channel import Channel
from hl7auth.flow.decision import Disposition, Outcome
from hl7auth.flow.intake import Plan, plan
from hl7auth.flow.relay import Deferred, Relay
from hl7auth.flow.replies import CONNECTION, choose
from hl7auth.flow.reply import APPLICATION, encoded, reply_to
from hl7auth.flow.returning import own_exchange
from hl7auth.store.bodies import read_bodies
from hl7auth.store.journal import commit_within
from hl7auth.store.processes import Stored

PEER = "desk/answer"
"""Where messages of the desk come from: like a destination, whose answers a channel takes whoever may send."""


def asking(
    connection: Connection, process: Stored, channels: Mapping[str, Channel], now: int, new_id: Callable[[], int]
) -> Plan:
    """The plan of the message that asked. Raises Missing where its channel or the message itself is gone."""
    channel = channels.get(process.channel)
    if channel is None:
        raise Missing(f"the request came by the channel '{process.channel}', and there is none of that name")
    message_id = process.request_message_id
    raw = read_bodies(connection, [message_id])[message_id].raw
    planned = plan(raw, channel, now, new_id)
    if planned.intent is None or planned.message is None or planned.shaping is not None or planned.dialect is not None:
        raise Missing("a request in a partner's dialect, or one that steps have shaped, can not be answered here")
    return planned


def commit(
    connection: Connection, asked: Plan, document: Document, said: Decided, new_id: Callable[[], int]
) -> Outcome:
    """The decision, written with what it changes and its delivery. Raises Needed where the channel refuses it."""
    assert asked.message is not None
    assert asked.intent is not None
    reply = reply_to(asked, APPLICATION)
    raw = encoded(asked, decision_text(asked.message, asked.intent.claims, document, said, reply))
    decided = plan(raw, asked.channel.for_answers(), asked.received_at, new_id, (), PEER)
    outcome = commit_within(connection, decided, new_id, lambda done: _sent(done, asked))
    if outcome.disposition is not Disposition.ACCEPTED:
        found = [f"{each.path}: {each.text}" for each in outcome.findings if each.severity == "error"]
        raise Needed("the channel refuses the decision as a message: " + ("; ".join(found[:3]) or outcome.disposition))
    return outcome


def _sent(outcome: Outcome, asked: Plan) -> Outcome:
    """With its way to the requester, where the channel has another than the connection, which is answered long ago."""
    replies = asked.channel.file.replies
    if replies is None or asked.message is None:
        return outcome
    status = next((change.record.status for change in outcome.changes), "")
    chosen = choose(replies, asked.message, status)
    if chosen.to == CONNECTION:
        return outcome
    channel = asked.channel
    raw = own_exchange(outcome.plan.raw)
    return outcome._replace(
        relay=Relay("rpa", chosen.to, Deferred(channel.full(chosen.to), channel.order_of(chosen.to), raw))
    )
