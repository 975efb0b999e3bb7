"""Which predicates, constraints and bindings of a NIST bundle belong to which data type, segment, group or message.

Imports exchange.markup, exchange.nist_conditions only.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from hl7auth.exchange.markup import Element, Source
from hl7auth.exchange.nist_conditions import Resolve, Untranslatable, Where

_STEP = re.compile(r"([1-9]\d{0,3})(?:\[([1-9]\d{0,3}|\*)\])?")
_PARTS = ("Predicates", "Constraints", "ValueSetBindings", "SingleCodeBindings")
_BY = {"ByID": "ID", "ByName": "Name"}


class Written(NamedTuple):
    """A predicate, constraint or binding, and the document it stands in."""

    source: Source
    element: Element


class Step(NamedTuple):
    """One step of a path: a position, and which repetition of what stands there (`*`: all of them)."""

    number: int
    instance: str


class Contexts:
    """Everything that constraint and binding files say, by what it is said of."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._found: dict[tuple[str, str, str], list[Written]] = {}
        for source in sources:
            for part in source.root.all(*_PARTS):
                for level in part.children:
                    for by in level.all(*_BY):
                        key = (level.name, by.name, by.get(_BY[by.name]))
                        self._found.setdefault(key, []).extend(Written(source, each) for each in by.children)

    def of(self, level: str, identifier: str, *names: str) -> list[Written]:
        """What is said of a Datatype, Segment, Group or Message of that ID, or of any of those names."""
        found = list(self._found.get((level, "ByID", identifier), ()))
        for name in dict.fromkeys(names):
            found += self._found.get((level, "ByName", name), ())
        return found


def steps_of(path: str) -> tuple[Step, ...]:
    """The steps of `6[1].1[1]`. Raises Untranslatable for anything else."""
    matches = [_STEP.fullmatch(step) for step in path.split(".")]
    if not all(matches):
        raise Untranslatable(f"'{path}' is no path")
    return tuple(Step(int(match[1]), match[2] or "1") for match in matches if match)


def numbers_of(path: str) -> tuple[int, ...]:
    """The positions of a target; which repetition is meant does not matter where all are told the same."""
    return tuple(step.number for step in steps_of(path))


def within_type(holder: tuple[int, ...]) -> Resolve:
    """Paths inside a data type, for a condition on a component of what stands at `holder` in it."""

    def resolve(path: str) -> Where:
        steps = steps_of(path)
        _refuse_repeated(steps)
        numbers = tuple(step.number for step in steps)
        below = numbers[len(holder) :]
        if numbers[: len(holder)] != holder or not 1 <= len(below) <= 2:
            raise Untranslatable("it looks at another component of the data type")
        return Where(f"this.{'.'.join(map(str, below))}")

    return resolve


def within_segment(segment: str, repeating: frozenset[int], holder: tuple[int, ...] = ()) -> Resolve:
    """Paths inside a segment, some of whose fields repeat; `holder` is what holds the component with the condition."""

    def resolve(path: str) -> Where:
        steps = steps_of(path)
        numbers = tuple(step.number for step in steps)
        if holder and numbers[: len(holder)] == holder and 1 <= len(numbers) - len(holder) <= 2:
            return Where(f"this.{'.'.join(map(str, numbers[len(holder) :]))}")
        return field_path(segment, steps, repeating)

    return resolve


def within_field(segment: str, number: int, repeats: bool) -> Resolve:
    """Paths inside the data type of one field, for a statement on the segment."""

    def resolve(path: str) -> Where:
        if repeats:
            raise Untranslatable(f"it is about every repetition of {segment}-{number}")
        return field_path(segment, (Step(number, "1"), *steps_of(path)), frozenset())

    return resolve


def field_path(segment: str, steps: tuple[Step, ...], repeating: frozenset[int], scope: str = "") -> Where:
    """`AUT-6.1` for the steps behind a segment."""
    if len(steps) > 3:
        raise Untranslatable("a field has components and subcomponents, and nothing below them")
    _refuse_repeated(steps[1:])
    first, inner = steps[0], "".join(f".{step.number}" for step in steps[1:])
    many = first.instance == "*" and first.number in repeating
    nth = f"[{first.instance}]" if first.instance not in ("1", "*") else ""
    return Where(f"{scope}{segment}-{first.number}{nth}{inner}", many)


def _refuse_repeated(steps: tuple[Step, ...]) -> None:
    if any(step.instance not in ("1", "*") for step in steps):
        raise Untranslatable("components do not repeat")
