"""HL7's message profiles become ours: what they say is checked, what they can not say here is listed."""

from pathlib import Path

import pytest

from hl7auth.errors import UserError
from hl7auth.exchange.importing import import_profile
from hl7auth.rules.profile import Profile, load_profile
from tests.exchange.foreign import REQUEST, TABLES, document, loaded, said, small

HEAD = "MSH|^~\\&|NORTH|N|PAYER|S|20260301101500||RQA^I08|C1|P|2.5.1"
GOOD = (
    HEAD,
    "PRD|RP|Moss^Ada",
    "PID|1||C-4711^^^NORTH||Reed^Tom",
    "PR1|1||P01^Knee^L||20260301",
    "AUT||ACME|Acme Health|||||3|||CARD",
    "ZIN|GOLD|Gold plan",
)


def test_what_could_not_be_carried_over_is_listed_with_place_and_reason() -> None:
    imported = import_profile([REQUEST, TABLES])
    assert list(map(str, imported.losses)) == [
        "referral-request.xml:6: DynamicDef: how messages are acknowledged is said by the channel",
        "referral-request.xml:4: UseCase: it is a text for people",
        "referral-request.xml:7: OrderControl NW: messages are told apart by type and event",
        "referral-request.xml:7: item numbers of 3 field(s): fields are named by their position",
        "referral-request.xml:13: predicate of MSH-3.2: Both the second and the third component are there, or neither "
        "is.: it is free text",
        "referral-request.xml:55: AUT-4 usage 'WHAT': there is no such usage; it counts as O",
        "referral-request.xml:56: AUT-5 length ..many: it is no length",
        "referral-request.xml:56: AUT-5 cardinality 3..1: it allows nothing",
        "referral-request.xml:58: AUT-7 data type XYZ: HL7 2.5.1 has no such type",
    ]
    top = [line for line in imported.text.splitlines() if line.startswith("#")]
    assert top[0] == (
        "# Imported from Northern Clinics, 3, DRAFT, referral-request.xml: Northern referral request, HL7 2.5.1."
    )
    assert " ".join(line.removeprefix("# ") for line in top[1:]).split("- ")[1:] == [
        *(f"{loss} " for loss in map(str, imported.losses[:-1])),
        str(imported.losses[-1]),
    ]


def test_the_profile_is_the_same_read_from_its_yaml(tmp_path: Path) -> None:
    imported = import_profile([REQUEST, TABLES], name="north")
    path = tmp_path / "north.yaml"
    path.write_text(imported.text, encoding="utf-8")
    assert load_profile(path).model_dump() == imported.profile.model_dump()


def test_names_groups_notes_and_departures_are_there() -> None:
    imported = import_profile([REQUEST, TABLES])
    profile = imported.profile
    assert (imported.name, imported.version) == ("northern-referral-request", "2.5.1")
    assert profile.applies is not None
    assert profile.applies.identifiers == ("1.2.3.4.5",)
    assert profile.structures == {
        "RQA_I08": "MSH [SFT] {1..3 <PROVIDER> PRD [{CTD}]} PID {<PROCEDURE> PR1 [<AUTHORIZATION> AUT]} [ZIN]"
    }
    assert profile.departs == ("PID-5",)
    assert set(profile.tables) == {"9001"}
    assert "  # 3.4.2.3; The number that the clinic gave.; for example C-4711\n" in imported.text


@pytest.mark.parametrize(
    ("changes", "findings"),
    [
        ({}, []),
        ({0: HEAD.replace("NORTH", "SOUTH", 1)}, ["error MSH-3.1.constant MSH-3.1"]),
        ({0: HEAD.replace("NORTH", "NORTH^1.2^ISO", 1)}, ["error MSH-3.3.usage MSH-3.3"]),
        ({1: "PRD|REFERRER|Moss^Ada"}, ["warning PRD-1.1.length PRD-1.1", "warning PRD-1.table PRD-1"]),
        ({1: "PRD|RP\rPRD|RP\rPRD|RP\rPRD|RP"}, ["error structure.cardinality PRD[4]"]),
        ({2: "PID|1||C-1^^^NORTH"}, ["warning PID-5.usage PID-5"]),
        ({2: "PID|1||C-1||Reed"}, ["error PID-3.4.usage PID-3.4"]),
        ({2: "PID|1||C-1^^^&1.2&ISO||Reed"}, ["error PID-3.4.1.usage PID-3.4.1"]),
        ({2: "PID|1|OLD|C-1^^^NORTH||Reed"}, ["error PID-2.usage PID-2"]),
        ({2: "PID|1||1^^^N~2^^^N~3^^^N||Reed"}, ["error PID-3.cardinality PID-3"]),
        ({2: "PID|1||C-4711^9^^TOOLONGNAME||Reed"}, [
            "error PID-3.2.usage PID-3.2", "warning PID-3.4.1.length PID-3.4.1",
        ]),
        ({4: "AUT||OTHER||||||3|||CARD"}, ["error AUT-3.usage AUT-3"]),
        ({4: "AUT||ACME||||PA1||3|||CARD"}, ["error AUT-6.usage AUT-6"]),
        ({4: "AUT||ACME|||||||||CARD"}, ["error AUT-8.usage AUT-8"]),
        ({4: "AUT||ACME||||||3|||A~B~C"}, ["error AUT-11.cardinality AUT-11"]),
        ({4: "AUT||ACME||||||3"}, ["warning AUT-11.usage AUT-11"]),
        ({5: "ZIN||Gold plan"}, ["error ZIN-1.usage ZIN-1"]),
        ({5: "ZIN|TIN"}, ["warning ZIN-1.table ZIN-1"]),
        ({1: "SFT|X\rPRD|RP"}, ["error structure.cardinality SFT"]),
        ({3: ""}, ["error structure.missing PR1", "error structure.sequence AUT"]),
    ],
)  # fmt: skip
def test_messages_are_checked_by_it(changes: dict[int, str], findings: list[str], tmp_path: Path) -> None:
    rules = loaded(import_profile([REQUEST, TABLES]), tmp_path)
    segments = [changes.get(number, segment) for number, segment in enumerate(GOOD)]
    assert said(rules, *filter(None, segments)) == findings


