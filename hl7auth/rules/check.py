"""The check: one pass over a message that reports everything its profile has to say.

Imports wire and rules only.
"""

from collections.abc import Iterator
from typing import NamedTuple

from hl7auth.rules import structure
from hl7auth.rules.compiled import CompiledProfile, FieldRule, SegmentRules
from hl7auth.rules.judge import Verdict, judge, milder
from hl7auth.rules.profile import Severity, Verb
from hl7auth.wire.ack import Location, Problem
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.message import Message, Segment

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
        return Problem(
            self.code, self.text, self.location, {"error": "E", "warning": "W"}.get(self.severity, "I"), self.rule
        )


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


_COMMON = frozenset({"RF1", "PRD", "CTD", "IN1", "DG1", "PR1"})
"""Segments that repeat from message to message."""

MAX_FINDINGS = 200
"""Findings of one message: nobody reads more, and a bad message must not cost more to report than to read."""

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
    "charset-name-not-in-table": "the character set of MSH-18 is spelled in a way that table 0211 does not have",
    "start-block-repeated": "the start block came more than once",
    "undecodable-bytes": "bytes that the declared character set does not have",
}


def check(message: Message, profile: CompiledProfile, layout: structure.Layout | None) -> list[Finding]:
    """All findings of a message, in its order: what was tolerated, its structure, its fields."""
    findings = [_note(message, note) for note in message.notes]
    if layout is not None and layout.faults:
        findings += _structure_findings(message, profile, layout)
    known, good = profile.segments, profile.good_values(message.delimiters)
    seen: dict[str, int] = {}
    for segment in message.segments:
        name = segment.name
        seen[name] = occurrence = seen.get(name, 0) + 1
        # providers, plans and procedures come again and again: a whole segment that was good is good
        if name not in known or segment.text in good.segments:
            continue
        found = _check_segment(message, segment, occurrence, known[name], good.values[name])
        if found:
            findings += found
            if len(findings) > MAX_FINDINGS and any(finding.severity == "error" for finding in findings):
                break
            del findings[2 * MAX_FINDINGS :]
        elif name in _COMMON and known[name].stands_alone and len(segment.text) <= _REMEMBERED_LENGTH:
            if len(good.segments) >= _REMEMBERED_VALUES:
                good.segments.clear()
            good.segments.add(segment.text)
    return findings if len(findings) <= MAX_FINDINGS else [*findings[:MAX_FINDINGS], _too_many(findings)]


def _too_many(findings: list[Finding]) -> Finding:
    """Stands for what is not listed; an error if one of all is."""
    severity: Severity = "error" if any(finding.severity == "error" for finding in findings) else "warning"
    text = f"more than {MAX_FINDINGS} findings: not all of them are listed"
    return Finding("check.limit", severity, "MSH", text, "199", Location("MSH"), 0, 0)


def _check_segment(
    message: Message, segment: Segment, occurrence: int, rules: SegmentRules, good: list[set[str]]
) -> list[Finding]:
    fields, findings = segment.fields, list[Finding]()
    # nearly every value of a feed was seen before and is good: this is the loop that has to be short
    for number in [at for at, (raw, seen) in enumerate(zip(fields, good, strict=False)) if raw and raw not in seen]:
        findings += _check_field(message, segment, occurrence, rules.fields[number], good[number])
    count = len(fields)
    if good and count > len(good) and any(fields[len(good) :]):
        first = next(number for number in range(len(good), count) if fields[number])
        findings.append(_surplus(message, segment, occurrence, first))
    separators = segment.delimiters[1:]
    for number in rules.demanded:
        raw = fields[number] if number < count else ""
        if not raw or (raw[0] in separators and _says_nothing(raw, segment.delimiters)):
            findings += _missing(message, segment, occurrence, rules.fields[number])
    for statement in rules.statements:
        if not statement.holds(message, segment):
            verdict = Verdict(statement.id, statement.severity, "199", statement.text)
            findings.append(_at_field(message, segment, occurrence, 0, verdict))
    return findings


def _says_nothing(raw: str, marks: Delimiters) -> bool:
    """True for separators alone: all of them are trailing ones, which may as well be left out."""
    separators = f"{marks.component}{marks.repetition}{marks.subcomponent}"
    return raw[0] in separators and not raw.strip(separators)


def _check_field(message: Message, segment: Segment, occurrence: int, rule: FieldRule, good: set[str]) -> list[Finding]:
    raw = segment.fields[rule.number]
    marks = segment.delimiters
    verdicts = () if raw[0] in marks[1:] and _says_nothing(raw, marks) else judge(rule, raw, marks)
    if not verdicts and len(raw) <= _REMEMBERED_LENGTH:
        if len(good) >= _REMEMBERED_VALUES:
            good.clear()
        good.add(raw)
    return [_at_field(message, segment, occurrence, rule.number, verdict) for verdict in verdicts]


