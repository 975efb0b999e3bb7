"""The shipped profiles: all compile in all their versions, and each says of a message what its partners rely on."""

from collections.abc import Iterator

import pytest

from hl7auth.resources import shipped
from hl7auth.rules.check import Finding, check
from hl7auth.rules.compiled import CompiledProfile, compiled
from hl7auth.rules.doubts import doubts
from hl7auth.rules.elements import table_of
from hl7auth.rules.profile import Component, FieldProfile, Verb, profile_files, resolved
from hl7auth.rules.structure import MESSAGE
from hl7auth.wire.message import Message, parse
from hl7auth.wire.versions import VERSIONS, at_least
from tests.rules.said import aut, said

NAMES = tuple(profile_files())
MESSAGES = {
    "rqa-i08": ("RQA", "RQA_I08", ("I08", "I09", "I10", "I11")),
    "rpa-i08": ("RPA", "RPA_I08", ("I08", "I09", "I10", "I11")),
    "ref-i12": ("REF", "REF_I12", ("I12", "I13", "I14", "I15")),
    "rri-i12": ("RRI", "RRI_I12", ("I12", "I13", "I14", "I15")),
    "rqi-i01": ("RQI", "RQI_I01", ("I01", "I02", "I03")),
    "rqp-i04": ("RQP", "RQP_I04", ("I04",)),
    "ehc-e01": ("EHC", "EHC_E01", ("E01",)),
    "ehc-e21": ("EHC", "EHC_E21", ("E21",)),
    "ehc-e24": ("EHC", "EHC_E24", ("E24",)),
    "adt-a01": ("ADT", "ADT_A01", ("A01", "A04", "A08", "A13")),
    "adt-a03": ("ADT", "ADT_A03", ("A03",)),
    "adt-a05": ("ADT", "ADT_A05", ("A05", "A14", "A28", "A31")),
    "adt-a16": ("ADT", "ADT_A16", ("A16",)),
}
REFERRAL = ("rqa-i08", "rpa-i08", "ref-i12", "rri-i12")

each_version = pytest.mark.parametrize("version", VERSIONS)


def versions(name: str) -> tuple[str, ...]:
    applies = resolved(name).applies
    return applies.versions if applies and applies.versions else VERSIONS


def head(kind: str, version: str) -> str:
    return f"MSH|^~\\&|FRONT|NORTH|PAYER|SOUTH|20260301101500||{kind}|C1|P|{version}"


def findings(profile: str, kind: str, version: str, *segments: str) -> list[Finding]:
    """What the profile says of a message of those segments under an MSH, its structure included."""
    message = parse("\r".join((head(kind, version), *segments)).encode())
    rules = compiled(profile, version)
    return check(message, rules, rules.layout(structure_of(rules, message), names(message)))


def structure_of(rules: CompiledProfile, message: Message) -> str:
    found = rules.structure_of(message.header.message_type, message.header.trigger_event)
    assert found is not None
    return found


def names(message: Message) -> tuple[str, ...]:
    return tuple(segment.name for segment in message.segments)


def told(profile: str, kind: str, version: str, *segments: str) -> list[str]:
    return said(findings(profile, kind, version, *segments))


# --- all of them


@pytest.mark.parametrize("name", NAMES)
def test_each_compiles_in_every_version_that_it_is_for(name: str) -> None:
    profile = resolved(name)
    assert (profile.profile, profile.title != "", profile.source != "") == (name, True, True)
    for version in versions(name):
        rules = compiled(name, version)
        assert rules.segments
        for text in profile.events.values():
            assert rules.has_structure(text)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_without_doubts_but_for_tables_that_a_site_brings_and_segments_of_later_versions(name: str) -> None:
    known = ("no codes yet", "not configured", "has no segment", "always empty")
    left = [each for each in doubts(resolved(name)) if not any(text in each.text for text in known)]
    assert left == []


