"""NIST's bundles become ours: predicates, constraints, value sets, bindings and data types are checked."""

import shutil
from pathlib import Path
from zipfile import ZipFile

import pytest

from hl7auth.errors import UserError
from hl7auth.exchange.importing import Imported, import_profile
from tests.exchange.foreign import BUNDLE, loaded, said

HEAD = "MSH|^~\\&|EAST|N|PAYER|S|20260301101500||RQA^I08^RQA_I08|C1|P|2.8.2"
GOOD = (
    HEAD,
    "RF1||||||R-1|||||",
    "PRD|RP",
    "PID|1||4711^^^EAST||Reed^Tom||19810203|F",
    "PR1|1||P01||20260301",
    "AUT|GOLD^Gold^L|EAST^Eastern^L|Eastern|20260301|20260930|AB12||3|2^VISITS||CARD||OP",
    "OBX|1||K1||V||||||F",
    "NTE|1",
)


def imported() -> Imported:
    return import_profile([BUNDLE], message="EAST-RQA")


def test_what_could_not_be_carried_over_is_listed_with_place_and_reason() -> None:
    assert list(map(str, imported().losses)) == [
        "Slicings.xml:2: slices of repeating segments: a profile says one thing of all repetitions of a segment",
        "ValueSets.xml:6: value set HL70001: 1 permitted code(s): they count as required ones",
        "Constraints.xml:33: Predicate P-AUT-10 If the plug-in says so.: Plugin has no counterpart in the condition "
        "language",
        "ValueSetBindings.xml:10: ValueSetBinding 13[*]: the code may stand in more than one component",
        "ValueSetBindings.xml:17: ValueSetBinding 12[*]: the bundle has no value set NOWHERE",
        "Constraints.xml:71: Constraint E-3: CX.1 SHALL be digits.: it is about every repetition of PID-3",
        "Constraints.xml:108: Constraint E-9: PR1-1 SHALL count from one.: SetID has no counterpart in the condition "
        "language",
        "Constraints.xml:102: Constraint E-8: OBX-1 SHALL count.: OBX is defined 2 times, and this is not about all of "
        "them",
        "Profile.xml:22, Profile.xml:25: OBX-1 usage: its definitions differ, and a profile says one thing of a "
        "segment",
    ]


def test_groups_flavours_tables_and_statements_are_there() -> None:
    profile = imported().profile
    assert profile.structures["RQA_I08"] == (
        "MSH [SFT] [RF1] {<PROVIDER> PRD} PID {<PROCEDURE> PR1 [<AUTHORIZATION> AUT]} [{<OBSERVATION> OBX [NTE]}] [OBX]"
    )
    assert {name: flavour.base for name, flavour in profile.flavours.items()} == {
        "HD_E": "HD", "CWE_1": "CWE", "CX_E": "CX", "CWE_E": "CWE", "EI_E": "EI",
    }  # fmt: skip
    assert {number: sorted(table.values) for number, table in profile.tables.items()} == {
        "0001": ["F", "M", "N"],
        "PAYORS": ["EAST", "OTHER"],
        "HL70286_E+EXTRA_ROLE": ["RP", "XX"],
        "0551": [],
    }
    assert {each.id: each.holds for each in profile.statements} == {
        "E-4": "AUT-5 empty or AUT-4 empty or AUT-5 >= AUT-4",
        "E-5": "not (AUT-1.1 = 'GOLD') or (AUT-2.1 empty or AUT-2.1 matches '[eE][aA][sS][tT]')",
        "E-6": "not any AUT-11.1 valued or any AUT-11.1 = 'CARD'",
        "E-7": "not any AUT-12.1 != 'PHYS'",
        "E-2": "AUT-6.1 empty or AUT-6.1 matches '[A-Z]{2}[0-9]+'",
        "P-RF1.R": "not (NTE present) or RF1 present",
        "E-11": "((PID-7 > '19001231') and not (PID-3.1 in {'001', '002'})) or "
        "(not (PID-7 > '19001231') and (PID-3.1 in {'001', '002'}))",
        "E-10": "not (PR1-1 in {'1'}) or group.AUT-1.1 valued",
    }


