"""Compiled profiles: the rules of every AUT field in every version, and what a profile file turns into."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hl7auth.errors import UserError
from hl7auth.rules.compiled import CompiledProfile, FieldRule, compile_profile, compiled
from hl7auth.rules.dictionary import UnknownVersion
from hl7auth.rules.profile import Verb, load_profile, resolved
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.versions import VERSIONS, at_least

each_version = pytest.mark.parametrize("version", VERSIONS)

# AUT in the standard: number, name, data type from a version on, greatest length from a version on ("-": none),
# table, first version. Lengths are not normative from 2.7.
AUT = """
1  | Authorizing Payor, Plan ID             | 2.3 CE, 2.6 CWE | 2.3 200, 2.4 250, 2.7 - | 0072 | 2.3
2  | Authorizing Payor, Company ID          | 2.3 CE, 2.6 CWE | 2.3 200, 2.4 250, 2.7 - | 0285 | 2.3
3  | Authorizing Payor, Company Name        | 2.3 ST          | 2.3 45, 2.7 -           |      | 2.3
4  | Authorization Effective Date           | 2.3 TS, 2.6 DTM | 2.3 26, 2.6 24, 2.7 -   |      | 2.3
5  | Authorization Expiration Date          | 2.3 TS, 2.6 DTM | 2.3 26, 2.6 24, 2.7 -   |      | 2.3
6  | Authorization Identifier               | 2.3 EI          | 2.3 30, 2.7 -           |      | 2.3
7  | Reimbursement Limit                    | 2.3 CP          | 2.3 25, 2.7 -           |      | 2.3
8  | Requested Number of Treatments         | 2.3 NM, 2.7 CQ  | 2.3 2, 2.7 -            |      | 2.3
9  | Authorized Number of Treatments        | 2.3 NM, 2.7 CQ  | 2.3 2, 2.7 -            |      | 2.3
10 | Process Date                           | 2.3 TS, 2.6 DTM | 2.3 26, 2.6 24, 2.7 -   |      | 2.3
11 | Requested Discipline(s)                | 2.7 CWE         |                         | 0522 | 2.7
12 | Authorized Discipline(s)               | 2.7 CWE         |                         | 0546 | 2.7
13 | Authorization Referral Type            | 2.8 CWE         |                         | 0551 | 2.8
14 | Approval Status                        | 2.8 CWE         |                         | 0563 | 2.8
15 | Planned Treatment Stop Date            | 2.8 DTM         |                         |      | 2.8
16 | Clinical Service                       | 2.8 CWE         |                         | 0573 | 2.8
17 | Reason Text                            | 2.8 ST          |                         |      | 2.8
18 | Number of Authorized Treatments/Units  | 2.8 CQ          |                         |      | 2.8
19 | Number of Used Treatments/Units        | 2.8 CQ          |                         |      | 2.8
20 | Number of Schedule Treatments/Units    | 2.8 CQ          |                         |      | 2.8
21 | Encounter Type                         | 2.8 CWE         |                         | 0574 | 2.8
22 | Remaining Benefit Amount               | 2.8 MO          |                         |      | 2.8
23 | Authorized Provider                    | 2.8 XON         |                         |      | 2.8
24 | Authorized Health Professional         | 2.8 XCN         |                         |      | 2.8
25 | Source Text                            | 2.8 ST          |                         |      | 2.8
26 | Source Date                            | 2.8 DTM         |                         |      | 2.8
27 | Source Phone                           | 2.8 XTN         |                         |      | 2.8
28 | Comment                                | 2.8 ST          |                         |      | 2.8
29 | Action Code                            | 2.8 ID          |                         | 0206 | 2.8
"""
ROWS = [[cell.strip() for cell in line.split("|")] for line in AUT.strip().splitlines()]
each_field = pytest.mark.parametrize("row", ROWS, ids=[f"AUT-{row[0]}" for row in ROWS])


def reached(cell: str, version: str) -> str:
    """Of `2.3 CE, 2.6 CWE` what holds in a version."""
    held = ""
    for entry in filter(None, cell.split(", ")):
        floor, value = entry.split()
        held = value if at_least(version, floor) else held
    return held


def codes(rule: FieldRule) -> set[str]:
    """The codes that a field may have; none when it may have any."""
    return set(rule.codes or ())


def aut(number: int, version: str, profile: str = "aut-standard") -> FieldRule:
    return compiled(profile, version).segments["AUT"].fields[number]


@each_version
@each_field
def test_each_aut_field_as_the_standard_has_it(row: list[str], version: str) -> None:
    number, name, types, lengths, table, since = row
    rule = aut(int(number), version)
    assert (rule.path, rule.number, rule.name, rule.table) == (f"AUT-{number}", int(number), name, table)
    assert rule.beyond is not at_least(version, since)
    length = reached(lengths, version)
    assert rule.length == (int(length) if length not in ("", "-") else None)
    assert rule.max == (None if number in ("11", "12") else 1)
    if not rule.beyond:
        assert rule.datatype == reached(types, version)
    assert rule.severity == "error"
    assert not rule.withdrawn


@each_version
@pytest.mark.parametrize(
    ("profile", "verb"), [("aut-framework", Verb.SHOULD), ("aut-standard", Verb.SHALL), ("referral", Verb.SHALL)]
)
def test_usage_by_profile_and_version(profile: str, verb: Verb, version: str) -> None:
    verbs = {number: aut(number, version, profile).verb for number in range(1, 30)}
    assert verbs.pop(2) is verb
    assert verbs.pop(13) is verb
    assert set(verbs.values()) == {Verb.MAY}
    rules = compiled(profile, version).segments["AUT"]
    assert set(rules.demanded) == ({2, 6, 13} if at_least(version, "2.8") else {2, 6})
    assert [number for number in range(1, 30) if aut(number, version, profile).condition] == [6]


@each_version
def test_only_tables_with_values_bind(version: str) -> None:
    bound = {number for number in range(1, 30) if aut(number, version).codes is not None}
    assert bound == {29}
    assert aut(29, version).code_severity == "error"
    actions = {
        "A",
        "D",
        "U",
        *(["X"] if at_least(version, "2.6") else []),
        *(["S"] if at_least(version, "2.9") else []),
    }
    assert codes(aut(29, version)) == actions
    limit = aut(7, version).components
    assert [(part.number, part.table, part.code_severity) for part in limit] == [(2, "0205", "warning")]


@each_version
def test_aut_3_may_be_cut_at_45_from_2_7_on(version: str) -> None:
    assert aut(3, version).truncated_at == (45 if at_least(version, "2.7") else None)
    assert {aut(number, version).truncated_at for number in range(1, 30) if number != 3} == {None}


@each_version
def test_the_parts_of_an_authorization_identifier(version: str) -> None:
    parts = aut(6, version).components
    assert [(part.number, part.length, part.verb) for part in parts] == [
        (1, 15, Verb.MAY),
        (3, 6, Verb.MAY),
        (4, None, Verb.MAY),  # the type of a universal id has codes of HL7's own
    ]
    assert [part.table for part in parts] == ["", "", "0301"]


@each_version
def test_the_segments_around_aut_are_those_of_the_dictionary(version: str) -> None:
    profile = compiled("referral", version)
    assert set(profile.segments) == {"MSH", "MSA", "RF1", "PRD", "CTD", "PID", "PR1", "IN1", "DG1", "AUT"}
    pid = profile.segments["PID"]
    assert {3, 5} <= set(pid.demanded)
    assert (pid.fields[3].severity, pid.fields[5].severity, pid.fields[7].severity) == ("error", "error", "warning")
    procedure = profile.segments["PR1"].fields
    assert procedure[2].verb is (Verb.SHALL if version == "2.3" else Verb.MAY)
    assert procedure[2].withdrawn is at_least(version, "2.6")
    assert procedure[3].verb is (Verb.MAY if version == "2.3" else Verb.SHALL)
    referral = profile.segments["RF1"].fields
    assert (referral[6].verb, referral[6].severity) == (Verb.SHALL, "error")
    assert len(referral) - 1 == max(25, len(profile.dictionary.segments["RF1"].fields))
    assert referral[25].beyond is not at_least(version, "2.8")
    assert profile.segments["MSH"].fields[10].length == (199 if at_least(version, "2.7") else 20)
    assert "PID" in profile.essential
    assert "IN1" not in profile.essential


# --- what a profile file turns into

Compile = Callable[..., CompiledProfile]


@pytest.fixture
def compile_text(tmp_path: Path) -> Compile:
    """Compiles the YAML behind `profile:` and `title:`."""

    def compile_one(text: str, version: str = "2.5") -> CompiledProfile:
        path = tmp_path / "site.yaml"
        path.write_text(f"profile: site\ntitle: t\n{text}\n")
        return compile_profile(load_profile(path), version)

    return compile_one


def test_a_field_that_the_profile_does_not_mention_is_that_of_the_dictionary(compile_text: Compile) -> None:
    rules = compile_text("segments: {PID: {severity: warning, fields: {8: {name: Sex, table: '0001'}}}}").segments[
        "PID"
    ]
    assert len(rules.fields) == 40  # PID has 39 fields in 2.5; [0] stands for the name
    assert (rules.fields[3].name, rules.fields[3].datatype, rules.fields[3].max) == (
        "Patient Identifier List",
        "CX",
        None,
    )
    assert (rules.fields[3].verb, rules.fields[3].min, rules.fields[3].severity) == (Verb.SHALL, 1, "warning")
    assert (rules.fields[8].name, rules.fields[8].verb, rules.fields[8].table) == ("Sex", Verb.MAY, "0001")
    assert rules.demanded == (3, 5)


def test_what_the_profile_says_comes_over_the_dictionary(compile_text: Compile) -> None:
    text = """departs: [PID-3]
