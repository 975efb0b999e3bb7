"""HL7 text that people write into a step, in the delimiters everybody knows, turned into those of the sender.

Imports wire and steps only.
"""

import re
from functools import lru_cache

from hl7auth.steps.draft import Draft
from hl7auth.steps.faults import StepRefused
from hl7auth.steps.place import read_place
from hl7auth.wire.delimiters import Delimiters

STANDARD = Delimiters()
"""`|^~\\&`"""

_STRUCTURE = set("|^~\\&")
_SEGMENT = re.compile(r"[A-Z][A-Z0-9]{2}(?:\|[^\r\n]*)?", re.ASCII)
_HEADERS = ("MSH", "BHS", "FHS", "BTS", "FTS")


def has_structure(text: str) -> bool:
    """True where a text can be read as data and as HL7."""
    return not _STRUCTURE.isdisjoint(text)


def check_part(text: str, place: str) -> str:
    """HL7 text for that place. Raises ValueError for a delimiter that ends such a place."""
    level = read_place(place).level
    for sign in "|" + "~^&"[:level] + "\r\n":
        if sign in text:
            what = ("field", "repetition", "component", "subcomponent")[level]
            raise ValueError(f"{place}: {sign!r} has no place in a {what}")
    return text


def check_segment(text: str) -> str:
    """The text of one segment that a step may add. Raises ValueError."""
    if not _SEGMENT.fullmatch(text) or text.startswith(_HEADERS):
        raise ValueError("a segment is expected, as 'ZAU|1|A^B', and neither a message nor a batch header")
    return text


def spoken(draft: Draft, text: str) -> str:
    """The text in the sender's delimiters, and in what its character set has."""
    marks = draft.marks
    if "&" in text and not marks.subcomponent:
        raise StepRefused("the sender declares no subcomponent separator")
    return draft.fit(text if marks[:5] == STANDARD[:5] else text.translate(_table(marks)))


@lru_cache(maxsize=64)
def _table(marks: Delimiters) -> dict[int, str]:
    """Standard delimiters become the sender's; what was plain and is a delimiter of the sender becomes an escape."""
    letters = dict(zip(marks[:5], "FSRET", strict=True))
    table = {ord(mark): f"{marks.escape}{letters[mark]}{marks.escape}" for mark in letters if mark}
    table.update({ord(mark): own for mark, own in zip(STANDARD[:5], marks[:5], strict=True) if own})
    return table
