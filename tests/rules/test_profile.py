"""Profiles as people write them: inheritance, versions, and every mistake by file, line and key."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hl7auth.errors import ConfigError, UserError
from hl7auth.rules.profile import (
    Component,
    FieldProfile,
    Structure,
    Verb,
    by_version,
    load_profile,
    profile_files,
    resolved,
)
from hl7auth.wire.versions import VERSIONS, at_least

SHIPPED = ("aut-framework", "aut-standard", "referral")

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes `name.yaml` into the scratch folder: the name and a title are added."""

    def written(name: str, text: str = "", **other: str) -> Path:
        path = tmp_path / f"{name}.yaml"
        head = {"profile": name, "title": f"Profile {name}", **other}
        path.write_text("".join(f"{key}: {value}\n" for key, value in head.items()) + text)
        return path

    return written


def refusal(action: Callable[[], Any], kind: type[UserError] = ConfigError) -> str:
    with pytest.raises(UserError) as caught:
        action()
    assert type(caught.value) is kind
    return str(caught.value)


# --- the shipped profiles


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_profiles_say_what_they_are(name: str) -> None:
    profile = resolved(name)
    assert (profile.profile, profile.title != "", profile.source != "") == (name, True, True)
    assert set(profile.segments["AUT"].fields) == set(range(1, 30))


def test_the_standard_profile_is_the_framework_with_two_words_changed() -> None:
    framework, standard = resolved("aut-framework").segments["AUT"], resolved("aut-standard").segments["AUT"]
    assert {number for number in framework.fields if framework.fields[number] != standard.fields[number]} == {2, 13}
    for number in (2, 13):
        assert framework.fields[number].verb is Verb.SHOULD
        assert standard.fields[number] == framework.fields[number].model_copy(update={"verb": Verb.SHALL})


def test_the_channel_profile_inherits_aut_and_names_what_the_engine_relies_on() -> None:
    profile = resolved("referral")
    assert profile.segments["AUT"] == resolved("aut-standard").segments["AUT"]
    assert profile.structure is not None
    assert set(profile.structure.essential) == {"MSH", "MSA", "RF1", "AUT", "PRD", "PID", "PR1"}
    assert profile.status is not None
    assert profile.status.approval_status["A4"] == "pended"


def test_codes_of_a_decision_are_read_without_regard_to_case(write: Write) -> None:
    text = "status: {approval_status: {granted : approved, Refused: denied}, referral_status: {a: pended}}\n"
    status = load_profile(write("site", text)).status
    assert status is not None
    assert status.approval_status == {"GRANTED": "approved", "REFUSED": "denied"}
    assert status.referral_status == {"A": "pended"}
    said = refusal(lambda: load_profile(write("site", "status: {approval_status: {granted: aproved}}\n")))
    assert "status.approval_status.granted: Input should be 'pended', 'approved'" in said


# --- inheritance


def test_what_a_file_does_not_say_it_inherits_field_by_field(write: Write, tmp_path: Path) -> None:
    write(
        "base",
        """
segments:
  AUT:
    severity: warning
    fields:
      2: {name: Payor, verb: SHOULD, length: 20, components: {1: {length: 5, verb: SHALL}, 3: {table: "0206"}}}
      3: {name: Name}
  PID: {severity: warning}
statements:
  - {id: one, segment: AUT, holds: AUT-2 valued, text: first}
  - {id: two, segment: AUT, holds: AUT-3 valued, text: second}
structure: {essential: [AUT]}
tables:
  "0001": {name: own, kind: user, values: {A: a}}
  "0002": {name: own, kind: user, values: {B: b}}
status: {approval_status: {OK: approved}}
""",
    )
    write(
        "child",
        """
segments:
  AUT:
    fields:
      2: {verb: SHALL, components: {1: {length: 9}, 2: {length: 7}}}
      9: {verb: MAY}
  PR1: {severity: warning}
statements:
  - {id: two, segment: AUT, holds: AUT-4 valued, text: other}
tables:
  "0002": {name: new, kind: hl7, values: {C: c}}
""",
        extends="base",
    )
    write(
        "grandchild",
        "segments: {AUT: {severity: error, fields: {2: {length: 30}}}}\nstructure: {essential: [PID]}\n",
        extends="child",
    )
    child, grandchild = (resolved(name, tmp_path) for name in ("child", "grandchild"))
    assert child.title == "Profile child"
    assert set(child.segments) == {"AUT", "PID", "PR1"}
    assert child.segments["AUT"].severity == child.segments["PID"].severity == "warning"
    assert set(child.segments["AUT"].fields) == {2, 3, 9}
    payor = child.segments["AUT"].fields[2]
    assert (payor.name, payor.verb, payor.length) == ("Payor", Verb.SHALL, 20)
    assert payor.components == {
        1: Component(length=9, verb=Verb.SHALL),
        2: Component(length=7),
        3: Component(table="0206"),
    }
    assert [(each.id, each.text) for each in child.statements] == [("one", "first"), ("two", "other")]
    assert child.structure == Structure(essential=("AUT",))
    assert (child.tables["0001"].name, child.tables["0002"].name) == ("own", "new")
    assert child.status is not None
    assert child.status.approval_status == {"OK": "approved"}
    # and once more
    assert grandchild.segments["AUT"].severity == "error"
    assert grandchild.segments["AUT"].fields[2] == payor.model_copy(update={"length": 30})
    assert grandchild.structure == Structure(essential=("PID",))
    assert grandchild.statements == child.statements