segments: {PID: {fields: {
        3: {name: Member, verb: SHOULD, cardinality: 2..3, type: ST, length: 9, severity: warning},
        5: {cardinality: 0..*},
        8: {verb: {"2.5": SHALL}}, 10: {verb: {"2.6": SHALL}}}}}"""
    fields = compile_text(text).segments["PID"].fields
    member = fields[3]
    assert (member.name, member.verb, member.min, member.max) == ("Member", Verb.SHOULD, 2, 3)
    assert (member.datatype, member.length, member.severity) == ("ST", 9, "warning")
    assert (fields[5].min, fields[5].max) == (0, None)
    assert (fields[8].verb, fields[10].verb) == (Verb.SHALL, Verb.MAY)


def test_tables_of_the_profile_come_over_the_shipped_ones(compile_text: Compile) -> None:
    text = """
segments: {AUT: {fields: {1: {table: "0072"}, 2: {table: "0206"}, 3: {table: "0551"}, 4: {table: "9999"}}}}
tables:
  "0072": {name: plans, kind: user, values: {GOLD: gold, NEW: {text: new, since: "2.7"}}}
  "0206": {name: actions, kind: hl7, values: {Q: ours}}
  "0551": {name: nobody filled it, kind: hl7, values: {}}
"""
    fields = compile_text(text).segments["AUT"].fields
    assert (codes(fields[1]), fields[1].code_severity) == ({"GOLD"}, "warning")
    assert (codes(fields[2]), fields[2].code_severity) == ({"Q"}, "error")
    assert fields[3].codes is fields[4].codes is None
    assert codes(compile_text(text, "2.7").segments["AUT"].fields[1]) == {"GOLD", "NEW"}


def test_a_field_of_a_later_version_is_beyond_unless_pre_adopted(compile_text: Compile) -> None:
    text = """segments: {AUT: {fields: {
        3: {since: "2.6"}, 13: {since: "2.8", type: CWE},
        29: {since: "2.8", pre_adopted: true, type: ID, table: "0206"}}}}"""
    old, new = (compile_text(text, version).segments["AUT"].fields for version in ("2.5", "2.8"))
    assert [old[number].beyond for number in (2, 3, 10, 11, 13, 28, 29)] == [
        False,
        True,
        False,
        True,
        True,
        True,
        False,
    ]
    assert not any(rule.beyond for rule in new)
    assert (old[29].datatype, codes(old[29])) == ("ID", {"A", "D", "U"})


def test_truncation_is_allowed_by_the_sign_behind_the_length(compile_text: Compile) -> None:
    text = """segments: {AUT: {fields: {1: {conformance_length: "20#"}, 2: {conformance_length: "20="},
        3: {conformance_length: {"2.7": "6#"}}}}}"""
    for version, cut in (("2.6", [20, None, None]), ("2.7", [20, None, 6])):
        fields = compile_text(text, version).segments["AUT"].fields
        assert [fields[number].truncated_at for number in (1, 2, 3)] == cut


def test_statements_belong_to_their_segment(compile_text: Compile) -> None:
    text = """
