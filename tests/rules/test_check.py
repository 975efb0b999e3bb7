"""The check: the whole message in one pass, its structure, its conditions and statements, and what is remembered."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hl7auth.rules.check import MAX_FINDINGS, NOTES, check, finding_entry
from hl7auth.rules.compiled import CompiledProfile, FieldRule, Verdict, compile_profile, compiled
from hl7auth.rules.judge import judge
from hl7auth.rules.profile import resolved
from hl7auth.wire.ack import Location
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.message import parse
from hl7auth.wire.versions import VERSIONS, at_least
from tests.rules.said import checked, found, head, own_profile, said, told

each_version = pytest.mark.parametrize("version", VERSIONS)


# --- the condition of AUT-6

GRANTS = ["|||20260301", "||||20260930", "||||||||2"]
NUMBERLESS = "AUT||ACME"


@pytest.mark.parametrize("kind", ["RPA^I08", "RPA^I09^RPA_I08", "RRI^I12"])
@pytest.mark.parametrize("says", ["||20260301", "|||20260930", "|||||||2"])
@each_version
def test_aut_6_is_needed_in_an_answer_that_grants_something(version: str, kind: str, says: str) -> None:
    rest = "|" * (13 - 2 - says.count("|")) + "REF" if at_least(version, "2.8") else ""
    line = f"{NUMBERLESS}{says}{rest}"
    line = line if says != "|||||||2" or not at_least(version, "2.8") else f"{NUMBERLESS}{says}||||REF"
    assert said(found(line, version=version, kind=kind)) == ["error 101 AUT-6.usage AUT-6"]
    assert found(line, version=version, kind="RQA^I08") == []
    assert found(line, version=version, kind="REF^I12") == []


@pytest.mark.parametrize(
    ("line", "needed"),
    [
        ("AUT||ACME", False),
        ("AUT||ACME|Acme Health|||||3", False),
        ("AUT||ACME|||||||0", False),
        ("AUT||ACME|||||||.5", True),
        ('AUT||ACME||""|""||||""', False),
        ("AUT||ACME||20260301||PA1", False),
        ("AUT||ACME||20260301||PA1^ACME", False),
    ],
)
def test_an_answer_that_grants_nothing_needs_no_number(line: str, needed: bool) -> None:
    expected = ["error 101 AUT-6.usage AUT-6"] if needed else []
    assert said(found(line, kind="RPA^I08")) == expected


def test_units_that_are_granted_need_a_number_too() -> None:
    line = "AUT||ACME|||||||||||REF|||||{}"
    assert said(found(line.format("2^VISITS"), version="2.8", kind="RPA^I08")) == ["error 101 AUT-6.usage AUT-6"]
    assert found(line.format("0^VISITS"), version="2.8", kind="RPA^I08") == []


def test_a_line_without_a_number_has_that_of_the_first_aut() -> None:
    granted = "AUT||ACME||20260301"
    assert found("AUT||ACME||||PA1", granted, granted, kind="RPA^I08") == []
    assert said(found(granted, "AUT||ACME||||PA1", granted, kind="RPA^I08")) == [
        "error 101 AUT-6.usage AUT-6",
        "error 101 AUT-6.usage AUT[3]-6",
    ]


# --- conditions and statements


def test_a_condition_asks_for_a_field_where_it_is_true(tmp_path: Path) -> None:
    profile = own_profile(
        tmp_path, "departs: [AUT-2]\nsegments: {AUT: {fields: {2: {verb: MAY}, 3: {condition: AUT-2 valued}}}}"
    )
    assert told(profile, "AUT|GOLD") == []
    assert told(profile, "AUT||ACME") == ["error 101 AUT-3.usage AUT-3"]
    assert told(profile, "AUT||ACME|") == ["error 101 AUT-3.usage AUT-3"]
    assert told(profile, "AUT||ACME|Acme Health") == []


def test_statements_are_checked_for_each_segment_of_their_name(tmp_path: Path) -> None:
    profile = own_profile(
        tmp_path,
        """