def test_a_segment_that_is_defined_twice_says_what_both_say(tmp_path: Path) -> None:
    field = '<Field Name="Set ID" Usage="{}" Min="0" Max="1" Datatype="SI" Length="{}"/>'
    imported = small(
        tmp_path,
        f'<Segment Name="NTE" Usage="O" Min="0" Max="*">{field.format("R", 4)}</Segment>'
        '<SegGroup Name="G1" Usage="R" Min="1" Max="1"><Segment Name="OBX" Usage="R" Min="1" Max="1"/>'
        f'<Segment Name="NTE" Usage="X" Min="0" Max="0"/>'
        f'<Segment Name="NTE" Usage="O" Min="0" Max="5">{field.format("RE", 9)}</Segment></SegGroup>',
    )
    assert imported.profile.segments["NTE"].fields[1].usage == "RE"
    assert imported.profile.segments["NTE"].fields[1].length is None
    assert imported.profile.structures["RQA_I08"] == "MSH [{NTE}] (<G1> OBX [NTE] {0..5 NTE})"
    assert [(loss.what, loss.reason) for loss in imported.losses] == [
        ("G1.NTE is not sent", "there is another one of that name"),
        ("NTE-1 usage", "its definitions differ, and a profile says one thing of a segment"),
        ("NTE-1 length", "its definitions differ, and a profile says one thing of a segment"),
    ]


def test_odd_documents_lose_what_is_odd(tmp_path: Path) -> None:
    imported = small(
        tmp_path,
        '<Segment Name="WRONGNAME" Usage="R" Min="1" Max="1"/><SegGroup Name="EMPTY" Usage="R" Min="1" Max="1"/>'
        '<SegGroup Name="0 odd-name" Usage="C" Min="0" Max="x"><Predicate>Only sometimes.</Predicate>'
        '<Segment Name="QQQ" Usage="R" Min="1" Max="1"><Field Name="A" Usage="R" Min="1" Max="1" Datatype="ST"/>'
        "</Segment></SegGroup>",
    )
    assert [loss.what for loss in imported.losses] == [
        "segment 'WRONGNAME'",
        "group EMPTY",
        "0 ODD-NAME cardinality 0..x",
        "predicate of 0 ODD-NAME: Only sometimes.",
        "rules of segment QQQ",
    ]
    assert imported.profile.structures["RQA_I08"] == "MSH [{<G_0_ODD_NAME> QQQ}]"
    imported.compiled()


def test_several_messages_need_a_choice(tmp_path: Path) -> None:
    first, second = document(tmp_path, ""), tmp_path / "other.xml"
    second.write_text(first.read_text().replace('EventType="I08"', 'EventType="I09" Identifier="SECOND"'))
    with pytest.raises(UserError, match=r"several messages: choose one with --message \(RQA\^I08 = RQA_I08, RQA\^I09"):
        import_profile([first, second])
    with pytest.raises(UserError, match="no message is called 'RQA\\^I10'"):
        import_profile([first, second], message="RQA^I10")
    for wanted in ("second", "RQA^I09"):
        assert import_profile([first, second], message=wanted).profile.events == {"RQA^I09": "RQA_I08"}


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("2.5.1", "2.2", "HL7Version '2.2' is not supported"),
        ('MsgType="RQA"', 'MsgType="request"', "MsgType 'request' is no message type"),
        ("HL7v2xConformanceProfile", "Profile", "there is no message profile .*small.xml is a Profile"),
        ("HL7v2xStaticDef", "StaticDef", "there is no message profile"),
    ],
)
def test_what_can_not_be_used_at_all_is_refused(old: str, new: str, problem: str, tmp_path: Path) -> None:
    path = document(tmp_path, "")
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError, match=problem):
        import_profile([path])


def test_a_name_is_made_or_given(tmp_path: Path) -> None:
    path = document(tmp_path, "")
    path.write_text(path.read_text().replace('Name="Small"', 'Name=" Überweisung (Süd): 1 "'))
    assert import_profile([path]).name == "uberweisung-sud-1"
    path.write_text(path.read_text().replace('Name=" Überweisung (Süd): 1 "', 'Name="???"'))
    assert import_profile([path]).name == "rqa-i08"
    assert import_profile([path], name="Mine_2").name == "Mine_2"
    with pytest.raises(UserError, match="can not be the name of a profile"):
        import_profile([path], name="../mine")


def test_a_profile_that_is_too_large_for_its_form_is_refused(tmp_path: Path) -> None:
    many = "".join(f'<tableElement code="C{number}" description="{"x" * 100}"/>' for number in range(9_000))
    tables = tmp_path / "tables.xml"
    tables.write_text(f'<hl7tables><hl7table id="9001">{many}</hl7table></hl7tables>')
    with pytest.raises(UserError, match="larger than 1000000 bytes"):
        import_profile([REQUEST, tables])


def test_every_key_of_an_imported_profile_is_one_of_ours() -> None:
    assert isinstance(Profile.model_validate(import_profile([REQUEST]).profile.model_dump(exclude_unset=True)), Profile)
