"""What somebody wants replayed, where to and why again; the words for what is expected of it; what no target takes.

Imports replay.material and errors only.
"""

from enum import StrEnum
from typing import NamedTuple

from hl7auth.replay.material import Piece

CHANNEL, DESTINATION, ENDPOINT = "channel:", "destination:", "endpoint:"
"""What the name of a target begins with."""

TLS = "tls:"
"""Of an endpoint, before host and port: it is never sent to in the clear."""


class Expected(StrEnum):
    """What a message is expected to do. `new`: all that it changes is new; `send`: it goes out; `done`: that was done
    before; `left_out`: it can not, or need not, be replayed."""

    NEW = "new"
    CHANGED = "changed"
    NOTHING = "nothing"
    REFUSED = "refused"
    SEND = "send"
    DONE = "done"
    LEFT_OUT = "left_out"


class Wish(NamedTuple):
    """`target` is empty for the channel of each message; `again` is why effects are to be repeated, empty for not at
    all; `dispositions` are those of which messages of the archive are sent on."""

    target: str
    again: str
    by: str
    selection: str
    dispositions: tuple[str, ...] = ("accepted",)


_WHY = {
    "part": "a part of a continued message, which is a message of its own when it is whole",
    "link": "it is about sequence numbers alone",
    "batch": "the frame of a batch, whose messages stand for themselves",
    "ignored": "an acknowledgement: there is nothing to do",
}


def unfit(piece: Piece) -> str:
    """Why a message is not replayed, whatever the target; empty where nothing is against it."""
    if piece.fault:
        return piece.fault
    if piece.disposition == "duplicate":
        return f"it repeats message {piece.duplicate_of}"
    return _WHY.get(piece.disposition, "")
