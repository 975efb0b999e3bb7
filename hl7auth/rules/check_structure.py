"""What a check says of the message around its fields: what was tolerated on the wire, and the places of segments.

Imports wire and rules only.
"""

from collections.abc import Iterator

from hl7auth.rules import structure
from hl7auth.rules.compiled import CompiledProfile
from hl7auth.rules.dictionary import Node
from hl7auth.rules.finding import Category, Finding, Severity
from hl7auth.rules.rule import short
from hl7auth.rules.section import section_of
from hl7auth.wire.ack import Location
from hl7auth.wire.message import Message

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
_MENDS = {
    "start-block-missing": "Begin every frame with the byte 0B.",
    "end-block-without-cr": "End every frame with the bytes 1C 0D.",
    "byte-order-mark": "Send no byte order mark: MSH-18 says what the characters are.",
    "noise-before-start": "Send nothing between frames.",
    "segment-end-not-cr": "End every segment with a carriage return (0D) alone.",
    "line-feed-in-data": "Write a line break inside of data as \\.br\\ or \\X0A\\.",
    "indented-segment": "Begin every segment with its name.",
    "line-is-no-segment": "Leave out lines that do not begin with the name of a segment and a field separator.",
    "undeclared-charset": "Name the character set in MSH-18.",
    "charset-name-not-in-table": "Spell the character set in MSH-18 as table 0211 does.",
    "start-block-repeated": "Begin every frame with one byte 0B.",
    "undecodable-bytes": "Write the message in the character set that MSH-18 names.",
}
_CONTENT = frozenset({"line-is-no-segment", "undecodable-bytes", "noise-before-start", "line-feed-in-data"})
_CATEGORIES: dict[structure.Fault, Category] = {
    structure.Fault.UNKNOWN: "unexpected",
    structure.Fault.TOO_MANY: "cardinality",
    structure.Fault.MISSING: "usage",
    structure.Fault.OUT_OF_PLACE: "structure",
}


def note_finding(message: Message, profile: CompiledProfile, note: str) -> Finding:
    """What was tolerated, as a warning on the message."""
    rule, location = f"wire.{note}", Location("MSH")
    severity = profile.severity_of(rule, "warning")
    finding = Finding(rule, severity, "MSH", NOTES.get(note, note), "199", location, 0, len(message.raw))
    category: Category = "invalid content" if note in _CONTENT else "format"
    return finding._replace(category=category, line=1, standard="HL7 chapter 2", mend=_MENDS.get(note, ""))


def structure_findings(
    message: Message, profile: CompiledProfile, layout: structure.Layout, most: int
) -> Iterator[Finding]:
    """The first so many, and the first error behind them."""
    counts: dict[str, int] = {}
    header = message.header
    root = profile.root_of(profile.structure_of(header.message_type, header.trigger_event) or "")
    reached = 0
    for listed, fault in enumerate(layout.faults):
        for segment in message.segments[reached : fault.index + 1]:
            counts[segment.name] = counts.get(segment.name, 0) + 1
        reached = max(reached, fault.index + 1)
        is_error = _severity(fault.fault, fault.name, profile) == "error"
        if listed <= most or is_error:
            yield _finding(message, profile, fault, counts.get(fault.name, 0), root)
        if listed > most and is_error:
            return


def _finding(
    message: Message, profile: CompiledProfile, fault: structure.StructureFault, occurrence: int, root: Node | None
) -> Finding:
    kind, name, segment = fault.fault, fault.name, message.segments[max(fault.index, 0)]
    start, end = message.byte_range(segment.start, segment.start + len(segment.text))
    if kind is structure.Fault.MISSING:
        occurrence, start = occurrence + 1, end
    code, text, mend = _verdict(kind, name, root)
    path = name if occurrence <= 1 else f"{name}[{occurrence}]"
    location = Location(name, max(occurrence, 1))
    finding = Finding(f"structure.{kind}", _severity(kind, name, profile), path, text, code, location, start, end)
    said = profile.profile.place("structure", "essential") if name in profile.essential else ""
    return finding._replace(
        category=_CATEGORIES[kind],
        line=max(fault.index, 0) + 1,
        source=short(said or profile.profile.place("segments", name)),
        standard=section_of(name, profile.version),
        mend=mend,
    )


def _severity(kind: structure.Fault, name: str, profile: CompiledProfile) -> Severity:
    usual: Severity = "error" if name in profile.essential else "warning"
    if kind is structure.Fault.UNKNOWN:
        # receivers ignore what they do not know (chapter 2, 2.10), and a Z segment is nobody's mistake
        usual = "information" if name.startswith("Z") else "warning"
    return profile.severity_of(f"structure.{kind}", usual)


def _verdict(kind: structure.Fault, name: str, root: Node | None) -> tuple[str, str, str]:
    """Code of table 0357, text, and what mends it."""
    if kind is structure.Fault.UNKNOWN:
        text = f"{name} is not part of this message structure and is left out of account"
        return "199", text, f"Leave {name} out, or agree on a profile that has it."
    if kind is structure.Fault.TOO_MANY:
        text = f"{name} occurs more often than the message structure allows"
        return "198", text, f"Send {name} once less often here, or in a group of its own."
    if kind is structure.Fault.MISSING:
        return "100", f"{name} is required here and is missing", f"Send {name} behind this segment."
    places = dict.fromkeys(_places(root, name, "", "")) if root is not None else {}
    where = ", or ".join(list(places)[:_TOLD]) or "where the message structure has it"
    return "100", f"{name} is out of place in the message structure", f"Send {name} {where}."


_TOLD = 3
"""Places that fit into a sentence."""


def _places(node: Node, name: str, behind: str, before: str) -> Iterator[str]:
    """Where the structure has a segment, `behind AUT and before PID`; for a group's first one, where the group is."""
    for number, child in enumerate(node.children):
        following = node.children[number + 1 : number + 2]
        after = _first_name(following[0]) if following else before if node.max == 1 else ""
        if child.children:
            yield from _places(child, name, behind, after)
        elif child.name == name:
            after = before if behind and not number else after
            said = (f"behind {behind}" if behind else "", f"before {after}" if after else "")
            yield " and ".join(filter(None, said))
        behind = _first_name(child)


def _first_name(node: Node) -> str:
    return _first_name(node.children[0]) if node.children else node.name