@pytest.mark.parametrize("name", NAMES)
def test_every_table_that_a_profile_names_is_known(name: str) -> None:
    profile = resolved(name)

    def named(element: FieldProfile | Component) -> Iterator[str]:
        yield from filter(None, (element.table, element.binding and element.binding.table))
        for part in element.components.values():
            yield from named(part)

    fields = [field for segment in profile.segments.values() for field in segment.fields.values()]
    missing = {number for field in fields for number in named(field) if table_of(profile, number) is None}
    assert missing == set()


def test_no_two_profiles_are_for_the_same_message() -> None:
    own = [name for name in NAMES if resolved(name).place("applies").rpartition(":")[0].endswith(f"/{name}.yaml")]
    said_for = [
        (message, version)
        for name in own
        if (applies := resolved(name).applies)
        for message in applies.messages
        for version in versions(name)
    ]
    assert len(said_for) > 200
    assert len(set(said_for)) == len(said_for)


# --- AUT, field by field as HL7's page has it (HL7 v2+ 18.8.15)

PAGE = """
1|Authorizing Payor, Plan ID|0..1|CWE|0072
2|Authorizing Payor, Company ID|1..1|CWE|0285
3|Authorizing Payor, Company Name|0..1|ST|
4|Authorization Effective Date|0..1|DTM|
5|Authorization Expiration Date|0..1|DTM|
6|Authorization Identifier|0..1|EI|
7|Reimbursement Limit|0..1|CP|
8|Requested Number of Treatments|0..1|CQ|
9|Authorized Number of Treatments|0..1|CQ|
10|Process Date|0..1|DTM|
11|Requested Discipline(s)|0..*|CWE|0522
12|Authorized Discipline(s)|0..*|CWE|0546
13|Authorization Referral Type|1..1|CWE|0551
14|Approval Status|0..1|CWE|0563
15|Planned Treatment Stop Date|0..1|DTM|
16|Clinical Service|0..1|CWE|0573
17|Reason Text|0..1|ST|
18|Number of Authorized Treatments/Units|0..1|CQ|
19|Number of Used Treatments/Units|0..1|CQ|
20|Number of Schedule Treatments/Units|0..1|CQ|
21|Encounter Type|0..1|CWE|0574
22|Remaining Benefit Amount|0..1|MO|
23|Authorized Provider|0..1|XON|
24|Authorized Health Professional|0..1|XCN|
25|Source Text|0..1|ST|
26|Source Date|0..1|DTM|
27|Source Phone|0..1|XTN|
28|Comment|0..1|ST|
29|Action Code|0..1|ID|0206
"""


@pytest.mark.parametrize(("name", "verb"), [("aut-framework", Verb.SHOULD), ("aut-standard", Verb.SHALL)])
@pytest.mark.parametrize("version", ["2.8", "2.9.1"])
def test_the_table_of_the_page(name: str, verb: Verb, version: str) -> None:
    fields = compiled(name, version).segments["AUT"].fields[1:]
    most = ["*" if field.max is None else field.max for field in fields]
    drawn = [
        f"{field.number}|{field.name}|{field.min}..{high}|{field.datatype}|{field.table}"
        for field, high in zip(fields, most, strict=True)
    ]
    assert drawn == PAGE.strip().splitlines()
    assert [field.verb for field in fields] == [verb if field.number in (2, 13) else Verb.MAY for field in fields]
    assert [field.number for field in fields if field.condition] == [6]
    assert {field.number: field.stored for field in fields if field.stored} == {3: 45}
    assert fields[2].truncated_at == 45


# --- message profiles


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_profile_is_for_its_events_and_no_others(name: str) -> None:
    kind, structure, events = MESSAGES[name]
    applies = resolved(name).applies
    assert applies is not None
    assert applies.messages == tuple(f"{kind}^{event}" for event in events)
    for version in versions(name):
        rules = compiled(name, version)
        assert {rules.structure_of(kind, event) for event in events} == {structure}
        other = check(parse(head("ORU^S12", version).encode()), rules, None)
        wrong = {each.rule: each.severity for each in other}
        assert (wrong["MSH-event"], wrong["MSH-9.1.constant"]) == ("error", "error")


