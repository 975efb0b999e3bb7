"""What we export and read back are the same rules, as far as the HL7 form can say them; other readers agree."""

from pathlib import Path

import pytest
from hl7types.profiles.parser import parse_profile
from hl7types.profiles.parser.constraints import SegGroupConstraint, SegmentConstraint

from hl7auth.errors import UserError
from hl7auth.exchange.hl7_writer import export_profile
from hl7auth.exchange.importing import Imported, import_profile
from hl7auth.rules.compiled import CompiledProfile, compile_profile, compiled
from hl7auth.rules.dictionary import Node
from hl7auth.rules.profile import Profile
from hl7auth.rules.rule import ElementRule, FieldRule
from tests.exchange.foreign import BUNDLE, REQUEST, TABLES

CASES = [
    (name, version, message)
    for name in ("aut-framework", "aut-standard", "referral")
    for version, message in (("2.3", "RQA^I08"), ("2.5.1", "RPA^I08"), ("2.8.2", "RRI^I12"), ("2.9.1", "REF^I12"))
]


def element(rule: ElementRule) -> tuple[object, ...]:
    """What both forms say of a field or component."""
    condition = rule.condition.text if rule.condition else ""
    parts = tuple(found for part in rule.components if (found := (part.number, element(part)))[1] != NOTHING)
    return (rule.usage, condition, rule.length, rule.constant, rule.table, rule.datatype, parts)


NOTHING = ("O", "", None, None, "", "", ())


def field(rule: FieldRule) -> tuple[object, ...]:
    at_least = max(rule.min, 1) if rule.usage == "R" else rule.min
    return (rule.path, rule.withdrawn, rule.beyond, at_least, rule.max, element(rule))


def bare(node: Node) -> tuple[object, ...]:
    return (node.name, node.min, node.max, tuple(map(bare, node.children)))


def reread(rules: CompiledProfile, message: str, folder: Path) -> Imported:
    path = folder / "exported.xml"
    path.write_text(export_profile(rules, message).text, encoding="utf-8")
    return import_profile([path], name="back")


def same(rules: CompiledProfile, again: CompiledProfile, message: str) -> None:
    kind, _, event = message.partition("^")
    structure = rules.structure_of(kind, event)
    assert structure is not None
    root = rules.structures.get(structure) or rules.dictionary.structures[structure]
    assert bare(again.structures[structure]) == bare(root)
    compared = [name for name in again.segments if name in rules.segments and rules.segments[name].fields]
    assert "AUT" in compared
    for name in compared:
        before = [field(rule) for rule in rules.segments[name].fields if not rule.beyond]
        assert [field(rule) for rule in again.segments[name].fields if not rule.beyond] == before, name


@pytest.mark.parametrize(("name", "version", "message"), CASES)
def test_shipped_profiles_come_back_as_they_went(name: str, version: str, message: str, tmp_path: Path) -> None:
    imported = reread(compiled(name, version), message, tmp_path)
    same(compiled(name, version), imported.compiled(), message)
    assert {loss.what for loss in imported.losses} == {"DynamicDef"}


RICH = {
    "profile": "rich",
    "title": "Everything the HL7 form can say",
    "applies": {"messages": ["RQA^I08"], "identifiers": ["1.2.3"]},
    "departs": ["AUT-2", "PR1-3", "PR1-5"],
    "structures": {"RQA_I08": "MSH {1..3 <PROVIDER> PRD} PID (<INNER> PR1 [{<AUTHORIZATION> AUT}]) [ZIN]"},
    "segments": {
        "MSH": {"fields": {3: {"usage": "R", "components": {1: {"constant": "NORTH"}}}}},
        "PID": {"fields": {2: {"usage": "R", "pre_adopted": True, "type": "CX"}, 8: {"usage": "X"}}},
        "PR1": {"fields": {3: {"usage": "RE", "cardinality": "0..4"}, 5: {"usage": "B"}, 6: {"verb": "SHOULD"}}},
        "AUT": {
            "fields": {
                1: {"usage": "C(R/X)", "condition": "AUT-2.1 = 'OTHER'"},
                2: {"usage": "C(RE/X)", "condition": "AUT-1 valued", "type": "CWE_E"},
                3: {"verb": "MAY", "condition": "AUT-9 > 0 or AUT-5 < AUT-4"},
                4: {"usage": "C(X/RE)", "condition": "any group.PR1-3 = 'X' and count(AUT-11) <= 3"},
                6: {"components": {1: {"usage": "R"}, 3: {"usage": "C(R/O)", "condition": "this.1 empty"}}},
                7: {"components": {1: {"components": {1: {"usage": "R", "length": 9}, 2: {"constant": "EUR"}}}}},
                11: {"cardinality": "0..2", "length": 30, "table": "0072"},
            }
        },
        "ZIN": {"fields": {1: {"name": "Plan", "type": "ST", "usage": "R", "cardinality": "1..1", "length": 5}}},
    },
    "flavours": {"CWE_E": {"base": "CWE", "components": {1: {"usage": "R", "length": 20}, 2: {"usage": "X"}}}},
}


