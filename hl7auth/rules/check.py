"""The check: one pass over a message that reports everything its profile has to say.

Imports wire and rules only.
"""

from collections.abc import Iterator
from typing import NamedTuple

from hl7auth.rules import structure
from hl7auth.rules.compiled import CompiledProfile, ComponentRule, FieldRule, SegmentRules, Verdict
from hl7auth.rules.datatypes import TypeChecker
from hl7auth.rules.profile import Severity, Verb
from hl7auth.wire.ack import Location, Problem
from hl7auth.wire.message import NULL, Message, Segment, part

_REMEMBERED_LENGTH = 256
"""Longer values (documents, narratives) do not repeat: to remember them would only cost memory."""

_REMEMBERED_VALUES = 2_000
"""A field with more different values than this holds identifiers: remembering starts afresh."""


class Finding(NamedTuple):
    """One thing to say about a message: `AUT[2]-6.1` breaks `rule`, at these bytes of it, for this reason.

    `code` is of table 0357; `start` and `end` are byte offsets in the received message.
    """

    rule: str
    severity: Severity
    path: str
    text: str
    code: str
    location: Location
    start: int
    end: int

    @property
    def problem(self) -> Problem:
        """The finding as an ERR says it."""
        return Problem(self.code, self.text, self.location, "E" if self.severity == "error" else "W", self.rule)


def finding_entry(finding: Finding) -> dict[str, object]:
    """A finding as the store and the command line show it."""
    return {
        "rule": finding.rule,
        "severity": finding.severity,
        "path": finding.path,
        "text": finding.text,
        "code": finding.code,
        "bytes": [finding.start, finding.end],
    }


NOTES = {
    "start-block-missing": "the frame had no start block",
    "end-block-without-cr": "the frame did not end with FS CR",
    "byte-order-mark": "a byte order mark stood before the message",
    "noise-before-start": "bytes outside of frames were skipped before the message",
    "segment-end-not-cr": "segments end with a line feed instead of a carriage return",
    "line-feed-in-data": "a line feed stands inside a segment",
    "indented-segment": "a segment is indented",
    "line-is-no-segment": "a line that is no segment was left out",
    "undeclared-charset": "bytes beyond ASCII without a character set in MSH-18",
    "undecodable-bytes": "bytes that the declared character set does not have",
}


def check(message: Message, profile: CompiledProfile, layout: structure.Layout | None) -> list[Finding]:
    """All findings of a message, in its order: what was tolerated, its structure, its fields."""
    findings = [_note(message, note) for note in message.notes]
    if layout is not None and layout.faults:
        findings += _structure_findings(message, profile, layout)
    seen: dict[str, int] = {}
    for segment in message.segments:
        name = segment.name
        seen[name] = occurrence = seen.get(name, 0) + 1
        rules = profile.segments.get(name)
        if rules is not None:
            findings += _check_segment(message, segment, occurrence, rules)
    return findings


def _check_segment(message: Message, segment: Segment, occurrence: int, rules: SegmentRules) -> list[Finding]:
    findings: list[Finding] = []
    fields, memory, known = segment.fields, rules.memory(segment.delimiters), len(rules.fields)
    for number in range(3 if segment.name == "MSH" else 1, len(fields)):
        raw = fields[number]
        if not raw:
            continue
        if number >= known:
            findings.append(_surplus(message, segment, occurrence, number))
            continue
        verdicts = memory[number].get(raw)
        if verdicts is None:
            verdicts = _judge(rules.fields[number], raw, segment, rules.types)
            if len(raw) <= _REMEMBERED_LENGTH:
                if len(memory[number]) >= _REMEMBERED_VALUES:
                    memory[number].clear()
                memory[number][raw] = verdicts
        for verdict in verdicts:
            findings.append(_at_field(message, segment, occurrence, number, verdict))
    for rule in rules.demanded:
        if not (rule.number < len(fields) and fields[rule.number]):
            findings += _missing(message, segment, occurrence, rule)
    for statement in rules.statements:
        if not statement.holds(message, segment):
            verdict = Verdict(statement.id, statement.severity, "199", statement.text)
            findings.append(_at_field(message, segment, occurrence, 0, verdict))
    return findings


