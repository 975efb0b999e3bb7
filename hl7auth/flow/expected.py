"""Which answers a message gets that we send: what its header asks for, and whether it is an answer itself.

Imports wire and flow only.
"""

from functools import lru_cache
from typing import NamedTuple

from hl7auth.errors import Fault
from hl7auth.flow.handshake import ACKNOWLEDGMENTS, handshake
from hl7auth.wire.message import parse

_FIELDS = 18
"""As far as MSH-18, counted from the name of the segment."""

_MOST_KEPT = 200
"""Bytes of a header that are remembered: what is longer is no sender's usual one, and a thousand of it would add up."""


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
    fields = head.split(head[3:4] or b"|", _FIELDS)
    if len(fields) < _FIELDS:
        fields += [b""] * (_FIELDS - len(fields))
    asking = (fields[0], fields[1], fields[8], fields[14], fields[15], fields[17])
    ask = _expected if len(b"".join(asking)) < _MOST_KEPT else _expected.__wrapped__
    return ask(head[3:4], asking, b"MSA" in raw and _is_answer(raw))


def _is_answer(raw: bytes) -> bool:
    try:
        return parse(raw).first("MSA") is not None
    except Fault:
        return False


@lru_cache(maxsize=1024)
def _expected(mark: bytes, asking: tuple[bytes, ...], is_answer: bool) -> Expected:
    """`asking` are the name of the segment, its delimiters, MSH-9, MSH-15, MSH-16 and MSH-18."""
    name, marks, kind, accept, application, charset = asking
    try:
        header = parse(mark.join([name, marks, *[b""] * 6, kind, *[b""] * 5, accept, application, b"", charset])).header
    except Fault:
        return UNREADABLE
    asked = handshake(header)
    if header.message_type in ACKNOWLEDGMENTS:
        return Expected(answer=False, receipt=asked.enhanced)
    due = asked.accept_due(True) or (asked.application_due(True) and not is_answer)
    return Expected(due, asked.enhanced)
