"""hl7apy's strict validation as a second opinion on every sample: what both can see, both see.

Compared are missing fields, missing and surplus segments, and fields that do not exist. hl7apy knows no conditions,
no lengths (all of its standard ones are unbounded), no statements, and calls every foreign code a warning.
"""

import re
from pathlib import Path

import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.exceptions import UnsupportedVersion, ValidationError
from hl7apy.parser import parse_message

from hl7auth.errors import Fault
from hl7auth.resources import shipped
from hl7auth.rules.check import check
from hl7auth.rules.compiled import CompiledProfile, compiled
from hl7auth.wire.message import Message, parse
from hl7auth.wire.versions import VERSIONS

FOLDER = shipped("sample_messages")
COMPARED = ("usage", "missing", "cardinality", "unexpected", "sequence")

# What one of the two says and the other does not, and why. A line of ours is its rule, one of hl7apy's its report.
DISAGREEMENTS = {
    "Missing required child IN1_3.CX_5": "CX-5 is R from 2.7 on; our dictionary has no usage of parts",
    "Missing required child OBX.OBX_4": "a slip of its tables: OBX-4 is conditional in every version",
    "structure.unexpected Z": "it takes any Z segment anywhere; to us it is information",
    "structure.sequence AUT": "it moves an AUT that stands behind PID into the group before it, and says nothing (P28)",
}


def readable(path: Path) -> Message | None:
    try:
        return parse(path.read_bytes())
    except Fault:
        return None


READ = {path.stem: message for path in sorted(FOLDER.glob("*.hl7")) if (message := readable(path)) is not None}
KNOWN = [
    name
    for name, message in READ.items()
    if message.header.version in VERSIONS
    and compiled("referral", message.header.version).structure_of(
        message.header.message_type, message.header.trigger_event
    )
]


def theirs(message: Message, structure: str, report: Path) -> list[str] | None:
    """The errors of hl7apy's report; None for a version that it does not have."""
    mark = message.delimiters.component
    first, *others = [segment.text for segment in message.segments]
    fields = first.split(message.delimiters.field)
    # without a structure in MSH-9.3 it finds no groups; 2.3 has no such component
    kind = [*fields[8].split(mark), "", ""][:2]
    fields[8] = mark.join(kind if message.header.version == "2.3" else [*kind, structure])
    text = "\r".join([message.delimiters.field.join(fields), *others]) + "\r"
    try:
        parsed = parse_message(text, find_groups=True, validation_level=VALIDATION_LEVEL.TOLERANT)
        parsed.validate(report_file=str(report))
    except UnsupportedVersion:
        return None
    except ValidationError:
        pass  # it raises the first of the errors, and the report has all of them
    found = report.read_text().splitlines()
    return [line.removeprefix("Error: ") for line in found if line.startswith("Error: ")]


def ours(message: Message, profile: CompiledProfile, structure: str) -> list[str]:
    """Our findings of the compared kinds."""
    layout = profile.layout(structure, tuple(segment.name for segment in message.segments))
    findings = check(message, profile, layout)
    return [f"{each.rule} {each.path}" for each in findings if each.rule.rpartition(".")[2] in COMPARED]


def place(line: str) -> str:
    """The segment, or `AUT-2`, that a line of either speaks of; of a group the segment that opens it."""
    if match := re.search(r"Missing required child ([A-Z0-9]{3})\.\1_(\d+)$", line):
        return f"{match[1]}-{match[2]}"
    if match := re.search(
        r"<Segment (\w+)>|exceeded \w+\.\w+?_(AUT|PRD|PR1)|child \w+?\.\w+?_(PROCEDURE|PROVIDER)", line
    ):
        return {"AUT": "AUT", "PROCEDURE": "PR1", "PROVIDER": "PRD"}.get(
            match[1] or match[2] or match[3], match[1] or ""
        )
    path = line.rsplit(maxsplit=1)[-1].partition("[")[0]
    return path.partition("-")[0] if "unexpected" in line or "structure" in line else path


def agreed(line: str) -> bool:
    return not any(line.startswith(known) for known in DISAGREEMENTS)


@pytest.mark.parametrize("name", KNOWN)
def test_both_find_the_same(name: str, tmp_path: Path) -> None:
    message = READ[name]
    header = message.header
    profile = compiled("referral", header.version)
    structure = profile.structure_of(header.message_type, header.trigger_event)
    assert structure is not None
    other = theirs(message, structure, tmp_path / "report")
    if other is None:
        assert header.version in ("2.7.1", "2.9", "2.9.1")
        return
    mine = sorted(place(line) for line in ours(message, profile, structure) if agreed(line))
    assert mine == sorted(place(line) for line in other if agreed(line))


def test_the_second_opinion_is_heard_and_every_disagreement_is_real(tmp_path: Path) -> None:
    compared, used = 0, set[str]()
    for name in KNOWN:
        message = READ[name]
        profile = compiled("referral", message.header.version)
        structure = profile.structure_of(message.header.message_type, message.header.trigger_event) or ""
        other = theirs(message, structure, tmp_path / "report")
        if other is not None:
            compared += 1
            lines = [*ours(message, profile, structure), *other]
            used |= {known for known in DISAGREEMENTS for line in lines if line.startswith(known)}
    assert compared >= 60
    assert used == set(DISAGREEMENTS)
