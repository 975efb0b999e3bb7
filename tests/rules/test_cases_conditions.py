"""What a profile can say beyond single fields, as a table: conditions, statements, groups, structures and deletion."""

import pytest

from hl7auth.rules.check import check
from hl7auth.wire.message import parse
from tests.rules.said import head, said
from tests.rules.test_cases_elements import profile_of

PATIENT = "PRD|RP|Moss^Ada\rPID|||77001||Quill^Ivo||19710822|F"
FIRST = "PR1|1||99213^Visit^C4||20260401\rAUT|GOLD|ACME|||20260930|PA1^ACME||3"
SECOND = "PR1|2||99214^Visit^C4||20260402\rAUT|GOLD|ACME|||20261231|PA2^ACME||5"
WHOLE = f"{PATIENT}\r{FIRST}\r{SECOND}"

# the condition, and whether it holds for the second AUT of WHOLE
CONDITIONS = [
    ("AUT-6.1 = 'PA2'", True),
    ("message.AUT-6.1 = 'PA1'", True),
    ("group.PR1-1 = 2", True),
    ("PR1-1 = 1", True),
    ("message.PR1-1 = 1", True),
    ("any message.PR1-1 = 2", True),
    ("all message.PR1-1 = 2", False),
    ("all message.PR1-1 valued", True),
    ("any group.PR1-1 = 1", False),
    ("any message.AUT-8 > 4", True),
    ("any message.AUT-8 > 5", False),
    ("any ZAU-1 = 'x'", False),
    ("all ZAU-1 = 'x'", True),
    ("message.ZAU present", False),
    ("message.ZAU absent", True),
    ("PID present", True),
    ("group.PR1 present", True),
    ("group.PID present", False),
    ("count(message.AUT) = 2", True),
    ("count(group.AUT) = 1", True),
    ("count(AUT) = 1", True),
    ("count(AUT-6) = 1", True),
    ("count(AUT-3) = 0", True),
    ("AUT-6.1 matches '[A-Z]{2}\\d+'", True),
    ("AUT-6.1 matches '\\d+'", False),
    ("AUT-3 matches '.*'", False),
    ("any message.PID-3.1 matches '\\d{5}'", True),
    ("AUT-1 in {'GOLD', 'SILVER'} and AUT-8 in {5, 6}", True),
    ("not AUT-1 in {'GOLD'}", False),
    ("AUT-3 deleted", False),
    ("AUT-5 > '20261230'", True),
    ("AUT-5 > message.AUT-5", True),
    ("group.PR1-5 <= AUT-5", True),
    ("(PID-8 = 'M' or PID-8 = 'F') and not PID-7 empty", True),
]


@pytest.mark.parametrize(("text", "holds"), CONDITIONS)
def test_a_condition_on_the_second_authorization(text: str, holds: bool) -> None:
    profile = profile_of(
        f'statements: [{{id: it, segment: AUT, holds: "{text}", text: t}}]'.replace("\\", "\\\\"), "2.5"
    )
    message = parse(f"{head()}\r{WHOLE}".encode())
    layout = profile.layout("RQA_I08", tuple(segment.name for segment in message.segments))
    found = [each.path for each in check(message, profile, layout)]
    assert ("AUT[2]" not in found) is holds


def deleted(pattern: str) -> str:
    return f"extends: aut-standard\nsegments: {{AUT: {{{pattern}}}}}"


NULLS = '|""' * 10
DELETION = [
    # the pattern, the AUT, findings
    ("severity: error", f"AUT{NULLS}", ""),
    ("severity: error", 'AUT|""|""|""', ""),
    ("severity: error", 'AUT|""', "error 101 AUT-2.usage AUT-2"),
    ("severity: error", 'AUT||""', ""),
    ("severity: error", 'AUT|""||""', "error 101 AUT-2.usage AUT-2"),
    ("severity: error", 'AUT|""|WA02', ""),
    ("severity: error", 'AUT|""||20260301', "error 101 AUT-2.usage AUT-2"),
    ("delete_pattern: [all_fields, first_field]", 'AUT|""', ""),
    ("delete_pattern: [all_fields, first_field]", f"AUT{NULLS}", ""),
    ("delete_pattern: [all_fields, first_field]", 'AUT|||""', "error 101 AUT-2.usage AUT-2"),
    ("delete_pattern: [key], key: 6", 'AUT||||||""', ""),
    ("delete_pattern: [key], key: 6", 'AUT|""', "error 101 AUT-2.usage AUT-2"),
    ("delete_pattern: [key], key: 6", "AUT||||||PA1", "error 101 AUT-2.usage AUT-2"),
    ("delete_pattern: []", 'AUT|""||', "error 101 AUT-2.usage AUT-2"),
]


