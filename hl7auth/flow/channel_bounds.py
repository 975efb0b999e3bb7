"""Bounds of a channel: on its connections, and on the frames that come over them.

Imports rules and wire only.
"""

from pydantic import Field

from hl7auth.rules.strict_yaml import Strict
from hl7auth.wire.framing import DEFAULT_MAX_BYTES


class Framing(Strict):
    """MLLP on this channel. `lenient` accepts what real senders do to the trailer and the segment ends."""

    lenient: bool = True
    max_bytes: int = Field(DEFAULT_MAX_BYTES, ge=1_024, le=256 * 1024 * 1024)


class Limits(Strict):
    """Bounds on connections: how many, and the seconds one may be silent or take for one message.

    `handshake_seconds` is how long the header of a load balancer may take, and how long the handshake of TLS.
    """

    connections: int = Field(512, ge=1, le=65_536)
    handshake_seconds: float = Field(10, gt=0)
    idle_seconds: float = Field(600, gt=0)
    message_seconds: float = Field(60, gt=0)
