"""The parts of chapter 2 and of MLLP that two systems have to agree on: what a channel says about them.

Imports rules.strict_yaml only.
"""

from typing import Literal

from pydantic import Field

from hl7auth.rules.strict_yaml import Strict

JOINED_IN_PYTHON = "parts can be joined only where no step is in Python: the whole is there only when it is stored"


class Continued(Strict):
    """Bounds on continued messages: parts and bytes of one, seconds that a part may take to come, and how many of one
    sender may be open at a time. What goes beyond is refused as a whole."""

    parts: int = Field(100, ge=2, le=10_000)
    bytes: int = Field(16 * 1024 * 1024, ge=1_024, le=256 * 1024 * 1024)
    seconds: float = Field(300, gt=0, le=7 * 86_400)
    open: int = Field(20, ge=1, le=1_000)


class Batched(Strict):
    """How a batch is answered, and bounds on one: messages, bytes of them and of their replies, seconds of silence.

    `replies` is `all` (a batch of every reply), `errors` (a batch of the negative ones), `each` (every message is
    answered at once, and a batch without messages follows) or `none`.
    """

    replies: Literal["all", "errors", "each", "none"] = "all"
    messages: int = Field(10_000, ge=1, le=1_000_000)
    bytes: int = Field(64 * 1024 * 1024, ge=1_024, le=1024 * 1024 * 1024)
    seconds: float = Field(30, gt=0, le=86_400)


class Agreed(Strict):
    """What the partners agreed on beyond single messages (chapter 2, 2.10; MLLP release 2); nothing by itself.

    `sequence`: sequence numbers (MSH-13) are ignored, checked where a message has one, or required of every message.
    `continuation`: messages that come in parts (DSC, MSH-14, ADD) are refused, or joined. `batches`: FHS and BHS are
    refused, or taken. `commit_blocks`: MLLP release 2, where every block is committed by SB ACK EB or SB NAK EB.
    """

    sequence: Literal["ignore", "check", "require"] = "ignore"
    continuation: Literal["refuse", "join"] = "refuse"
    continued: Continued = Continued()
    batches: Literal["refuse", "take"] = "refuse"
    batch: Batched = Batched()
    commit_blocks: bool = False

    @property
    def joins(self) -> bool:
        """True where messages come in parts."""
        return self.continuation == "join"

    @property
    def links(self) -> bool:
        """True where a message may depend on those before it."""
        return self.sequence != "ignore" or self.joins

    @property
    def frames(self) -> bool:
        """True where a block is more than one message, or gets more than replies."""
        return self.batches == "take" or self.commit_blocks
