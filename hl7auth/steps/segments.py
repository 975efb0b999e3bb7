"""The verbs that change what there is: add and remove segments and repetitions, each compiled to a function.

Imports rules.predicate, wire and steps only.
"""

from hl7auth.rules.predicate import Condition, compile_condition
from hl7auth.steps.draft import Draft
from hl7auth.steps.edit import write
from hl7auth.steps.forms import Add, Remove
from hl7auth.steps.line import Line, Spot, field_of
from hl7auth.steps.literal import spoken
from hl7auth.steps.place import ALL, LAST, read_place, read_segment
from hl7auth.steps.values import Action
from hl7auth.wire.message import NULL


def compile_add(add: Add, label: str) -> Action:
    """`add`: a segment or a repetition."""
    return _add_repetition(add, label) if add.repetition is not None else _add_segment(add, label)


def compile_remove(remove: Remove) -> Action:
    """`remove`: segments or repetitions."""
    return _remove_repetitions(remove) if remove.repetition is not None else _remove_segments(remove)


def _add_segment(add: Add, label: str) -> Action:
    text, anchor = add.segment or "", add.after or add.before
    place = read_segment(anchor) if anchor else None

    def run(draft: Draft) -> None:
        found = draft.named(place) if place else draft.lines[-1:]
        if not found:
            draft.remark(label, "add", f"no {anchor}: nothing added")
        elif place and not place.occurrence:
            found = found[:1] if add.before else found[-1:]
        if found:
            draft.insert(spoken(draft, text), found, before=add.before is not None)

    return run


def _add_repetition(add: Add, label: str) -> Action:
    text, place = add.repetition or "", read_place(add.to or "")

    def run(draft: Draft) -> None:
        lines = draft.named(place)
        if not lines:
            draft.remark(label, "add", f"no {place.segment}: nothing added")
        for line in lines:
            raw = field_of(line, place.field, draft.marks)
            new = spoken(draft, text)
            write(draft, Spot(line, place, 0), new if raw in ("", NULL) else raw + draft.marks.repetition + new)

    return run


def _remove_segments(remove: Remove) -> Action:
    place = read_segment(remove.segment or "")
    where = compile_condition(remove.where) if remove.where else None

    def run(draft: Draft) -> None:
        found = draft.named(place)
        draft.remove([line for line in found if where is None or draft.holds(where, line)])

    return run


def _remove_repetitions(remove: Remove) -> Action:
    place = read_place(remove.repetition or "")
    where = compile_condition(remove.where) if remove.where else None

    def run(draft: Draft) -> None:
        mark = draft.marks.repetition
        for line in draft.named(place):
            parts = field_of(line, place.field, draft.marks).split(mark)
            kept = [
                part
                for at, part in enumerate(parts, 1)
                if not (_is_meant(at, place.repetition, len(parts)) and _holds(draft, where, line, part))
            ]
            if len(kept) < len(parts) and any(parts):
                write(draft, Spot(line, place, 0), mark.join(kept))

    return run


def _is_meant(at: int, repetition: int, count: int) -> bool:
    return repetition in (0, ALL) or at == (count if repetition == LAST else repetition)


def _holds(draft: Draft, where: Condition | None, line: Line, part: str) -> bool:
    return where is None or draft.holds(where, line, part)
