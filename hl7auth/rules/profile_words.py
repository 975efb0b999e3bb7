"""The words of a profile file: verbs, usage codes, cardinality, lengths, conditions, and what holds in a version.

Imports wire and rules.predicate only.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field

from hl7auth.rules.predicate import compile_condition
from hl7auth.wire.versions import VERSIONS, at_least

Value = TypeVar("Value")


class Verb(StrEnum):
    """The conformance verbs of HL7 v2+ and what a breach is: SHALL an error, SHOULD a warning."""

    SHALL = "SHALL"
    SHOULD = "SHOULD"
    MAY = "MAY"
    SHALL_NOT = "SHALL NOT"


_USAGE = re.compile(r"R|RE|O|C|CE|X|B|W|IX|C\((?:R|RE|O|X)/(?:R|RE|O|X)\)")
_LENGTH = re.compile(r"(\d{1,9})\.\.(\d{1,9}|\*)")


def _usage(text: str) -> str:
    if not _USAGE.fullmatch(text):
        raise ValueError(f"'{text}' is no usage (R, RE, O, C, CE, C(R/X) and the like, X, B, W or IX)")
    return text


def _cardinality(text: str) -> str:
    low, _, high = text.partition("..")
    if high != "*" and int(high) < int(low):
        raise ValueError(f"'{text}' allows nothing: the least is more than the most")
    return text


def _readable(text: str) -> str:
    compile_condition(text)
    return text


def _possible_length(value: int | str | tuple[int, ...]) -> int | str | tuple[int, ...]:
    """A length as it was written, when there can be a value of that length."""
    if isinstance(value, str):
        match = _LENGTH.fullmatch(value)
        if match is None:
            raise ValueError(f"'{value}' is no length (20, 1..20, 5..*, or a list of lengths)")
        if match[2] != "*" and int(match[2]) < max(int(match[1]), 1):
            raise ValueError(f"'{value}' allows nothing: the least is more than the most")
    elif min((value,) if isinstance(value, int) else value, default=0) < 1:
        raise ValueError("a length is at least 1")
    return value


Number = Annotated[int, Field(ge=1, le=999)]
Usage = Annotated[str, AfterValidator(_usage)]
Cardinality = Annotated[str, Field(pattern=r"^\d{1,6}\.\.(\d{1,6}|\*)$"), AfterValidator(_cardinality)]
Length = Annotated[int | str | tuple[int, ...], AfterValidator(_possible_length)]
"""A greatest length, `least..greatest`, or all the lengths that there may be (chapter 2, 2.4.5), in characters."""
ConformanceLength = Annotated[str, Field(pattern=r"^\d+[#=]$")]
Text = Annotated[str, AfterValidator(_readable)]
"""A condition; its grammar stands in rules.predicate."""
Kind = Literal[
    "usage",
    "cardinality",
    "delete",
    "length",
    "conformance_length",
    "truncated",
    "type",
    "table",
    "constant",
    "unexpected",
]
"""The last word of a rule id: `AUT-13.usage`."""
DeletePattern = Literal["all_fields", "first_field", "key"]


def by_version(value: Value | Mapping[str, Value | None] | None, version: str) -> Value | None:
    """The value that holds in a version: of a mapping `first version: value`, the last one reached."""
    if not isinstance(value, Mapping):
        return value
    floor = reached(value, version)
    return None if floor is None else value[floor]


def reached(floors: Iterable[str], version: str) -> str | None:
    """The last of these versions that is not later than the version."""
    return max((floor for floor in floors if at_least(version, floor)), key=VERSIONS.index, default=None)