def test_what_is_inherited_can_be_taken_back(write: Write) -> None:
    own = "segments: {AUT: {fields: {6: {condition: null}, 2: {table: null}}}}\n"
    aut = load_profile(write("site", own, extends="aut-standard")).segments["AUT"]
    assert (aut.fields[6].condition, aut.fields[2].table) == (None, None)
    assert (aut.fields[6].type, aut.fields[2].verb) == ("EI", Verb.SHALL)


def test_a_relaxed_field_of_a_shipped_profile(write: Write) -> None:
    """P22: a network that sends no payor has a profile that extends the shipped one."""
    profile = load_profile(
        write("network", "departs: [AUT-2]\nsegments: {AUT: {fields: {2: {verb: MAY}}}}\n", extends="aut-standard")
    )
    assert profile.segments["AUT"].fields[2].verb is Verb.MAY
    assert profile.segments["AUT"].fields[2].table == "0285"
    assert profile.segments["AUT"].fields[13].verb is Verb.SHALL


# --- where profiles are found


def test_a_folder_of_ones_own_comes_over_the_shipped_one(write: Write, tmp_path: Path) -> None:
    assert set(SHIPPED) <= set(profile_files())
    own, other = write("aut-standard", "source: ours\n"), write("site")
    found = profile_files(tmp_path)
    assert found["aut-standard"] == own
    assert found["site"] == other
    assert found["aut-framework"] == profile_files()["aut-framework"]
    assert resolved("aut-standard", tmp_path).source == "ours"
    assert resolved("aut-standard").source != "ours"


def test_a_file_is_resolved_against_its_neighbours(write: Write) -> None:
    write("base", "source: neighbour\nsegments: {PID: {severity: warning}}\n")
    assert load_profile(write("child", extends="base")).segments["PID"].severity == "warning"


def test_an_unknown_profile_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    said = refusal(lambda: resolved("referal", tmp_path), UserError)
    assert said == f"unknown profile 'referal' (known: {', '.join(profile_files())})"


def test_an_unknown_parent_is_refused_with_the_file_that_names_it(write: Write) -> None:
    path = write("child", extends="nobody")
    said = refusal(lambda: load_profile(path))
    assert said == f"{path}: extends: unknown profile 'nobody' (known: {', '.join(profile_files())}, child)"


@pytest.mark.parametrize("chain", [("a",), ("a", "b"), ("a", "b", "c")])
def test_a_circle_of_parents_is_refused(write: Write, tmp_path: Path, chain: tuple[str, ...]) -> None:
    for name, parent in zip(chain, (*chain[1:], chain[0]), strict=True):
        write(name, extends=parent)
    said = refusal(lambda: resolved("a", tmp_path))
    assert said == f"{tmp_path / 'a.yaml'}: extends itself through {' -> '.join((*chain, 'a'))}"


