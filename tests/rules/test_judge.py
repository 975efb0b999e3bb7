"""The judge: what is said of each AUT field in each version, and of the fields of a profile of one's own."""

from pathlib import Path

import pytest

from hl7auth.rules.check import check
from hl7auth.rules.compiled import compiled
from hl7auth.wire.message import parse
from hl7auth.wire.versions import VERSIONS, at_least
from tests.rules.said import AUT, aut, checked, fields_of, found, head, own_profile, said, told

each_version = pytest.mark.parametrize("version", VERSIONS)


# --- AUT by version


@each_version
@pytest.mark.parametrize("profile", ["aut-framework", "aut-standard", "referral"])
def test_a_good_aut_has_no_findings(profile: str, version: str) -> None:
    for kind in ("RQA^I08", "RPA^I08", "REF^I12", "RRI^I12"):
        assert [
            each for each in found(aut(version), version=version, kind=kind, profile=profile) if "AUT" in each.path
        ] == []
    least = "AUT||ACME" + ("|" * 11 + "REF" if at_least(version, "2.8") else "")
    assert found(least, version=version) == []


@each_version
@pytest.mark.parametrize("number", range(1, 30))
def test_usage_of_each_field(version: str, number: int) -> None:
    """P22, P23: only payor and, from 2.8, referral type have to be there; a SHALL is an error, a SHOULD a warning."""
    if number > fields_of(version):
        return
    demanded = number == 2 or (number == 13 and at_least(version, "2.8"))
    for profile, severity in (("aut-standard", "error"), ("aut-framework", "warning")):
        expected = [f"{severity} 101 AUT-{number}.usage AUT-{number}"] if demanded else []
        assert said(found(aut(version, {number: ""}), version=version, profile=profile)) == expected


@each_version
@pytest.mark.parametrize("number", range(1, 30))
def test_cardinality_of_each_field(version: str, number: int) -> None:
    """P25 and the like: every field comes once but the disciplines."""
    if number > fields_of(version):
        return
    twice = f"{'U' if number == 29 else '20260301' if number in (4, 5, 10, 15, 26) else '1'}"
    findings = found(aut(version, {number: f"{twice}~{twice}"}), version=version)
    cardinal = [] if number in (11, 12) else [f"error 198 AUT-{number}.cardinality AUT-{number}"]
    assert [text for text in said(findings) if "cardinality" in text] == cardinal
    assert len(findings) == len(cardinal)


@each_version
@pytest.mark.parametrize(
    ("number", "limits"),
    [
        (1, {"2.3": 200, "2.4": 250}),
        (2, {"2.3": 200, "2.4": 250}),
        (3, {"2.3": 45}),
        (4, {"2.3": 26, "2.6": 24}),
        (5, {"2.3": 26, "2.6": 24}),
        (6, {"2.3": 30}),
        (7, {"2.3": 25}),
        (8, {"2.3": 2}),
        (9, {"2.3": 2}),
        (10, {"2.3": 26, "2.6": 24}),
    ],
)
def test_length_of_each_field(version: str, number: int, limits: dict[str, int]) -> None:
    """Lengths are not normative from 2.7; up to then a breach is a warning, for the value is kept whole."""
    limit = [value for floor, value in limits.items() if at_least(version, floor)][-1]

    def too_long(length: int) -> list[str]:
        findings = found(aut(version, {number: "1" * length}), version=version)
        return [text for text in said(findings) if ".length" in text and text.endswith(f"AUT-{number}")]

    assert too_long(limit) == []
    warned = [f"warning 104 AUT-{number}.length AUT-{number}"]
    assert too_long(limit + 1) == ([] if at_least(version, "2.7") else warned)


# fields by what they can not hold, and where in the field that is
BAD = [
    *((number, "tomorrow", "") for number in (4, 5, 10, 15, 26)),
    (7, "free&USD", ".1.1"),
    (7, "free^TP", ".1.1"),
    *((number, "two^VISITS", ".1") for number in (8, 9, 18, 19, 20)),
    (22, "much^USD", ".1"),
    (27, "^PRN^PH^^1^area", ".6"),
]


@each_version
@pytest.mark.parametrize(("number", "raw", "place"), BAD)
def test_data_type_of_each_field(version: str, number: int, raw: str, place: str) -> None:
    if number > fields_of(version):
        return
    if number in (8, 9) and not at_least(version, "2.7"):
        raw, place = "x", ""
    if number in (4, 5, 10) and not at_least(version, "2.6"):
        place = ".1"  # a TS has parts, a DTM has not
    findings = found(aut(version, {number: raw}), version=version)
    assert said(findings) == [f"error 102 AUT-{number}.type AUT-{number}{place}"]


