"""The check: one pass over a message that reports everything its profile has to say.

Imports wire and rules only.
"""

from collections.abc import Iterator

from hl7auth.rules import structure
from hl7auth.rules.affirm import affirmations
from hl7auth.rules.check_structure import NOTES, note_finding, structure_findings
from hl7auth.rules.compiled import CompiledProfile
from hl7auth.rules.finding import Classification, Finding, finding_entry
from hl7auth.rules.judge import judge
from hl7auth.rules.mend import mend_usage
from hl7auth.rules.place import Groups, Scene
from hl7auth.rules.rule import FieldRule, SegmentRules, StatementRule, Verdict
from hl7auth.rules.specification import specification_faults
from hl7auth.rules.spot import at_place
from hl7auth.wire.ack import Location
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.message import Message, Segment

__all__ = ["MAX_FINDINGS", "NOTES", "Finding", "check", "finding_entry"]

_REMEMBERED_LENGTH = 256
"""Longer values (documents, narratives) do not repeat: to remember them would only cost memory."""

_REMEMBERED_VALUES = 2_000
"""A field with more different values than this holds identifiers: remembering starts afresh."""

_COMMON = frozenset({"RF1", "PRD", "CTD", "IN1", "DG1", "PR1"})
"""Segments that repeat from message to message."""

MAX_FINDINGS = 200
"""Findings of one message: nobody reads more, and a bad message must not cost more to report than to read."""


def check(
    message: Message, profile: CompiledProfile, layout: structure.Layout | None, *, affirmative: bool = False
) -> list[Finding]:
    """All findings of a message, in its order: what was tolerated, its structure, its fields, and the message itself.

    With `affirmative` also what is right, and behind it the faults of the profile.
    """
    findings = [note_finding(message, profile, note) for note in message.notes]
    if layout is not None and layout.faults:
        findings += structure_findings(message, profile, layout, MAX_FINDINGS)
    groups = Groups(message, layout) if profile.asks_groups and layout is not None else None
    failed = any(finding.severity == "error" for finding in findings)
    known, good = profile.segments, profile.good_values(message.delimiters)
    seen: dict[str, int] = {}
    for segment in message.segments:
        name = segment.name
        seen[name] = occurrence = seen.get(name, 0) + 1
        # providers, plans and procedures come again and again: a whole segment that was good is good
        if name not in known or segment.text in good.segments:
            continue
        found = _check_segment(message, segment, occurrence, known[name], good.values[name], groups)
        if found:
            findings += found
            failed = failed or any(finding.severity == "error" for finding in found)
            if failed and len(findings) > MAX_FINDINGS:
                break
            del findings[2 * MAX_FINDINGS :]
        elif name in _COMMON and known[name].stands_alone and len(segment.text) <= _REMEMBERED_LENGTH:
            if len(good.segments) >= _REMEMBERED_VALUES:
                good.segments.clear()
            good.segments.add(segment.text)
    for statement in profile.statements:
        findings += _of_message(message, statement)
    listed = findings if len(findings) <= MAX_FINDINGS else [*findings[:MAX_FINDINGS], _too_many(findings)]
    if affirmative:
        listed += [*affirmations(message, profile, layout, findings), *specification_faults(profile)]
    return listed


def _too_many(findings: list[Finding]) -> Finding:
    """Stands for what is not listed; an error if one of all is."""
    severity: Classification = "error" if any(finding.severity == "error" for finding in findings) else "warning"
    text = f"more than {MAX_FINDINGS} findings: not all of them are listed"
    return Finding("check.limit", severity, "MSH", text, "199", Location("MSH"), 0, 0)


def _check_segment(
    message: Message,
    segment: Segment,
    occurrence: int,
    rules: SegmentRules,
    good: list[set[str]],
    groups: Groups | None,
) -> list[Finding]:
    fields, findings = segment.fields, list[Finding]()
    # nearly every value of a feed was seen before and is good: this is the loop that has to be short
    for number in [at for at, (raw, seen) in enumerate(zip(fields, good, strict=False)) if raw and raw not in seen]:
        for verdict in _judged(message, segment, rules.fields[number], good[number], groups):
            findings.append(at_place(message, segment, occurrence, number, verdict))
    count = len(fields)
    if good and count > len(good) and any(fields[len(good) :]):
        first = next(number for number in range(len(good), count) if fields[number])
        findings.append(_surplus(message, segment, occurrence, first, rules))
    missing: list[Verdict] | None = None
    separators = segment.delimiters[1:]
    for number in rules.demanded:
        raw = fields[number] if number < count else ""
        if not raw or (raw[0] in separators and _says_nothing(raw, segment.delimiters)):
            missing = [*(missing or ()), *_missing(Scene(message, segment, groups), rules.fields[number])]
    failed = _broken(rules, Scene(message, segment, groups)) if rules.statements else None
    if (missing or failed) and not rules.deletes(fields):
        findings += [at_place(message, segment, occurrence, _number(verdict), verdict) for verdict in missing or ()]
        findings += [_failed(message, segment, occurrence, statement) for statement in failed or ()]
    return findings