def test_everything_the_form_can_say_comes_back(tmp_path: Path) -> None:
    rules = compile_profile(Profile.model_validate(RICH), "2.8.2")
    imported = reread(rules, "RQA^I08", tmp_path)
    same(rules, imported.compiled(), "RQA^I08")
    assert imported.profile.applies is not None
    assert imported.profile.applies.identifiers == ("1.2.3",)


@pytest.mark.parametrize(("paths", "message"), [((REQUEST, TABLES), ""), ((BUNDLE,), "EAST-RQA")])
def test_imported_profiles_come_back_as_they_went(paths: tuple[Path, ...], message: str, tmp_path: Path) -> None:
    rules = import_profile(paths, message=message).compiled()
    again = reread(rules, "RQA^I08", tmp_path).compiled()
    for name, segment in rules.segments.items():
        if name != "SFT":
            before = [field(rule) for rule in segment.fields if not rule.beyond]
            assert [field(rule) for rule in again.segments[name].fields if not rule.beyond] == before, name


def test_what_the_form_can_not_say_is_listed() -> None:
    losses = {(loss.place, loss.what) for loss in export_profile(compiled("referral", "2.8.2"), "RQA^I08").losses}
    assert ("AUT-3", "conformance length") in losses
    assert ("AUT", "statement AUT-dates") in losses
    assert ("RF1", "severities") in losses
    assert ("RQA_I08", "status") in losses


def test_lengths_bindings_and_usages_without_a_word_are_listed() -> None:
    keys = {
        "profile": "odd",
        "title": "Odd",
        "tables": {"9001": {"values": {"A": "a"}}},
        "statements": [{"id": "S-1", "scope": "message", "holds": "AUT present", "text": "an AUT"}],
        "segments": {
            "AUT": {
                "fields": {
                    3: {"length": "2..9"},
                    7: {"usage": "IX"},
                    10: {"length": [8, 12]},
                    11: {"binding": {"table": "9001", "strength": "suggested", "extensibility": "open"}},
                }
            }
        },
    }
    written = export_profile(compile_profile(Profile.model_validate(keys), "2.8.2"), "RQA^I08")
    assert [(loss.place, loss.what) for loss in written.losses] == [
        ("AUT-3", "least or enumerated lengths"),
        ("AUT-7", "usage IX"),
        ("AUT-10", "least or enumerated lengths"),
        ("AUT-11", "binding strength and extensibility"),
        ("MSH", "statement S-1"),
        ("tables", "codes of table 9001"),
    ]


@pytest.mark.parametrize("message", ["XXX^Y01", "RQA", ""])
def test_a_message_without_a_structure_is_refused(message: str) -> None:
    with pytest.raises(UserError, match=r"has no known structure in HL7 2\.8\.2"):
        export_profile(compiled("aut-standard", "2.8.2"), message)


def test_a_second_reader_finds_the_same(tmp_path: Path) -> None:
    rules = compiled("aut-standard", "2.5.1")
    path = tmp_path / "exported.xml"
    path.write_text(export_profile(rules, "RPA^I08").text, encoding="utf-8")
    read = parse_profile(path)
    assert (read.hl7_version, read.msg_type, read.event_type, read.msg_struct_id) == ("2.5.1", "RPA", "I08", "RPA_I08")

    def tree(nodes: list[SegmentConstraint | SegGroupConstraint]) -> list[object]:
        return [
            (node.name, node.min, node.max, tree(node.children) if isinstance(node, SegGroupConstraint) else [])
            for node in nodes
        ]

    def ours(node: Node) -> list[object]:
        return [(child.name, child.min, child.max, ours(child)) for child in node.children]

    assert tree(read.segments) == ours(rules.dictionary.structures["RPA_I08"])
    procedure = next(node for node in read.segments if node.name == "PROCEDURE")
    assert isinstance(procedure, SegGroupConstraint)
    group = procedure.children[1]
    assert isinstance(group, SegGroupConstraint)
    aut = group.children[0]
    assert isinstance(aut, SegmentConstraint)
    assert [(each.usage.value, each.max, each.datatype, each.table) for each in aut.fields[:3]] == [
        ("O", 1, "CE", "0072"),
        ("R", 1, "CE", "0285"),
        ("O", 1, "ST", None),
    ]


def test_what_xml_can_not_hold_is_left_out_and_groups_without_a_name_get_one(tmp_path: Path) -> None:
    keys = {
        "profile": "odd",
        "title": 'a\x01b "c" <d> &',
        "structures": {"RQA_I08": "MSH {PRD [CTD]} PID"},
        "segments": {"AUT": {}},
    }
    imported = reread(compile_profile(Profile.model_validate(keys), "2.8.2"), "RQA^I08", tmp_path)
    assert imported.profile.title == 'ab "c" <d> &'
    assert imported.profile.structures == {"RQA_I08": "MSH {<GROUP_PRD> PRD [CTD]} PID"}
