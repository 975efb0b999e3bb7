"""Which answers a message gets that we send: what its header asks for, and whether it is an answer itself.

Imports wire and flow only.
"""

from functools import lru_cache
from typing import NamedTuple

from hl7auth.errors import Fault
from hl7auth.flow.handshake import ACKNOWLEDGMENTS, handshake
from hl7auth.wire.message import parse

_ASKING = frozenset({0, 1, 8, 14, 15, 17})
"""The delimiters, MSH-9, MSH-15, MSH-16 and MSH-18, counted from the name of the segment."""

_LAST = max(_ASKING) + 1


class Expected(NamedTuple):
    """`answer`: one is due when all is well (chapter 2, 2.9). `receipt`: an accept acknowledgement comes first, and the
    answer after it is another exchange."""

    answer: bool
    receipt: bool


UNREADABLE = Expected(answer=True, receipt=False)
"""What can not be read always gets an answer."""


def expected(raw: bytes) -> Expected:
    """What a message asks for. Most messages of a feed ask for the same: only the first is read as a whole."""
    head = raw[: max(raw.find(b"\r"), 0) or len(raw)].partition(b"\n")[0]
    fields = head.split(head[3:4] or b"|", _LAST)
    asking = [each if at in _ASKING else b"" for at, each in enumerate(fields[:_LAST])]
    return _expected((head[3:4] or b"|").join(asking), b"MSA" in raw and _is_answer(raw))


def _is_answer(raw: bytes) -> bool:
    try:
        return parse(raw).first("MSA") is not None
    except Fault:
        return False


@lru_cache(maxsize=1024)
def _expected(head: bytes, is_answer: bool) -> Expected:
    try:
        header = parse(head).header
    except Fault:
        return UNREADABLE
    asked = handshake(header)
    if header.message_type in ACKNOWLEDGMENTS:
        return Expected(answer=False, receipt=asked.enhanced)
    due = asked.accept_due(True) or (asked.application_due(True) and not is_answer)
    return Expected(due, asked.enhanced)