departs: [AUT-2]
segments: {AUT: {fields: {2: {verb: MAY}}}}
statements:
- {id: payor-or-plan, segment: AUT, holds: AUT-1 valued or AUT-2 valued, text: one of both, severity: error}
- {id: no-comment, segment: AUT, holds: AUT-3 empty, text: no names}""",
    )
    assert told(profile, "AUT|GOLD", "AUT|||x", "AUT||ACME") == [
        "error 199 payor-or-plan AUT[2]",
        "warning 199 no-comment AUT[2]",
    ]


def test_a_statement_about_a_segment_without_rules_is_checked_too(tmp_path: Path) -> None:
    profile = own_profile(tmp_path, "statements: [{id: plan, segment: IN1, holds: IN1-2 valued, text: a plan}]")
    assert told(profile, "IN1|1||ACME") == ["warning 199 plan IN1"]


# --- acceptance cases

GOOD_PLACES = "PRD|RP|Moss^Ada\rPID|||77001||Quill^Ivo"
PROCEDURE = "PR1|1||99213^Visit^C4||20260401"


def placed(text: str, version: str = "2.5", kind: str = "RQA^I08") -> list[str]:
    """What the shipped channel's profile says of a message with these segments, structure and all."""
    message = parse(f"{head(version, kind)}\r{text}".encode())
    return said(checked(message, compiled("referral", version), placed=True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{GOOD_PLACES}\r{PROCEDURE}\rAUT||ACME", []),
        # P27
        (f"{GOOD_PLACES}\r{PROCEDURE}\rOBX|1|ST|x||y||||||F\rAUT||ACME", ["warning 100 structure.sequence OBX"]),
        # P28
        (f"AUT||ACME\r{GOOD_PLACES}", []),
        (f"{GOOD_PLACES}\rAUT||ACME\r{PROCEDURE}", ["error 100 structure.sequence AUT"]),
        (f"{GOOD_PLACES}\r{PROCEDURE}\rAUT||A\rOBR|1|||x\rAUT||ACME", ["error 100 structure.sequence AUT[2]"]),
        # P29
        (f"{GOOD_PLACES}\r{PROCEDURE}\rAUT||A\rAUT||B", ["error 198 structure.cardinality AUT[2]"]),
        # P67
        (
            f"{GOOD_PLACES}\rZAU|1\rZIN|2",
            ["information 199 structure.unexpected ZAU", "information 199 structure.unexpected ZIN"],
        ),
        (f"{GOOD_PLACES}\rERR|x", ["warning 199 structure.unexpected ERR"]),
        ("PID|||77001||Quill^Ivo", ["error 100 structure.missing PRD"]),
        ("PRD|RP|Moss^Ada", ["error 100 structure.missing PID"]),
        (f"{GOOD_PLACES}\rPID|||77002||Wren^Una", ["error 198 structure.cardinality PID[2]"]),
        (f"{GOOD_PLACES}\rIN2||x", ["warning 100 structure.sequence IN2"]),
    ],
)
def test_the_structure_of_a_request(text: str, expected: list[str]) -> None:
    assert placed(text) == expected


def test_the_structure_of_an_answer() -> None:
    assert placed(f"MSA|AA|C1\r{GOOD_PLACES}", kind="RPA^I08") == ["error 100 structure.missing PR1"]
    assert placed(f"MSA|AA|C1\r{GOOD_PLACES}", kind="RPA^I09") == ["error 100 structure.missing PR1"]
    assert placed(f"{GOOD_PLACES}\r{PROCEDURE}", kind="RPA^I08") == ["error 100 structure.missing MSA"]
    assert placed(GOOD_PLACES, kind="RRI^I12") == []


def test_a_missing_segment_is_placed_behind_the_last_one_before_it() -> None:
    raw = f"{head()}\rPRD|RP|Moss^Ada\rPR1|1||99213||20260401\rPR1|2||99214||20260401".encode()
    message = parse(raw)
    (finding,) = checked(message, compiled("referral", "2.5"), placed=True)
    assert (finding.path, finding.location) == ("PID", Location("PID", 1))
    assert finding.start == finding.end == raw.index(b"\rPR1")
    procedures = parse(f"{head(kind='RPA^I08')}\rMSA|AA|C1\r{GOOD_PLACES}".encode())
    (finding,) = checked(procedures, compiled("referral", "2.5"), placed=True)
    assert finding.start == finding.end == len(procedures.raw)


