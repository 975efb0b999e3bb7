"""The verbs that change values: set, copy, move, split, join, translate, date and name, each compiled to a function.

Imports wire and steps only.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from hl7auth.steps import dates
from hl7auth.steps.draft import Draft, Unmapped
from hl7auth.steps.edit import read, spots, write
from hl7auth.steps.faults import UnmappedRefused, UnreadableRefused
from hl7auth.steps.forms import Copy, Date, Join, Name, Otherwise, Said, Split, Translate
from hl7auth.steps.line import Spot
from hl7auth.steps.literal import spoken
from hl7auth.steps.names import WORDS, NameFormat
from hl7auth.steps.place import Place, read_place
from hl7auth.steps.rows import apply
from hl7auth.steps.table import Table
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.message import NULL, part

Action = Callable[[Draft], None]
"""A compiled step. Raises StepRefused, or another Fault."""
_SILENT = ("", NULL)


def compile_set(values: dict[str, str | Said], label: str) -> Action:
    """`set`: the same value for each place."""
    pairs = [(read_place(place), value) for place, value in values.items()]

    def run(draft: Draft) -> None:
        for place, value in pairs:
            lines = draft.named(place)
            if not lines:
                draft.remark(label, "set", f"no {place.segment}: nothing set")
                continue
            raw = _raw(draft, value)
            for line in lines:
                for spot in spots(draft, line, place):
                    write(draft, spot, raw)

    return run


def compile_copy(copy: Copy, label: str, verb: str) -> Action:
    """`copy` and `move`: text from place to place as the sender wrote it."""
    source, target = read_place(copy.source), read_place(copy.to)

    def change(draft: Draft, found: Sequence[Spot], texts: Sequence[str]) -> list[str]:
        if verb == "move":
            write(draft, found[0], "")
        return [_first_part(texts[0], found[0], target, draft.marks)]

    def run(draft: Draft) -> None:
        if not apply(draft, (source,), (target,), change):
            draft.remark(label, verb, f"no {source.segment} or no {target.segment}: nothing written")

    return run


def compile_split(split: Split) -> Action:
    """`split`: as many parts as there are places, and no part is made up."""
    source, targets = read_place(split.source), tuple(map(read_place, split.to))

    def change(draft: Draft, _: Sequence[Spot], texts: Sequence[str]) -> list[str]:
        parts = _cut(draft.carried.meaning(texts[0]), draft.escaped(split.at), len(targets), draft.marks)
        return [draft.fit(each) for each in parts] if len(parts) > 1 else []

    return lambda draft: _run(draft, (source,), targets, change)


def compile_join(join: Join) -> Action:
    """`join`: the values that are there, in order."""
    sources, target = tuple(map(read_place, join.sources)), read_place(join.to)

    def change(draft: Draft, _: Sequence[Spot], texts: Sequence[str]) -> list[str]:
        values = [text for text in texts if text not in _SILENT]
        return [draft.escaped(join.between).join(values)] if values else []

    return lambda draft: _run(draft, sources, (target,), change)


def compile_translate(step: Translate, table: Table, name: str) -> Action:
    """`translate`: by exact value; what the table lacks is collected, under its `name`."""
    source = read_place(step.field).deep()
    target = read_place(step.to).deep() if step.to else source

    def change(draft: Draft, found: Sequence[Spot], texts: Sequence[str]) -> list[str | None]:
        value = draft.value(texts[0])
        if value in _SILENT:
            return []
        if value in table:
            return [draft.escaped(table[value])]
        location = draft.location(found[0])
        draft.unmapped.append(Unmapped(name, location, value))
        if step.unmapped == "refuse":
            raise UnmappedRefused(f"the table {name} does not have the value", location=location)
        if step.unmapped == "keep":
            return [None if target == source else texts[0]]
        return ["" if step.unmapped == "empty" else draft.escaped(step.unmapped)]

    return lambda draft: _run(draft, (source,), (target,), change)


def compile_date(step: Date, label: str) -> Action:
    """`date`: read in one format, written in another."""
    place = read_place(step.field).deep()
    read_date, write_date = dates.reader(step.source), dates.writer(step.to, fill=step.fill)

    def change(draft: Draft, found: Sequence[Spot], texts: Sequence[str]) -> list[str | None]:
        value = draft.value(texts[0])
        if value in _SILENT:
            return []
        parts = read_date(value)
        written = write_date(parts) if parts else None
        if written is None:
            return [_otherwise(draft, found[0], step.invalid, label, "date")]
        return [draft.escaped(written)]

    return lambda draft: _run(draft, (place,), (place,), change)


def compile_name(step: Name, label: str) -> Action:
    """`name`: the words of each repetition of the field."""
    place = read_place(step.field)
    reading = NameFormat(step.source) if step.source else None
    writing = NameFormat(step.to) if step.to else None
    skipped = 1 if step.type == "XCN" else 0

    def change(draft: Draft, spot: Spot, raw: str) -> str | None:
        marks = draft.marks
        parts = raw.split(marks.component)
        parts += [""] * (skipped + len(WORDS) - len(parts))
        words = parts[skipped : skipped + len(WORDS)]
        if reading is not None and not any(words[1:]):
            found = reading.read(words[0], draft.escaped)
            if found is None:
                return _otherwise(draft, spot, step.invalid, label, "name")
            words = found
        if step.case:
            words = [_cased(draft, word, step.case) for word in words]
        if writing is not None:
            plain = [part(word, marks.subcomponent, 1) for word in words]
            words = [writing.write(plain, draft.escaped)] + [""] * (len(WORDS) - 1)
        parts[skipped : skipped + len(WORDS)] = words
        kept = max(raw.count(marks.component) + 1 if writing is None else 0, _filled(parts))
        return marks.component.join(parts[:kept])

    def run(draft: Draft) -> None:
        for line in draft.named(place):
            every = place if place.repetition else place._replace(component=1)
            for spot in [each._replace(place=place) for each in spots(draft, line, every)]:
                raw = read(draft, spot)
                new = None if raw in _SILENT else change(draft, spot, raw)
                if new is not None:
                    write(draft, spot, new)

    return run


def _run(
    draft: Draft,
    sources: Sequence[Place],
    targets: Sequence[Place],
    change: Callable[[Draft, Sequence[Spot], Sequence[str]], Sequence[str | None]],
) -> None:
    apply(draft, sources, targets, change)


def _raw(draft: Draft, value: str | Said) -> str:
    if isinstance(value, Said):
        return spoken(draft, value.hl7) if value.hl7 is not None else draft.escaped(value.text or "")
    return draft.escaped(value)


def _first_part(text: str, source: Spot, target: Place, marks: Delimiters) -> str:
    """What of a text a smaller place can hold."""
    have = source.place.level or int(source.repetition > 0)
    for level, mark in ((1, marks.repetition), (2, marks.component), (3, marks.subcomponent)):
        if have < level <= target.level:
            text = part(text, mark, 1)
    return text


def _cut(text: str, separator: str, most: int, marks: Delimiters) -> list[str]:
    """Escaped text in parts, `most` of them at most; a separator within an escape sequence is none."""
    found: list[str] = []
    at = 0
    for match in _outside(separator, marks).finditer(text):
        if match[0] == separator and len(found) < most - 1:
            found.append(text[at : match.start()])
            at = match.end()
    return [*found, text[at:]]


def _cased(draft: Draft, text: str, case: str) -> str:
    """Escaped text in upper, lower or title case, escape sequences as they are."""
    if not text:
        return ""
    mark = draft.marks.escape
    parts = re.split(f"({re.escape(mark)}[^{re.escape(mark)}]*{re.escape(mark)})", draft.carried.meaning(text))
    parts[::2] = [str(getattr(each, case)()) for each in parts[::2]]
    return draft.fit("".join(parts))


@lru_cache(maxsize=256)
def _outside(separator: str, marks: Delimiters) -> re.Pattern[str]:
    mark = re.escape(marks.escape)
    return re.compile(f"{re.escape(separator)}|{mark}[^{mark}]*{mark}")


def _otherwise(draft: Draft, spot: Spot, what: Otherwise, label: str, verb: str) -> str | None:
    location = draft.location(spot)
    if what == "refuse":
        raise UnreadableRefused(f"the value is no {verb} of the form that the step reads", location=location)
    draft.remark(label, verb, "not of the form that the step reads", location)
    return "" if what == "empty" else None


def _filled(parts: Sequence[str]) -> int:
    """How many parts there are up to the last that is not empty."""
    return next((at for at in range(len(parts), 0, -1) if parts[at - 1]), 0)
