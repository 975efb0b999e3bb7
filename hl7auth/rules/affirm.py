"""What a check has found to be right, for those who ask: one affirmative finding for each rule that was kept.

Imports wire and rules only.
"""

from collections.abc import Iterable, Iterator

from hl7auth.rules.compiled import CompiledProfile
from hl7auth.rules.finding import Category, Finding
from hl7auth.rules.place import Groups, Scene
from hl7auth.rules.rule import FieldRule, SegmentRules, Verdict
from hl7auth.rules.spot import at_place
from hl7auth.rules.structure import Layout
from hl7auth.wire.ack import Location
from hl7auth.wire.message import Message, Segment

MAX_AFFIRMATIONS = 20_000
"""More than the largest message of people has; a message that is made to have more is not worth the memory."""

_OPEN_TYPES = frozenset({"", "varies", "VARIES", "*", "ANY", "FT", "TX", "ED"})


def affirmations(
    message: Message, profile: CompiledProfile, layout: Layout | None, findings: Iterable[Finding]
) -> list[Finding]:
    """The rules that hold, in the order of the message. A field with a finding of the same rule has none for it."""
    broken = {(each.rule, each.location.segment, each.location.occurrence) for each in findings}
    groups = Groups(message, layout) if layout is not None else None
    found = list[Finding]()
    if layout is not None and not layout.faults:
        found.append(_of_structure(message))
    seen: dict[str, int] = {}
    for segment in message.segments:
        seen[segment.name] = occurrence = seen.get(segment.name, 0) + 1
        rules = profile.segments.get(segment.name)
        if rules is None:
            continue
        scene = Scene(message, segment, groups)
        for number, verdict in _kept(segment, rules, scene):
            if (verdict.rule, segment.name, occurrence) not in broken:
                found.append(at_place(message, segment, occurrence, number, verdict)._replace(severity="affirmative"))
        if len(found) > MAX_AFFIRMATIONS:
            break
    return found


def _of_structure(message: Message) -> Finding:
    text = "every segment is in its place, and none is missing"
    finding = Finding("structure", "affirmative", "MSH", text, "0", Location("MSH"), 0, len(message.raw))
    return finding._replace(category="structure", line=1)


def _kept(segment: Segment, rules: SegmentRules, scene: Scene) -> Iterator[tuple[int, Verdict]]:
    for rule in rules.fields[1:]:
        raw = segment.field(rule.number)
        if segment.name == "MSH" and rule.number < 3:
            continue
        if raw and rule.usage == "IX":
            yield rule.number, _verdict(rule, "usage", "usage", "is excluded from validation (IX)")
        elif raw and not rule.beyond and not rule.withdrawn:
            yield from ((rule.number, _verdict(rule, *said)) for said in _facets(rule))
        elif not raw and not rule.beyond and _must_be_empty(rule, scene):
            yield rule.number, _verdict(rule, "usage", "usage", "is empty, as it has to be")
    for statement in rules.statements:
        if not (statement.holds.asks_group and scene.groups is None):
            text = f"holds: {statement.text}"
            yield 0, Verdict(statement.id, "information", "0", text, category="constraint")


def _must_be_empty(rule: FieldRule, scene: Scene) -> bool:
    if rule.branches is None or rule.condition is None:
        return rule.usage == "X"
    if rule.condition.asks_group and scene.groups is None:
        return False
    return rule.branches[0 if rule.condition.test(scene) else 1] == "X"


def _facets(rule: FieldRule) -> Iterator[tuple[str, Category, str]]:
    """What can be right about a value that is there: kind, category and sentence."""
    if rule.asked_for:
        yield "usage", "predicate" if rule.branches else "usage", "is there, as it has to be"
    if rule.max is not None:
        yield "cardinality", "cardinality", f"occurs no more than {rule.max} time(s)"
    if rule.datatype not in _OPEN_TYPES:
        yield "type", "format", f"is right for its data type {rule.datatype}"
    if rule.length is not None or rule.shortest:
        yield "length", "length", "has a length that it may have"
    if rule.codes is not None:
        yield "table", "value set", f"is in table {rule.table}"
    if rule.constant is not None:
        yield "constant", "constraint", "is the value that the profile fixes"


def _verdict(rule: FieldRule, kind: str, category: Category, text: str) -> Verdict:
    said = f"{rule.path} {rule.name} {text}"
    return Verdict(f"{rule.path}.{kind}", "information", "0", said, kind=kind, category=category, element=rule)