def test_a_segment_out_of_place_is_all_its_bytes() -> None:
    raw = f"{head(charset='UNICODE UTF-8')}\r{GOOD_PLACES}\r{PROCEDURE}\rAUT||ACME\rAUT||Zürich~x\r{PROCEDURE}".encode()
    finding = next(
        each for each in checked(parse(raw), compiled("referral", "2.5"), placed=True) if "structure" in each.rule
    )
    assert raw[finding.start : finding.end] == "AUT||Zürich~x".encode()
    assert finding.location == Location("AUT", 2)


def test_p31_trailing_separators_say_nothing(tmp_path: Path) -> None:
    visit = "PV1||O" + "|" * 47
    message = parse(f"{head()}\rAUT|GOLD^|ACME^^^||20260301^|||175&^|1|||||||||\r{visit}".encode())
    profile = own_profile(tmp_path, "extends: aut-standard\nsegments: {PV1: {}}")
    assert check(message, profile, None) == []


def test_p64_the_occurrence_counts_segments_of_that_name_in_the_whole_message() -> None:
    text = f"{head('2.5')}\rAUT||A\r{GOOD_PLACES}\rPR1|1||a||20260401\rAUT||B\rPR1|1||b||20260401\rAUT|x"
    finding = next(each for each in checked(parse(text.encode()), compiled("referral", "2.5"), placed=True))
    assert (finding.path, finding.location) == ("AUT[3]-2", Location("AUT", 3, 2))
    assert finding.problem.location == Location("AUT", 3, 2)


def test_p66_only_errors_are_errors_for_the_sender() -> None:
    missing, long = found("AUT|||" + "x" * 46)[::-1]
    assert (missing.problem.severity, missing.problem.code, missing.problem.rule) == ("E", "101", "AUT-2.usage")
    assert (long.problem.severity, long.problem.code) == ("W", "104")
    assert long.problem.text == "AUT-3 Authorizing Payor, Company Name is longer than 45 characters"
    unknown = parse(f"{head()}\r{GOOD_PLACES}\rZAU|1".encode())
    (note,) = checked(unknown, compiled("referral", "2.5"), placed=True)
    assert note.problem.severity == "I"


@pytest.mark.parametrize(
    ("version", "length", "long"),
    [
        ("2.3.1", 20, False),
        ("2.3.1", 36, True),
        ("2.6", 21, True),
        ("2.7", 36, False),
        ("2.7", 199, False),
        ("2.8", 200, True),
    ],
)
def test_p74_a_long_control_id_is_a_warning(version: str, length: int, long: bool) -> None:
    raw = head(version).replace("|C1|", f"|{'x' * length}|").encode()
    findings = check(parse(raw), compiled("referral", version), None)
    assert said(findings) == (["warning 104 MSH-10.length MSH-10"] if long else [])
    assert [raw[each.start : each.end] for each in findings] == [b"x" * length] * long


def test_p76_the_procedure_of_2_3_in_the_layout_of_later_versions(tmp_path: Path) -> None:
    message = parse(f"{head('2.3')}\rPR1|1||99213^Visit^C4|||A".encode())
    assert said(check(message, compiled("referral", "2.3"), None)) == ["warning 101 PR1-2.usage PR1-2"]
    assert said(check(message, own_profile(tmp_path, "segments: {PR1: {}}", "2.3"), None)) == [
        "error 101 PR1-2.usage PR1-2"
    ]
    later = parse(f"{head('2.3.1')}\rPR1|1||99213^Visit^C4||20260401|A".encode())
    assert check(later, compiled("referral", "2.3.1"), None) == []


@each_version
def test_p77_a_withdrawn_field_is_a_warning(version: str) -> None:
    procedure = "PR1|1|C4|99213^Visit^C4||20260401|A"
    expected = ["warning 207 PR1-2.usage PR1-2"] if at_least(version, "2.6") else []
    assert said(found(procedure, version=version, profile="referral")) == expected


@each_version
def test_p78_provider_roles_and_identifiers(version: str) -> None:
    findings = said(found("PRD|PS^x~RP~EF|Moss^Ada|||||4711^CU&M&C", version=version, profile="referral"))
    roles = ["warning 103 PRD-1.table PRD-1", "warning 103 PRD-1.table PRD-1[3]"]
    assert [text for text in findings if "PRD-1" in text] == roles
    assert all(text.startswith("warning") for text in findings)


