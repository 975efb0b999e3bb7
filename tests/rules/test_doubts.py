"""What `profile check` finds questionable: each kind of doubt, and none where there is no reason."""

from pathlib import Path

import pytest

from hl7auth.errors import ConfigError
from hl7auth.rules.doubts import doubts
from hl7auth.rules.profile import load_profile


def found(folder: Path, text: str) -> list[str]:
    path = folder / "site.yaml"
    path.write_text(f"profile: site\ntitle: t\n{text}\n")
    return [f"{each.path}: {each.text}" for each in doubts(load_profile(path))]


def test_nothing_is_questionable_in_a_plain_profile(tmp_path: Path) -> None:
    assert found(tmp_path, "segments: {AUT: {fields: {3: {length: 20}}}}") == []


@pytest.mark.parametrize(
    ("text", "doubt"),
    [
        ('segments: {AUT: {fields: {13: {table: "0551"}}}}', "AUT-13: AUT-13 Authorization Referral Type is bound to"),
        ("segments: {AUT: {fields: {40: {length: 3}}}}", "AUT-40: no version that the profile is for has this field"),
        (
            'applies: {versions: ["2.5"]}\nsegments: {AUT: {fields: {13: {length: 3}}}}',
            "AUT-13: no version that the profile is for has this field",
        ),
        ("segments: {QQQ: {fields: {1: {length: 3}}}}", "QQQ: HL7 has no segment QQQ"),
        (
            "applies: {messages: [RQA^I08]}\nsegments: {SCH: {fields: {1: {length: 3}}}}",
            "SCH: no structure that the profile is for has this segment",
        ),
        (
            "segments: {AUT: {fields: {3: {verb: SHALL, condition: AUT-1 valued}}}}",
            "AUT-3: the condition has no effect beside SHALL",
        ),
        ("segments: {AUT: {fields: {3: {usage: C(R/X)}}}}", "AUT-3: AUT-3 Authorizing Payor, Company Name has usage"),
        (
            "segments: {AUT: {fields: {3: {length: 2, constant: ABC}}}}",
            "AUT-3: the constant is longer than 2",
        ),
        (
            'applies: {versions: ["2.9"]}\nsegments: {AUT: {fields: {29: {constant: Q, table: "0206"}}}}',
            "AUT-29: the constant is not in table 0206",
        ),
        (
            "segments: {AUT: {fields: {6: {components: {9: {length: 3}}}}}}",
            "AUT-6.9: data type EI has no component 9",
        ),
        (
            "applies: {messages: [RQA^I08]}\nstatements: [{id: s, segment: SCH, holds: SCH-1 valued, text: t}]",
            "s: no message has the segment SCH: it never applies",
        ),
        ("events: {ZQA^Z02: ZQA_Z02}", "structure: ZQA^Z02 has structure ZQA_Z02"),
        ("structures: {ZQA_Z02: MSH PID}", "ZQA_Z02: no event of the profile has this structure"),
        ("flavours: {CWE_X: {base: CWE, components: {1: {verb: SHALL}}}}", "CWE_X: nothing has this flavour"),
        ("applies: {messages: [RQA^I77]}", "RQA^I77: the profile is for it and knows no structure for it"),
        ("severities: {AUT-3.lenght: warning}", "AUT-3.lenght: severities names 'AUT-3.lenght'"),
        ("departs: [AUT-2]\nsegments: {AUT: {}}", "AUT-2: departs names it, and it is not relaxed"),
        ("applies: {messages: [RQA^I08]}\nstructure: {essential: [SCH]}", "SCH: it is essential, and no structure"),
        ("groups: {RQA_I08: {NOPE: {cardinality: 1..1}}}", "structure: RQA_I08 of HL7 has no NOPE"),
    ],
)
def test_a_doubt(text: str, doubt: str, tmp_path: Path) -> None:
    doubts_found = found(tmp_path, text)
    assert [each for each in doubts_found if each.startswith(doubt)], doubts_found


def test_a_fault_of_some_versions_names_them(tmp_path: Path) -> None:
    text = 'applies: {versions: ["2.5", "2.8"]}\nsegments: {AUT: {fields: {13: {since: "2.8", table: "0551"}}}}'
    (doubt,) = found(tmp_path, text)
    assert "(2.8)" in doubt


def test_every_doubt_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("profile: site\ntitle: t\nevents:\n  ZQA^Z02: ZQA_Z02\n")
    (doubt,) = doubts(load_profile(path))
    assert doubt.place.endswith("/site.yaml:4")
    assert doubt.entry() == {"path": doubt.path, "text": doubt.text, "place": doubt.place}


def test_a_profile_that_can_not_be_compiled_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="requires AUT-2"):
        found(tmp_path, "segments: {AUT: {fields: {2: {verb: MAY}}}}")