@each_version
@pytest.mark.parametrize("number", range(1, 30))
def test_p24_a_field_beyond_the_version_is_a_warning_and_an_action_code_an_error(version: str, number: int) -> None:
    beyond = number > fields_of(version)
    severity = "error" if number == 29 else "warning"
    expected = [f"{severity} 199 AUT-{number}.unexpected AUT-{number}"] if beyond else []
    raw = AUT[number] if at_least(version, "2.7") or number not in (8, 9) else "3"
    for value in (raw, '""' if beyond else raw):
        assert said(found(aut(version, {number: value}), version=version)) == expected


@each_version
def test_p24_fields_beyond_all_versions(version: str) -> None:
    line = aut(version) + "|" * (30 - fields_of(version)) + "x||y"
    assert said(found(line, version=version)) == ["warning 199 AUT-30.unexpected AUT-30"]
    assert found(aut(version) + "|" * 40, version=version) == []


@each_version
@pytest.mark.parametrize("code", ["A", "D", "U", "X", "S", "a", "u", "Z", "AA"])
def test_p40_action_codes_by_version_and_case(version: str, code: str) -> None:
    if not at_least(version, "2.8"):
        return
    good = code in ("A", "D", "U", "X") or (code == "S" and at_least(version, "2.9"))
    expected = [] if good else ["error 103 AUT-29.table AUT-29"]
    assert said(found(aut(version, {29: code}), version=version)) == expected


# --- acceptance cases

NAME = "Acme Health of the Northern Counties and Lakes"


@pytest.mark.parametrize(
    ("value", "marks", "version", "cut"),
    [
        (NAME[:44] + "#", "^~\\&#", "2.7", True),
        (NAME + " and Islands#", "^~\\&#", "2.8", True),
        (NAME[:44] + "%", "^~\\&%", "2.9.1", True),
        (NAME[:44] + "\\P\\", "^~\\&#", "2.8", False),
        (NAME[:44] + "#", "^~\\&", "2.8", False),
        (NAME[:44] + "#", "^~\\&#", "2.6", False),
        (NAME[:20] + "#" + NAME[20:44], "^~\\&#", "2.8", False),
        # a value that is shorter than what every receiver stores was not cut
        ("Plan #", "^~\\&#", "2.8", False),
    ],
)
def test_p16_a_value_that_the_sender_cut(value: str, marks: str, version: str, cut: bool) -> None:
    raw = f"{head(version, marks=marks)}\rAUT||ACME|{value}||||||||||REF".encode()
    findings = [each for each in checked(parse(raw), compiled("aut-standard", version)) if "AUT-3" in each.path]
    assert said(findings) == (["warning 104 AUT-3.truncated AUT-3"] if cut else [])


def test_p16_only_where_the_profile_allows_it(tmp_path: Path) -> None:
    text = 'segments: {AUT: {fields: {1: {conformance_length: "6#"}, 2: {conformance_length: "6="}}}}'
    message = parse((head(marks="^~\\&#") + "\rAUT|abcde#|abcde#").encode())
    assert said(checked(message, own_profile(tmp_path, text))) == ["warning 104 AUT-1.truncated AUT-1"]


@each_version
@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("0.00^$", ["warning 103 AUT-7.2.table AUT-7.2"]),
        ("0.00&$", []),
        ("175.0&USD", []),
        ("175", []),
        ("175.0&USD^TP", []),
        ("175.0&USD^tp", ["warning 103 AUT-7.2.table AUT-7.2"]),
    ],
)
def test_p17_a_limit_and_its_currency(version: str, limit: str, expected: list[str]) -> None:
    assert said(found(aut(version, {7: limit}), version=version)) == expected


@each_version
@pytest.mark.parametrize("number", [8, 9])
def test_p18_numbers_of_treatments(version: str, number: int) -> None:
    with_units = at_least(version, "2.7")
    length = [f"warning 104 AUT-{number}.length AUT-{number}"] if not with_units else []
    assert found(aut(version, {number: "1"}), version=version) == []
    units = [] if with_units else [f"warning 102 AUT-{number}.type AUT-{number}.2", *length]
    assert said(found(aut(version, {number: "1^VISITS"}), version=version)) == units
    words = [f"error 102 AUT-{number}.type AUT-{number}{'.1' if with_units else ''}", *length]
    assert said(found(aut(version, {number: "two"}), version=version)) == words