@pytest.mark.parametrize(
    ("effective", "expires", "crossed"),
    [
        ("20260301", "20260930", False),
        ("20260301", "20260301", False),
        ("20260930", "20260301", True),
        ("202612311200", "20270101", False),
        ("20260301", "202603011200", False),
        ("202603011200", "20260301", False),
        ("20260301", "", False),
        ("", "20260301", False),
        ('""', "20260301", False),
    ],
)
def test_p79_an_authorization_that_ends_before_it_begins(effective: str, expires: str, crossed: bool) -> None:
    findings = found(f"AUT||ACME||{effective}|{expires}|PA1", profile="referral")
    assert said(findings) == (["warning 199 AUT-dates AUT"] if crossed else [])
    for each in findings:
        assert each.text == "the authorization expires (AUT-5) before it takes effect (AUT-4)"
        assert (each.end - each.start, each.location) == (len("AUT||ACME||20260930|20260301|PA1"), Location("AUT", 1))


@each_version
def test_p80_a_referral_id_in_another_component(version: str) -> None:
    def of_rf1(line: str) -> list[str]:
        return [text for text in said(found(line, version=version, profile="referral")) if "RF1" in text]

    assert of_rf1("RF1||||||R1") == []
    assert of_rf1("RF1||||||^^R1") == ["warning 101 RF1-6.1.usage RF1-6.1"]
    assert of_rf1("RF1||||||") == ["error 101 RF1-6.usage RF1-6"]
    assert of_rf1("RF1||||||" + "R" * 16) == ["warning 104 RF1-6.1.length RF1-6.1"]


# --- one pass, every finding, in order

MANY = (
    "AUT|A~B||" + "x" * 46 + "|1994|soon|PA1^^TOOLONG|free|two",
    "PID|x",
    "AUT||ACME|||||||||||||x" + "|" * 15 + "y|z",
)


def test_one_pass_tells_everything_in_the_order_of_the_message() -> None:
    text = "\r".join((head("2.5", kind="RPA^I08"), *MANY))
    assert said(check(parse(text.encode()), compiled("referral", "2.5"), None)) == [
        "error 198 AUT-1.cardinality AUT-1",
        "warning 104 AUT-3.length AUT-3",
        "error 102 AUT-5.type AUT-5.1",
        "warning 104 AUT-6.3.length AUT-6.3",
        "error 102 AUT-7.type AUT-7.1.1",
        "error 102 AUT-8.type AUT-8",
        "warning 104 AUT-8.length AUT-8",
        "error 101 AUT-2.usage AUT-2",
        "warning 102 PID-1.type PID-1",
        "error 101 PID-3.usage PID-3",
        "error 101 PID-5.usage PID-5",
        "warning 199 AUT-15.unexpected AUT[2]-15",
        "warning 199 AUT-30.unexpected AUT[2]-30",
    ]


def test_what_was_tolerated_and_the_structure_come_first() -> None:
    raw = f"{head()}\n{GOOD_PLACES}\n  AUT|x\n,\n".replace("\r", "\n").encode()
    findings = checked(parse(raw), compiled("referral", "2.5"), placed=True)
    assert said(findings) == [
        "warning 199 wire.segment-end-not-cr MSH",
        "warning 199 wire.indented-segment MSH",
        "warning 199 wire.line-is-no-segment MSH",
        "error 100 structure.sequence AUT",
        "error 101 AUT-2.usage AUT-2",
    ]
    assert [each.text for each in findings[:3]] == [
        NOTES["segment-end-not-cr"], NOTES["indented-segment"], NOTES["line-is-no-segment"],
    ]  # fmt: skip
    assert {(each.start, each.end) for each in findings[:3]} == {(0, len(raw))}


def test_a_note_without_a_sentence_speaks_for_itself() -> None:
    message = parse(head().encode())
    message.notes = ("odd-thing",)
    (finding,) = check(message, compiled("referral", "2.5"), None)
    assert (finding.rule, finding.text, finding.severity) == ("wire.odd-thing", "odd-thing", "warning")


