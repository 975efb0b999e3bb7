"""What a profile says over another one, and that nothing that is required is let go in silence."""

from pathlib import Path

import pytest

from hl7auth.errors import ConfigError
from hl7auth.rules.compiled import CompiledProfile, compile_profile
from hl7auth.rules.profile import load_profile


def compiled_from(folder: Path, base: str, own: str, version: str = "2.5") -> CompiledProfile:
    (folder / "base.yaml").write_text(f"profile: base\ntitle: t\n{base}\n")
    (folder / "site.yaml").write_text(f"profile: site\ntitle: t\nextends: base\n{own}\n")
    return compile_profile(load_profile(folder / "site.yaml"), version)


PAYOR = "segments: {AUT: {fields: {1: {%s}}}}"


@pytest.mark.parametrize(
    ("base", "own", "path", "key"),
    [
        ("verb: SHALL", "verb: SHOULD", "AUT-1", "verb"),
        ("verb: SHALL", "verb: MAY", "AUT-1", "verb"),
        ("verb: SHALL", "verb: SHALL NOT", "AUT-1", "verb"),
        ("usage: R", "usage: RE", "AUT-1", "usage"),
        ("usage: R", "usage: C(R/O)", "AUT-1", "usage"),
        ("usage: R", "verb: MAY", "AUT-1", "verb"),
        ("verb: SHALL", "usage: X", "AUT-1", "usage"),
        ("verb: SHALL", "usage: IX", "AUT-1", "usage"),
        ('verb: {"2.8": SHALL}', "verb: MAY", "AUT-1", "verb"),
        ("verb: SHALL", 'verb: {"2.3": SHALL, "2.8": MAY}', "AUT-1", "verb"),
        ("components: {1: {usage: R}}", "components: {1: {usage: O}}", "AUT-1.1", "components.1.usage"),
        (
            "components: {1: {components: {2: {usage: R}}}}",
            "components: {1: {components: {2: {usage: RE}}}}",
            "AUT-1.1.2",
            "components.1.components.2.usage",
        ),
    ],
)
def test_what_is_required_is_not_relaxed_in_silence(tmp_path: Path, base: str, own: str, path: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compiled_from(tmp_path, PAYOR % base, PAYOR % own)
    place = f"{tmp_path / 'site.yaml'}:4: segments.AUT.fields.1.{key}"
    assert str(caught.value) == f"{place}: {path} is required by 'base'; to relax it, name it in departs: [{path}]"
    compiled_from(tmp_path, PAYOR % base, f"departs: [{path}]\n{PAYOR % own}")


FLAVOURS = """flavours:
  CODED: {base: CWE, components: {1: {usage: R}, 3: {verb: SHALL}}}
  SHORT: {base: CODED, length: 20}
  ISO: {base: HD, components: {2: {usage: R}}}
"""


@pytest.mark.parametrize(
    ("base", "own", "path", "key"),
    [
        # the type of a field, or of a component, lets go what its flavour required
        ("type: CODED, components: {1: {usage: O}}", "type: CWE", "AUT-1.3", "type"),
        ("type: SHORT, components: {1: {usage: O}}", "type: CWE", "AUT-1.3", "type"),
        ("type: CODED", "type: ONE", "AUT-1.3", "type"),
        ('type: {"2.8": CODED}, components: {1: {usage: O}}', 'type: {"2.8": CWE}', "AUT-1.3", "type"),
        ("type: CX, components: {4: {type: ISO}}", "components: {4: {type: HD}}", "AUT-1.4.2", "components.4.type"),
        (
            "type: CX, components: {4: {type: ISO}}",
            "components: {4: {components: {2: {usage: RE}}}}",
            "AUT-1.4.2",
            "components.4.components.2.usage",
        ),
        # a component is relaxed that a flavour requires, not the field itself
        ("type: CODED", "components: {3: {usage: O}}", "AUT-1.3", "components.3.usage"),
        ("type: SHORT", "components: {3: {verb: SHOULD, length: 3}}", "AUT-1.3", "components.3.verb"),
        ("type: CODED, components: {1: {usage: O}}", "type: CWE, components: {3: {length: 2}}", "AUT-1.3", "type"),
    ],
)
def test_what_a_flavour_requires_is_not_relaxed_in_silence(
    tmp_path: Path, base: str, own: str, path: str, key: str
) -> None:
    ones = "flavours: {ONE: {base: CWE, components: {1: {usage: R}}}}"
    with pytest.raises(ConfigError) as caught:
        compiled_from(tmp_path, FLAVOURS + PAYOR % base, f"{ones}\n{PAYOR % own}", "2.8")
    place = f"{tmp_path / 'site.yaml'}:5: segments.AUT.fields.1.{key}"
    assert str(caught.value) == f"{place}: {path} is required by 'base'; to relax it, name it in departs: [{path}]"
    compiled_from(tmp_path, FLAVOURS + PAYOR % base, f"departs: [{path}]\n{ones}\n{PAYOR % own}", "2.8")


@pytest.mark.parametrize(
    ("flavours", "path", "key"),
    [
        ("CODED: {base: CWE, components: {1: {usage: R}}}", "CODED.3", "base"),
        ("CODED: {base: CWE, components: {1: {usage: R}, 3: {usage: RE}}}", "CODED.3", "components.3.usage"),
        ("CODED: {base: ONE}, ONE: {base: CWE, components: {1: {usage: R}}}", "CODED.3", "base"),
        ("ISO: {base: HD, components: {2: {verb: MAY}}}", "ISO.2", "components.2.verb"),
    ],
)
def test_a_flavour_is_not_redefined_in_silence(tmp_path: Path, flavours: str, path: str, key: str) -> None:
    base, own = FLAVOURS + PAYOR % "type: SHORT", f"flavours: {{{flavours}}}"
    with pytest.raises(ConfigError) as caught:
        compiled_from(tmp_path, base, own, "2.8")
    place = f"{tmp_path / 'site.yaml'}:4: flavours.{path.partition('.')[0]}.{key}"
    assert str(caught.value) == f"{place}: {path} is required by 'base'; to relax it, name it in departs: [{path}]"
    compiled_from(tmp_path, base, f"departs: [{path}]\n{own}", "2.8")


@pytest.mark.parametrize(
    "own",
    [
        PAYOR % "type: MORE",  # a flavour of the flavour
        PAYOR % "type: CWE, components: {1: {usage: R}, 3: {usage: R}}",
        PAYOR % "type: OTHER",  # another flavour that requires as much
        PAYOR % "length: 10, components: {3: {length: 2}}",
        "flavours: {CODED: {base: OTHER, length: 3}}",
        "flavours: {ISO: {base: HD, components: {2: {usage: R}, 3: {usage: R}}}}",
        # the other flavour is the one that is as it was
        "flavours: {SHORT: {base: CODED, length: 5}}",
    ],
)
def test_what_stays_required_by_a_flavour_needs_no_word(tmp_path: Path, own: str) -> None:
    more = "MORE: {base: CODED, components: {2: {usage: R}}}"
    other = "OTHER: {base: CWE, components: {1: {verb: SHALL}, 3: {usage: R}}}"
    added = (
        own.replace("flavours: {", f"flavours: {{{more}, {other}, ")
        if "flavours" in own
        else (f"flavours: {{{more}, {other}}}\n{own}")
    )
    profile = compiled_from(tmp_path, FLAVOURS + PAYOR % "type: CODED", added, "2.8")
    wanted = {part.number for part in profile.segments["AUT"].fields[1].components if part.usage == "R"}
    assert {1, 3} <= wanted


def test_a_flavour_that_is_let_go_with_a_word_is_let_go(tmp_path: Path) -> None:
    own = f"departs: [AUT-1.1, AUT-1.3]\n{PAYOR % 'type: CWE'}"
    profile = compiled_from(tmp_path, FLAVOURS + PAYOR % "type: CODED", own, "2.8")
    assert [part.number for part in profile.segments["AUT"].fields[1].components if part.usage == "R"] == []


def test_a_structure_of_the_profile_beneath_is_not_relaxed_in_silence(tmp_path: Path) -> None:
    base = 'structures: {ZQA_Z02: "MSH {<PROVIDER> PRD} PID [{PR1}]"}'
    fewer = 'structures: {ZQA_Z02: "MSH [{<PROVIDER> PRD}] PID"}'
    with pytest.raises(ConfigError, match=r"site.yaml:4: structures.ZQA_Z02: ZQA_Z02.PROVIDER is required by 'base'"):
        compiled_from(tmp_path, base, fewer)
    compiled_from(tmp_path, base, f"departs: [ZQA_Z02.PROVIDER]\n{fewer}")
    compiled_from(tmp_path, base, 'structures: {ZQA_Z02: "MSH {<WHO> PRD [CTD]} PID {PR1}"}')
    with pytest.raises(ConfigError, match=r"structures.ZQA_Z02:"):
        compiled_from(tmp_path, base, 'structures: {ZQA_Z02: "MSH ["}')


@pytest.mark.parametrize("own", ["verb: SHALL", "usage: R", "length: 3", 'verb: {"2.3": SHALL}', "severity: warning"])
def test_what_stays_required_needs_no_word(tmp_path: Path, own: str) -> None:
    rule = compiled_from(tmp_path, PAYOR % "verb: SHALL", PAYOR % own).segments["AUT"].fields[1]
    assert rule.usage == "R"


@pytest.mark.parametrize(
    "rule", ["{2: {verb: MAY}}", "{2: {usage: RE}}", "{2: {usage: C(R/X), condition: AUT-1 valued}}"]
)
def test_what_hl7_requires_is_not_relaxed_in_silence(tmp_path: Path, rule: str) -> None:
    key = "verb" if "verb" in rule else "usage"
    with pytest.raises(ConfigError) as caught:
        compiled_from(tmp_path, "", f"segments: {{AUT: {{fields: {rule}}}}}")
    place = f"{tmp_path / 'site.yaml'}:4: segments.AUT.fields.2.{key}"
    assert str(caught.value) == f"{place}: HL7 2.5 requires AUT-2; to relax it, name it in departs: [AUT-2]"
    compiled_from(tmp_path, "departs: [AUT-2]", f"segments: {{AUT: {{fields: {rule}}}}}")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("groups: {RPA_I08: {PROCEDURE: {cardinality: 0..*}}}", "RPA_I08.PROCEDURE"),
        ("groups: {RPA_I08: {MSA: {verb: MAY}}}", "RPA_I08.MSA"),
        ("groups: {RQA_I08: {PID: {usage: X}}}", "RQA_I08.PID"),
        ('structures: {RQA_I08: "MSH {PRD}"}', "RQA_I08.PID"),
    ],
)
def test_no_group_that_hl7_requires_is_relaxed_in_silence(tmp_path: Path, text: str, path: str) -> None:
    departs = ["RQA_I08.PROVIDER"] if "structures" in text else []
    with pytest.raises(
        ConfigError, match=rf"site.yaml:5: .*name it in departs: \[{path}\]|site.yaml:5: RPA_I08|RQA_I08"
    ):
        compiled_from(tmp_path, "", f"departs: [{', '.join(departs)}]\n{text}")
    compiled_from(tmp_path, "", f"departs: [{', '.join([*departs, path])}]\n{text}")