def _missing(message: Message, segment: Segment, occurrence: int, rule: FieldRule) -> Iterator[Finding]:
    """SHALL is an error, SHOULD a warning whatever the cardinality says; a condition decides when it is true."""
    if rule.condition is not None and rule.verb is Verb.MAY:
        if not rule.condition(message, segment):
            return
        text = f"{rule.path} {rule.name} is required in this message and is empty"
    elif rule.verb is Verb.MAY:
        return
    else:
        text = f"{rule.path} {rule.name} {rule.verb} have a value and is empty"
    severity: Severity = "warning" if rule.verb is Verb.SHOULD else rule.severity
    verdict = Verdict(f"{rule.path}.usage", severity, "101", text)
    yield _at_field(message, segment, occurrence, rule.number, verdict)


def _judge(rule: FieldRule, raw: str, segment: Segment, types: TypeChecker) -> tuple[Verdict, ...]:
    """What is wrong with a raw value, wherever it stands: a pure function of the rule, the text and the delimiters."""
    if rule.beyond:
        return (_beyond(rule),)
    verdicts: list[Verdict] = []
    if rule.withdrawn or rule.verb is Verb.SHALL_NOT:
        severity: Severity = "error" if rule.verb is Verb.SHALL_NOT else "warning"
        verdicts.append(Verdict(f"{rule.path}.usage", severity, "207", f"{rule.path} is not used in this version"))
    mark = segment.delimiters.repetition
    repetitions = raw.split(mark) if mark and mark in raw else [raw]
    if rule.max is not None and len(repetitions) > rule.max:
        text = f"{rule.path} {rule.name} may occur {rule.max} time(s) and occurs {len(repetitions)} times"
        verdicts.append(Verdict(f"{rule.path}.cardinality", rule.severity, "198", text))
    for number, repetition in enumerate(repetitions, start=1):
        if repetition and repetition != NULL:
            verdicts += _judge_repetition(rule, repetition, segment, number, types)
    return tuple(verdicts)


def _judge_repetition(
    rule: FieldRule, raw: str, segment: Segment, number: int, types: TypeChecker
) -> Iterator[Verdict]:
    marks = segment.delimiters
    for fault in types.check(rule.datatype, raw, marks):
        severity: Severity = rule.severity if fault.severity == "E" else "warning"
        text = f"{rule.path} {rule.name} {fault.text}"
        yield Verdict(f"{rule.path}.type", severity, "102", text, number, fault.component, fault.subcomponent)
    first = part(raw, marks.component, 1)
    if rule.codes is not None and first and first != NULL and first not in rule.codes:
        text = f"{rule.path} {rule.name} is not in table {rule.table}"
        worst: Severity = "warning" if rule.severity == "warning" else rule.code_severity
        yield Verdict(f"{rule.path}.table", worst, "103", text, number)
    yield from _lengths(rule, raw, segment, number)
    for component in rule.components:
        yield from _judge_component(rule, component, part(raw, marks.component, component.number), number)


def _lengths(rule: FieldRule, raw: str, segment: Segment, number: int) -> Iterator[Verdict]:
    """A breach of length is a warning: the value is kept whole (chapter 2, 2.4.5)."""
    if rule.length is not None and len(raw) > rule.length:
        text = f"{rule.path} {rule.name} is longer than {rule.length} characters"
        yield Verdict(f"{rule.path}.length", "warning", "104", text, number)
    cut = segment.delimiters.truncation
    if cut and rule.truncated_at and raw.endswith(cut):
        yield Verdict(
            f"{rule.path}.truncated", "warning", "104", f"{rule.path} {rule.name} was cut by the sender", number
        )


def _judge_component(rule: FieldRule, component: ComponentRule, text: str, number: int) -> Iterator[Verdict]:
    place = f"{rule.path}.{component.number}"
    if not text:
        if component.verb in (Verb.SHALL, Verb.SHOULD):
            severity: Severity = "warning" if component.verb is Verb.SHOULD else component.severity
            yield Verdict(
                f"{place}.usage", severity, "101", f"{place} {component.verb} have a value", number, component.number
            )
        return
    if component.length is not None and len(text) > component.length:
        text = f"{place} is longer than {component.length} characters"
        yield Verdict(f"{place}.length", "warning", "104", text, number, component.number)
    if component.codes is not None and text != NULL and text not in component.codes:
        text = f"{place} is not in table {component.table}"
        yield Verdict(f"{place}.table", component.severity, "103", text, number, component.number)