segments: {AUT: {}, PID: {}}
statements:
  - {id: dates, segment: AUT, holds: AUT-4 <= AUT-5, text: t, severity: error}
  - {id: name, segment: PID, holds: PID-5 valued, text: t}
"""
    segments = compile_text(text).segments
    assert [(each.id, each.severity) for each in segments["AUT"].statements] == [("dates", "error")]
    assert [(each.id, each.severity) for each in segments["PID"].statements] == [("name", "warning")]


def test_segments_that_a_version_does_not_have_are_left_out(compile_text: Compile) -> None:
    text = "segments: {AUT: {}, GSP: {}, QRD: {}}"
    assert set(compile_text(text, "2.5").segments) == {"AUT", "QRD"}
    assert set(compile_text(text, "2.9.1").segments) == {"AUT", "GSP"}
    assert compile_text(text).essential == frozenset()
    assert compile_text("structure: {essential: [AUT]}").essential == {"AUT"}


def test_a_profile_is_compiled_once_a_version(tmp_path: Path) -> None:
    assert compiled("referral", "2.5") is compiled("referral", "2.5")
    assert compiled("referral", "2.5") is not compiled("referral", "2.6")
    (tmp_path / "site.yaml").write_text("profile: site\ntitle: own\nextends: referral\n")
    assert compiled("site", "2.5", tmp_path).profile.title == "own"
    with pytest.raises(UserError, match="unknown profile 'site'"):
        compiled("site", "2.5")
    with pytest.raises(UnknownVersion):
        compiled("referral", "2.10")


def test_the_memory_of_good_values_is_kept_apart_by_delimiters_and_has_a_bound() -> None:
    profile = compile_profile(resolved("referral"), "2.5")
    usual, odd = Delimiters(), Delimiters("$")
    assert profile.good_values(usual) is profile.good_values(usual)
    profile.good_values(usual).values["AUT"][3].add("Acme")
    assert profile.good_values(odd).values["AUT"][3] == set()
    # the name of a segment, MSH-1 and MSH-2 are never looked at
    assert profile.good_values(odd).values["MSH"][:3] == [{"MSH"}, {"$"}, {"^~\\&"}]
    assert profile.good_values(odd).values["AUT"][:2] == [{"AUT"}, set()]
    for code in range(0x100, 0x200):
        profile.good_values(Delimiters(chr(code)))
        assert len(profile.seen) <= 16
    assert profile.good_values(usual).values["AUT"][3] == set()