@pytest.mark.parametrize(
    ("changes", "findings"),
    [
        ({}, []),
        ({0: HEAD.replace("EAST", "EAST^1.2^DNS", 1)}, ["error MSH-3.3.constant MSH-3.3"]),
        ({0: HEAD.replace("EAST", "^1.2", 1)}, ["error MSH-3.3.usage MSH-3.3"]),
        ({0: HEAD.replace("EAST", "^^ISO", 1)}, ["error MSH-3.2.usage MSH-3.2", "error MSH-3.3.usage MSH-3.3"]),
        ({1: ""}, ["error P-RF1.R MSH"]),
        ({1: "", 7: ""}, []),
        ({2: "PRD|RP~XX"}, []),
        ({2: "PRD|RP~PP"}, ["warning PRD-1.table PRD-1[2]"]),
        ({3: "PID|1||4711^^^||Reed||19810203"}, ["error PID-3.4.usage PID-3.4", "warning PID-8.usage PID-8"]),
        ({3: "PID|1||4711^^^EAST~12^^^^||Reed||19810203|F"}, ["error PID-3.4.usage PID-3[2].4"]),
        ({3: "PID|1||1^^^EAST~2^^^&1.2&DNS||Reed||19810203|F"}, ["error PID-3.4.3.constant PID-3[2].4.3"]),
        ({3: "PID|1||4711^^^EAST||Reed||198102|F"}, ["warning PID-7.length PID-7"]),
        ({3: "PID|1||4711^^^EAST||Reed||19810203|U"}, ["error PID-8.table PID-8"]),
        ({3: "PID|1||4711^^^EAST||Reed||18810203|F"}, ["error E-11 MSH"]),
        ({3: "PID|1||001^^^EAST||Reed||18810203|F"}, []),
        ({4: "PR1|2||P01||20260301"}, []),
        ({4: "PR1|1||P01||20260301\rAUT||EAST^E^L||20260301|||||||CARD||OP\rPR1|2||P02||20260301"}, [
            "error AUT-8.usage AUT-8", "warning E-10 PR1",
        ]),
        ({5: "AUT|GOLD^Gold^L|OTHER^O^L||20260301||AB12||3|2^VISITS||CARD||OP"}, [
            "error AUT-3.usage AUT-3", "warning E-5 AUT",
        ]),
        ({5: "AUT|TIN^T^L|EAST^E^L|E|20260930|20260301|AB12||3|2^VISITS||CARD||OP"}, [
            "error E-4 AUT", "warning AUT-3.length AUT-3",
        ]),
        ({5: "AUT|TIN^T^L|EAST^E^L||20260301||||3|||||OP"}, ["warning AUT-11.usage AUT-11"]),
    ],
)  # fmt: skip
def test_messages_are_checked_by_it(changes: dict[int, str], findings: list[str], tmp_path: Path) -> None:
    rules = loaded(imported(), tmp_path)
    segments = [changes.get(number, segment) for number, segment in enumerate(GOOD)]
    assert said(rules, *filter(None, segments)) == findings


def test_a_zip_is_as_good_as_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    with ZipFile(path, "w") as archive:
        for document in sorted(BUNDLE.iterdir()):
            archive.write(document, f"export/{document.name}")
    assert import_profile([path], message="EAST-RQA").text == imported().text


def test_without_constraints_and_value_sets_the_profile_stands_alone(tmp_path: Path) -> None:
    alone = import_profile([BUNDLE / "Profile.xml"], message="m-1")
    assert alone.profile.statements == ()
    assert {loss.reason for loss in alone.losses if "binding" in loss.what} == {"the bundle has no value set HL70286_E"}
    assert {loss.what for loss in alone.losses if "usage C" in loss.what} == {
        "AUT-3 usage C", "AUT-6 usage C", "AUT-8 usage C", "CWE_E.3 usage C", "HD_E.2 usage C", "HD_E.3 usage C",
    }  # fmt: skip
    loaded(alone, tmp_path)


def edited(folder: Path, name: str, old: str, new: str) -> Path:
    bundle = folder / "bundle"
    shutil.copytree(BUNDLE, bundle)
    path = bundle / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return bundle