def _missing(message: Message, segment: Segment, occurrence: int, rule: FieldRule) -> Iterator[Finding]:
    """SHALL is an error, SHOULD a warning whatever the cardinality says; a condition decides when it is true."""
    if rule.condition is not None and rule.verb is Verb.MAY:
        if not rule.condition(message, segment):
            return
        text = f"{rule.path} {rule.name} is required in this message and is empty"
    else:
        text = f"{rule.path} {rule.name} {rule.verb} have a value and is empty"
    severity = milder("warning" if rule.verb is Verb.SHOULD else "error", rule.severity)
    verdict = Verdict(f"{rule.path}.usage", severity, "101", text)
    yield _at_field(message, segment, occurrence, rule.number, verdict)


def _surplus(message: Message, segment: Segment, occurrence: int, number: int) -> Finding:
    path = f"{segment.name}-{number}"
    text = f"{path} and what follows does not exist in this version"
    verdict = Verdict(f"{path}.unexpected", "warning", "199", text)
    return _at_field(message, segment, occurrence, number, verdict)


def _at_field(message: Message, segment: Segment, occurrence: int, number: int, verdict: Verdict) -> Finding:
    repetition, component, sub = verdict.repetition, verdict.component, verdict.subcomponent
    path = segment.name if occurrence == 1 else f"{segment.name}[{occurrence}]"
    path += f"-{number}" if number else ""
    path += f"[{repetition}]" if repetition > 1 else ""
    path += f".{component}" if component else ""
    path += f".{sub}" if sub else ""
    location = Location(segment.name, occurrence, number, repetition, component, sub)
    start, end = _span(segment, number, repetition, component, sub)
    rule, severity, code, text = verdict[:4]
    return Finding(rule, severity, path, text, code, location, *message.byte_range(start, end))


def _span(segment: Segment, number: int, repetition: int, component: int, sub: int) -> tuple[int, int]:
    """Where a place lies in the text; a place that is not there is the empty range where what is there ends."""
    if number == 0:
        return segment.start, segment.start + len(segment.text)
    fields, marks = segment.fields, segment.delimiters
    first = 2 if segment.name == "MSH" else 0  # MSH-1 is the separator itself
    start = segment.start + sum(len(field) + 1 for field in fields[:number]) - first
    if number >= len(fields):
        end = segment.start + len(segment.text)
        return end, end
    text = fields[number]
    for mark, place in ((marks.repetition, repetition), (marks.component, component), (marks.subcomponent, sub)):
        parts = text.split(mark) if place and mark else [text]
        if place > len(parts):
            return start + len(text), start + len(text)
        start += sum(len(each) + 1 for each in parts[: place - 1]) if place else 0
        text = parts[place - 1] if place else text
    return start, start + len(text)


def _note(message: Message, note: str) -> Finding:
    location = Location("MSH")
    return Finding(f"wire.{note}", "warning", "MSH", NOTES.get(note, note), "199", location, 0, len(message.raw))


def _structure_findings(message: Message, profile: CompiledProfile, layout: structure.Layout) -> Iterator[Finding]:
    """The first so many, and the first error behind them."""
    counts: dict[str, int] = {}
    reached = 0
    for listed, fault in enumerate(layout.faults):
        for segment in message.segments[reached : fault.index + 1]:
            counts[segment.name] = counts.get(segment.name, 0) + 1
        reached = max(reached, fault.index + 1)
        is_error = _structure_verdict(fault.fault, fault.name, profile)[0] == "error"
        if listed <= MAX_FINDINGS or is_error:
            yield _structure_finding(message, profile, fault, counts.get(fault.name, 0))
        if listed > MAX_FINDINGS and is_error:
            return


def _structure_finding(
    message: Message, profile: CompiledProfile, fault: structure.StructureFault, occurrence: int
) -> Finding:
    kind, name, segment = fault.fault, fault.name, message.segments[max(fault.index, 0)]
    start, end = message.byte_range(segment.start, segment.start + len(segment.text))
    if kind is structure.Fault.MISSING:
        occurrence, start = occurrence + 1, end
    severity, code, text = _structure_verdict(kind, name, profile)
    path = name if occurrence <= 1 else f"{name}[{occurrence}]"
    return Finding(f"structure.{kind}", severity, path, text, code, Location(name, max(occurrence, 1)), start, end)


def _structure_verdict(kind: structure.Fault, name: str, profile: CompiledProfile) -> tuple[Severity, str, str]:
    severity: Severity = "error" if name in profile.essential else "warning"
    if kind is structure.Fault.UNKNOWN:
        # receivers ignore what they do not know (chapter 2, 2.10), and a Z segment is nobody's mistake
        return (
            "information" if name.startswith("Z") else "warning",
            "199",
            f"{name} is not part of this message structure and is left out of account",
        )
    if kind is structure.Fault.TOO_MANY:
        return severity, "198", f"{name} occurs more often than the message structure allows"
    if kind is structure.Fault.MISSING:
        return severity, "100", f"{name} is required here and is missing"
    return severity, "100", f"{name} is out of place in the message structure"
