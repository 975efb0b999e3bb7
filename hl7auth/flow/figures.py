"""What can be said of a running engine from outside: figures of its channels, its destinations and what waits.

Imports flow.decision (names of dispositions) only.

Every name in here is written by the people who run the engine (channels, destinations) or by us (states, reasons):
nothing that a sender sends is ever a name, so that the number of figures is known before the first message.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from hl7auth.flow.decision import Disposition


class Ending(StrEnum):
    """Why we ended a connection, or did not take it."""

    TOO_MANY = "too many"
    NONSENSE = "nonsense"
    MEMORY = "memory"
    BROKEN_FRAMES = "broken frames"
    SLOW = "slow"
    IDLE = "idle"
    NETWORK = "network"
    PROXY = "proxy"
    TOO_LARGE = "batch too large"
    HANDSHAKE = "handshake"
    CERTIFICATE = "certificate"


class Standing(StrEnum):
    """How a destination is. `unknown`: nothing was tried yet; `stopped`: it stands still until a person decides;
    `gone`: deliveries wait for it, and no channel has it any more."""

    UP = "up"
    DOWN = "down"
    STOPPED = "stopped"
    UNKNOWN = "unknown"
    GONE = "gone"


class ChannelFigures(NamedTuple):
    """A channel since the start of the engine. `last_at` is when its last message came: microseconds, 0 for never."""

    name: str
    listening: bool
    connections: int
    messages: Mapping[Disposition, int]
    endings: Mapping[Ending, int]
    last_at: int

    @property
    def received(self) -> int:
        """All messages, whatever became of them."""
        return sum(self.messages.values())

    @property
    def errors(self) -> int:
        """Messages that were refused, or that the engine failed at."""
        return self.messages[Disposition.REFUSED] + self.messages[Disposition.FAILED]


class DestinationFigures(NamedTuple):
    """A destination (`channel/name`) since the start of the engine; `acts` counts what became of deliveries.

    `since` is when it was first found down without having been up since; 0 where it is not.
    """

    name: str
    standing: Standing
    since: int
    connections: int
    acts: Mapping[str, int]
    last_at: int

    @property
    def sent(self) -> int:
        """Deliveries that arrived."""
        return self.acts.get("sent", 0)

    @property
    def settled(self) -> int:
        """All that was tried, whatever became of it."""
        return sum(self.acts.values())


class Waiting(NamedTuple):
    """Deliveries that wait for a destination; `oldest_at` is when the first of them was queued, 0 for none."""

    queued: int = 0
    in_flight: int = 0
    parked: int = 0
    oldest_at: int = 0

    @property
    def open(self) -> int:
        """All of them."""
        return self.queued + self.in_flight + self.parked

    def entry(self, now: int) -> dict[str, float | None]:
        """As plain data; what is on its way counts as queued."""
        oldest = round(max(0, now - self.oldest_at) / 1_000_000, 1) if self.open else None
        return {"queued": self.queued + self.in_flight, "parked": self.parked, "oldest_seconds": oldest}


class Figures(NamedTuple):
    """Everything at one moment (microseconds). `waiting` goes by destination, and is None while the store is away.

    `batches` counts commits by the number of their messages: at most 1, 2, 4, ... 512, more; the last is their sum.
    """

    at: int
    started_at: int
    workers: int
    serving: int
    channels: tuple[ChannelFigures, ...]
    destinations: tuple[DestinationFigures, ...]
    batches: tuple[int, ...]
    waiting: Mapping[str, Waiting] | None

    @property
    def ready(self) -> Mapping[str, bool]:
        """What must be so before messages can be taken."""
        return {
            "database": self.waiting is not None,
            "channels": all(channel.listening for channel in self.channels),
            "workers": self.serving == self.workers,
        }
