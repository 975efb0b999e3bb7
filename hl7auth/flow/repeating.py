"""A message that is replayed although its effect is there: planned so that it is none that came before.

Imports flow.intake and flow.channel only.

Who replays is told by `peer`, which is kept with the message: a rebuild so finds the same.
"""

from hashlib import blake2b

from hl7auth.flow.channel import Channel
from hl7auth.flow.intake import Plan

_BY, _AGAIN = "replay ", " again"


def replayer(number: int, *, again: bool = False) -> str:
    """The peer of the messages of a replay; `again` for those that repeat an effect on purpose."""
    return f"{_BY}{number}{_AGAIN if again else ''}"


def repeats(peer: str) -> bool:
    """Did a message of this peer repeat an effect on purpose?"""
    return peer.startswith(_BY) and peer.endswith(_AGAIN)


def as_second(planned: Plan) -> Plan:
    """The plan of a message that has to have its effect once more, under the control id that it had before.

    It is the same message as another only within one replay.
    """
    if planned.intent is None:
        return planned
    data = f"{planned.peer}\0{planned.digest}".encode()
    digest = int.from_bytes(blake2b(data, digest_size=8).digest(), "big", signed=True)
    return planned._replace(digest=digest, channel=_lenient(planned.channel))


def _lenient(channel: Channel) -> Channel:
    """The channel without its word against a control id that comes twice."""
    if channel.file.duplicates == "lenient":
        return channel
    return channel.model_copy(update={"file": channel.file.model_copy(update={"duplicates": "lenient"})})