@each_version
@pytest.mark.parametrize("name", REFERRAL)
def test_a_good_message_of_each_kind_is_clean(name: str, version: str) -> None:
    kind, structure, (event, *_) = MESSAGES[name]
    full = f"{kind}^{event}^{structure}" if at_least(version, "2.3.1") else f"{kind}^{event}"
    segments = [
        *(["MSA|AA|R1"] if kind in ("RPA", "RRI") else []),
        "RF1||R|MED|||RF77^NORTH",
        aut(version, {9: "0"} if kind in ("RQA", "REF") else {}),
        "PRD|RP|Moss^Ada",
        "PID|||77001^^^NORTH||Quill^Ivo||19800102|M",
        procedure(version),
        aut(version, {9: "0"} if kind in ("RQA", "REF") else {}),
    ]
    assert told(name, full, version, *segments) == []


def procedure(version: str) -> str:
    """A good PR1: in 2.3 the coding method stands apart, and the type is required to 2.3.1."""
    if version == "2.3":
        return "PR1|1|C4|99213||20260401|P"
    return "PR1|1||99213^Visit^C4||20260401" + ("|P" if version == "2.3.1" else "")


@each_version
def test_an_answer_needs_a_procedure_in_every_version_and_a_request_does_not(version: str) -> None:
    behind = ("RF1||R|MED|||RF77^NORTH", "PRD|RP|Moss^Ada", "PID|||77001^^^NORTH||Quill^Ivo")
    assert told("rqa-i08", "RQA^I08", version, *behind) == []
    (missing,) = findings("rpa-i08", "RPA^I08", version, "MSA|AA|R1", *behind)
    assert (missing.severity, missing.rule, missing.path) == ("error", "structure.missing", "PR1")
    assert told("referral-tolerant", "RPA^I08", version, "MSA|AA|R1", *behind) == []


@each_version
def test_what_each_of_the_four_needs(version: str) -> None:
    def missing(name: str) -> list[str]:
        kind, _, (event, *_) = MESSAGES[name]
        return [each.split()[-1] for each in told(name, f"{kind}^{event}", version) if "structure.missing" in each]

    assert missing("rqa-i08") == missing("ref-i12") == missing("rri-i12") == ["PRD", "PID"]
    assert missing("rpa-i08") == ["MSA", "PRD", "PID", "PR1"]


def test_p23_referral_type_is_required_from_2_8_on() -> None:
    segments = ("PRD|RP|Moss^Ada", "PID|||77001^^^NORTH||Quill^Ivo", "PR1|1||99213^Visit^C4||20260401", "AUT||ACME")
    for version in ("2.4", "2.7.1"):
        assert told("rqa-i08", "RQA^I08", version, *segments) == []
    assert told("rqa-i08", "RQA^I08", "2.8", *segments) == ["error 101 AUT-13.usage AUT-13"]


def test_p09_another_structure_than_that_of_the_event() -> None:
    segments = ("PRD|RP|Moss^Ada", "PID|||77001^^^NORTH||Quill^Ivo")
    assert [each.split()[0::2] for each in told("rqa-i08", "RQA^I08^RQA_I09", "2.5", *segments)] == [
        ["warning", "MSH-structure"]
    ]


def test_an_unexpected_segment_is_remarked_by_the_strict_and_noted_by_the_channel() -> None:
    segments = ("PRD|RP|Moss^Ada", "PID|||77001^^^NORTH||Quill^Ivo", "ZZZ|1")
    assert [each.split()[0] for each in told("rqa-i08", "RQA^I08", "2.5", *segments)] == ["warning"]
    assert [each.split()[0] for each in told("referral", "RQA^I08", "2.5", *segments)] == ["information"]


ADT = ("EVN||20260301", "PID|||77001^^^NORTH||Quill^Ivo", "PV1||I", "IN1|1|GOLD|ACME")


