"""A decision of the desk as a message: composed for the request, committed as if it came, and told the requester.

Imports sqlalchemy, domain, steps, flow, store and wire.
"""

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection

from hl7auth.domain.answer import last_field
from hl7auth.domain.authorization import Claim
from hl7auth.domain.crosswalk import GRANTING, Decision
from hl7auth.domain.decided import Decided, came_out, wrong_days, wrong_lines
from hl7auth.domain.deciding import CANCELLING, decision_text
from hl7auth.domain.own_words import Own
from hl7auth.domain.process import BY_DESK, Missing, Needed
from hl7auth.domain.status import Status
from hl7auth.flow.channel import Channel
from hl7auth.flow.decision import Disposition, Outcome
from hl7auth.flow.intake import Plan, plan
from hl7auth.flow.relay import ANSWERED, DESK, OPEN, Deferred, Forwarded, Relay, Returned, Way, is_owed
from hl7auth.flow.replies import CONNECTION, choose
from hl7auth.flow.reply import APPLICATION, encoded, own_name, reply_to
from hl7auth.flow.returning import own_exchange
from hl7auth.steps.run import Shaped
from hl7auth.store.bodies import read_bodies
from hl7auth.store.forwards import read_forwards
from hl7auth.store.journal import commit_within
from hl7auth.store.processes import Stored, current_document, granted_document, is_undecided
from hl7auth.wire.ack import reply_version
from hl7auth.wire.message import Message, parse
from hl7auth.wire.rewrite import rewritten

_UNITS = 18


def asking(
    connection: Connection, process: Stored, channels: Mapping[str, Channel], now: int, new_id: Callable[[], int]
) -> Plan:
    """The plan of the message that asked. Raises Missing where its channel or the message itself is gone."""
    channel = channels.get(process.channel)
    if channel is None:
        raise Missing(f"the request came by the channel '{process.channel}', and there is none of that name")
    message_id = process.request_message_id
    bodies = read_bodies(connection, [message_id])[message_id]
    # what the steps made of it then: the channel may have others by now, and Python is not run in here
    shaped = Shaped(bodies.shaped or bodies.raw) if bodies.shaped is not None or channel.file.steps else None
    planned = plan(bodies.raw, channel, now, new_id, shaped=shaped)
    if planned.intent is None or planned.message is None:
        raise Missing(f"the channel '{channel.name}' does not take the request any more as it came")
    return planned


def _own(asked: Plan, said: Decided) -> Own | None:
    """How a partner with messages of its own is told; None for all others. Raises Needed where it can not be said."""
    assert asked.message is not None
    kind, _ = asked.acts_as
    cancels = said.decision is Decision.CANCELLED
    name = own_name(asked, CANCELLING.get(kind, "") if cancels else "")
    if asked.dialect is None or name is None:
        return None
    own = Own(name, asked.dialect)
    if unsaid := own.can_not_say(said):
        profile = asked.channel.file.profile_of(asked.message)
        raise Needed(f"the profile '{profile}' has no code for '{unsaid}' (dialect.status.says)")
    return own


