"""What a message leaves for its destinations: deliveries, each with the lanes whose order it keeps.

Imports flow, rules, steps and wire only.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple

from hl7auth.flow.decision import Outcome
from hl7auth.flow.destination import Destination, OrderBy, full_name
from hl7auth.flow.relay import Deferred
from hl7auth.flow.route import Route, addressed
from hl7auth.flow.verdict import Act, Answer, Verdict
from hl7auth.steps.draft import Unmapped
from hl7auth.steps.run import Shaped

Shape = Callable[[bytes], Shaped]
"""Turns the copy of a message into what is sent."""


class State(StrEnum):
    """Where a delivery stands. `parked` holds up its lanes until a person decides; `dead` and `skipped` do not."""

    QUEUED = "queued"
    IN_FLIGHT = "in_flight"
    SENT = "sent"
    PARKED = "parked"
    DEAD = "dead"
    SKIPPED = "skipped"


OPEN = (State.QUEUED, State.IN_FLIGHT, State.PARKED)
"""The states that hold up what is behind in the same lane."""

ENDS: Mapping[Act, State] = {
    Act.SENT: State.SENT,
    Act.RETRY: State.QUEUED,
    Act.PARK: State.PARKED,
    Act.STOP: State.PARKED,
    Act.DEAD: State.DEAD,
    Act.SKIP: State.SKIPPED,
}
"""The state that a verdict leads to."""


class Kind(StrEnum):
    """What a delivery is, where it is not the message itself: the answer to it, or the message as it is forwarded."""

    REPLY = "reply"
    FORWARD = "forward"


class Delivery(NamedTuple):
    """One message on its way to one destination (`channel/name`), behind all earlier ones in any of its lanes.

    Of one message, destination and time there is only one. `body` is what is sent where `kind` says that it is not the
    message itself.
    """

    message_id: int
    destination: str
    lanes: tuple[str, ...]
    at: int
    kind: Kind | None = None
    body: bytes | None = None


class Claimed(NamedTuple):
    """A delivery that is ours to send now. `attempts` counts this one too; `has_parts` says that it has further lanes.

    `raw` is the message as the steps of its channel left it, or what is sent instead; it is empty when the message is
    no longer there. `follows`: it is not yet claimed itself, but held by the one before it in its lane, which is.
    """

    id: int
    message_id: int
    lane: str
    attempts: int
    has_parts: bool
    raw: bytes
    kind: Kind | None = None
    follows: bool = False


class Settled(NamedTuple):
    """What became of a claimed delivery, and the values that code tables lacked for it."""

    claimed: Claimed
    verdict: Verdict
    answer: Answer
    unmapped: tuple[Unmapped, ...] = ()


def deliveries(
    outcome: Outcome, destinations: Mapping[str, Destination], routes: tuple[Route, ...], order_by: OrderBy
) -> list[Delivery]:
    """The deliveries of a message. Without routes an accepted message goes to every destination that is there for
    nothing else; answers and what is forwarded go where the replies of the channel say."""
    answers = [] if outcome.relay is None else answering(outcome)
    if not destinations:
        return answers
    plan = outcome.plan
    statuses = [change.record.status for change in outcome.changes]
    if not routes:
        taken = plan.channel.taken
        if not (free := tuple(name for name in destinations if name not in taken)):
            return answers
        routes = (Route(to=free),)
    names = addressed(routes, plan.message, plan.header.event, outcome.disposition, statuses)
    orders = {name: destinations[name].order_by or order_by for name in names}
    keys = {order: lanes(outcome, order) for order in set(orders.values())}
    found = [
        Delivery(plan.message_id, full_name(plan.channel.name, name), keys[order], plan.received_at)
        for name, order in orders.items()
        if full_name(plan.channel.name, name) != plan.peer  # an answer does not go back to where it came from
    ]
    return found + answers


def answering(outcome: Outcome) -> list[Delivery]:
    """What the replies of the channel send: the request to the payor, the answer to where it goes. A microsecond behind
    the message itself, which may go there too."""
    relay, plan = outcome.relay, outcome.plan
    assert relay is not None
    found: list[tuple[int, Deferred, Kind]] = []
    if relay.deferred is not None:
        found.append((plan.message_id, relay.deferred, Kind.REPLY))
    if relay.forward is not None and relay.forward.to is not None:
        found.append((plan.message_id, relay.forward.to, Kind.FORWARD))
    if relay.returned is not None and relay.returned.deferred is not None:
        found.append((relay.returned.message_id, relay.returned.deferred, Kind.REPLY))
    return [
        Delivery(number, to.destination, lanes(outcome, to.order), plan.received_at + 1, kind, to.raw)
        for number, to, kind in found
    ]


def lanes(outcome: Outcome, order_by: OrderBy) -> tuple[str, ...]:
    """The keys whose order a message keeps: every authorization that it names or changes, or its patient.

    A message that names nothing of the kind (a refused one may not even be readable) has a lane of its own for
    `authorization`, because there is nothing that it could overtake; without a patient, the lane of those without.
    """
    intent = outcome.plan.intent
    if order_by == "channel":
        return ("*",)
    if order_by == "patient" and intent is not None:
        patient = intent.context["patient"]
        return (f"{patient.get('id') or ''}@{patient.get('assigner') or ''}",)
    if order_by == "authorization" and intent is not None:
        keys = {change.record.key for change in outcome.changes}
        keys.update(claim.identifier.key for claim in intent.claims if claim.identifier)
        if intent.referral or (intent.control_id if intent.is_request else intent.answers):
            keys.add(intent.request_key)
        if keys:
            return tuple(sorted(keys))
    return ("@",) if order_by == "patient" else (f"#{outcome.plan.message_id}",)
