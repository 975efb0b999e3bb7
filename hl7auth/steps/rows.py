"""Which values of a message a step reads together, and where it writes what comes of them.

Imports steps only.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from hl7auth.steps.draft import Draft
from hl7auth.steps.edit import read, reading_spot, repetitions, spots, write
from hl7auth.steps.line import Line, Spot
from hl7auth.steps.place import ALL, Place

Change = Callable[[Draft, Sequence[Spot], Sequence[str]], Sequence[str | None]]
"""From the spots that are read and their carried text to the text for each target; None leaves a target alone."""


class Row(NamedTuple):
    """The spots that are read together, and for each target those that are written."""

    sources: Sequence[Spot]
    targets: Sequence[Sequence[Spot]]


def apply(draft: Draft, sources: Sequence[Place], targets: Sequence[Place], change: Change) -> bool:
    """Read, change and write row by row (steps.place says what pairs with what). False where there was no row."""
    found = False
    for row in list(rows(draft, sources, targets)):
        found = True
        texts = change(draft, row.sources, [read(draft, spot) for spot in row.sources])
        for spots_of_target, text in zip(row.targets, texts, strict=False):
            if text is not None:
                for spot in spots_of_target:
                    write(draft, spot, text)
    return found


def rows(draft: Draft, sources: Sequence[Place], targets: Sequence[Place]) -> Iterator[Row]:
    """The rows of a step; none where a segment that is read, or every one that is written, is missing."""
    places = (*sources, *targets)
    first = places[0]
    if all(place[:2] == first[:2] for place in places):
        for line in draft.named(first):
            yield from _in_line(draft, line, sources, targets)
    elif sources[0].occurrence == ALL:
        for lines in zip(*(draft.named(place) for place in places), strict=False):
            yield _across(draft, lines, sources, targets)
    else:
        yield from _single(draft, sources, targets)


def _in_line(draft: Draft, line: Line, sources: Sequence[Place], targets: Sequence[Place]) -> Iterator[Row]:
    places = (*sources, *targets)
    same_field = all(place.field == places[0].field and place.component for place in places)
    if not same_field or any(place.repetition > 0 or place.repetition < ALL for place in places):
        yield _across(draft, [line] * len(places), sources, targets)
        return
    for at in range(1, repetitions(draft, line, places[0]) + 1):
        yield Row([Spot(line, place, at) for place in sources], [[Spot(line, place, at)] for place in targets])


def _across(draft: Draft, lines: Sequence[Line], sources: Sequence[Place], targets: Sequence[Place]) -> Row:
    count = len(sources)
    return Row(
        [reading_spot(draft, line, place) for line, place in zip(lines[:count], sources, strict=True)],
        [spots(draft, line, place) for line, place in zip(lines[count:], targets, strict=True)],
    )


def _single(draft: Draft, sources: Sequence[Place], targets: Sequence[Place]) -> Iterator[Row]:
    lines = [line for line in map(draft.first, sources) if line is not None]
    written = [[spot for line in draft.named(place) for spot in spots(draft, line, place)] for place in targets]
    if len(lines) == len(sources) and any(written):
        yield Row([reading_spot(draft, line, place) for line, place in zip(lines, sources, strict=True)], written)