def commit(connection: Connection, process: Stored, asked: Plan, said: Decided, new_id: Callable[[], int]) -> Outcome:
    """The decision, written with what it changes and how it is told. Raises Needed where the channel refuses it."""
    assert asked.message is not None
    assert asked.intent is not None
    document = current_document(connection, process.key)
    if said.decision in GRANTING and (wrong := wrong_lines(said, document) or wrong_days(said, document)):
        raise Needed(wrong)
    if said.unit and last_field(reply_version(asked.message.header)) < _UNITS:
        text = f"version {asked.message.header.version} has no AUT-18 for a quantity with a unit"
        raise Needed(f"{text}: grant a number of treatments, without one")
    reply, own = reply_to(asked, APPLICATION), _own(asked, said)
    if own is not None and own.dialect.own_numbers and said.assigner == process.payor:
        said = said._replace(assigner="")  # such a number is unique in its payor anyway
    if said.decision is Decision.CANCELLED and process.auth_number:
        said = said._replace(ends=granted_document(connection, process))
    others = _others(connection, process.key, asked.intent.claims)
    auts = {aut.segment.start for claim in asked.intent.claims for aut in claim.auts} - others
    if said.quantity is not None and len(auts) > 1:
        text = f"the request has {len(auts)} AUTs, and this quantity would be granted by each of them"
        raise Needed(f"{text}: say one for each procedure, or grant what was asked")
    raw = encoded(asked, decision_text(asked.message, asked.intent.claims, document, said, reply, own, others))
    decided = plan(raw, asked.channel.for_answers(), asked.received_at, new_id, (), BY_DESK)
    if _lacks_what_was_not_asked(decided, asked.message):
        decided = plan(raw, asked.channel.for_answers(flawed=True), asked.received_at, new_id, (), BY_DESK)
    waiting = _waiting(connection, process.request_message_id)
    outcome = commit_within(connection, decided, new_id, lambda done: _sent(done, asked, waiting))
    if outcome.disposition is not Disposition.ACCEPTED:
        found = [f"{each.path}: {each.text}" for each in outcome.findings if each.severity == "error"]
        raise Needed("the channel refuses the decision as a message: " + ("; ".join(found[:3]) or outcome.disposition))
    statuses = {change.record.key: change.record.status for change in outcome.changes}
    own_status = statuses.get(process.key, Status.CANCELLED)
    found_out = [own_status] if own_status != Status.CANCELLED else list(statuses.values())
    if instead := came_out(said, found_out):
        version = asked.message.header.version
        text = f"in version {version} this says '{instead}' and not '{said.decision}'"
        raise Needed(f"{text}: look at the quantities, the unit and the days")
    return outcome


def _lacks_what_was_not_asked(decided: Plan, request: Message) -> bool:
    """A request may have no procedure (11.3) and no AUT, and its answer must have a procedure, and from 2.8 on AUT-13:
    what was not asked for is not made up. True where nothing else is wrong with the answer."""
    allowed = {("structure.missing", "PR1")} | (set() if request.first("AUT") else {("AUT-13.usage", "AUT")})
    errors = {(each.rule, each.location.segment) for each in decided.findings if each.severity == "error"}
    return bool(errors) and errors <= allowed


def _others(connection: Connection, key: str, claims: Sequence[Claim]) -> frozenset[int]:
    """Where the AUTs of a request start that name another authorization, which nobody has decided either: each is
    decided by itself."""
    named = {claim.identifier.key for claim in claims if claim.identifier} - {key}
    if not named or len(claims) == 1:
        return frozenset()
    apart = {each for each in named if is_undecided(connection, each)}
    return frozenset(
        aut.segment.start
        for claim in claims
        if claim.identifier and claim.identifier.key in apart
        for aut in claim.auts
    )


def _waiting(connection: Connection, request_id: int) -> Forwarded | None:
    """The request, if its sender was not told anything yet, or only that it takes longer than a connection waits."""
    found = read_forwards(connection, [request_id])
    return next((each for each in found if each.destination == DESK and each.state == OPEN), None)


def _sent(outcome: Outcome, asked: Plan, waiting: Forwarded | None) -> Outcome:
    """With its way to the requester: the connection that waits for it, else another, where the channel has one."""
    replies, channel = asked.channel.file.replies, asked.channel
    if replies is None or asked.message is None:
        return outcome
    status = next((change.record.status for change in outcome.changes), "")
    chosen = choose(replies, asked.message, status)
    deferred = None
    if chosen.to != CONNECTION:
        raw = own_exchange(outcome.plan.raw)
        deferred = Deferred(channel.full(chosen.to), channel.order_of(chosen.to), raw)
    if waiting is None:
        return outcome if deferred is None else outcome._replace(relay=Relay("rpa", chosen.to, deferred))
    in_time = is_owed(waiting.hold_until, outcome.plan.received_at)
    way = None if deferred is None else Way((), deferred.destination, deferred.order)
    reply = _on_connection(outcome.plan.raw) if waiting.enhanced else outcome.plan.raw
    returned = Returned(waiting.message_id, ANSWERED, reply, in_time, None, way, 0)
    return outcome._replace(relay=Relay("rpa", chosen.to, None if in_time else deferred, returned=returned))


def _on_connection(raw: bytes) -> bytes:
    """An answer in enhanced mode that asks for no acknowledgement: whoever waits for it has it."""
    return rewritten(parse(raw), {"MSH": {15: "NE", 16: "NE"}})
