"""Paths that begin at a group or message: by positions down to a segment, then into its fields.

Imports exchange.markup, exchange.nist_conditions and exchange.nist_contexts only.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from hl7auth.exchange.markup import Element
from hl7auth.exchange.nist_conditions import Resolve, Untranslatable, Where
from hl7auth.exchange.nist_contexts import Step, field_path, steps_of


class Segments(NamedTuple):
    """What is known of segments by the Ref of their place: the name, and the numbers of the fields that repeat."""

    name: Callable[[Element], str]
    repeating: Callable[[Element], frozenset[int]]


class Landing(NamedTuple):
    """Where a path from a group leads: a segment or group, what is left of the path behind a segment, and whether
    more than one such segment is meant."""

    element: Element
    rest: tuple[Step, ...]
    many: bool


def landing(context: Element, path: str) -> Landing:
    """Follows the positions. Raises Untranslatable where there is nothing, or where one of several is meant."""
    steps, element, many = steps_of(path), context, False
    while steps and element.name != "Segment":
        children = list(element.all("Segment", "Group"))
        if steps[0].number > len(children):
            raise Untranslatable(f"'{path}' leads nowhere")
        if steps[0].instance not in ("1", "*"):
            raise Untranslatable("it is about one certain repetition of a segment")
        element = children[steps[0].number - 1]
        many = many or (steps[0].instance == "*" and element.get("Max") != "1")
        steps = steps[1:]
    return Landing(element, steps, many)


def within_group(context: Element, segments: Segments, own: Element | None, scope: str) -> Resolve:
    """Paths from a group or message; `own` is the segment under check, whose name needs no `scope`."""
    names = [segments.name(each) for each in _segments(context)]

    def resolve(path: str) -> Where:
        element, rest, many = landing(context, path)
        target = next(_segments(element), None)
        if target is None:
            raise Untranslatable("it is about a group without segments")
        name = segments.name(target)
        if names.count(name) > 1:
            raise Untranslatable(f"there is more than one {name} in it")
        before = "" if target is own else scope
        if not rest:
            return Where(f"{before}{name}", segment=True)
        where = field_path(name, rest, segments.repeating(target), before)
        return where._replace(repeats=where.repeats or many)

    return resolve


def first_segment(element: Element) -> Element | None:
    """The first segment below a group or message."""
    return next(_segments(element), None)


def _segments(element: Element) -> Iterator[Element]:
    if element.name == "Segment":
        yield element
    for child in element.all("Segment", "Group"):
        yield from _segments(child)
