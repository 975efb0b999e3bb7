"""What a soak sends: requests as in the benchmark, every sample message, good and bad, and what is no message at all.

Imports resources, wire and proof.ledger's script of messages only.
"""

import random
from functools import cache
from typing import NamedTuple

from hl7auth.proof.ledger import request_of
from hl7auth.resources import shipped
from hl7auth.wire.framing import frame

_SAMPLES = 0.2
_BROKEN = 0.03
_UNANSWERED = (b"RPA", b"RRI", b"ACK", b"MCF")
"""Types that are answered only when they are refused, or never: their sender does not wait long."""

_NOISE = (
    b"\x0bMSH|^~\\&|HALF",
    b"GET / HTTP/1.1\r\nHost: engine\r\n\r\n",
    b"\x0b" + bytes(range(32, 127)) * 20 + b"\x1c\r",
    b"\x0bMSH|^~\\&|A|B|C|D|20260101||RQA^I08|NOISE|P|2.5\rAUT|" + b"~" * 5_000 + b"\r\x1c\r",
    b"\x1c\r\x0b\x0b\x1c\r",
)


class Parcel(NamedTuple):
    """Bytes for a socket. `expects` is false where no reply need come, `ends` true for a connection's last ones."""

    data: bytes
    expects: bool = True
    ends: bool = False


class Mixture:
    """An endless choice of messages, each under a control id of its own."""

    def __init__(self, prefix: str, chance: random.Random) -> None:
        self._prefix = prefix
        self._chance = chance
        self._number = 0

    def next(self) -> Parcel:
        """The next thing to send."""
        self._number += 1
        dice = self._chance.random()
        if dice < _BROKEN:
            return Parcel(self._chance.choice(_NOISE), expects=False, ends=True)
        if dice < _BROKEN + _SAMPLES:
            return self._sample()
        return Parcel(frame(request_of(self._number, self._prefix)))

    def _sample(self) -> Parcel:
        raw = self._chance.choice(_samples())
        fields = raw.split(b"|", 10)
        if len(fields) < 11:
            return Parcel(frame(raw), expects=False)
        fields[9] = f"{self._prefix}S{self._number}".encode()
        return Parcel(frame(b"|".join(fields)), expects=not fields[8].startswith(_UNANSWERED) and not _wants_none(raw))


def _wants_none(raw: bytes) -> bool:
    """Does the sender ask for neither receipt nor answer (MSH-15 and MSH-16)?"""
    return raw.partition(b"\r")[0].split(b"|")[14:16] == [b"NE", b"NE"]


@cache
def _samples() -> list[bytes]:
    return [path.read_bytes() for path in sorted(shipped("sample_messages").glob("*.hl7"))]
