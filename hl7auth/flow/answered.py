"""Who answers a message and where the answer goes, in words, and what is sent elsewhere than back on the connection.

Imports flow only.
"""

from hl7auth.flow.decision import Outcome
from hl7auth.flow.relay import ANSWERED, Forwarding, Returned, has_way
from hl7auth.flow.replies import CONNECTION

_BY = {"rpa": "the engine", "ack": "the engine, with an ACK"}
_DESK = "the engine, when it is decided"


def answered(outcome: Outcome) -> str | None:
    """A line; None where the channel says nothing of replies, and for what is no request and answers none."""
    relay = outcome.relay
    if relay is None:
        return None
    if relay.returned is not None:
        return f"brings back: {_returned(relay.returned)}"
    if relay.forward is not None:
        to = relay.forward.to
        return _forwarded(relay.forward, _DESK if to is None else _name(outcome, to.destination), relay.to)
    if not relay.answer:
        return None
    asked = relay.deferred is not None or outcome.reply is not None or relay.hold is not None
    return f"{_BY.get(relay.answer, 'the payor')}, {_place(relay.to)}" + ("" if asked else "; no answer is asked for")


def sent(outcome: Outcome) -> list[tuple[str, bytes]]:
    """What goes where by the replies of the channel: names of destinations, or `connection` for that of a request
    which is answered now."""
    relay = outcome.relay
    if relay is None:
        return []
    found = [(_name(outcome, to.destination), to.raw) for to in
             (relay.deferred, relay.forward and relay.forward.to, relay.returned and relay.returned.deferred)
             if to is not None]  # fmt: skip
    if relay.returned is not None and relay.returned.owed and relay.returned.reply is not None:
        found.append((CONNECTION, relay.returned.reply))
    return found


def _forwarded(forward: Forwarding, payor: str, to: str) -> str:
    if forward.wanted == "NE":
        return f"{payor}; no answer is asked for"
    where = [f"{_place(CONNECTION)} within {forward.within:g} s"] if forward.within else []
    if has_way(forward.ways):
        where += [f"{'later ' if where else ''}{_place(to)}"] if to != CONNECTION else ["later where its status says"]
    else:
        where += ["later to who sends the message again"]
    return ", ".join([payor, *where])


def _returned(returned: Returned) -> str:
    what = "the answer" if returned.state == ANSWERED else f"that it {returned.state}"
    if returned.reply is None:
        return f"{what}, which nobody asked for"
    where = _place(CONNECTION) if returned.owed else _place(returned.way.destination) if returned.way else "kept"
    return f"{what}, {where}"


def _place(to: str) -> str:
    return "on the connection" if to == CONNECTION else f"to {to}"


def _name(outcome: Outcome, full: str) -> str:
    """A destination as its channel calls it."""
    return full.removeprefix(f"{outcome.plan.channel.name}/")
