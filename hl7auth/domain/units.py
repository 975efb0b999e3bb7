"""Units: exact decimal numbers with at most three places, and what they are counted in.

Imports rules.datatypes only.
"""

from decimal import Decimal

from hl7auth.rules.datatypes import is_number

MOST_UNITS = Decimal(10**12)
"""Beyond is no number of units of anybody: it keeps thousandths within 64 bits."""

_KINDS = {
    "visits": "V VS VIS VISIT VISITS TREATMENT TREATMENTS TIMES SESSION SESSIONS EA",
    "hours": "H HR HRS HOUR HOURS",
    "days": "D DA DAY DAYS",
    "dollars": "USD $ DOLLAR DOLLARS",
    "units": "UN UNIT UNITS",
}
_KIND_OF = {word: kind for kind, words in _KINDS.items() for word in words.split()}


def unit_kind(text: str) -> str:
    """What units are counted in: one word for all ways to write it (`VS` is visits), or what was written."""
    word = text.strip().upper()
    return _KIND_OF.get(word, word.lower())


def number(text: str) -> Decimal | None:
    """A number of units, to the thousandth (cut, so that nobody gets more than was granted); None for none."""
    if not is_number(text):
        return None
    value = Decimal(text)
    if abs(value) > MOST_UNITS:
        return MOST_UNITS.copy_sign(value)
    return Decimal(int(value * 1000)) / 1000


def thousandths(value: Decimal) -> int:
    """Units as stored."""
    return int(value * 1000)


def from_thousandths(value: int) -> Decimal:
    """Units as they were stored."""
    return Decimal(value) / 1000


def said(value: Decimal | None) -> str | None:
    """Units as people and JSON see them: exact, without needless zeros."""
    if value is None:
        return None
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
