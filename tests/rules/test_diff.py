"""What differs between two profiles, in words that say who has to do more."""

from pathlib import Path

import pytest

from hl7auth.rules.diff import Difference, diff
from hl7auth.rules.profile import Profile, load_profile, resolved

BASE = "segments: {AUT: {fields: {3: {length: 20}}}}"


def own(folder: Path, name: str, text: str) -> Profile:
    path = folder / f"{name}.yaml"
    path.write_text(f"profile: {name}\ntitle: t\n{text}\n")
    return load_profile(path)


def said(folder: Path, before: str, after: str) -> list[str]:
    """The differences as `kind path what: before -> after`."""
    found = diff(own(folder, "one", before), own(folder, "other", after), ["2.8"])
    return [f"{each.kind} {each.path} {each.what}: {each.before} -> {each.after}" for each in found]


def field(keys: str, number: int = 3) -> str:
    return f"departs: [AUT-2]\nsegments: {{AUT: {{fields: {{{number}: {{{keys}}}}}}}}}"


@pytest.mark.parametrize(
    ("before", "after", "difference"),
    [
        ("verb: MAY", "verb: SHALL", "stricter AUT-3 usage: optional (MAY) -> required (SHALL)"),
        ("usage: R", "usage: RE", "looser AUT-3 usage: required (SHALL) -> required if known (SHOULD)"),
        ("verb: MAY", "verb: SHALL NOT", "stricter AUT-3 usage: optional (MAY) -> not to be sent (SHALL NOT)"),
        ("length: 30", "length: 20", "stricter AUT-3 length: at most 30 -> at most 20"),
        ("length: 20", "name: x", "looser AUT-3 length: at most 20 -> "),
        ("name: x", "length: 5..20", "stricter AUT-3 length:  -> 5..20"),
        ("length: 5..20", "length: 1..10", "changed AUT-3 length: 5..20 -> at most 10"),
        ("name: x", "cardinality: 0..3", "looser AUT-3 cardinality: 0..1 -> 0..3"),
        ("cardinality: 0..3", "cardinality: 0..2", "stricter AUT-3 cardinality: 0..3 -> 0..2"),
        ("name: x", "constant: A", "stricter AUT-3 constant:  -> A"),
        ("constant: A", "constant: B", "changed AUT-3 constant: A -> B"),
        ("name: x", "type: TX", "changed AUT-3 data type: ST -> TX"),
        ("name: x", "severity: warning", "looser AUT-3 severity: error -> warning"),
        ("name: x", "severities: {length: information}", "looser AUT-3 severity of length: error -> information"),
        ("name: x", "conformance_length: 45#", "changed AUT-3 conformance length:  -> 45"),
    ],
)
def test_a_difference_of_a_field(before: str, after: str, difference: str, tmp_path: Path) -> None:
    assert said(tmp_path, field(before), field(after)) == [difference]


def test_a_condition_is_told_as_it_is_written(tmp_path: Path) -> None:
    found = said(tmp_path, field("name: x"), field("condition: AUT-1 valued"))
    assert "stricter AUT-3 condition:  -> AUT-1 valued" in found


def test_codes_are_compared_one_by_one(tmp_path: Path) -> None:
    def tables(codes: str) -> str:
        return f'tables: {{"0551": {{name: n, kind: user, values: {{{codes}}}}}}}\n' + field('table: "0551"', 13)

    assert said(tmp_path, tables("A: a, B: b"), tables("A: a")) == ["stricter AUT-13 codes: with B -> with none"]
    assert said(tmp_path, tables("A: a"), tables("A: a, B: b")) == ["looser AUT-13 codes: with none -> with B"]
    assert said(tmp_path, tables("A: a"), tables("B: b")) == ["changed AUT-13 codes: with A -> with B"]
    assert said(tmp_path, field('table: "0551"', 13), tables("A: a")) == ["stricter AUT-13 codes: any code -> one of A"]


def test_components_are_compared_too(tmp_path: Path) -> None:
    before, after = field("components: {1: {length: 15}}", 6), field("components: {1: {length: 9, verb: SHALL}}", 6)
    assert said(tmp_path, before, after) == [
        "stricter AUT-6.1 usage: optional (MAY) -> required (SHALL)",
        "stricter AUT-6.1 length: at most 15 -> at most 9",
    ]
    assert said(tmp_path, field("name: x", 6), after)[0].startswith("new AUT-6.1 component:  -> required (SHALL)")
    assert said(tmp_path, after, field("name: x", 6))[0].startswith("gone AUT-6.1 component: required (SHALL)")


def test_what_is_said_of_the_whole_message(tmp_path: Path) -> None:
    after = (
        "statements: [{id: s1, segment: AUT, holds: AUT-1 valued, text: plan}]\n"
        "structures: {ZQA_Z02: MSH PID}\nevents: {ZQA^Z02: ZQA_Z02}\nseverities: {structure.unexpected: error}\n"
        "groups: {RQA_I08: {PROCEDURE: {cardinality: 1..*}}}\nstructure: {essential: [PID]}\n"
    )
    found = said(tmp_path, BASE, after + BASE)
    assert [line.partition(":")[0] for line in found if line.startswith("new")] == [
        "new ZQA_Z02 structure",
        "new ZQA^Z02 structure of the event",
        "new RQA_I08.PROCEDURE group",
        "new structure.unexpected severity of the rule",
        "new s1 statement",
        "new profile essential segments",
    ]
    gone = said(tmp_path, after + BASE, BASE)
    assert len([line for line in gone if line.startswith("gone")]) == 6


def test_a_segment_that_is_new_is_told_once(tmp_path: Path) -> None:
    assert said(tmp_path, BASE, "segments: {AUT: {fields: {3: {length: 20}}}, PID: {}}") == [
        "new PID fields:  -> they are checked"
    ]


def test_a_profile_does_not_differ_from_itself() -> None:
    assert diff(resolved("referral"), resolved("referral")) == []


def test_equal_differences_of_several_versions_are_one() -> None:
    found = diff(resolved("aut-framework"), resolved("aut-standard"))
    (company,) = [each for each in found if (each.path, each.what) == ("AUT-2", "usage")]
    (kind,) = [each for each in found if (each.path, each.what) == ("AUT-13", "usage")]
    assert (company.kind, company.versions[0]) == ("stricter", "2.3")
    assert (kind.kind, kind.versions[0]) == ("stricter", "2.8")


def test_every_difference_is_a_sentence() -> None:
    one = Difference("stricter", "AUT-3", "Name", "length", "", "at most 20", ("2.8",))
    assert one.text == "AUT-3 Name: length: at most 20 (before: nothing was said)"
    assert one.entry()["text"] == one.text
    assert one._replace(before="at most 9", after="").text.endswith("nothing is said (before: at most 9)")
