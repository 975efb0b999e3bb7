"""What is wrong with the raw value of one field, wherever it stands.

Imports wire and rules only.
"""

from collections.abc import Iterator

from hl7auth.rules.compiled import ComponentRule, FieldRule, Verdict
from hl7auth.rules.profile import Severity, Verb
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.message import NULL, part

MAX_VERDICTS = 10
"""Verdicts on one field: ten wrong repetitions tell as much as ten thousand."""

__all__ = ["Verdict", "judge"]


def judge(rule: FieldRule, raw: str, marks: Delimiters) -> tuple[Verdict, ...]:
    """What is wrong with a raw value, wherever it stands: a pure function of the rule, the text and the delimiters.

    No verdict is worse than the severity of the field.
    """
    short = rule.length is None or len(raw) <= rule.length
    if rule.plain and short and marks.repetition not in raw and not rule.types.check(rule.datatype, raw, marks):
        return ()
    return tuple(each._replace(severity=milder(each.severity, rule.severity)) for each in _verdicts(rule, raw, marks))


def milder(one: Severity, other: Severity) -> Severity:
    """The lesser of two severities."""
    return max(one, other, key=_ORDER.index)


_ORDER: list[Severity] = ["error", "warning", "information"]


def _verdicts(rule: FieldRule, raw: str, marks: Delimiters) -> list[Verdict]:
    if rule.beyond:
        return [_beyond(rule)]
    verdicts: list[Verdict] = []
    if rule.withdrawn or rule.verb is Verb.SHALL_NOT:
        severity: Severity = "error" if rule.verb is Verb.SHALL_NOT else "warning"
        verdicts.append(Verdict(f"{rule.path}.usage", severity, "207", f"{rule.path} is not used in this version"))
    mark = marks.repetition
    # a trailing separator says nothing (chapter 2, 2.6)
    repetitions = raw.rstrip(mark).split(mark) if mark and mark in raw else [raw]
    if rule.max is not None and len(repetitions) > rule.max:
        text = f"{rule.path} {rule.name} may occur {rule.max} time(s) and occurs {len(repetitions)} times"
        verdicts.append(Verdict(f"{rule.path}.cardinality", "error", "198", text))
    for number, repetition in enumerate(repetitions, start=1):
        if repetition and repetition != NULL:
            verdicts += _judge_repetition(rule, repetition, marks, number)
        if len(verdicts) > MAX_VERDICTS:
            listed, behind = verdicts[:MAX_VERDICTS], verdicts[MAX_VERDICTS:]
            known = any(each.severity == "error" for each in listed)
            # what is left out hides no error
            verdicts = listed + ([] if known else [each for each in behind if each.severity == "error"][:1])
            if known or len(verdicts) > MAX_VERDICTS:
                break
    return verdicts


def _judge_repetition(rule: FieldRule, raw: str, marks: Delimiters, number: int) -> Iterator[Verdict]:
    for fault in rule.types.check(rule.datatype, raw, marks):
        severity: Severity = "error" if fault.severity == "E" else "warning"
        text = f"{rule.path} {rule.name} {fault.text}"
        yield Verdict(f"{rule.path}.type", severity, "102", text, number, fault.component, fault.subcomponent)
    first = part(raw, marks.component, 1)
    if rule.codes is not None and first and first != NULL and first not in rule.codes:
        text = f"{rule.path} {rule.name} is not in table {rule.table}"
        yield Verdict(f"{rule.path}.table", rule.code_severity, "103", text, number)
    yield from _lengths(rule, raw, marks, number)
    for component in rule.components:
        yield from _judge_component(rule, component, part(raw, marks.component, component.number), number)


def _lengths(rule: FieldRule, raw: str, marks: Delimiters, number: int) -> Iterator[Verdict]:
    """A breach of length is a warning: the value is kept whole (chapter 2, 2.4.5)."""
    size = len(raw) - raw.count(marks.escape) if marks.escape else len(raw)  # the marks of an escape are not counted
    if rule.length is not None and size > rule.length:
        text = f"{rule.path} {rule.name} is longer than {rule.length} characters"
        yield Verdict(f"{rule.path}.length", "warning", "104", text, number)
    cut = marks.truncation
    if cut and rule.truncated_at and size >= rule.truncated_at and raw.endswith(cut):
        yield Verdict(
            f"{rule.path}.truncated", "warning", "104", f"{rule.path} {rule.name} was cut by the sender", number
        )


def _judge_component(rule: FieldRule, component: ComponentRule, text: str, number: int) -> Iterator[Verdict]:
    place = f"{rule.path}.{component.number}"
    if not text:
        if component.verb in (Verb.SHALL, Verb.SHOULD):
            severity: Severity = "warning" if component.verb is Verb.SHOULD else "error"
            yield Verdict(
                f"{place}.usage", severity, "101", f"{place} {component.verb} have a value", number, component.number
            )
        return
    if component.length is not None and len(text) > component.length:
        longer = f"{place} is longer than {component.length} characters"
        yield Verdict(f"{place}.length", "warning", "104", longer, number, component.number)
    if component.codes is not None and text != NULL and text not in component.codes:
        unknown = f"{place} is not in table {component.table}"
        yield Verdict(f"{place}.table", component.code_severity, "103", unknown, number, component.number)


def _beyond(rule: FieldRule) -> Verdict:
    """A field that this version has not. An action code must not vanish: else what a D deletes would be stored."""
    if rule.path == "AUT-29":
        text = "AUT-29 Action Code has a value, but does not exist before 2.8; it can not be left out of account"
        return Verdict("AUT-29.unexpected", "error", "199", text)
    text = f"{rule.path} does not exist in this version and is left out of account"
    return Verdict(f"{rule.path}.unexpected", "warning", "199", text)
