"""What a dispatcher hands to a sender: a message to send, and how its answer comes back.

Imports flow and steps only.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from hl7auth.flow.outbox import Claimed
from hl7auth.flow.verdict import Answer
from hl7auth.steps.draft import Unmapped


class Parcel(NamedTuple):
    """A claimed delivery, the bytes to send, and the values that code tables lacked when these were shaped."""

    claimed: Claimed
    raw: bytes
    unmapped: tuple[Unmapped, ...] = ()


Done = Callable[[Parcel, Answer], None]
"""Called once for each parcel, on the reactor."""


class Turn(Protocol):
    """Who may write, where several processes write to one SQLite file."""

    def take(self) -> bool:
        """True when it is this process's turn from now on. Never waits."""

    def give_back(self) -> None:
        """Lets another have it."""


class World(NamedTuple):
    """What senders and dispatchers stand in: a reactor, the time in microseconds since 1970, chance from 0 to 1."""

    reactor: Any
    now: Callable[[], int]
    dice: Callable[[], float]
    turn: Turn | None = None
    hears: Callable[[], bool] = lambda: False
    """Is this process told what others queue? Then it need not look so often."""


class Sender(Protocol):
    """A way to a destination."""

    @property
    def room(self) -> int:
        """Messages that it can take now."""

    @property
    def alive(self) -> bool:
        """False while nothing can be sent at all: then nothing is claimed."""

    @property
    def connections(self) -> int:
        """Connections that are open and stay so; 0 where there is no such thing."""

    @property
    def ended(self) -> bool:
        """True when nothing is open any more, after `stop`."""

    def start(self, ready: Callable[[], None], /) -> None:
        """Begins; `ready` is called whenever there is room anew."""

    def send(self, parcels: list[Parcel], done: Done, /) -> None:
        """Sends messages, at most as many as there is room for."""

    def stop(self) -> None:
        """Ends; what is under way is answered `closed` or lost with its lease."""
