"""The verbs of a destination: version and character set, and what a version demands.

Imports wire and steps only.

Not every difference between versions is here: what a version has no place for can be set, moved or removed by steps.
"""

from collections.abc import Sequence

from hl7auth.steps.draft import Draft
from hl7auth.steps.edit import write
from hl7auth.steps.faults import StepRefused
from hl7auth.steps.forms import Charset, Version
from hl7auth.steps.line import Line, Spot, field_of
from hl7auth.steps.place import Place, read_place
from hl7auth.steps.values import Action
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.message import NULL, part
from hl7auth.wire.versions import at_least

ACTION_CODES = (read_place("AUT-29"), read_place("RF1-25"))
"""Table 0206 in referral messages, from 2.8. An older receiver would take a single change for the whole state."""
ACTIONS_FROM = "2.8"
LAST_FIELDS = {
    "AUT": (("2.8", 29), ("2.7", 12), ("2.3", 10)),
    "RF1": (("2.8", 25), ("2.6", 12), ("2.3", 11)),
}
"""How many fields a segment has from which version on (chapter 11)."""
COUNTS = (read_place("AUT-8"), read_place("AUT-9"))
"""Numbers up to 2.6, quantities with units from 2.7."""
UNITS_FROM = "2.7"
ERL_FROM = "2.5"
TRUNCATION_FROM = "2.7"
_MSH_12, _MSH_18 = read_place("MSH-12.1"), read_place("MSH-18")


def compile_version(step: str | Version, label: str) -> Action:
    """`version`: MSH-12 and what goes with it. Raises StepRefused for a valued action code where it may not go."""
    wanted = Version(to=step) if isinstance(step, str) else step
    acts, counts = at_least(wanted.to, ACTIONS_FROM), at_least(wanted.to, UNITS_FROM)

    def run(draft: Draft) -> None:
        write(draft, Spot(draft.header, _MSH_12, 1), wanted.to)
        if not acts:
            _leave_out_actions(draft, wanted.action_codes)
        if wanted.beyond == "cut":
            _cut_fields(draft, wanted.to)
            if not counts:
                _cut_units(draft)
        if wanted.err == "convert":
            _convert_errors(draft, located=at_least(wanted.to, ERL_FROM))
        if draft.marks.truncation and not at_least(wanted.to, TRUNCATION_FROM):
            draft.remark(label, "version", f"{wanted.to} knows no truncation character", "MSH-2")

    return run


def compile_charset(step: str | Charset) -> Action:
    """`charset`: the bytes of the whole message, written when all steps have run, and MSH-18."""
    wanted = Charset(to=step) if isinstance(step, str) else step

    def run(draft: Draft) -> None:
        draft.charset, draft.strict_charset = wanted.to, wanted.lacking == "refuse"
        write(draft, Spot(draft.header, _MSH_18, 0), wanted.to)

    return run


def _leave_out_actions(draft: Draft, what: str) -> None:
    for place in ACTION_CODES:
        for line in _all(draft, place):
            spot = Spot(line, place, 0)
            if field_of(line, place.field, draft.marks) in ("", NULL):
                continue
            if what == "refuse":
                raise StepRefused("an action code can not be sent below 2.8", location=draft.location(spot))
            write(draft, spot, "")


def _cut_fields(draft: Draft, version: str) -> None:
    mark = draft.marks.field
    for line in draft.lines:
        if line.name in LAST_FIELDS:
            count = next(count for since, count in LAST_FIELDS[line.name] if at_least(version, since))
            draft.rewrite(line, mark.join(line.text.split(mark)[: count + 1]))


def _cut_units(draft: Draft) -> None:
    for place in COUNTS:
        for line in _all(draft, place):
            raw = field_of(line, place.field, draft.marks)
            write(draft, Spot(line, place, 0), part(raw, draft.marks.component, 1))


def _all(draft: Draft, place: Place) -> list[Line]:
    return [line for line in draft.lines if line.name == place.segment]


def _convert_errors(draft: Draft, *, located: bool) -> None:
    """Errors in the other form: ERR-1 with all of them, or an ERR for each with its place in ERR-2."""
    marks = draft.marks
    found = [line for line in draft.lines if line.name == "ERR"]
    if located:
        old = [line for line in found if field_of(line, 1, marks) and not field_of(line, 3, marks)]
        for line in old:
            first, *more = _located(field_of(line, 1, marks), marks)
            rest = marks.field.join(line.text.split(marks.field)[5:])
            draft.rewrite(line, first + (marks.field + rest if rest else ""))
            for text in reversed(more):
                draft.insert(text, [line])
        return
    new = [line for line in found if field_of(line, 3, marks)]
    if new:
        draft.rewrite(new[0], f"ERR{marks.field}{marks.repetition.join(_together(new, marks))}")
        draft.remove(new[1:])


def _located(raw: str, marks: Delimiters) -> list[str]:
    """ERR-1, as `AUT^1^2^101&Required field missing&HL70357`, to an ERR with ERR-2, ERR-3 and ERR-4 each."""
    errors = []
    for each in raw.split(marks.repetition):
        parts = each.split(marks.component)
        place = marks.component.join(parts[:3]).rstrip(marks.component)
        code = marks.component.join(_split(parts[3] if len(parts) > 3 else "", marks.subcomponent))
        errors.append(marks.field.join(("ERR", "", place, code, "E")))
    return errors


def _together(lines: Sequence[Line], marks: Delimiters) -> list[str]:
    """The repetitions of an ERR-1 from ERR-2 and ERR-3 of several ERR."""
    errors = []
    for line in lines:
        code = field_of(line, 3, marks).split(marks.component)[:3]
        said = marks.subcomponent.join(code) if marks.subcomponent else code[0]
        for place in field_of(line, 2, marks).split(marks.repetition):
            parts = (*place.split(marks.component), "", "", "")[:3]
            errors.append(marks.component.join((*parts, said)))
    return errors


def _split(text: str, mark: str) -> list[str]:
    return text.split(mark) if mark else [text]