LONG = "x" * 46


def test_findings_have_a_bound() -> None:
    message = parse("\r".join((head(), *[f"AUT||ACME|{LONG}"] * 200)).encode())
    assert len(check(message, compiled("aut-standard", "2.5"), None)) == MAX_FINDINGS == 200
    message = parse("\r".join((head(), *[f"AUT||ACME|{LONG}"] * 300)).encode())
    *listed, last = check(message, compiled("aut-standard", "2.5"), None)
    assert len(listed) == 200
    assert (last.rule, last.path, last.location) == ("check.limit", "MSH", Location("MSH"))
    assert last.text.startswith("more than 200 findings")
    # what is not listed is no better than what is
    message = parse("\r".join((head(), *[f"AUT||ACME|{LONG}"] * 200, "AUT|")).encode())
    assert check(message, compiled("aut-standard", "2.5"), None)[-1].severity == "error"


def test_no_error_of_the_structure_is_lost_behind_many_strays() -> None:
    text = "\r".join((head(), GOOD_PLACES, *["ZZZ|1"] * 250, "AUT||ACME", "AUT||ACME"))
    findings = checked(parse(text.encode()), compiled("referral", "2.5"), placed=True)
    assert len(findings) == MAX_FINDINGS + 1
    assert findings[-1].severity == "error"


def test_no_error_is_lost_behind_many_warnings() -> None:
    fields = parse("\r".join((head(), *[f"AUT||ACME|{LONG}"] * 250, "AUT|GOLD")).encode())
    strays = parse("\r".join((head(), GOOD_PLACES, PROCEDURE, *["ZZZ|1"] * 250, "AUT|GOLD")).encode())
    for message in (fields, strays):
        findings = checked(message, compiled("referral", "2.5"), placed=message is strays)
        assert "error" in {each.severity for each in findings}


def test_segments_without_rules_are_not_looked_at() -> None:
    assert found("ZZZ|" + "~" * 9, "NTE|x|y|z|" + "^" * 9) == []


def test_a_finding_as_it_is_stored_and_shown() -> None:
    (finding,) = found("AUT|GOLD")
    assert finding_entry(finding) == {
        "rule": "AUT-2.usage",
        "severity": "error",
        "path": "AUT-2",
        "text": "AUT-2 Authorizing Payor, Company ID SHALL have a value and is empty",
        "code": "101",
        "bytes": [finding.start, finding.start],
        "category": "usage",
        "line": 2,
        "source": "profiles/aut-standard.yaml:9",
        "standard": "HL7 chapter 11, 11.6.2.2",
        "mend": "Send a value in AUT-2 (Authorizing Payor, Company ID).",
    }