def test_a_file_has_the_name_of_its_profile(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("profile: sight\ntitle: t\n")
    assert refusal(lambda: load_profile(path)) == f"{path}:1: profile: must be 'site', the name of the file"


# --- mistakes in a file


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("verb: MUST", "verb: Input should be 'SHALL', 'SHOULD', 'MAY' or 'SHALL NOT'"),
        ('verb: {"2.8": MUST}', "verb.2.8: Input should be 'SHALL', 'SHOULD', 'MAY' or 'SHALL NOT'"),
        ('since: "2.85"', f"since: unknown version '2.85' (known: {', '.join(VERSIONS)})"),
        ("since: 2.8", "since: Input should be a valid string"),
        ('type: {"2.2": CE}', f"type.2.2: unknown version '2.2' (known: {', '.join(VERSIONS)})"),
        ("type: {2.6: CWE}", "type.2.6: Input should be a valid string"),
        ('length: {"2.30": 20}', f"length.2.30: unknown version '2.30' (known: {', '.join(VERSIONS)})"),
        ("length: long", "length: 'long' is no length (20, 1..20, 5..*, or a list of lengths)"),
        ("length: 0", "length: a length is at least 1"),
        ('length: {"2.3": 0}', "length.2.3: a length is at least 1"),
        ('conformance_length: "45"', r"conformance_length: String should match pattern '^\d+[#=]$'"),
        ('conformance_length: {"2.7": "#45"}', r"conformance_length.2.7: String should match pattern '^\d+[#=]$'"),
        ("severity: fatal", "severity: Input should be 'error', 'warning', 'alert' or 'information'"),
        ("components: {0: {length: 3}}", "components.0: Input should be greater than or equal to 1"),
        ("components: {1: {length: 0}}", "components.1.length: a length is at least 1"),
        ("components: {1: {verb: MUST}}", "components.1.verb: Input should be 'SHALL', 'SHOULD', 'MAY' or 'SHALL NOT'"),
        ("condition: AUT-2 = ", "condition: the condition ends too early: AUT-2 ="),
        ("condition: 5", "condition: Input should be a valid string"),
        ("cardinality: 2..1", "cardinality: '2..1' allows nothing: the least is more than the most"),
        ("table: 206", "table: Input should be a valid string"),
    ],
)
def test_mistakes_in_a_field(write: Write, field: str, said: str) -> None:
    path = write("site", f"segments:\n  AUT:\n    fields:\n      2: {{{field}}}\n")
    assert refusal(lambda: load_profile(path)) == f"{path}:6: segments.AUT.fields.2.{said}"


@pytest.mark.parametrize("text", ["1", "1..", "..1", "1..n", "-1..1", "1..2..3", "a..b", "1 .. 2", "*..1", "1..1\\n"])
def test_what_is_no_cardinality(write: Write, text: str) -> None:
    path = write("site", f'segments:\n  AUT:\n    fields:\n      2: {{cardinality: "{text}"}}\n')
    assert "segments.AUT.fields.2.cardinality: String should match pattern" in refusal(lambda: load_profile(path))


@pytest.mark.parametrize("text", ["0..1", "1..1", "0..*", "2..*", "1..10", "0..0"])
def test_cardinalities(text: str) -> None:
    assert FieldProfile(cardinality=text).cardinality == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("segmnets: {}\n", ":3: unknown key 'segmnets' (did you mean 'segments'?)"),
        ("segments:\n  AUT:\n    feilds: {}\n", ":5: unknown key 'segments.AUT.feilds' (did you mean 'fields'?)"),
        (
            "segments: {AUT: {fields: {2: {vreb: MAY}}}}\n",
            ":3: unknown key 'segments.AUT.fields.2.vreb' (did you mean 'verb'?)",
        ),
        (
            "segments: {AUT: {fields: {0: {verb: MAY}}}}\n",
            ":3: segments.AUT.fields.0: Input should be greater than or equal to 1",
        ),
        (
            "segments: {AUT: {fields: {1000: {verb: MAY}}}}\n",
            ":3: segments.AUT.fields.1000: Input should be less than or equal to 999",
        ),
        (
            "segments: {AUT: {fields: {two: {verb: MAY}}}}\n",
            ":3: segments.AUT.fields.two: Input should be a valid integer",
        ),
        (
            "statements:\n- {id: x, segment: AUT, holds: AUT-2 vlaued, text: t}\n",
            ":4: statements.0.holds: can not read 'vlaued'",
        ),
        ("statements:\n- {id: x, segment: AUT, holds: AUT-2 valued}\n", ":4: key 'statements.0.text' is missing"),
        ("structure: {essential: AUT}\n", ":3: structure.essential: Input should be a valid tuple"),
        ("tables: {0206: {name: n, kind: hl7, values: {}}}\n", ":3: tables"),
    ],
)
def test_mistakes_in_a_profile(write: Write, text: str, said: str) -> None:
    path = write("site", text)
    assert refusal(lambda: load_profile(path)).startswith(f"{path}{said}")


# --- values by version


def at(value: Any, version: str) -> Any:
    return by_version(value, version)


@pytest.mark.parametrize("version", VERSIONS)
def test_of_a_mapping_the_last_version_reached_holds(version: str) -> None:
    assert at({"2.6": "CWE", "2.3": "CE"}, version) == ("CWE" if at_least(version, "2.6") else "CE")
    expected = None if at_least(version, "2.7") else 250 if at_least(version, "2.4") else 200
    assert at({"2.3": 200, "2.4": 250, "2.7": None}, version) == expected
    assert at({"2.9": Verb.SHALL}, version) == (Verb.SHALL if at_least(version, "2.9") else None)
    assert (at("ST", version), at(None, version), at({}, version)) == ("ST", None, None)


def test_versions_are_in_the_order_of_the_standard_not_of_their_digits() -> None:
    letters = {"2.5": "c", "2.3": "a", "2.5.1": "d", "2.3.1": "b"}
    found = [at(letters, version) for version in ("2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.9.1")]
    assert found == ["a", "b", "b", "c", "d", "d"]