@pytest.mark.parametrize(("pattern", "line", "expected"), DELETION)
def test_p34_a_segment_that_deletes_needs_no_required_fields(pattern: str, line: str, expected: str) -> None:
    message = parse(f"{head()}\r{line}".encode())
    assert said(check(message, profile_of(deleted(pattern), "2.5"), None)) == [each for each in [expected] if each]


def test_p34_also_in_versions_that_require_more_fields() -> None:
    for line in (f"AUT{NULLS}", f"AUT{NULLS}{NULLS}{NULLS[:-3]}"):
        message = parse(f"{head('2.8')}\r{line}".encode())
        assert check(message, profile_of("extends: aut-standard", "2.8"), None) == []
    message = parse(f'{head("2.8")}\rAUT|""|WA02'.encode())
    assert said(check(message, profile_of("extends: aut-standard", "2.8"), None)) == ["error 101 AUT-13.usage AUT-13"]


STATEMENTS = [
    # statements, segments, findings
    (
        "{id: only, segment: AUT, holds: AUT-1 valued, text: t, severity: error}",
        "AUT||A\rAUT|G|A",
        "error 199 only AUT",
    ),
    ("{id: once, scope: message, holds: count(message.AUT) <= 1, text: t}", "AUT|G\rAUT|G", "warning 199 once MSH"),
    ("{id: once, scope: message, holds: count(message.AUT) <= 1, text: t}", "AUT|G", ""),
    (
        "{id: first, scope: message, segment: AUT, holds: message.ZAU present, text: t, severity: alert}",
        "AUT|G\rAUT|G",
        "alert 199 first AUT",
    ),
    (
        "{id: same, scope: group, segment: PR1, holds: AUT-1 valued, text: t}",
        "PR1|1||a||20260401\rAUT|G|A\rPR1|2||b||20260401\rAUT||A",
        "warning 199 same PR1[2]",
    ),
    (
        "{id: up, scope: group, segment: AUT, holds: PR1-1 = 1, text: t}",
        "PR1|1||a||20260401\rAUT|G|A\rPR1|2||b||20260401\rAUT|G|A",
        "warning 199 up AUT[2]",
    ),
    ("{id: gone, segment: AUT, holds: AUT-9 valued, text: t}", f"AUT{NULLS}", ""),
    ("{id: z, segment: ZAU, holds: ZAU-2 valued, text: t}", "ZAU|1", "warning 199 z ZAU"),
]


@pytest.mark.parametrize(("statements", "lines", "expected"), STATEMENTS)
def test_statements_by_their_scope(statements: str, lines: str, expected: str) -> None:
    profile = profile_of(f"statements: [{statements}]", "2.5")
    message = parse(f"{head()}\r{PATIENT}\r{lines}".encode())
    layout = profile.layout("RQA_I08", tuple(segment.name for segment in message.segments))
    found = [text for text in said(check(message, profile, layout)) if "structure" not in text]
    assert found == [each for each in [expected] if each]


def test_what_asks_for_groups_is_not_judged_without_the_structure() -> None:
    text = "statements: [{id: up, scope: group, segment: AUT, holds: PR1-1 = 9, text: t}]"
    condition = "\nsegments: {AUT: {fields: {1: {usage: C(R/X), condition: group.PR1-1 = 1}, 2: {usage: R}}}}"
    message = parse(f"{head()}\r{PATIENT}\rPR1|1||a||20260401\rAUT||A".encode())
    profile = profile_of(text + condition, "2.5")
    assert check(message, profile, None) == []
    layout = profile.layout("RQA_I08", tuple(segment.name for segment in message.segments))
    assert said(check(message, profile, layout)) == ["error 101 AUT-1.usage AUT-1", "warning 199 up AUT"]


# --- structures

