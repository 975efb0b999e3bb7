"""What an action code does, as a table (chapter 2, 2.10.4.2; HL7 table 0206).

Imports nothing of hl7auth. docs/reference/semantics.md is drawn from it.
"""

from enum import StrEnum
from typing import NamedTuple


class Effect(StrEnum):
    """What becomes of the one authorization, line or referral that is named; the others stay as they are."""

    INSERT = "insert"
    MERGE = "merge"
    REPLACE = "replace"
    END = "end"
    KEEP = "keep"
    REFUSE = "refuse"


class Step(NamedTuple):
    """One row: the effect or, where it is a refusal, the condition of table 0357 and a sentence for the sender."""

    effect: Effect
    code: str = ""
    text: str = ""


_NO_NUMBER = Step(Effect.REFUSE, "101", "in action mode each segment must carry its identifier")
_UNKNOWN = Step(Effect.REFUSE, "204", "what this segment acts on is not known")
_DUPLICATE = Step(Effect.REFUSE, "205", "what this segment adds is known already")

#: by (action code, has an identifier, is known); the empty code stands for snapshot, and so does S (from 2.9)
STEPS: dict[tuple[str, bool, bool], Step] = {
    ("A", True, False): Step(Effect.INSERT),
    ("A", True, True): _DUPLICATE,
    ("U", True, False): _UNKNOWN,
    ("U", True, True): Step(Effect.MERGE),
    ("D", True, False): _UNKNOWN,
    ("D", True, True): Step(Effect.END),
    ("X", True, False): Step(Effect.KEEP),
    ("X", True, True): Step(Effect.KEEP),
    ("S", True, False): Step(Effect.INSERT),
    ("S", True, True): Step(Effect.REPLACE),
    ("", True, False): Step(Effect.INSERT),
    ("", True, True): Step(Effect.REPLACE),
    **{(code, False, known): _NO_NUMBER for code in ("A", "U", "D", "X", "S", "") for known in (False, True)},
}

_NO_CODE = Step(Effect.REFUSE, "103", "the action code is not in table 0206")


def step(code: str, has_number: bool, known: bool) -> Step:
    """The row for a segment."""
    return STEPS.get((code, has_number, known), _NO_CODE)


SNAPSHOT_CODES = frozenset({"", "S"})
"""Codes that say snapshot; S says it in a word."""