def _number(verdict: Verdict) -> int:
    return verdict.element.number if verdict.element else 0


def _says_nothing(raw: str, marks: Delimiters) -> bool:
    """True for separators alone: all of them are trailing ones, which may as well be left out."""
    separators = f"{marks.component}{marks.repetition}{marks.subcomponent}"
    return raw[0] in separators and not raw.strip(separators)


def _judged(
    message: Message, segment: Segment, rule: FieldRule, good: set[str], groups: Groups | None
) -> tuple[Verdict, ...]:
    raw, marks = segment.fields[rule.number], segment.delimiters
    if raw[0] in marks[1:] and _says_nothing(raw, marks):
        return ()
    if rule.needs_scene:
        scene = Scene(message, segment, groups, raw, (marks.component, marks.subcomponent))
        verdicts = (*judge(rule, raw, marks, scene), *_forbidden(rule, scene))
    else:
        verdicts = judge(rule, raw, marks)
    if not verdicts and len(raw) <= _REMEMBERED_LENGTH and not rule.contextual:
        if len(good) >= _REMEMBERED_VALUES:
            good.clear()
        good.add(raw)
    return verdicts


def _branch(rule: FieldRule, scene: Scene) -> str:
    """What usage holds here; nothing where the condition can not be evaluated, which is no fault of the message."""
    if rule.branches is None or rule.condition is None:
        return rule.usage
    if rule.condition.asks_group and scene.groups is None:
        return ""
    return rule.branches[0 if rule.condition.test(scene) else 1]


def _forbidden(rule: FieldRule, scene: Scene) -> Iterator[Verdict]:
    """A value where the condition says that there is none."""
    if rule.branches is not None and _branch(rule, scene) == "X":
        text = f"{rule.path} {rule.name} shall not have a value in this message"
        severity = rule.severity_of("usage", "error")
        mend = mend_usage(rule, present=True)
        yield Verdict(f"{rule.path}.usage", severity, "207", text, 0, 0, 0, "usage", "predicate", rule, mend)


def _missing(scene: Scene, rule: FieldRule) -> Iterator[Verdict]:
    """SHALL is an error, SHOULD a warning whatever the cardinality says; a condition decides when it is true."""
    usage = _branch(rule, scene)
    if usage not in ("R", "RE"):
        return
    if rule.branches is not None:
        text, by_condition = f"{rule.path} {rule.name} is required in this message and is empty", True
    else:
        text, by_condition = f"{rule.path} {rule.name} {rule.verb} have a value and is empty", False
    severity = rule.severity_of("usage", "warning" if usage == "RE" else "error")
    yield Verdict(
        f"{rule.path}.usage",
        severity,
        "101",
        text,
        kind="usage",
        category="predicate" if by_condition else "usage",
        element=rule,
        mend=mend_usage(rule, present=False),
    )


def _surplus(message: Message, segment: Segment, occurrence: int, number: int, rules: SegmentRules) -> Finding:
    path = f"{segment.name}-{number}"
    text = f"{path} and what follows does not exist in this version"
    mend = f"Leave out {path} and what follows."
    verdict = Verdict(f"{path}.unexpected", "warning", "199", text, category="extra", mend=mend)
    standard = rules.fields[0].standard[: -len(".1")]  # the section of the first field, without its number
    return at_place(message, segment, occurrence, number, verdict)._replace(standard=standard)


def _broken(rules: SegmentRules, scene: Scene) -> list[StatementRule]:
    """The statements that do not hold. Without the structure nobody knows the groups, and what asks for them holds."""
    return [
        each
        for each in rules.statements
        if not ((each.holds.asks_group and scene.groups is None) or each.holds.test(scene))
    ]


def _of_message(message: Message, statement: StatementRule) -> Iterator[Finding]:
    """The finding of a statement about the whole message, at the first segment that it names."""
    segment = message.first(statement.segment) or message.segments[0]
    if not statement.holds(message, segment):
        yield _failed(message, segment, 1, statement)


def _failed(message: Message, segment: Segment, occurrence: int, statement: StatementRule) -> Finding:
    verdict = Verdict(statement.id, statement.severity, "199", statement.text, category="constraint")
    finding = at_place(message, segment, occurrence, 0, verdict)
    mend = f"Make this true: {statement.holds.text}"
    return finding._replace(source=statement.where.source(), mend=mend)