@pytest.mark.parametrize("version", ["2.8", "2.8.2", "2.9", "2.9.1"])
def test_authorizations_repeat_within_an_insurance_of_an_adt(version: str) -> None:
    twice = ("AUT||ACME||||PA1|||||||REF", "AUT||ACME||||PA2|||||||REF")
    assert told("adt-a01", "ADT^A01^ADT_A01", version, *ADT, *twice) == []
    assert told("adt-a01", "ADT^A01^ADT_A01", version, *ADT, "AUT||ACME||20260301|||||||||REF") == [
        "error 101 AUT-6.usage AUT-6"
    ]
    out = told("adt-a01", "ADT^A01", version, ADT[0], "AUT||ACME||||PA1|||||||REF", *ADT[1:])
    assert out == ["error 100 structure.sequence AUT"]


def test_an_invoice_chapter_answer_carries_one_authorization_a_line() -> None:
    lines = ("PSL|1^X||||P|P|99213", "AUT||ACME||||PA1") * 2
    segments = ("MSA|AA|R1", "IVC|1^X|||OR|NORM|FN|20260301|100&USD|||N^1|P^1", *lines, "AUT||ACME")
    placed = [each for each in findings("ehc-e24", "EHC^E24^EHC_E24", "2.6", *segments) if "structure" in each.rule]
    assert [(each.severity, each.rule, each.path) for each in placed] == [("error", "structure.cardinality", "AUT[3]")]


# --- strict and tolerant

LOOSE = (
    "RF1||R|MED",
    "AUT||||20260301",
    "PID|||77001^^^NORTH",
    "PR1|1||99213^Visit^C4||20260401",
)


def test_the_same_message_under_three_profiles() -> None:
    def severities(profile: str) -> dict[str, str]:
        return {
            each.rule: each.severity
            for each in findings(profile, "RQA^I08", "2.4", *LOOSE)
            if each.severity in ("error", "warning")
        }

    strict, channel = severities("referral-strict"), severities("referral")
    assert channel == {
        "structure.missing": "error",
        "RF1-6.usage": "error",
        "AUT-2.usage": "error",
        "PID-5.usage": "error",
    }
    assert strict == channel
    assert severities("referral-tolerant") == {
        "RF1-6.usage": "warning",
        "AUT-2.usage": "warning",
        "PID-5.usage": "warning",
    }


@pytest.mark.parametrize(
    ("segment", "rule"),
    [
        ("PR1|x||99213^Visit^C4||20260401", "PR1-1.type"),
        ("PR1|1||99213^Visit^C4", "PR1-5.usage"),
        ("PRD|RP|Moss^Ada^^^^^Q", "PRD-2.7.table"),
        ("AUT||ACME||||PA1^^X^ODD", "AUT-6.4.table"),
    ],
)
def test_what_the_channel_remarks_is_an_error_to_the_strict(segment: str, rule: str) -> None:
    rest = ("PRD|RP|Moss^Ada", "PID|||77001^^^NORTH||Quill^Ivo", "PR1|1||99213^Visit^C4||20260401")
    order = ("AUT", "PRD", "PID", "PR1")
    segments = sorted((*(each for each in rest if each[:3] != segment[:3]), segment), key=lambda s: order.index(s[:3]))

    def severity(profile: str) -> str:
        (found,) = (each for each in findings(profile, "RQA^I08", "2.4", *segments) if each.rule == rule)
        return found.severity

    assert (severity("referral-strict"), severity("referral")) == ("error", "warning")


def test_fields_of_later_versions_are_taken_by_the_tolerant_but_for_the_action_code() -> None:
    early = aut("2.8", {8: "3", 9: "0", 29: ""})
    rest = ("PRD|RP|Moss^Ada", "PID|||77001^^^NORTH||Quill^Ivo")
    channel = told("referral", "RQA^I08", "2.5", early, *rest)
    assert {each.split()[2] for each in channel} >= {"AUT-13.unexpected", "AUT-28.unexpected"}
    assert told("referral-tolerant", "RQA^I08", "2.5", early, *rest) == []
    action = told("referral-tolerant", "RQA^I08", "2.5", aut("2.8", {8: "3", 9: "0", 29: "D"}), *rest)
    assert [each.split()[::2] for each in action] == [["error", "AUT-29.unexpected"]]