def _beyond(rule: FieldRule) -> Verdict:
    """A field that this version has not. An action code must not vanish: an old receiver would store what a D deletes."""
    if rule.path == "AUT-29":
        text = "AUT-29 Action Code has a value, but does not exist before 2.8; it can not be left out of account"
        return Verdict("AUT-29.unexpected", "error", "199", text)
    text = f"{rule.path} does not exist in this version and is left out of account"
    return Verdict(f"{rule.path}.unexpected", "warning", "199", text)


def _surplus(message: Message, segment: Segment, occurrence: int, number: int) -> Finding:
    path = f"{segment.name}-{number}"
    verdict = Verdict(f"{path}.unexpected", "warning", "199", f"{path} does not exist in this version")
    return _at_field(message, segment, occurrence, number, verdict)


def _at_field(message: Message, segment: Segment, occurrence: int, number: int, verdict: Verdict) -> Finding:
    repetition, component, sub = verdict.repetition, verdict.component, verdict.subcomponent
    path = segment.name if occurrence == 1 else f"{segment.name}[{occurrence}]"
    path += f"-{number}" if number else ""
    path += f"[{repetition}]" if repetition > 1 else ""
    path += f".{component}" if component else ""
    path += f".{sub}" if sub else ""
    location = Location(segment.name, occurrence, number, repetition, component, sub)
    start, end = _span(segment, number, repetition, component)
    rule, severity, code, text = verdict[:4]
    return Finding(rule, severity, path, text, code, location, *message.byte_range(start, end))


def _span(segment: Segment, number: int, repetition: int, component: int) -> tuple[int, int]:
    """Where a place lies in the text; a place that is not there is the point where it would begin."""
    if number == 0:
        return segment.start, segment.start + len(segment.text)
    fields = segment.fields
    first = 2 if segment.name == "MSH" else 1  # MSH-1 is the separator itself
    start = segment.start + sum(len(field) + 1 for field in fields[:number]) - (2 if first == 2 else 0)
    if number >= len(fields):
        end = segment.start + len(segment.text)
        return end, end
    text, marks = fields[number], segment.delimiters
    for mark, place in ((marks.repetition, repetition), (marks.component, component)):
        if place > 1 or (place and mark in text):
            parts = text.split(mark) if mark else [text]
            start += sum(len(each) + 1 for each in parts[: place - 1])
            text = parts[place - 1] if place <= len(parts) else ""
    return start, start + len(text)


def _note(message: Message, note: str) -> Finding:
    location = Location("MSH")
    return Finding(f"wire.{note}", "warning", "MSH", NOTES.get(note, note), "199", location, 0, len(message.raw))


def _structure_findings(message: Message, profile: CompiledProfile, layout: structure.Layout) -> Iterator[Finding]:
    for kind, index, name in layout.faults:
        occurrence = sum(segment.name == name for segment in message.segments[: index + 1])
        segment = message.segments[max(index, 0)]
        start, end = message.byte_range(segment.start, segment.start + len(segment.text))
        if kind is structure.Fault.MISSING:
            occurrence, start = occurrence + 1, end
        severity, code, text = _structure_verdict(kind, name, profile)
        path = name if occurrence <= 1 else f"{name}[{occurrence}]"
        yield Finding(f"structure.{kind}", severity, path, text, code, Location(name, max(occurrence, 1)), start, end)


def _structure_verdict(kind: structure.Fault, name: str, profile: CompiledProfile) -> tuple[Severity, str, str]:
    severity: Severity = "error" if name in profile.essential else "warning"
    if kind is structure.Fault.UNKNOWN:
        # receivers ignore what they do not know (chapter 2, 2.10)
        return "warning", "199", f"{name} is not part of this message structure and is left out of account"
    if kind is structure.Fault.TOO_MANY:
        return severity, "198", f"{name} occurs more often than the message structure allows"
    if kind is structure.Fault.MISSING:
        return severity, "100", f"{name} is required here and is missing"
    return severity, "100", f"{name} is out of place in the message structure"