@each_version
@pytest.mark.parametrize("number", [4, 5, 10, 15, 26])
@pytest.mark.parametrize(
    ("date", "good"),
    [
        ("20260301", True),
        ("202603011015", True),
        ("20260301101559", True),
        ("20260301101559.123", True),
        ("2026030110155", False),
        ("20260301101559123", False),
        ("20260230", False),
        ("01/03/2026", False),
    ],
)
def test_p19_dates(version: str, number: int, date: str, good: bool) -> None:
    if number > fields_of(version):
        return
    findings = said(found(aut(version, {number: date}), version=version))
    part = ".1" if not at_least(version, "2.6") else ""
    assert findings == ([] if good else [f"error 102 AUT-{number}.type AUT-{number}{part}"])


def test_p21_shifted_fields_are_errors_and_nothing_is_moved() -> None:
    findings = found("AUT|GOLD||20260301|Acme Health|PA1001|20260930", version="2.4", kind="RPA^I08")
    assert said(findings) == [
        "error 102 AUT-4.type AUT-4.1",
        "error 102 AUT-5.type AUT-5.1",
        "error 101 AUT-2.usage AUT-2",
    ]


def test_p22_payor_missing_in_the_profile_of_a_network_that_sends_none(tmp_path: Path) -> None:
    message = parse(f"{head()}\rAUT|GOLD\rAUT||ACME\rAUT|GOLD".encode())
    assert said(check(message, compiled("aut-standard", "2.5"), None)) == [
        "error 101 AUT-2.usage AUT-2",
        "error 101 AUT-2.usage AUT[3]-2",
    ]
    relaxed = own_profile(
        tmp_path, "extends: aut-standard\ndeparts: [AUT-2]\nsegments: {AUT: {fields: {2: {verb: SHOULD}}}}"
    )
    assert said(check(message, relaxed, None)) == ["warning 101 AUT-2.usage AUT-2", "warning 101 AUT-2.usage AUT[3]-2"]
    silent = own_profile(
        tmp_path, "extends: aut-standard\ndeparts: [AUT-2]\nsegments: {AUT: {fields: {2: {verb: MAY}}}}"
    )
    assert check(message, silent, None) == []


@each_version
def test_p26_formatting_commands_in_a_comment(version: str) -> None:
    if not at_least(version, "2.8"):
        return
    findings = found(aut(version, {28: "one\\.br\\two"}), version=version)
    assert said(findings) == ["warning 102 AUT-28.type AUT-28"]


def test_a_field_of_nothing_but_separators_is_empty() -> None:
    """P14: trailing separators may be left out, so a field of separators alone is an empty field."""
    for nothing in ("^", "~", "^^&~^"):
        assert said(found(f"AUT||{nothing}|x")) == ["error 101 AUT-2.usage AUT-2"]
    assert said(found("AUT||ACME||20260301||^", kind="RPA^I08")) == ["error 101 AUT-6.usage AUT-6"]


@each_version
def test_p32_a_deleted_value_is_there_and_no_value(version: str) -> None:
    deleted = {number: '""' for number in range(1, fields_of(version) + 1)}
    assert found(aut(version, deleted), version=version) == []
    assert found(aut(version, {number: '""^' for number in (4, 5, 10)}), version=version) == []
    person = [
        each for each in found('PID|||""||""', version=version, profile="referral") if each.path.startswith("PID")
    ]
    assert person == []
    assert found(aut(version, {6: '""^""^""', 7: '""&""^""'}), version=version) == []


@each_version
def test_long_parts_of_a_number_are_warnings(version: str) -> None:
    assert found(aut(version, {6: "P" * 15 + "^^ABCDEF"}), version=version) == []
    assert said(found(aut(version, {6: "P" * 16 + "^^ABCDEFG"}), version=version)) == [
        "warning 104 AUT-6.1.length AUT-6.1",
        "warning 104 AUT-6.3.length AUT-6.3",
    ]


# --- the rules of a profile of one's own


def test_what_shall_not_be_there(tmp_path: Path) -> None:
    profile = own_profile(
        tmp_path, "departs: [AUT-2]\nsegments: {AUT: {fields: {1: {verb: SHALL NOT}, 2: {verb: MAY}}}}"
    )
    assert told(profile, "AUT|GOLD") == ["error 207 AUT-1.usage AUT-1"]
    assert told(profile, 'AUT|""') == ["error 207 AUT-1.usage AUT-1"]
    assert told(profile, "AUT||ACME") == []


