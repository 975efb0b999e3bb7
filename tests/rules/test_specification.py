"""What is right, and what is wrong with the profile: told to those who ask, and never blamed on the message."""

from pathlib import Path

import pytest

from hl7auth.resources import shipped
from hl7auth.rules.check import check
from hl7auth.rules.compiled import compiled
from hl7auth.rules.profile import profile_files
from hl7auth.rules.specification import specification_faults
from hl7auth.wire.message import parse
from hl7auth.wire.versions import VERSIONS
from tests.rules.said import head, own_profile


@pytest.mark.parametrize(
    ("text", "rule", "said"),
    [
        ('segments: {AUT: {fields: {1: {table: "9999"}}}}', "AUT-1.table", "table 9999, which is not configured"),
        ("segments: {AUT: {fields: {1: {name: Plan}}}}", "AUT-1.table", "table 0072, which has no codes yet"),
        (
            'tables: {"9999": {name: t, kind: site}}\nsegments: {AUT: {fields: {1: {table: "9999"}}}}',
            "AUT-1.table",
            "table 9999, which has no codes yet",
        ),
        ("segments: {AUT: {fields: {6: {usage: C(R/X)}}}}", "AUT-6.usage", "without a condition"),
        (
            "segments: {AUT: {fields: {6: {components: {2: {usage: C(R/X)}}}}}}",
            "AUT-6.2.usage",
            "without a condition",
        ),
        (
            "segments: {AUT: {fields: {6: {condition: PID-99 valued}}}}",
            "AUT-6.usage",
            "reads PID-99, which does not exist",
        ),
        ("segments: {AUT: {fields: {6: {type: QQQ}}}}", "AUT-6.type", "data type QQQ, which HL7 2.5 does not have"),
        ("segments: {ARG: {fields: {1: {type: ST}}}}", "ARG.unknown", "HL7 has no segment ARG"),
        ("severities: {AUT-x.usage: error}", "AUT-x.usage", "no rule of this profile"),
        ("severities: {nonsense: error}", "nonsense", "no rule of this profile"),
        ("groups: {RQA_I08: {NOBODY: {cardinality: 0..1}}}", "structure", "RQA_I08 of HL7 has no NOBODY"),
        ("events: {ZQA^Z02: ZQA_Z02}", "structure", "neither the profile nor HL7 2.5 has"),
        ("statements: [{id: s, segment: AUT, holds: AUT-99 valued, text: t}]", "s", "reads AUT-99"),
    ],
)
def test_what_can_not_be_evaluated_is_a_fault_of_the_profile(tmp_path: Path, text: str, rule: str, said: str) -> None:
    profile = own_profile(tmp_path, text)
    faults = [each for each in specification_faults(profile) if each.rule == rule]
    assert [said in each.text for each in faults] == [True]
    assert (faults[0].severity, faults[0].mend != "", faults[0].source.startswith(tmp_path.name)) == (
        "specification", True, True,
    )  # fmt: skip
    message = parse(f"{head()}\rAUT|G|A||||P1".encode())
    assert faults[0] in check(message, profile, None, affirmative=True)
    if rule != "s":  # a statement that never holds is told of the message too
        assert all(each.severity != "specification" for each in check(message, profile, None))


def test_a_profile_that_can_be_evaluated_has_no_faults(tmp_path: Path) -> None:
    text = """
tables: {"9001": {name: t, kind: site, values: {A: a}}}
severities: {AUT-1.table: alert, structure.missing: warning, wire.byte-order-mark: alert, here: error}
segments: {AUT: {fields: {1: {table: "9001", condition: AUT-29 valued or PID-8 valued}}}, PRT: {}}
statements: [{id: here, segment: PID, holds: PID-3 valued, text: t}]"""
    # AUT-2 is bound by HL7 and the profile does not speak of it
    assert specification_faults(own_profile(tmp_path, text)) == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", sorted(profile_files()))
def test_of_shipped_profiles_only_tables_of_a_site_are_left_open(name: str, version: str) -> None:
    assert {fault.category for fault in specification_faults(compiled(name, version))} <= {"value set"}


# --- what is right


def good() -> tuple[bytes, str]:
    return (shipped("sample_messages") / "01-rqa-i08-v2.5.1-request.hl7").read_bytes(), "2.5.1"


def test_what_is_right_is_told_where_it_is_asked_for() -> None:
    raw, version = good()
    message, profile = parse(raw), compiled("referral", version)
    layout = profile.layout("RQA_I08", tuple(segment.name for segment in message.segments))
    assert check(message, profile, layout) == []
    found = check(message, profile, layout, affirmative=True)
    assert {each.severity for each in found} == {"affirmative", "specification"}
    right = {(each.rule, each.path): each for each in found if each.severity == "affirmative"}
    assert len(right) == sum(each.severity == "affirmative" for each in found)
    assert right["AUT-2.usage", "AUT-2"].text == "AUT-2 Authorizing Payor, Company ID is there, as it has to be"
    assert right["structure", "MSH"].text == "every segment is in its place, and none is missing"
    assert {"MSH-9.usage", "PID-5.type", "AUT-2.cardinality", "AUT-dates", "PRD-1.table"} <= {rule for rule, _ in right}
    # every segment with rules has something to be praised for
    assert {path.partition("-")[0].partition("[")[0] for _, path in right} >= {"MSH", "PRD", "PID", "PR1", "AUT"}
    for each in right.values():
        assert raw[each.start : each.end].decode()[:40].isascii()


def test_what_is_wrong_is_not_told_as_right(tmp_path: Path) -> None:
    profile = own_profile(tmp_path, "segments: {AUT: {fields: {1: {usage: X}, 3: {usage: IX}, 4: {usage: B}}}}")
    message = parse(f"{head()}\rAUT||A|name||soon".encode())
    found = check(message, profile, None, affirmative=True)
    said = {(each.severity, each.rule) for each in found if each.severity != "specification"}
    assert ("error", "AUT-5.type") in said
    assert ("affirmative", "AUT-5.type") not in said
    assert ("affirmative", "AUT-1.usage") in said
    assert ("affirmative", "AUT-5.cardinality") in said
    (excluded,) = (each for each in found if each.rule == "AUT-3.usage")
    assert excluded.text.endswith("is excluded from validation (IX)")
