"""Reading and writing one place of one segment, on its text alone.

Imports wire and steps only.
"""

from functools import lru_cache

from hl7auth.steps.draft import Draft
from hl7auth.steps.faults import StepRefused
from hl7auth.steps.line import Line, Spot, field_of
from hl7auth.steps.place import HEADERS, LAST, Place
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.message import NULL, part


def spots(draft: Draft, line: Line, place: Place) -> list[Spot]:
    """The spots of a place in one segment when it is written to."""
    which = place.repetition
    if which > 0 or (which == 0 and not place.component):
        return [Spot(line, place, which)]
    count = repetitions(draft, line, place)
    return [Spot(line, place, at) for at in ((count,) if which == LAST else range(1, count + 1))]


def repetitions(draft: Draft, line: Line, place: Place) -> int:
    """How many repetitions a field has, an empty one too. Raises StepRefused for more than can be handled."""
    count = field_of(line, place.field, draft.marks).count(draft.marks.repetition) + 1
    draft.spend(count * len(line.text))
    return count


def reading_spot(draft: Draft, line: Line, place: Place) -> Spot:
    """The one spot of a place in one segment when it is read."""
    if place.repetition == LAST:
        return spots(draft, line, place)[0]
    which = max(place.repetition, 0)
    return Spot(line, place, which or int(place.level > 0))


def read(draft: Draft, spot: Spot) -> str:
    """The carried text at a spot; empty when there is none."""
    line, place, repetition = spot
    marks = draft.marks
    text = field_of(line, place.field, marks)
    if text and repetition:
        text = part(text, marks.repetition, repetition)
    if text and place.component:
        text = part(text, marks.component, place.component)
        if place.subcomponent:
            text = part(text, marks.subcomponent, place.subcomponent)
    return text


def write(draft: Draft, spot: Spot, raw: str) -> None:
    """Put carried text at a spot, with as many separators as it needs; nothing is added to leave a place empty."""
    line, place, repetition = spot
    marks = draft.marks
    fields = line.text.split(marks.field)
    at = place.field - (line.name in HEADERS)
    old = fields[at] if at < len(fields) else ""
    if (repetition or place.component) and old == NULL:
        if not raw:
            return
        old = ""  # a field that was to be deleted gets a value: then it is no longer deleted
    levels = _levels(marks, repetition, place.component, place.subcomponent)
    new = _put(old, levels, raw, place)
    if new == old or (not new and at >= len(fields)):
        return
    fields += [""] * (at + 1 - len(fields))
    fields[at] = new
    draft.rewrite(line, marks.field.join(fields))


@lru_cache(maxsize=512)
def _levels(marks: Delimiters, repetition: int, component: int, subcomponent: int) -> tuple[tuple[str, int], ...]:
    pairs = ((marks.repetition, repetition), (marks.component, component), (marks.subcomponent, subcomponent))
    return tuple(pair for pair in pairs if pair[1])


def _put(text: str, levels: tuple[tuple[str, int], ...], raw: str, place: Place) -> str:
    """`text` with the part at those levels replaced."""
    if not levels:
        return raw
    mark, number = levels[0]
    if not mark:
        if number > 1:
            raise StepRefused(
                "the sender declares no subcomponent separator", location=f"{place.segment}-{place.field}"
            )
        return raw
    parts = text.split(mark)
    old = parts[number - 1] if number <= len(parts) else ""
    new = _put(old, levels[1:], raw, place)
    if not new and number > len(parts):
        return text
    parts += [""] * (number - len(parts))
    parts[number - 1] = new
    return mark.join(parts)