OWN_STRUCTURE = """
structures: {ZQA_Z02: "MSH [<AUTHORIZATION> AUT [CTD]] {<PROVIDER> PRD [{CTD}]} PID [{<LINE> PR1 [AUT] [ZAU]}]"}
events: {ZQA^Z02: ZQA_Z02, ZQA^Z04: ZQA_Z02, RQA^I99: NOT_HERE}
structure: {essential: [AUT, PID, PR1]}"""
GROUPS = """
structure: {essential: [AUT, PID, PR1, NTE]}
groups: {RQA_I08: {%s}}"""
STRUCTURES = [
    # the profile, the segments, the structure, findings
    (OWN_STRUCTURE, f"{PATIENT}\rPR1|1||a||20260401\rAUT||A\rZAU|1", "ZQA_Z02", ""),
    (OWN_STRUCTURE, f"{PATIENT}\rZAU|1", "ZQA_Z02", "warning 100 structure.sequence ZAU"),
    (OWN_STRUCTURE, f"{PATIENT}\rNTE|1", "ZQA_Z02", "warning 199 structure.unexpected NTE"),
    (OWN_STRUCTURE, "PRD|RP|Moss", "ZQA_Z02", "error 100 structure.missing PID"),
    (
        OWN_STRUCTURE,
        f"{PATIENT}\rPR1|1||a||20260401\rAUT||A\rAUT||B",
        "ZQA_Z02",
        "error 198 structure.cardinality AUT[2]",
    ),
    (GROUPS % "PROCEDURE: {cardinality: 1..*}", PATIENT, "RQA_I08", "error 100 structure.missing PR1"),
    (GROUPS % "PROCEDURE: {verb: SHALL}", PATIENT, "RQA_I08", "error 100 structure.missing PR1"),
    (GROUPS % "PROCEDURE: {verb: SHALL}", f"{PATIENT}\r{FIRST}", "RQA_I08", ""),
    (
        GROUPS % "PROCEDURE: {cardinality: 0..1}",
        f"{PATIENT}\rPR1|1||a||20260401\rPR1|2||b||20260401",
        "RQA_I08",
        "error 198 structure.cardinality PR1[2]",
    ),
    (GROUPS % "NTE: {verb: SHALL NOT}", f"{PATIENT}\rNTE|1", "RQA_I08", "error 198 structure.cardinality NTE"),
    (GROUPS % "NTE: {usage: X}", PATIENT, "RQA_I08", ""),
    # P29: a profile that widens the place of AUT
    (GROUPS % "PROCEDURE.AUT: {cardinality: 1..*}", f"{PATIENT}\r{FIRST}\rAUT||B", "RQA_I08", ""),
    (
        GROUPS % "AUTHORIZATION.AUT: {cardinality: 1..*}",
        f"{PATIENT}\r{FIRST}\rAUT||B",
        "RQA_I08",
        "error 198 structure.cardinality AUT[2]",
    ),
    (
        "departs: [RQA_I08.PROVIDER]" + GROUPS % "PROVIDER: {cardinality: 0..*}",
        "PID|||1||Quill",
        "RQA_I08",
        "",
    ),
    ("severities: {structure.missing: alert}", "PRD|RP|Moss", "RQA_I08", "alert 100 structure.missing PID"),
]


@pytest.mark.parametrize(("text", "lines", "structure", "expected"), STRUCTURES)
def test_structures_of_a_profile(text: str, lines: str, structure: str, expected: str) -> None:
    profile = profile_of(text, "2.5")
    message = parse(f"{head()}\r{lines}".encode())
    layout = profile.layout(structure, tuple(segment.name for segment in message.segments))
    assert said(check(message, profile, layout)) == [each for each in [expected] if each]


def test_the_structure_of_an_event() -> None:
    profile = profile_of(OWN_STRUCTURE, "2.5")
    kinds = [("ZQA", "Z02"), ("ZQA", "Z04"), ("RQA", "I09"), ("ZPA", "Z02"), ("RQA", "I99"), ("ACK", "Z02")]
    assert [profile.structure_of(*kind) for kind in kinds] == ["ZQA_Z02", "ZQA_Z02", "RQA_I08", None, None, "ACK"]
    assert [profile.has_structure(name) for name in ("ZQA_Z02", "RQA_I08", "NOT_HERE")] == [True, True, False]
    assert profile.layout("RQA_I08", ("MSH",)) == profile_of("source: x", "2.5").layout("RQA_I08", ("MSH",))
