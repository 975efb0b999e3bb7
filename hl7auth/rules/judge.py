"""What is wrong with the raw value of one field, wherever it stands.

Imports wire and rules only.
"""

from collections.abc import Iterator

from hl7auth.rules.judge_element import judge_components, judge_text
from hl7auth.rules.mend import mend_cardinality, mend_delete, mend_type, mend_usage
from hl7auth.rules.place import Scene
from hl7auth.rules.profile_words import Verb
from hl7auth.rules.rule import FieldRule, Verdict, milder
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.message import NULL, part

MAX_VERDICTS = 10
"""Verdicts on one field: ten wrong repetitions tell as much as ten thousand."""

__all__ = ["Verdict", "judge", "milder"]


def judge(rule: FieldRule, raw: str, marks: Delimiters, scene: Scene | None = None) -> tuple[Verdict, ...]:
    """What is wrong with a raw value, wherever it stands: a pure function of the rule, the text and the delimiters.

    Only what a profile makes depend on other places needs the scene; without one it is not judged. No verdict is worse
    than the severity of the field, unless the profile says so of that kind of rule.
    """
    if rule.usage == "IX":
        return ()
    if _is_right(rule, raw, marks):
        return ()
    return tuple(_verdicts(rule, raw, marks, scene))


def _is_right(rule: FieldRule, raw: str, marks: Delimiters) -> bool:
    """True for nearly all good values; what is left takes a closer look."""
    limits = rule.limits
    if limits is None or marks.repetition in raw or (rule.length is not None and len(raw) > rule.length):
        return False
    if rule.types.check(rule.datatype, raw, marks):
        return False
    if not limits and not rule.codes:
        return True
    parts = raw.split(marks.component) if marks.component in raw else [raw]
    if rule.codes is not None and parts[0] and parts[0] not in rule.codes:
        return False
    count = len(parts)
    for at, length, codes, wanted, composite in limits:
        text = parts[at] if at < count else ""
        if not text:
            if wanted:
                return False
        elif (
            (length is not None and len(text) > length)
            or (codes is not None and text not in codes)
            or (composite and (not marks.subcomponent or marks.subcomponent in text))
            or text[0] == marks.subcomponent
        ):
            return False
    return True


def _own_severity(rule: FieldRule, verdict: Verdict) -> Verdict:
    element = verdict.element or rule
    return verdict._replace(severity=element.severity_of(verdict.kind, verdict.severity), element=element)


def _verdicts(rule: FieldRule, raw: str, marks: Delimiters, scene: Scene | None) -> list[Verdict]:
    if rule.beyond:
        return [_own_severity(rule, _beyond(rule))]
    mark = marks.repetition
    # a trailing separator says nothing (chapter 2, 2.6)
    repetitions = raw.rstrip(mark).split(mark) if mark and mark in raw else [raw]
    about_all = (*_unwanted(rule), *_counted(rule, repetitions), *_half_deleted(rule, repetitions))
    verdicts = [_own_severity(rule, each) for each in about_all]
    for number, repetition in enumerate(repetitions, start=1):
        if repetition and repetition != NULL:
            verdicts += [
                _own_severity(rule, each) for each in _judge_repetition(rule, repetition, marks, number, scene)
            ]
        if len(verdicts) > MAX_VERDICTS:
            listed, behind = verdicts[:MAX_VERDICTS], verdicts[MAX_VERDICTS:]
            known = any(each.severity == "error" for each in listed)
            # what is left out hides no error
            verdicts = listed + ([] if known else [each for each in behind if each.severity == "error"][:1])
            if known or len(verdicts) > MAX_VERDICTS:
                break
    return verdicts


def _unwanted(rule: FieldRule) -> Iterator[Verdict]:
    """A value where there shall be none: SHALL NOT an error, withdrawn a warning, kept for old receivers a note."""
    name, mend = f"{rule.path}.usage", mend_usage(rule, present=True)
    if rule.verb is Verb.SHALL_NOT:
        text = f"{rule.path} is not used in this version"
        yield Verdict(name, "error", "207", text, kind="usage", category="usage", mend=mend)
    elif rule.withdrawn:
        text = f"{rule.path} is not used in this version"
        yield Verdict(name, "warning", "207", text, kind="usage", category="usage", mend=mend)
    elif rule.usage == "B":
        text = f"{rule.path} {rule.name} is there for older receivers alone (B)"
        yield Verdict(name, "information", "207", text, kind="usage", category="usage", mend=mend)


def _counted(rule: FieldRule, repetitions: list[str]) -> Iterator[Verdict]:
    count = len(repetitions)
    name, mend = f"{rule.path}.cardinality", mend_cardinality(rule.path, rule.min, rule.max)
    if rule.max is not None and count > rule.max:
        text = f"{rule.path} {rule.name} may occur {rule.max} time(s) and occurs {count} times"
        yield Verdict(name, "error", "198", text, kind="cardinality", category="cardinality", mend=mend)
    if rule.min > 1 and repetitions != [NULL] and (valued := sum(map(bool, repetitions))) < rule.min:
        text = f"{rule.path} {rule.name} must occur {rule.min} time(s) and occurs {valued} time(s)"
        yield Verdict(name, "error", "198", text, kind="cardinality", category="cardinality", mend=mend)


def _half_deleted(rule: FieldRule, repetitions: list[str]) -> Iterator[Verdict]:
    """A delete value beside others. A repeating field is sent whole, and `""` alone deletes it (chapter 2, 2.10.5);
    among values nobody can tell what goes. Where the field comes once, that there are two is what is wrong."""
    if len(repetitions) > 1 and NULL in repetitions and (rule.max is None or len(repetitions) <= rule.max):
        text = f'{rule.path} {rule.name} has a delete value ("") among its repetitions: nobody can tell what it deletes'
        at, mend = repetitions.index(NULL) + 1, mend_delete(rule)
        yield Verdict(f"{rule.path}.delete", "error", "198", text, at, kind="delete", category="cardinality", mend=mend)


def _judge_repetition(
    rule: FieldRule, raw: str, marks: Delimiters, number: int, scene: Scene | None
) -> Iterator[Verdict]:
    for fault in rule.types.check(rule.datatype, raw, marks):
        if fault.component in rule.retyped:
            continue
        text = f"{rule.path} {rule.name} {fault.text}"
        yield Verdict(
            f"{rule.path}.type",
            "error" if fault.severity == "E" else "warning",
            "102",
            text,
            number,
            fault.component,
            fault.subcomponent,
            "type",
            fault.category,
            mend=mend_type(rule.path, fault.datatype or rule.datatype, fault.category),
        )
    place = (number, 0, 0)
    yield from judge_text(rule, raw, part(raw, marks.component, 1), marks, place)
    if rule.components:
        yield from judge_components(rule, raw, (marks.component, marks.subcomponent), marks, place, scene)


def _beyond(rule: FieldRule) -> Verdict:
    """A field that this version has not. An action code must not vanish: else what a D deletes would be stored."""
    mend = mend_usage(rule, present=True)
    if rule.path == "AUT-29":
        text = "AUT-29 Action Code has a value, but does not exist before 2.8; it can not be left out of account"
        return Verdict("AUT-29.unexpected", "error", "199", text, kind="unexpected", category="extra", mend=mend)
    text = f"{rule.path} does not exist in this version and is left out of account"
    return Verdict(f"{rule.path}.unexpected", "warning", "199", text, kind="unexpected", category="extra", mend=mend)
