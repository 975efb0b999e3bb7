"""What the `replies` of a channel have to do with a message: answers by other ways, requests that another answers.

Imports domain, flow.destination and flow.replies only.

A request that is forwarded goes out under the id that the store gave it as its MSH-10, so that whoever answers names
it in MSA-2; what comes back goes to the requester under a control id of our own, and names the requester's own MSH-10.
"""

from collections.abc import Iterable
from typing import NamedTuple

from hl7auth.domain.authorization import Party
from hl7auth.flow.destination import OrderBy

OPEN, ANSWERED, REFUSED, FAILED = "open", "answered", "refused", "failed"
"""How it stands with a forwarded request: `refused` by the payor; `failed`, nobody will answer it as it is."""

OWN_EXCHANGE = ("AL", "NE")
"""MSH-15 and MSH-16 of an answer that is the first message of an exchange: it wants to know that it arrived, and is
never answered by an application."""


DESK = "desk"
"""Stands for a destination where nobody else is asked: a request waits for the decision of rules or a person here."""


GRACE = 2_000_000
"""Microseconds beyond `hold_until` in which an answer still belongs to the connection: who holds it may be a little
late, and says so when it gives up. What is not taken by then goes by its way."""


def is_owed(hold_until: int, now: int) -> bool:
    """True while a connection may still take an answer; it goes to one place, never to both."""
    return hold_until + GRACE > now


class Deferred(NamedTuple):
    """An answer for a destination (`channel/name`), and what keeps its order there."""

    destination: str
    order: OrderBy
    raw: bytes


class Way(NamedTuple):
    """Where an answer goes whose authorizations have one of these statuses (none: any); `""` is the connection."""

    statuses: tuple[str, ...]
    destination: str
    order: OrderBy


class Forwarding(NamedTuple):
    """A request on its way to the payor; with no `to`, at the desk here. `wanted` is the condition of table 0155 under
    which its sender wants an answer; `late` and `failed` are what it is told, when the time comes for that."""

    message_id: int
    channel: str
    to: Deferred | None
    wanted: str
    enhanced: bool
    ways: tuple[Way, ...]
    within: float
    late: bytes | None
    failed: bytes | None

    @property
    def destination(self) -> str:
        """`channel/name`, or DESK."""
        return DESK if self.to is None else self.to.destination


class Forwarded(NamedTuple):
    """A forwarded request as the store knows it. `hold_until` is how long its connection waits; `said` tells the last
    answer that was brought back from another."""

    message_id: int
    channel: str
    destination: str
    state: str
    control_id: str
    requester: Party
    wanted: str
    enhanced: bool
    ways: tuple[Way, ...]
    within: float
    failed: bytes | None
    hold_until: int
    said: int


class Hold(NamedTuple):
    """The connection waits so many seconds for the answer to that message, which may have another way as well; `here`
    it is made at this desk."""

    message_id: int
    seconds: float
    has_way: bool
    here: bool = False


class Returned(NamedTuple):
    """What an answer means for the request that it answers. `owed`: its connection waits for the reply; else it goes
    by `deferred`, if anywhere. `way` is where it goes when the connection does not take it."""

    message_id: int
    state: str
    reply: bytes | None
    owed: bool
    deferred: Deferred | None
    way: Way | None
    said: int


class Relay(NamedTuple):
    """What the replies of a channel have to do with a message: who answers it and where to, and what follows."""

    answer: str = ""
    to: str = ""
    deferred: Deferred | None = None
    forward: Forwarding | None = None
    hold: Hold | None = None
    returned: Returned | None = None
    again: int | None = None


def has_way(found: Iterable[Way]) -> bool:
    """Is there any way but the connection?"""
    return any(way.destination for way in found)
