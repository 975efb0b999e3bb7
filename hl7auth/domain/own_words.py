"""A decision in a partner's own segments: the number and the code behind the AUT of the whole, and of each procedure.

Imports wire, rules.dialect and domain only.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from hl7auth.domain.answer import Name
from hl7auth.domain.authorization import procedure
from hl7auth.domain.crosswalk import GRANTING, Decision
from hl7auth.domain.decided import Decided
from hl7auth.rules.dialect import Dialect
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.escapes import escape
from hl7auth.wire.message import Segment

_BEFORE = {"MSA": frozenset({"MSA", "ERR", "AUT"}), "PR1": frozenset({"PR1", "OBX", "AUT"})}
"""What comes before such a segment, behind MSA and behind a procedure."""


class Own(NamedTuple):
    """How a partner is told a decision: what the answer is called, and the dialect that it is in."""

    name: Name
    dialect: Dialect

    def can_not_say(self, said: Decided) -> str:
        """A decision of the whole or of a procedure that this partner has no code for, having codes of its own."""
        status = self.dialect.status
        if status is None or said.decision is Decision.CANCELLED:
            return ""
        of_lines = (Decision.CERTIFIED_TOTAL, Decision.NOT_CERTIFIED) if said.left_out else ()
        apart = (each.decision for each in said.by_line)
        found = (said.decision, *of_lines, *apart)
        return next((str(each) for each in found if status.written(str(each)) is None), "")


def in_own_words(
    lines: Sequence[str],
    dialect: Dialect,
    identifier: str,
    decided: Callable[[str], tuple[Decision, str]],
    marks: Delimiters,
) -> list[str]:
    """The segments of an answer with the partner's among them. `identifier` is the number as it is written, told once;
    `decided` tells the decision about a code of PR1-3 and its reason, and about the whole for no code."""
    found: list[str] = []
    waiting: tuple[str, list[str]] | None = None
    for line in (*lines, ""):
        if waiting is not None and (line[:3] == "PR1" or line[:3] not in _BEFORE[waiting[0]]):
            found += waiting[1]
            waiting = None
        if line[:3] == "MSA":
            waiting = ("MSA", _segments(dialect, identifier, decided(""), marks))
        elif line[:3] == "PR1":
            waiting = ("PR1", _segments(dialect, "", decided(procedure_code(line, marks)), marks))
        found.append(line)
    return found[:-1]


def procedure_code(line: str, marks: Delimiters) -> str:
    """PR1-3.1 of a PR1 that is text, as documents have it."""
    return str(procedure(Segment(line, marks)).get("code", ""))


def _segments(dialect: Dialect, identifier: str, decided: tuple[Decision, str], marks: Delimiters) -> list[str]:
    """One of each of the partner's segments that has something to say: the reason of what is not granted is the text of
    its code."""
    decision, reason = decided
    values: dict[str, str] = {}
    if identifier and dialect.own_numbers:
        values[dialect.own_numbers[0]] = identifier
    said = dialect.status.written(str(decision)) if dialect.status else None
    if said is not None and dialect.status is not None:
        text = said.text if decision in GRANTING or not reason else reason
        parts = (escape(each, marks) for each in (said.code, text))
        values[dialect.status.source] = marks.component.join(parts).rstrip(marks.component)
    return [line for name in dialect.own_segments if (line := _segment(name, values, marks)) != name]


def _segment(name: str, values: dict[str, str], marks: Delimiters) -> str:
    numbers = {int(place[4:]): value for place, value in values.items() if place[:3] == name}
    return marks.field.join([name, *(numbers.get(at, "") for at in range(1, max(numbers, default=0) + 1))])