# --- the network


ASKER = "PRD|PS^Clinic||^^^B||||30500000001^CU"
MEMBER = "PID|||0100200300^^^&112233&IIN^HC||UNKNOWN"
ASKED = ("PR1|1||420101^Visit^99DH", "AUT||112233||||||1|0")


def network(kind: str, *segments: str, profile: str = "network-zqa") -> list[str]:
    return told(profile, kind, "2.4", *segments)


def test_a_request_and_its_answer() -> None:
    assert network("ZQA^Z02^ZQA_Z02", ASKER, MEMBER, *ASKED, "PR1|2||420102^^99DH", "AUT||112233||||||2|0") == []
    answer = (
        "MSA|AA|C1", "AUT|4^Plan 4|112233||20260301||7000001", "ZAU||7000001|B000^AUTORIZADA", ASKER, MEMBER,
        "IN1|1|4^Plan 4|112233", "ZIN|Y|EXNT^EXENTO|01^A cargo~02^Otro", "PR1|1||420101^Visit^99DH", "OBX|1||||||||||F",
        "AUT||112233||||||1|1", "ZAU||8000001|B000^AUTORIZADA", "NTE|1||done",
    )  # fmt: skip
    assert network("ZPA^Z02^ZPA_Z02", *answer) == []


def test_p27_an_observation_between_procedure_and_authorization_takes_nothing_away() -> None:
    segments = (
        "MSA|AA|C1", "AUT|4|112233||||7000001", ASKER, MEMBER,
        "PR1|1||420101", "OBX|1||||||||||F", "AUT||112233||||||1|1",
        "PR1|2||420102", "OBX|2||||||||||F", "AUT||112233||||||1|1",
    )  # fmt: skip
    message = parse("\r".join((head("ZPA^Z02", "2.4"), *segments)).encode())
    order = names(message)
    layout = compiled("network-zqa", "2.4").layout("ZPA_Z02", order)
    assert layout.faults == ()
    assert [owner for name, owner in zip(order, layout.owners, strict=True) if name == "AUT"] == [MESSAGE, 5, 8]
    # by the standard's structure of an answer the OBX is out of place
    assert "sequence" in str(compiled("referral", "2.4").layout("RPA_I08", order).faults)


def test_p22_a_payor_that_is_missing_is_remarked() -> None:
    found = network("ZQA^Z02", ASKER, MEMBER, "PR1|1||420101", "AUT||||||||1|0")
    assert found == ["warning 101 AUT-2.usage AUT-2"]
    standard = told("rqa-i08", "RQA^I08", "2.4", ASKER, MEMBER, "PR1|1||420101||20260301", "AUT||||||||1|0")
    assert "error 101 AUT-2.usage AUT-2" in standard


def test_p46_p47_p50_an_answer_that_refuses_and_one_that_authorizes_in_part_are_good_messages() -> None:
    partly = (
        "MSA|AA|C1", "AUT|4|112233||20260301||7000001", "ZAU||7000001|B001^PARCIAL", ASKER, MEMBER,
        "PR1|1||420101", "AUT||112233||||||1|0", "ZAU||8000001|P245^CONSUMIDA",
        "PR1|2||420102", "AUT||112233||||||1|1", "ZAU||8000002|B000^AUTORIZADA",
    )  # fmt: skip
    assert network("ZPA^Z02", *partly) == []
    refused = (*partly[:2], "ZAU||7000001|M000^NO AUTORIZADA", *partly[3:8])
    assert network("ZPA^Z02", *refused) == []
    both = (*partly[:6], "AUT||112233||||||1|1", *partly[7:])
    assert [each.split()[::2] for each in network("ZPA^Z02", *both)] == [["warning", "ZPA-refused-line"]]


