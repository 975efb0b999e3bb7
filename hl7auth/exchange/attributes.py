"""How XML profiles write usage, cardinality and length, and the losses that come of what is written oddly.

Imports rules, exchange.markup and exchange.model only.
"""

import re

from hl7auth.exchange.markup import Element, Source
from hl7auth.exchange.model import Loss
from hl7auth.wire.versions import VERSIONS

WITHDRAWN = "Withdrawn in this version."
"""The note of a field that HL7 itself has withdrawn: the HL7 form has no usage for it but X."""
USAGES = frozenset({"R", "RE", "O", "C", "CE", "X", "B", "W", "IX"})
_CONDITIONAL = re.compile(r"C\((?:R|RE|O|X)/(?:R|RE|O|X)\)")
_SYNONYMS = {"NS": "X", "CAB": "C", "": "O"}
_TABLE = re.compile(r"(?:HL7)?[-_ ]?(\d{4})")
_LONGEST = 999_999_999


class Attributes:
    """Reads the attributes of one document and keeps what could not be read."""

    def __init__(self, source: Source, losses: list[Loss]) -> None:
        self.source = source
        self.losses = losses

    def lose(self, element: Element, what: str, reason: str) -> None:
        """Notes what is not carried over, at the line of its element."""
        self.losses.append(Loss(self.source.place(element), what, reason))

    def usage(self, element: Element, path: str) -> str:
        """The usage code; what is none counts as O."""
        text = element.get("Usage").upper().replace(" ", "")
        text = _SYNONYMS.get(text, text)
        if text in USAGES or _CONDITIONAL.fullmatch(text):
            return text
        self.lose(element, f"{path} usage '{text}'", "there is no such usage; it counts as O")
        return "O"

    def repeats(self, element: Element, path: str) -> tuple[int, int | None]:
        """Min and Max; Max `*`, or none at all, is unbounded, and what can not be read counts as 0..*."""
        return self._repeats(element, path) or (0, None)

    def _repeats(self, element: Element, path: str) -> tuple[int, int | None] | None:
        low, high = element.get("Min") or "0", element.get("Max") or "*"
        least = int(low) if low.isdecimal() and len(low) <= 6 else None
        most = int(high) if high.isdecimal() and len(high) <= 6 else None
        if least is None or (most is None and high != "*"):
            self.lose(element, f"{path} cardinality {low}..{high}", "Min and Max must be numbers")
            return None
        if most is not None and most < least:
            self.lose(element, f"{path} cardinality {low}..{high}", "it allows nothing")
            return None
        return least, most

    def cardinality(self, element: Element, path: str) -> str:
        """Min and Max as `1..*`; empty when the element says neither, or nothing that can be read."""
        read = self._repeats(element, path) if element.get("Min") or element.get("Max") else None
        if read is None:
            return ""
        least, most = read
        return f"{least}..{'*' if most is None else most}"

    def length(self, element: Element, path: str) -> int | str | None:
        """Length of the HL7 form, MinLength and MaxLength of the NIST one; None where there is no limit."""
        low, high = element.get("MinLength"), element.get("MaxLength") or element.get("Length")
        if not _said(high) and (not _said(low) or low in ("0", "1")):
            return None
        least = int(low) if low.isdecimal() else 0
        most = int(high) if high.isdecimal() else None
        if (_said(high) and most is None) or least > _LONGEST or (most or 1) > _LONGEST or (most or 1) < max(least, 1):
            self.lose(element, f"{path} length {low}..{high}", "it is no length")
            return None
        return most if least <= 1 and most else f"{least}..{most or '*'}"

    def conformance_length(self, element: Element, path: str) -> str:
        """ConfLength, where it says whether a value may be cut."""
        text = element.get("ConfLength")
        if not _said(text):
            return ""
        if re.fullmatch(r"\d{1,6}[#=]", text):
            return text
        self.lose(element, f"{path} conformance length '{text}'", "it does not say whether a value may be cut (# or =)")
        return ""


def _said(length: str) -> bool:
    return length.upper() not in ("", "*", "NA", "-1")


def table_number(name: str) -> str:
    """`0206` for HL70206 and 0206; any other name as it is."""
    match = _TABLE.fullmatch(name)
    return match[1] if match else name


def version_of(text: str) -> str:
    """The version, if the engine speaks it, else nothing: `2.5.1`, `V2.5.1`, `2_5_1`."""
    plain = text.strip().upper().removeprefix("V").replace("_", ".").replace("-", ".")
    return plain if plain in VERSIONS else ""