# --- the memory of good values


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The raw values that were really judged, in order."""
    values: list[str] = []

    def spy(rule: FieldRule, raw: str, marks: Delimiters) -> tuple[Verdict, ...]:
        values.append(raw)
        return judge(rule, raw, marks)

    monkeypatch.setattr("hl7auth.rules.check.judge", spy)
    return values


def fresh() -> CompiledProfile:
    return compile_profile(resolved("aut-standard"), "2.5")


def test_a_good_value_is_judged_once_and_a_bad_one_is_told_each_time(judged: list[str]) -> None:
    profile = fresh()
    message = parse(f"{head()}\rAUT||ACME|||5\rAUT||ACME|||5".encode())
    first = check(message, profile, None)
    assert said(first) == ["error 102 AUT-5.type AUT-5.1", "error 102 AUT-5.type AUT[2]-5.1"]
    assert judged.count("ACME") == 1
    judged.clear()
    assert check(message, profile, None) == first
    assert "ACME" not in judged


def test_a_value_is_remembered_for_its_own_field_alone() -> None:
    profile = fresh()
    assert check(parse(f"{head()}\rAUT||20260230|tomorrow".encode()), profile, None) == []
    assert told(profile, "AUT||A||20260230|tomorrow") == [
        "error 102 AUT-4.type AUT-4.1",
        "error 102 AUT-5.type AUT-5.1",
    ]


def test_other_delimiters_do_not_reuse_what_was_remembered(judged: list[str]) -> None:
    profile = fresh()
    assert told(profile, "AUT||A^b") == []
    odd = parse(b"MSH|*~\\&|EHR|NORTH|PAYER|SOUTH|20260301101500||RQA*I08|C1|P|2.5\rAUT||A^b|||1*2*3*4")
    judged.clear()
    assert said(check(odd, profile, None)) == ["error 102 AUT-5.type AUT-5.1", "warning 102 AUT-5.type AUT-5.3"]
    assert "A^b" in judged
    assert told(profile, "AUT||A|||1*2*3*4") == ["error 102 AUT-5.type AUT-5.1"]


def test_other_profiles_and_versions_do_not_reuse_it_either() -> None:
    assert told(fresh(), "AUT||A||||||1") == []
    assert found("AUT||A||||||1^VISITS|||||REF", version="2.8") == []
    assert said(found("AUT||A||||||1^VISITS", version="2.5"))[0] == "warning 102 AUT-8.type AUT-8.2"


@pytest.mark.parametrize(("length", "again"), [(256, False), (257, True)])
def test_long_values_are_not_remembered(judged: list[str], length: int, again: bool) -> None:
    profile = compile_profile(resolved("aut-standard"), "2.8")
    value = "x" * length
    message = parse(f"{head('2.8')}\rAUT||A|||||||||||REF||||{value}".encode())
    check(message, profile, None)
    judged.clear()
    assert check(message, profile, None) == []
    assert (value in judged) is again


def test_a_field_of_ever_new_values_is_forgotten_in_time() -> None:
    profile = fresh()
    for number in range(4_500):
        message = parse(f"{head()}\rAUT||P{number}".encode())
        assert check(message, profile, None) == []
    assert len(profile.good_values(message.delimiters).values["AUT"][2]) <= 2_000


PROVIDER = "PRD|RP|Moss^Ada"


def test_a_whole_segment_that_was_good_is_not_judged_again(judged: list[str]) -> None:
    profile = compile_profile(resolved("referral"), "2.5")
    assert told(profile, PROVIDER, "PRD|PS|Moss^Ada") == ["warning 103 PRD-1.table PRD[2]-1"]
    judged.clear()
    assert told(profile, PROVIDER, PROVIDER) == []
    assert judged == []
    assert told(profile, PROVIDER, "PRD|PS|Moss^Ada") == ["warning 103 PRD-1.table PRD[2]-1"]


def test_whole_segments_are_forgotten_in_time_and_long_ones_at_once() -> None:
    profile = compile_profile(resolved("referral"), "2.5")
    lines = [f"PRD|RP|Moss^{number}" for number in range(4_500)]
    message = parse("\r".join((head(), *lines, "PRD|RP|" + "x" * 250)).encode())
    assert check(message, profile, None) == []
    kept = profile.good_values(message.delimiters).segments
    assert 0 < len(kept) <= 2_000
    assert max(map(len, kept)) <= 256


@pytest.mark.parametrize(
    "rules",
    [
        "statements: [{id: x, segment: PRD, holds: message.PID-8 valued, text: t}]",
        "statements: [{id: x, segment: PRD, holds: PID-8 valued, text: t}]",
        "segments: {PRD: {fields: {3: {condition: message.PID-8 empty}}}}",
    ],
)
def test_a_segment_that_was_good_in_one_message_may_not_be_so_in_another(tmp_path: Path, rules: str) -> None:
    profile = own_profile(tmp_path, f"extends: referral\n{rules}")
    assert told(profile, PROVIDER, "PID|||1||Quill|||F") == []
    assert len(told(profile, PROVIDER, "PID|||1||Quill")) == 1


_FIELDS = st.lists(st.sampled_from(["", '""', "A", "5", "20260301", "x^y", "a~b", "1&2", "x" * 300, "U"]), max_size=31)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_FIELDS, max_size=4), st.sampled_from(["2.3", "2.7", "2.9.1"]))
def test_what_is_remembered_changes_no_verdict(rows: list[list[str]], version: str) -> None:
    raw = "\r".join((head(version), *("|".join(("AUT", *row)) for row in rows))).encode()
    anew = check(parse(raw), compile_profile(resolved("aut-standard"), version), None)
    for _ in range(2):
        assert check(parse(raw), compiled("aut-standard", version), None) == anew