def test_what_shall_not_be_there_is_not_missed_when_it_is_empty(tmp_path: Path) -> None:
    """Also where the standard requires the field."""
    profile = own_profile(
        tmp_path, "departs: [PID-3, PID-5]\nsegments: {PID: {fields: {3: {verb: SHALL NOT}, 5: {verb: MAY}}}}"
    )
    assert told(profile, "PID|1") == []


@pytest.mark.parametrize(
    "text",
    ["{severity: warning, fields: {1: {verb: SHALL NOT}}}", "{fields: {1: {verb: SHALL NOT, severity: warning}}}"],
)
def test_the_severity_of_a_segment_or_field_holds_for_what_shall_not_be_there(tmp_path: Path, text: str) -> None:
    profile = own_profile(tmp_path, f"extends: aut-framework\nsegments: {{AUT: {text}}}")
    assert told(profile, "AUT|GOLD|ACME") == ["warning 207 AUT-1.usage AUT-1"]


def test_the_severity_of_a_segment_and_of_a_field(tmp_path: Path) -> None:
    profile = own_profile(
        tmp_path, "segments: {PID: {severity: warning, fields: {3: {severity: error}, 8: {table: '0155'}}}}"
    )
    assert told(profile, "PID|x||||||1994||") == [
        "warning 102 PID-1.type PID-1",
        "error 101 PID-3.usage PID-3",
        "warning 101 PID-5.usage PID-5",
    ]
    assert told(profile, "PID|1||4711||Quill^Ivo|||QQ") == ["warning 103 PID-8.table PID-8"]
    assert told(profile, "PID|1||4711~4712||Quill^Ivo~Quill^I|||AL~NE") == ["warning 198 PID-8.cardinality PID-8"]


@pytest.mark.parametrize("severity", ["error", "warning", "information"])
@pytest.mark.parametrize("number", [4, 2, 29])
def test_no_breach_is_worse_than_its_field(tmp_path: Path, severity: str, number: int) -> None:
    profile = own_profile(
        tmp_path, f"extends: aut-standard\nsegments: {{AUT: {{fields: {{{number}: {{severity: {severity}}}}}}}}}", "2.8"
    )
    values = {4: "4711", 2: "", 29: "Q"}[number]
    line = aut("2.8", {number: f"{values}~{values}"} if values else {number: ""})
    order = ["information", "warning", "error"]
    findings = check(parse(f"{head('2.8')}\r{line}".encode()), profile, None)
    assert findings
    assert max(order.index(each.severity) for each in findings) == order.index(severity)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("ACME^x^L", []),
        ("^x", ["error 101 AUT-2.1.usage AUT-2.1", "warning 101 AUT-2.3.usage AUT-2.3"]),
        ("ACME", ["warning 101 AUT-2.3.usage AUT-2.3"]),
        ("ACMEX^x^LOCAL", ["warning 104 AUT-2.1.length AUT-2.1", "error 103 AUT-2.3.table AUT-2.3"]),
        ('""^""^""', []),
        ('""', []),
        ("ACME^x^L~^y^L", ["error 101 AUT-2.1.usage AUT-2[2].1"]),
    ],
)
def test_rules_for_components(tmp_path: Path, value: str, expected: list[str]) -> None:
    profile = own_profile(
        tmp_path,
        """
segments: {AUT: {fields: {2: {cardinality: 1..*, components: {
  1: {verb: SHALL, length: 4}, 2: {verb: MAY}, 3: {verb: SHOULD, table: "0396"}}}}}}
tables: {"0396": {name: systems, kind: hl7, values: {L: local}}}""",
    )
    assert told(profile, f"AUT||{value}") == expected


def test_a_suggested_table_makes_no_shall_a_warning(tmp_path: Path) -> None:
    profile = own_profile(tmp_path, 'segments: {PRD: {fields: {1: {components: {1: {verb: SHALL, table: "0286"}}}}}}')
    assert told(profile, "PRD|^x") == ["error 101 PRD-1.1.usage PRD-1.1"]
    assert told(profile, "PRD|PS") == ["warning 103 PRD-1.table PRD-1", "warning 103 PRD-1.1.table PRD-1.1"]