def test_a_group_that_a_profile_requires_is_not_relaxed_in_silence(tmp_path: Path) -> None:
    groups = "groups: {RQA_I08: {PROCEDURE: {%s}}}"
    with pytest.raises(ConfigError, match=r"RQA_I08.PROCEDURE is required by 'base'"):
        compiled_from(tmp_path, groups % "cardinality: 1..*", groups % "cardinality: 0..*")
    compiled_from(tmp_path, groups % "cardinality: 1..*", groups % "cardinality: 2..*")


def test_each_way_to_say_a_thing_takes_the_other_back(tmp_path: Path) -> None:
    base = PAYOR % 'verb: SHOULD, table: "0155", cardinality: 1..2'
    rule = compiled_from(tmp_path, base, PAYOR % 'usage: O, binding: {table: "0206"}').segments["AUT"].fields[1]
    assert (rule.usage, rule.table, rule.min, rule.max) == ("O", "0206", 0, 2)
    rule = compiled_from(tmp_path, base, PAYOR % "usage: R").segments["AUT"].fields[1]
    assert (rule.usage, rule.table, rule.min, rule.max) == ("R", "0155", 1, 2)


@pytest.mark.parametrize("both", ["verb: MAY, usage: O", 'table: "0155", binding: {table: "0155"}'])
def test_a_thing_is_said_in_one_way(tmp_path: Path, both: str) -> None:
    with pytest.raises(ConfigError, match="say the same thing: only one of them may stand here"):
        compiled_from(tmp_path, "", PAYOR % both)