@pytest.mark.parametrize(
    ("name", "old", "new", "loss"),
    [
        ("Profile.xml", 'Datatype="EI_E"', 'Datatype="NOWHERE"', "HL7 2.8.2 has no such type"),
        ("Profile.xml", 'Ref="AUT_E"', 'Ref="AUT_X"', "the profile does not define it"),
        ("Profile.xml", 'Ref="AUT_E"', 'Ref="x"', "it is no segment, or a group without segments"),
        ("Profile.xml", 'BindingLocation="1"', 'BindingLocation="1:4"', "another component than the first"),
        ("Profile.xml", 'BindingStrength="R" BindingLocation', 'BindingStrength="U" BindingLocation', "not determined"),
        ("Profile.xml", 'ConfLength="45#"', 'ConfLength="45"', "whether a value may be cut"),
        ("Constraints.xml", 'Target="3[1]" TrueUsage="R"', 'Target="3" TrueUsage="Q"', "is no usage"),
        ("Constraints.xml", '<Condition><Presence Path="1[1]"/></Condition>', "", "it has no condition"),
        ("Constraints.xml", 'Target="3[1]" TrueUsage', 'Target="three" TrueUsage', "'three' is no path"),
        ("Constraints.xml", 'Path="7[1].2[1]"', 'Path="7[1].1[1]"', "there is more than one OBX in it"),
        ("Constraints.xml", 'Path="7[1].2[1]"', 'Path="99[1]"', "leads nowhere"),
        ("Constraints.xml", 'Path="7[1].2[1]"', 'Path="7[2].2[1]"', "one certain repetition of a segment"),
        ("Constraints.xml", "</Constraints>", "</Constraints><CoConstraints><A/></CoConstraints>", "no counterpart"),
        ("ValueSets.xml", 'Value="EAST"', 'CodePattern="E.*" Value="EAST"', "a table lists codes"),
        ("ValueSets.xml", 'Extensibility="Closed" Stability="Static"', 'Extensibility="Open"', "excludes nothing"),
        ("ValueSets.xml", 'CodeSystem="L"/>', 'CodeSystem="M"/><ValueElement CodeSystem="L"/>', "not their systems"),
        ("Slicings.xml", '<ProfileSlicing ID="ps-1"><SegmentSlicing/></ProfileSlicing>', "<Odd/>", "it is not read"),
    ],
)  # fmt: skip
def test_what_our_language_has_no_word_for_is_a_loss(name: str, old: str, new: str, loss: str, tmp_path: Path) -> None:
    found = import_profile([edited(tmp_path, name, old, new)], message="EAST-RQA")
    assert any(loss in each.reason for each in found.losses), found.losses
    loaded(found, tmp_path)


def test_data_types_that_hold_themselves_end(tmp_path: Path) -> None:
    ring = '<Component Name="Namespace ID" Usage="O" Datatype="CX_E" MinLength="1" MaxLength="20"/>'
    old = '<Component Name="Namespace ID" Usage="O" Datatype="IS" MinLength="1" MaxLength="20"/>'
    found = import_profile([edited(tmp_path, "Profile.xml", old, ring)], message="EAST-RQA")
    assert found.profile.flavours["HD_E"].components[1].type == "CX_E"
    assert said(loaded(found, tmp_path), *GOOD) == ["error MSH-3.1.4.usage MSH-3.1.4"]


def test_several_messages_need_a_choice() -> None:
    with pytest.raises(UserError, match=r"choose one with --message \(RQA\^I08 = EAST-RQA = m-1 = Request = RQA_I08, "):
        import_profile([BUNDLE])
    assert import_profile([BUNDLE], message="RPA^I08").profile.structures == {"RPA_I08": "MSH"}


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('HL7Version="2.8.2"', 'HL7Version="NOTFOUND"', "HL7Version 'NOTFOUND' is not supported"),
        ('Type="RQA"', 'Type="?"', "Type '\\?' is no message type"),
        ("<Messages>", "<Nothing/><Messages>", ""),
    ],
)
def test_what_can_not_be_used_at_all_is_refused(old: str, new: str, problem: str, tmp_path: Path) -> None:
    bundle = edited(tmp_path, "Profile.xml", old, new)
    if problem:
        with pytest.raises(UserError, match=problem):
            import_profile([bundle], message="EAST-RQA")
    else:
        assert import_profile([bundle], message="EAST-RQA").profile.statements