def test_an_hl7_table_makes_no_warning_an_error(tmp_path: Path) -> None:
    profile = own_profile(
        tmp_path, 'segments: {AUT: {severity: warning, fields: {2: {components: {1: {table: "0155"}}}}}}'
    )
    assert told(profile, "AUT||QQ") == ["warning 103 AUT-2.1.table AUT-2.1"]


def test_a_long_component_is_looked_up_by_its_value(tmp_path: Path) -> None:
    profile = own_profile(tmp_path, 'segments: {AUT: {fields: {2: {components: {1: {length: 1, table: "0155"}}}}}}')
    assert told(profile, "AUT||AL") == ["warning 104 AUT-2.1.length AUT-2.1"]
    assert told(profile, "AUT||QQ") == ["error 103 AUT-2.1.table AUT-2.1", "warning 104 AUT-2.1.length AUT-2.1"]


def test_each_repetition_is_judged(tmp_path: Path) -> None:
    profile = own_profile(tmp_path, 'segments: {AUT: {fields: {2: {cardinality: 1..3, length: 3, table: "0155"}}}}')
    assert told(profile, "AUT||AL~NE~ER~SU") == ["error 198 AUT-2.cardinality AUT-2"]
    assert told(profile, "AUT||AL~QQ") == ["error 103 AUT-2.table AUT-2[2]"]
    deleted = ["error 198 AUT-2.delete AUT-2[3]", "error 103 AUT-2.table AUT-2[2]"]
    assert told(profile, 'AUT||AL~QQ~""') == deleted
    assert told(profile, "AUT||AL~~LONG") == ["error 103 AUT-2.table AUT-2[3]", "warning 104 AUT-2.length AUT-2[3]"]


def test_verdicts_on_one_field_have_a_bound_and_hide_no_error(tmp_path: Path) -> None:
    profile = own_profile(tmp_path, 'segments: {AUT: {fields: {2: {cardinality: 1..*, length: 2, table: "0155"}}}}')
    assert len(told(profile, "AUT||" + "~".join(["QQ"] * 500))) == 10
    shown = told(profile, "AUT||" + "~".join(["AL^x"] * 20 + ["QQ"]))
    assert len(shown) <= 11
    assert "error" in {text.split()[0] for text in shown}


def test_trailing_repetition_separators_are_no_repetitions() -> None:
    assert found("AUT||ACME~") == []
    assert found("AUT||ACME~~~|x") == []
    assert said(found("AUT||~ACME")) == ["error 198 AUT-2.cardinality AUT-2"]


def test_an_escape_counts_as_the_characters_it_holds() -> None:
    """The escape characters around a sequence are not counted (chapter 2, 2.7.1)."""
    assert found("AUT||ACME|" + "x" * 44 + "\\T\\") == []
    assert said(found("AUT||ACME|" + "x" * 45 + "\\T\\")) == ["warning 104 AUT-3.length AUT-3"]


def test_length_counts_characters_not_bytes() -> None:
    raw = f"{head(charset='UNICODE UTF-8')}\rAUT||ACME|{'ü' * 45}".encode()
    assert check(parse(raw), compiled("aut-standard", "2.5"), None) == []


def test_a_pre_adopted_field_is_welcome(tmp_path: Path) -> None:
    profile = own_profile(tmp_path, "extends: aut-framework\nsegments: {AUT: {fields: {29: {pre_adopted: true}}}}")
    assert told(profile, "AUT||ACME" + "|" * 27 + "U") == []
    assert told(profile, "AUT||ACME" + "|" * 27 + "X") == ["error 103 AUT-29.table AUT-29"]
    assert told(profile, "AUT||ACME" + "|" * 11 + "REF") == ["warning 199 AUT-13.unexpected AUT-13"]


def test_a_pre_adopted_field_without_a_verb_is_welcome(tmp_path: Path) -> None:
    profile = own_profile(tmp_path, "segments: {AUT: {fields: {14: {pre_adopted: true, type: CWE}}}}")
    assert told(profile, "AUT||ACME" + "|" * 12 + "AP") == []


def test_a_code_may_hold_a_sign_that_is_escaped(tmp_path: Path) -> None:
    text = "segments: {AUT: {fields: {3: {table: X1}}}}\ntables: {X1: {kind: hl7, values: {'A&B': t, C: u}}}"
    rules = own_profile(tmp_path, text)
    assert told(rules, r"AUT||ACME|A\T\B") == []
    assert told(rules, r"AUT||ACME|A\S\B") == ["error 103 AUT-3.table AUT-3"]
