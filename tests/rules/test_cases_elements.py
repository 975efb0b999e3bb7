"""What a profile can say of fields and components, as a table: the rule, the segments, and every finding they get."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from hl7auth.rules.check import check
from hl7auth.rules.compiled import CompiledProfile, compile_profile, compiled
from hl7auth.rules.profile import load_profile
from hl7auth.wire.message import parse
from tests.rules.said import head, said


@cache
def profile_of(text: str, version: str) -> CompiledProfile:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "site.yaml"
        path.write_text(f"profile: site\ntitle: t\n{text}\n")
        return compile_profile(load_profile(path), version)


def of_aut(fields: str) -> str:
    """A profile with rules for fields of AUT that nothing else is asked of."""
    return f"departs: [AUT-2, AUT-13]\nsegments: {{AUT: {{fields: {{2: {{usage: O}}, 13: {{usage: O}}, {fields}}}}}}}"


USAGE = [
    # usage, AUT-1, findings
    ("R", "", "error 101 AUT-1.usage AUT-1"),
    ("R", "GOLD", ""),
    ("R", '""', ""),
    ("R", "^^", "error 101 AUT-1.usage AUT-1"),
    ("RE", "", "warning 101 AUT-1.usage AUT-1"),
    ("RE", "GOLD", ""),
    ("O", "", ""),
    ("O", "GOLD", ""),
    ("X", "", ""),
    ("X", "GOLD", "error 207 AUT-1.usage AUT-1"),
    ("X", '""', "error 207 AUT-1.usage AUT-1"),
    ("X", "^^", ""),
    ("W", "", ""),
    ("W", "GOLD", "warning 207 AUT-1.usage AUT-1"),
    ("B", "", ""),
    ("B", "GOLD", "information 207 AUT-1.usage AUT-1"),
    ("IX", "", ""),
    ("IX", "a~b~c", ""),
]
VERBS = [
    ("SHALL", "", "error 101 AUT-1.usage AUT-1"),
    ("SHALL", "GOLD", ""),
    ("SHOULD", "", "warning 101 AUT-1.usage AUT-1"),
    ("SHOULD", "GOLD", ""),
    ("MAY", "", ""),
    ("MAY", "GOLD", ""),
    ("SHALL NOT", "", ""),
    ("SHALL NOT", "GOLD", "error 207 AUT-1.usage AUT-1"),
]
# usage with the condition AUT-2 valued; AUT-1; AUT-2; findings
CONDITIONAL = [
    ("C(R/X)", "", "A", "error 101 AUT-1.usage AUT-1"),
    ("C(R/X)", "G", "A", ""),
    ("C(R/X)", "", "", ""),
    ("C(R/X)", "G", "", "error 207 AUT-1.usage AUT-1"),
    ("C", "", "A", "error 101 AUT-1.usage AUT-1"),
    ("C", "G", "", "error 207 AUT-1.usage AUT-1"),
    ("CE", "", "A", "warning 101 AUT-1.usage AUT-1"),
    ("CE", "G", "", "error 207 AUT-1.usage AUT-1"),
    ("CE", "G", "A", ""),
    ("C(R/O)", "", "A", "error 101 AUT-1.usage AUT-1"),
    ("C(R/O)", "G", "", ""),
    ("C(R/O)", "", "", ""),
    ("C(R/RE)", "", "", "warning 101 AUT-1.usage AUT-1"),
    ("C(R/RE)", "", "A", "error 101 AUT-1.usage AUT-1"),
    ("C(RE/O)", "", "A", "warning 101 AUT-1.usage AUT-1"),
    ("C(RE/O)", "", "", ""),
    ("C(X/R)", "G", "A", "error 207 AUT-1.usage AUT-1"),
    ("C(X/R)", "", "A", ""),
    ("C(X/R)", "", "", "error 101 AUT-1.usage AUT-1"),
    ("C(O/X)", "G", "", "error 207 AUT-1.usage AUT-1"),
    ("C(O/X)", "G", "A", ""),
    ("C(X/O)", "G", "A", "error 207 AUT-1.usage AUT-1"),
    ("C(X/O)", "G", "", ""),
]
# what is said of AUT-1; AUT-1; findings
LENGTHS = [
    ("length: 4", "GOLD", ""),
    ("length: 4", "GOLDX", "warning 104 AUT-1.length AUT-1"),
    ("length: 4", '""', ""),
    ("length: 4, type: ST", "ab\\T\\c", ""),
    ("length: 2..4", "A", "warning 104 AUT-1.length AUT-1"),
    ("length: 2..4", "AB", ""),
    ("length: 2..4", "ABCD", ""),
    ("length: 2..4", "ABCDE", "warning 104 AUT-1.length AUT-1"),
    ("length: 3..*", "AB", "warning 104 AUT-1.length AUT-1"),
    ("length: 3..*", "A" * 300, ""),
    ("length: [3, 5]", "ABC", ""),
    ("length: [3, 5]", "ABCD", "warning 104 AUT-1.length AUT-1"),
    ("length: [3, 5]", "ABCDE", ""),
    ("length: [3, 5]", "AB", "warning 104 AUT-1.length AUT-1"),
    ("length: [3, 5]", '""', ""),
    ('length: {"2.3": 2, "2.5": 3}', "ABC", ""),
    ('length: {"2.3": 2, "2.6": 3}', "ABC", "warning 104 AUT-1.length AUT-1"),
    ('length: {"2.3": 2, "2.5": null}', "A" * 99, ""),
    ('conformance_length: "4#"', "GOLDX", "information 104 AUT-1.conformance_length AUT-1"),
    ('conformance_length: "4="', "GOLDX", "information 104 AUT-1.conformance_length AUT-1"),
    ('conformance_length: "4="', "GOLD", ""),
    ("severities: {length: error}, length: 2", "ABC", "error 104 AUT-1.length AUT-1"),
]
CARDINALITY = [
    ("cardinality: 1..1", "", "error 101 AUT-1.usage AUT-1"),
    ("cardinality: 1..1", "A~B", "error 198 AUT-1.cardinality AUT-1"),
    ("cardinality: 1..1", "A", ""),
    ("cardinality: 0..1", "A~", ""),
    ("cardinality: 0..3", "A~B~C", ""),
    ("cardinality: 0..3", "A~B~C~D", "error 198 AUT-1.cardinality AUT-1"),
    ("cardinality: 0..*", "A~B~C~D~E~F", ""),
    ("cardinality: 2..3", "A", "error 198 AUT-1.cardinality AUT-1"),
    ("cardinality: 2..3", "A~B", ""),
    ("cardinality: 2..3", "A~~", "error 198 AUT-1.cardinality AUT-1"),
    ("cardinality: 2..3", '""', ""),
    ("cardinality: 2..3", "", "error 101 AUT-1.usage AUT-1"),
    ("usage: RE, cardinality: 1..1", "", "warning 101 AUT-1.usage AUT-1"),
    ("usage: X, cardinality: 0..0", "", ""),
    ("severities: {cardinality: warning}", "A~B", "warning 198 AUT-1.cardinality AUT-1"),
]
# what is said of AUT-1; AUT-1; findings
DELETES = [
    ("cardinality: 0..*", '""', ""),
    ("cardinality: 0..*", '""~', ""),
    ("cardinality: 0..*", 'A~""', "error 198 AUT-1.delete AUT-1[2]"),
    ("cardinality: 0..*", '""~A', "error 198 AUT-1.delete AUT-1"),
    ("cardinality: 0..*", '""~""', "error 198 AUT-1.delete AUT-1"),
    ("cardinality: 0..*", 'A~B~""~C~""', "error 198 AUT-1.delete AUT-1[3]"),
    ("cardinality: 0..*", 'A~""^x', ""),
    ("cardinality: 0..2", 'A~""', "error 198 AUT-1.delete AUT-1[2]"),
    ("cardinality: 0..1", 'A~""', "error 198 AUT-1.cardinality AUT-1"),
    ("cardinality: 0..2", 'A~B~""', "error 198 AUT-1.cardinality AUT-1"),
    ("cardinality: 0..*, usage: IX", 'A~""', ""),
    ("cardinality: 0..*, severities: {delete: warning}", 'A~""', "warning 198 AUT-1.delete AUT-1[2]"),
    ("cardinality: 0..*, severity: warning", 'A~""', "warning 198 AUT-1.delete AUT-1[2]"),
]
CONSTANTS = [
    ("constant: GOLD", "GOLD", ""),
    ("constant: GOLD", "GOLD^Gold plan^L", ""),
    ("constant: GOLD", "gold", "error 103 AUT-1.constant AUT-1"),
    ("constant: GOLD", "", ""),
    ("constant: GOLD", '""', ""),
    ("constant: GOLD, usage: R", "", "error 101 AUT-1.usage AUT-1"),
    ("constant: GOLD^^L", "GOLD^^L", ""),
    ("constant: GOLD^^L", "GOLD", "error 103 AUT-1.constant AUT-1"),
    ("constant: A&B, type: ST", "A\\T\\B", ""),
    ("cardinality: 0..*, constant: A", "A~B", "error 103 AUT-1.constant AUT-1[2]"),
    ("components: {3: {constant: L}}", "A^B^L", ""),
    ("components: {3: {constant: L}}", "A^B^M", "error 103 AUT-1.3.constant AUT-1.3"),
]
TABLES = '\ntables: {"9001": {name: own, kind: %s, values: {A: a, B: b}}, "9002": {name: none, kind: site}}'
# what is said of AUT-1; kind of the table; AUT-1; findings
BINDINGS = [
    ('table: "9001"', "hl7", "A", ""),
    ('table: "9001"', "hl7", "Q", "error 103 AUT-1.table AUT-1"),
    ('table: "9001"', "user", "Q", "warning 103 AUT-1.table AUT-1"),
    ('table: "9001"', "site", "Q", "warning 103 AUT-1.table AUT-1"),
    ('table: "9002"', "hl7", "anything", ""),
    ('table: "9003"', "hl7", "anything", ""),
    ('binding: {table: "9001"}', "hl7", "Q", "error 103 AUT-1.table AUT-1"),
    ('binding: {table: "9001"}', "user", "Q", "warning 103 AUT-1.table AUT-1"),
    ('binding: {table: "9001", extensibility: closed}', "user", "Q", "error 103 AUT-1.table AUT-1"),
    ('binding: {table: "9001", extensibility: open}', "hl7", "Q", "warning 103 AUT-1.table AUT-1"),
    (
        'binding: {table: "9001", strength: suggested, extensibility: closed}',
        "hl7",
        "Q",
        "warning 103 AUT-1.table AUT-1",
    ),
    ('binding: {table: "9001", strength: suggested, extensibility: open}', "hl7", "Q", "alert 103 AUT-1.table AUT-1"),
    ('binding: {table: "9001", strength: suggested}', "user", "Q", "alert 103 AUT-1.table AUT-1"),
    ('binding: {table: "9001", strength: suggested}', "user", "B", ""),
    ('table: "9001", severity: warning', "hl7", "Q", "warning 103 AUT-1.table AUT-1"),
    ('table: "9001", severities: {table: alert}', "hl7", "Q", "alert 103 AUT-1.table AUT-1"),
    ('table: "9001", severities: {table: error}', "user", "Q", "error 103 AUT-1.table AUT-1"),
    ('table: "9001", cardinality: 0..*', "hl7", "A~Q", "error 103 AUT-1.table AUT-1[2]"),
    ('components: {3: {table: "9001"}}', "hl7", "x^y^Q", "error 103 AUT-1.3.table AUT-1.3"),
    (
        'components: {3: {binding: {table: "9001", extensibility: open}}}',
        "hl7",
        "x^y^Q",
        "warning 103 AUT-1.3.table AUT-1.3",
    ),
]
# what is said of AUT-24 (XCN in 2.8); AUT-24; findings
COMPONENTS = [
    ("components: {2: {usage: R}}", "4711", "error 101 AUT-24.2.usage AUT-24.2"),
    ("components: {2: {usage: R}}", "4711^Moss", ""),
    ("components: {2: {usage: R}}", "", ""),
    ("components: {2: {usage: RE}}", "4711", "warning 101 AUT-24.2.usage AUT-24.2"),
    ("components: {2: {usage: X}}", "4711^Moss", "error 207 AUT-24.2.usage AUT-24.2"),
    ("components: {2: {usage: X}}", "4711", ""),
    ("components: {2: {usage: IX, length: 1}}", "4711^Moss", ""),
    ("components: {2: {usage: W}}", "4711^Moss", "warning 207 AUT-24.2.usage AUT-24.2"),
    ("components: {2: {usage: W}}", "4711", ""),
    ("components: {2: {usage: B}}", "4711^Moss", "information 207 AUT-24.2.usage AUT-24.2"),
    ("components: {2: {usage: B}}", "4711^^Ada", ""),
    ("components: {9: {usage: B}}", "1^^^^^^^^&&", ""),
    ("components: {9: {usage: X}}", "1^^^^^^^^&&", ""),
    ("components: {2: {usage: R}}", "1^&&", "error 101 AUT-24.2.usage AUT-24.2"),
    ("components: {9: {usage: R}}", "1^^^^^^^^&&", "error 101 AUT-24.9.usage AUT-24.9"),
    ("components: {9: {components: {2: {usage: B}}}}", "1^^^^^^^^N&1", "information 207 AUT-24.9.2.usage AUT-24.9.2"),
    ("components: {9: {components: {3: {usage: W}}}}", "1^^^^^^^^N&1&ISO", "warning 207 AUT-24.9.3.usage AUT-24.9.3"),
    ("components: {9: {components: {3: {usage: W}}}}", "1^^^^^^^^N&1", ""),
    (
        "severity: error, components: {2: {usage: B, severities: {usage: warning}}}",
        "1^Q",
        "warning 207 AUT-24.2.usage AUT-24.2",
    ),
    ("components: {3: {usage: C(R/X), condition: this.2 valued}}", "1^Moss", "error 101 AUT-24.3.usage AUT-24.3"),
    ("components: {3: {usage: C(R/X), condition: this.2 valued}}", "1^^Ada", "error 207 AUT-24.3.usage AUT-24.3"),
    ("components: {3: {usage: C(R/X), condition: this.2 valued}}", "1^Moss^Ada", ""),
    ("components: {3: {condition: AUT-1 valued}}", "1^Moss", ""),
    ("components: {9: {components: {2: {usage: R}}}}", "1^^^^^^^^NORTH", "error 101 AUT-24.9.2.usage AUT-24.9.2"),
    ("components: {9: {components: {2: {usage: R}}}}", "1^^^^^^^^NORTH&1.2&ISO", ""),
    ("components: {9: {components: {1: {length: 3}}}}", "1^^^^^^^^NORTH", "warning 104 AUT-24.9.1.length AUT-24.9.1"),
    (
        "components: {9: {components: {3: {constant: ISO}}}}",
        "1^^^^^^^^N&1&DNS",
        "error 103 AUT-24.9.3.constant AUT-24.9.3",
    ),
    (
        "components: {9: {components: {3: {usage: C(R/O), condition: this.2 valued}}}}",
        "1^^^^^^^^N&1.2",
        "error 101 AUT-24.9.3.usage AUT-24.9.3",
    ),
    ("components: {9: {components: {3: {usage: C(R/O), condition: this.2 valued}}}}", "1^^^^^^^^N", ""),
    ("components: {1: {type: NM}}", "47x", "error 102 AUT-24.1.type AUT-24.1"),
    ("components: {1: {type: NM}}", "47", ""),
    # tables of HL7's own codes bind components without a word of the profile
    ("name: Professional", "1^^^^^^^^N&1&XYZ", "error 103 AUT-24.9.3.table AUT-24.9.3"),
    ("name: Professional", "1^^^^^^^^N&1.2&ISO", ""),
]
FLAVOURS = """
flavours:
  CWE_CODED: {base: CWE, components: {1: {usage: R}, 3: {usage: R, length: 5}, 2: {usage: X}}}
  CWE_SHORT: {base: CWE_CODED, length: 6, components: {2: {usage: O}}}
  HD_ISO: {base: HD, components: {2: {usage: R}, 3: {usage: R, constant: ISO}}}
  CWE_OLD: {base: CWE, components: {2: {usage: B}, 4: {usage: W}}}
  EI_ISO: {base: EI, components: {1: {usage: R}, 2: {usage: C(R/O), condition: this.3 valued}}}"""
# what is said of AUT-21 in 2.8; AUT-21; findings
FLAVOURED = [
    ("type: CWE_CODED", "A^^L", ""),
    ("type: CWE_CODED", "A", "error 101 AUT-21.3.usage AUT-21.3"),
    ("type: CWE_CODED", "A^text^L", "error 207 AUT-21.2.usage AUT-21.2"),
    ("type: CWE_CODED", "A^^LONGER", "warning 104 AUT-21.3.length AUT-21.3"),
    ("type: CWE_SHORT", "A^b^L", ""),
    ("type: CWE_SHORT", "A^text^L", "warning 104 AUT-21.length AUT-21"),
    ("type: CWE_CODED, components: {3: {usage: O}}", "A", ""),
    ("type: CWE_OLD", "A^text^L^B", "information 207 AUT-21.2.usage AUT-21.2; warning 207 AUT-21.4.usage AUT-21.4"),
    ("type: CWE_OLD", "A^^L", ""),
    ("type: EI_ISO", "1^N^1.2^ISO", ""),
    ("type: EI_ISO", "1^^1.2^ISO", "error 101 AUT-21.2.usage AUT-21.2"),
    ("type: EI_ISO", "1", ""),
    ("type: CX, components: {4: {type: HD_ISO}}", "1^^^N&1.2&ISO", ""),
    (
        "type: CX, components: {4: {type: HD_ISO}}",
        "1^^^N",
        "error 101 AUT-21.4.2.usage AUT-21.4.2; error 101 AUT-21.4.3.usage AUT-21.4.3",
    ),
    ("type: CX, components: {4: {type: HD_ISO}}", "1^^^N&1.2&DNS", "error 103 AUT-21.4.3.constant AUT-21.4.3"),
]
# a segment of the partner's own: its line, findings
OWN = """
segments: {ZAU: {fields: {
  1: {name: Previous Identifier, type: ST, length: 10}, 2: {name: Transaction, type: NM, usage: R, cardinality: 1..1},
  3: {name: Answer, type: CE, cardinality: 0..1}, 5: {name: Date, type: DT}, 6: {name: Copay, type: CP}}}}"""
OWN_SEGMENT = [
    ("ZAU||4711|B000^ok||20260301|0.00&USD", ""),
    ("ZAU|", "error 101 ZAU-2.usage ZAU-2"),
    ("ZAU||none", "error 102 ZAU-2.type ZAU-2"),
    ("ZAU||1|A~B", "error 198 ZAU-3.cardinality ZAU-3"),
    ("ZAU||1|||2026-03-01", "error 102 ZAU-5.type ZAU-5"),
    ("ZAU|12345678901|1", "warning 104 ZAU-1.length ZAU-1"),
    ("ZAU||1||any^thing~at&all", ""),
    ("ZAU||1|||||surplus", "warning 199 ZAU-7.unexpected ZAU-7"),
]
# what is said of field n; the version; the field's value; findings
PRE_ADOPTED = [
    (29, "pre_adopted: true", "2.5.1", "U", ""),
    (29, "pre_adopted: true", "2.5.1", "Q", "error 103 AUT-29.table AUT-29"),
    (29, "pre_adopted: true", "2.5.1", "U~D", "error 198 AUT-29.cardinality AUT-29"),
    (29, "name: Action Code", "2.5.1", "U", "error 199 AUT-29.unexpected AUT-29"),
    (14, "pre_adopted: true", "2.5.1", "AP^approved^L", ""),
    (15, "pre_adopted: true", "2.6", "soon", "error 102 AUT-15.type AUT-15"),
    (15, "pre_adopted: true", "2.6", "20260301", ""),
    (14, "name: Approval Status", "2.6", "AP", "warning 199 AUT-14.unexpected AUT-14"),
]
SEPARATORS = [
    ("type: ST", "Smith & Sons", "warning 102 AUT-1.type AUT-1"),
    ("type: ST", "Smith \\T\\ Sons", ""),
    ("type: ST", "Smith^Sons", "warning 102 AUT-1.type AUT-1.2"),
    ("type: ST", "Smith &", ""),
    ("type: ID", "A&B", "warning 102 AUT-1.type AUT-1"),
    ("type: CE", "A&B", "warning 102 AUT-1.type AUT-1.1.2"),
    ("type: FT", "Smith & Sons", ""),
]


def cases() -> list[tuple[str, str, str, str]]:
    """(profile, version, segment, findings) of all tables."""
    found = [(of_aut(f"1: {{usage: {usage}}}"), "2.5", f"AUT|{raw}", want) for usage, raw, want in USAGE]
    found += [(of_aut(f"1: {{verb: {verb}}}"), "2.5", f"AUT|{raw}", want) for verb, raw, want in VERBS]
    found += [
        (of_aut(f"1: {{usage: {usage}, condition: AUT-2 valued}}"), "2.5", f"AUT|{raw}|{other}", want)
        for usage, raw, other, want in CONDITIONAL
    ]
    for table in (LENGTHS, CARDINALITY, DELETES, CONSTANTS, SEPARATORS):
        found += [(of_aut(f"1: {{{rule}}}"), "2.5", f"AUT|{raw}", want) for rule, raw, want in table]
    found += [
        (of_aut(f"1: {{{rule}}}") + TABLES % kind, "2.5", f"AUT|{raw}", want) for rule, kind, raw, want in BINDINGS
    ]
    found += [(of_aut(f"24: {{{rule}}}"), "2.8", "AUT" + "|" * 24 + raw, want) for rule, raw, want in COMPONENTS]
    found += [
        (of_aut(f"21: {{{rule}}}") + FLAVOURS, "2.8", "AUT" + "|" * 21 + raw, want) for rule, raw, want in FLAVOURED
    ]
    found += [(OWN, "2.5", line, want) for line, want in OWN_SEGMENT]
    found += [
        (of_aut(f"{number}: {{{rule}}}"), version, "AUT" + "|" * number + raw, want)
        for number, rule, version, raw, want in PRE_ADOPTED
    ]
    return found


@pytest.mark.parametrize(("profile", "version", "line", "expected"), cases())
def test_each_rule_has_its_verdict(profile: str, version: str, line: str, expected: str) -> None:
    message = parse(f"{head(version)}\r{line}".encode())
    wanted = [each for each in expected.split("; ") if each]
    # twice: what is remembered of good values changes nothing
    for _ in range(2):
        assert said(check(message, profile_of(profile, version), None)) == wanted


def test_what_is_said_of_a_component_that_is_kept_for_older_receivers() -> None:
    profile = profile_of(of_aut("24: {components: {2: {usage: B}}}"), "2.8")
    (finding,) = check(parse(f"{head('2.8')}\r{'AUT' + '|' * 24}1^Moss".encode()), profile, None)
    assert finding.text == "AUT-24.2 Family Name is there for older receivers alone (B)"
    assert finding.mend == "Leave AUT-24.2 (Family Name) empty."
    assert finding.category == "usage"
    assert finding.source.endswith("site.yaml:4")


def test_what_is_said_of_a_delete_value_among_repetitions() -> None:
    (finding,) = check(parse(f'{head("2.8")}\rAUT||A{"|" * 10}S~""|R'.encode()), compiled("aut-standard", "2.8"), None)
    assert (finding.rule, finding.path, finding.category) == ("AUT-12.delete", "AUT-12[2]", "cardinality")
    assert finding.location == ("AUT", 1, 12, 2, 0, 0)
    assert (finding.length, finding.shape, finding.end - finding.start) == (2, '""', 2)
    assert finding.text.startswith("AUT-12 Authorized Discipline(s) has a delete value")
    assert finding.mend.startswith("Send all the values of AUT-12 (Authorized Discipline(s)) that are to stay")
    assert "aut-framework.yaml:" in finding.source
    assert finding.standard == "HL7 chapter 11, 11.8.2.12"


def test_the_table_is_a_long_one() -> None:
    assert len(cases()) >= 150
    assert len({case[:3] for case in cases()}) == len(cases())