def test_parts_of_a_profile_are_merged_by_their_names(tmp_path: Path) -> None:
    base = """
severities: {AUT-1.length: alert, AUT-3.length: alert}
events: {ZQA^Z02: RQA_I08}
flavours: {A: {base: CE}, B: {base: CE}}
applies: {messages: [RQA^I08]}
departs: [AUT-2]
segments: {AUT: {fields: {2: {usage: RE, severities: {usage: alert}}}}}"""
    own = """
severities: {AUT-1.length: error}
events: {ZQA^Z04: RQA_I08}
flavours: {B: {base: CWE}}
segments: {AUT: {fields: {2: {severities: {length: error}}}}}"""
    profile = compiled_from(tmp_path, base, own).profile
    assert profile.severities == {"AUT-1.length": "error", "AUT-3.length": "alert"}
    assert set(profile.events) == {"ZQA^Z02", "ZQA^Z04"}
    assert {name: each.base for name, each in profile.flavours.items()} == {"A": "CE", "B": "CWE"}
    assert profile.applies is not None
    assert profile.applies.messages == ("RQA^I08",)
    assert profile.departs == ("AUT-2",)
    assert profile.segments["AUT"].fields[2].severities == {"usage": "alert", "length": "error"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("segments: {AUT: {fields: {1: {usage: Q}}}}", "'Q' is no usage"),
        ("segments: {AUT: {fields: {1: {usage: C(R/B)}}}}", "'C(R/B)' is no usage"),
        ("segments: {AUT: {fields: {1: {length: 3..2}}}}", "'3..2' allows nothing"),
        ("segments: {AUT: {fields: {1: {length: []}}}}", "a length is at least 1"),
        ("segments: {AUT: {fields: {1: {condition: \"AUT-1 matches '('\"}}}}", "')' is missing in pattern /(/"),
        ("segments: {AUT: {delete_pattern: [key]}}", "`key` must say which field that is"),
        ("segments: {AUT: {delete_pattern: [some]}}", "Input should be 'all_fields', 'first_field' or 'key'"),
        ("segments: {AUT: {fields: {1: {severities: {colour: error}}}}}", "Input should be 'usage'"),
        (
            "flavours: {A: {base: B}, B: {base: A}}\nsegments: {AUT: {fields: {1: {type: A}}}}",
            "it is a flavour of itself",
        ),
        ('structures: {ZQA_Z02: "MSH [PID"}', "structures.ZQA_Z02:"),
        ("statements: [{id: x, holds: AUT-1 valued, text: t}]", "only a statement with scope message needs none"),
        ("statements: [{id: x, segment: AUT, scope: here, holds: AUT-1 valued, text: t}]", "Input should be 'segment'"),
        ("dialect: {unknown_key: 1}", "unknown key 'dialect.unknown_key'"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compiled_from(tmp_path, "", text)
    assert said in str(caught.value)
    assert f"{tmp_path / 'site.yaml'}:4" in str(caught.value) or f"{tmp_path / 'site.yaml'}:5" in str(caught.value)


@pytest.mark.parametrize(
    ("base", "own", "key"),
    [
        ("cardinality: 1..1", "cardinality: 0..1", "cardinality"),
        ("cardinality: 2..*", "verb: MAY", "verb"),
        ("verb: SHALL", 'since: "2.6"', "since"),
        ('verb: SHALL, since: "2.8"', 'since: "2.9"', "since"),
    ],
)
def test_a_requirement_is_let_go_in_no_other_way_either(tmp_path: Path, base: str, own: str, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"fields\.1\.{key}: AUT-1 is required by 'base'"):
        compiled_from(tmp_path, PAYOR % base, PAYOR % own)


def test_what_hl7_requires_is_not_put_off_to_a_later_version(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"fields\.2\.since: HL7 2\.5 requires AUT-2"):
        compiled_from(tmp_path, "segments: {}", 'segments: {AUT: {fields: {2: {since: "2.6"}}}}')


def test_may_with_a_cardinality_that_asks_for_one_still_requires(tmp_path: Path) -> None:
    rules = compiled_from(tmp_path, PAYOR % "verb: SHALL", PAYOR % "verb: MAY, cardinality: 1..1")
    assert rules.segments["AUT"].fields[1].usage == "R"


def test_an_event_keeps_what_hl7_requires_of_its_structure(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"events\.RPA\^I08: HL7 requires RPA_I08\.MSA"):
        compiled_from(tmp_path, "segments: {}", "events: {RPA^I08: RQA_I08}")
    said = "departs: [RPA_I08.MSA, RPA_I08.PROCEDURE]\nevents: {RPA^I08: RQA_I08}"
    assert compiled_from(tmp_path, "segments: {}", said).structure_of("RPA", "I08") == "RQA_I08"


def test_an_id_of_a_statement_stands_once(tmp_path: Path) -> None:
    one = "{id: q, segment: AUT, holds: AUT-1 valued, text: t}"
    with pytest.raises(ConfigError, match="the id 'q' is there twice"):
        compiled_from(tmp_path, "segments: {}", f"statements: [{one}, {one}]")