def test_p48_a_line_that_waits_under_an_answer_that_is_refused_as_a_whole() -> None:
    segments = (
        "MSA|AA|C1", "AUT|4|112233||||7000001", "ZAU||7000001|M000^NO", ASKER, MEMBER,
        "PR1|1||420101", "AUT||112233||||||1|0", "ZAU||8000001|M024^AUTORIZACION MANUAL",
    )  # fmt: skip
    assert [each.split()[::2] for each in network("ZPA^Z02", *segments)] == [["information", "ZPA-header"]]
    assert compiled("network-zqa", "2.4").profile.dialect is not None


def test_p49_numbers_and_words_that_stand_for_nothing() -> None:
    member = "PID||null|0100200300^^^&112233&IIN^HC||UNKNOWN||00000000"
    found = network("ZPA^Z02", "MSA|AA|C1", "ZAU||0|M005^SOCIO INEXISTENTE", ASKER, member)
    assert sorted(each.split()[0] + " " + each.split()[2] for each in found) == [
        "information PID-null",
        "information ZAU-no-number",
        "warning PID-7.type",
    ]


def test_p51_a_cancellation_needs_its_number_and_neither_authorization_nor_procedure() -> None:
    assert network("ZQA^Z04^ZQA_Z02", "ZAU||8000001", ASKER) == []
    assert network("ZQA^Z04^ZQA_Z04", "ZAU||8000001", ASKER, MEMBER) == []
    assert network("ZQA^Z04", ASKER, "PR1|1||420101", "ZAU||8000001") == []
    (found,) = network("ZQA^Z04", ASKER, MEMBER)
    assert found.split()[::2] == ["error", "ZQA-cancels"]
    assert network("ZPA^Z04", "MSA|AA|C1", "AUT||112233", "ZAU||8000001|B000^ANULADO", ASKER, MEMBER) == []


def test_an_unknown_result_is_an_alert_and_an_unknown_type_an_error() -> None:
    answer = ("MSA|AA|C1", "AUT|4|112233||||7000001", "ZAU||7000001|M999^OTRA", ASKER, MEMBER)
    assert network("ZPA^Z02", *answer) == ["alert 103 ZAU-3.table ZAU-3"]
    rules = compiled("network-zqa", "2.4")
    message = parse("\r".join((head("ZQX^Z09", "2.4"), ASKER)).encode())
    assert said(check(message, rules, None)) == ["error 103 MSH-9.1.table MSH-9.1", "error 103 MSH-9.2.table MSH-9.2"]


def test_an_answer_to_what_could_not_be_read_has_no_patient_and_one_that_was_understood_has() -> None:
    assert network("ZPA^Z02", "MSA|AE|C1|unreadable") == []
    assert [each.split()[::2] for each in network("ZPA^Z02", "MSA|AA|C1")] == [["warning", "ZPA-patient"]]
    assert [each.split()[0] for each in network("ZPA^Z02", "MSA|AA|C1", profile="network-zqa-tolerant")] == [
        "information"
    ]


def test_members_who_leave_out_more() -> None:
    segments = ("PID|||^^^&112233&IIN^HC", "PR1|||420101", "AUT||112233||||||1|0")
    strict = network("ZQA^Z02", *segments)
    assert {each.split()[2] for each in strict if each.startswith("error")} == {
        "structure.missing",
        "PID-3.usage",
    } or strict
    tolerant = network("ZQA^Z02", *segments, profile="network-zqa-tolerant")
    assert [each for each in tolerant if each.startswith("error")] == []


def test_the_table_of_results_is_a_file_beside_the_profile() -> None:
    table = resolved("network-zqa").tables["zqa-result"]
    assert (table.kind, table.text("M024")) == ("site", "needs manual authorization")
    assert (shipped("profiles") / "tables" / "zqa-result.csv").is_file()