@pytest.mark.parametrize(
    ("text", "doubt"),
    [
        ("segments: {AUT: {fields: {3: {verb: SHOULD, condition: AUT-1 valued}}}}", "AUT-3: the condition has no"),
        ("groups: {RQA_I08: {DG1: {verb: SHOULD}}}", "RQA_I08.DG1: nothing is said of a group that should come"),
        ("groups: {RQX_I08: {DG1: {verb: SHALL}}}", "structure: neither the profile nor HL7 has a structure RQX_I08"),
        ("segments: {AUT: {}}\nseverities: {AUT-99.usage: error}", "AUT-99.usage: severities names 'AUT-99.usage'"),
        ("segments: {AUT: {}}\nseverities: {AUT-6.9.table: error}", "AUT-6.9.table: severities names"),
    ],
)
def test_a_rule_without_effect_is_doubted(text: str, doubt: str, tmp_path: Path) -> None:
    assert [each for each in found(tmp_path, text) if each.startswith(doubt)]


def test_a_severity_for_a_component_that_is_there_is_not(tmp_path: Path) -> None:
    assert found(tmp_path, "segments: {AUT: {}}\nseverities: {AUT-6.4.table: warning}") == []


BASE = """profile: base
title: t
departs: [AUT-2, AUT-13]
segments:
  AUT:
    fields:
      1: {usage: R, components: {3: {usage: R}}}
      2: {verb: SHOULD}
      13: {verb: SHOULD, since: "2.8"}
groups: {RQA_I08: {DG1: {cardinality: 1..*}}}
"""


@pytest.mark.parametrize(
    ("departs", "rest", "doubt"),
    [
        ("AUT-1", "segments: {AUT: {fields: {1: {usage: RE}}}}", ""),
        ("AUT-1.3", "segments: {AUT: {fields: {1: {components: {3: {usage: O}}}}}}", ""),
        ("PID-3", "segments: {PID: {fields: {3: {usage: RE}}}}", ""),
        ("RQA_I08.DG1", "groups: {RQA_I08: {DG1: {cardinality: 0..*}}}", ""),
        ("RPA_I08.PROCEDURE", "groups: {RPA_I08: {PROCEDURE: {cardinality: 0..*}}}", ""),
        ("RQA_I08.PID", 'structures: {RQA_I08: "MSH {<PROVIDER> PRD} {DG1}"}', ""),
        ("AUT-1", "segments: {AUT: {fields: {1: {length: 20}}}}", "AUT-1: departs names it, and it is not relaxed"),
        ("AUT-1.3", "segments: {AUT: {fields: {1: {length: 20}}}}", "AUT-1.3: departs names it, and it is not relaxed"),
        ("PID-3", "segments: {PID: {fields: {3: {usage: R}}}}", "PID-3: departs names it, and it is not relaxed"),
        ("AUT-31", "segments: {AUT: {}}", "AUT-31: departs names it, and it is not relaxed"),
        (
            "RQA_I08.PID",
            "groups: {RQA_I08: {PID: {cardinality: 1..1}}}",
            "RQA_I08.PID: departs names it, and it is not",
        ),
        (
            "AUT-2",
            "segments: {AUT: {fields: {2: {usage: O}}}}",
            "AUT-2: departs names it, and base departs there already",
        ),
        # no version that the profile is for has the field
        ("AUT-13", 'applies: {versions: ["2.5"]}', "AUT-13: departs names it, and it is not relaxed"),
    ],
)
def test_a_departure_that_relaxes_nothing_is_doubted(tmp_path: Path, departs: str, rest: str, doubt: str) -> None:
    (tmp_path / "base.yaml").write_text(BASE)
    path = tmp_path / "site.yaml"
    path.write_text(f"profile: site\ntitle: t\nextends: base\ndeparts:\n  - {departs}\n{rest}\n")
    said = [each for each in doubts(load_profile(path)) if "departs" in each.text]
    assert [f"{each.path}: {each.text}"[: len(doubt)] for each in said] == ([doubt] if doubt else [])
    assert [each.place.rpartition("/")[2] for each in said] == (["site.yaml:5"] if doubt else [])


def test_what_a_profile_inherits_is_not_doubted_for_messages_that_are_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(BASE)
    own = 'profile: site\ntitle: t\nextends: base\napplies: {versions: ["2.5"]}\n'
    (tmp_path / "site.yaml").write_text(own)
    assert not [each for each in doubts(load_profile(tmp_path / "site.yaml")) if "no codes yet" not in each.text]
    (tmp_path / "site.yaml").write_text(own + "segments: {AUT: {fields: {13: {length: 3}}}}\n")
    (doubt,) = [each for each in doubts(load_profile(tmp_path / "site.yaml")) if "no codes yet" not in each.text]
    assert doubt.text == "no version that the profile is for has this field: its rules never apply"
