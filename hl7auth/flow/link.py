"""What ties messages to one another: sequence numbers, parts of a continued message, batches (chapter 2, 2.10).

Imports nothing of the engine.
"""

from typing import NamedTuple

RULES = ("sequence.", "continuation.")
"""How the rules begin that judge a message by those before it: of its own content they say nothing."""


class Stream(NamedTuple):
    """The messages of one sender (MSH-3, MSH-4) to one channel, whichever connections they come by."""

    channel: str
    application: str
    facility: str


class Part(NamedTuple):
    """A part of a continued message: `continues` is its MSH-14, `pointer` its DSC-1. One of them may be empty."""

    continues: str
    pointer: str


class Member(NamedTuple):
    """One message of a batch and what became of it; `bad` when it was not accepted."""

    message_id: int
    disposition: str
    bad: bool
    replies: tuple[bytes, ...]


class Group(NamedTuple):
    """One batch: its BHS line (empty where it had none), its messages, and what is wrong with it as a whole."""

    header: str
    members: tuple[Member, ...]
    faults: tuple[str, ...] = ()


class Taken(NamedTuple):
    """What came as batches: the FHS line, the batches, faults of the file, the lines that are no message, a version."""

    file: str
    groups: tuple[Group, ...]
    faults: tuple[str, ...]
    lines: bytes
    version: str


class Link(NamedTuple):
    """How one message is tied to others.

    `number` is MSH-13 where it counts, `expected` becomes MSA-4; `spare` is an id for the joined message; `taken` makes
    it the end of a batch, `overdue` the end of a continued message (by its id) whose next part never came.
    """

    spare: int = 0
    number: int | None = None
    part: Part | None = None
    taken: Taken | None = None
    overdue: int = 0
    expected: str = ""

    @property
    def alone(self) -> bool:
        """True for what has to find everything before it written: it is decided by itself."""
        return self.part is not None or self.taken is not None or self.overdue != 0


class Before(NamedTuple):
    """A part that was taken before, with the replies that it got; `settled` when its message was refused since."""

    message_id: int
    accept_ack: bytes | None
    reply: bytes | None
    settled: bool


class Series(NamedTuple):
    """A continued message that waits for its next part.

    Its id is the message id of the first part. `awaits` is the MSH-14 that comes next; `touched_at` is when the last
    part came, in microseconds since 1970; `number` counts the parts.
    """

    id: int
    stream: Stream
    awaits: str
    number: int
    size: int
    touched_at: int
