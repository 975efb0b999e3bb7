"""What a finding tells: the place in the message, in the profile and in HL7, the form of the value, and how to mend."""

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hl7auth.rules.check import check, finding_entry
from hl7auth.rules.compiled import compile_profile, compiled
from hl7auth.rules.finding import SHAPE_LENGTH, Classification, Finding, shape_of
from hl7auth.rules.profile import load_profile
from hl7auth.rules.section import section_of
from hl7auth.wire.ack import Location
from hl7auth.wire.message import parse
from tests.rules.said import found, head

WORDS = {"rule", "severity", "path", "text", "code", "bytes"}


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ("Quill-07", "Aaaaa-99"),
        ("20260301", "99999999"),
        ("PA 1001^ACME&x", "AA 9999^AAAA&a"),
        ("", ""),
        ("Zürich", "Aaaaaa"),
        ("ÅÄÖ", "AAA"),
        ("日本", "aa"),  # letters without capitals are letters
        ("\u0661½", "99"),
        ("naïve “quote”", "aaaaa ?aaaaa?"),
        ("Mu\u0301", "Aa?"),  # a mark of its own tells the letter under it
        ("a\x1b[31m\n", "a?[99a?"),
        ("x" * 99, "a" * SHAPE_LENGTH),
    ],
)
def test_the_shape_of_a_value(value: str, shape: str) -> None:
    assert shape_of(value) == shape


@given(st.text(max_size=80))
def test_a_shape_tells_no_letter_and_no_digit(value: str) -> None:
    shape = shape_of(value)
    assert len(shape) == min(len(value), SHAPE_LENGTH)
    assert shape == shape_of(value, None)[:SHAPE_LENGTH]
    assert len(shape_of(value, None)) == len(value)
    assert shape.isascii()
    assert shape.isprintable()
    assert {char for char in shape if char.isalnum()} <= set("Aa9")


def test_the_severity_that_a_sender_is_told() -> None:
    kinds: tuple[Classification, ...] = get_args(Classification)
    finding = Finding("r", "error", "AUT", "t", "199", Location("AUT"), 0, 0)
    assert [finding._replace(severity=kind).problem.severity for kind in kinds] == ["E", "W", "I", "I", "I", "I"]


def test_what_is_empty_is_left_out() -> None:
    bare = Finding("r", "error", "AUT", "t", "199", Location("AUT"), 3, 5)
    assert set(finding_entry(bare)) == WORDS
    full = finding_entry(
        bare._replace(category="usage", line=2, length=3, shape="aaa", source="s", standard="h", mend="m")
    )
    assert list(full) == [
        "rule", "severity", "category", "path", "line", "bytes", "text", "code", "length", "shape", "source",
        "standard", "mend",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "category", "length", "shape", "mend"),
    [
        ("AUT|GOLD", "usage", 0, "", "Send a value in AUT-2 (Authorizing Payor, Company ID)."),
        ("AUT||A|||soon", "format", 4, "aaaa", "Send a date of the calendar as YYYYMMDD"),
        ("AUT||A||||||two", "format", 3, "aaa", "Send digits with at most one decimal point"),
        ("AUT||A||||||1^x", "extra", 1, "a", "Leave out what stands behind the last part of NM in AUT-8."),
        ("AUT||A~B", "cardinality", 3, "A~A", "Send AUT-2 at most 1 time(s)."),
        ("AUT||A|" + "x" * 46, "length", 46, "a" * 40, "Send at most 45 characters, or agree on more."),
        ("AUT||A|Moss & Co", "unescaped separator", 9, "Aaaa & Aa", "Write separators inside of text as escape"),
        ("AUT||A|a\\.br\\b", "invalid content", 7, "a\\.aa\\a", "Leave out formatting commands: AUT-3 is plain text."),
        ("AUT||A|||||0^$", "value set", 1, "$", "Send a code of table 0205: AP, DC, IC, PF, TF, TP, UP."),
        ("AUT||A" + "|" * 11 + "x", "extra", 1, "a", "Leave AUT-13 (Authorization Referral Type) empty."),
        ("AUT||A" + "|" * 40 + "x", "extra", 1, "a", "Leave out AUT-42 and what follows."),
        ("AUT||A\rPID||||x", "usage", 0, "", "Send a value in PID-3"),
    ],
)
def test_what_a_breach_looks_like_and_how_it_is_mended(
    lines: str, category: str, length: int, shape: str, mend: str
) -> None:
    finding = found(*lines.split("\r"), version="2.5", profile="referral")[0]
    assert (finding.category, finding.length, finding.shape) == (category, length, shape)
    assert finding.mend.startswith(mend)
    assert finding.line == 2 + lines.count("\r")


SITE = """profile: site
title: t
extends: aut-standard
departs:
  - AUT-2
segments:
  AUT:
    section: {"2.3": "11.6.2", "2.8": "9.9.9"}
    fields:
      2:
        usage: RE
      3:
        length: 3
        severities:
          length: error
      6:
        components:
          1:
            length: 2
      1: {type: CWE_X}
flavours:
  CWE_X:
    base: CE
    components:
      3: {usage: R}
statements:
  - id: one
    segment: AUT
    holds: AUT-9 valued
    text: t
"""


def test_a_finding_names_the_line_of_the_profile_and_the_section_of_hl7(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(SITE)
    profile = compile_profile(load_profile(tmp_path / "site.yaml"), "2.5")
    message = parse(f"{head()}\rAUT|x||long|||PAX~Q||\rAUT||A|||1994".encode())
    where = {each.rule: each.source.removeprefix(f"{tmp_path.name}/") for each in check(message, profile, None)}
    assert where.pop("AUT-6.cardinality").startswith("profiles/aut-framework.yaml:")
    assert where == {
        "AUT-2.usage": "site.yaml:11",
        "AUT-3.length": "site.yaml:13",
        "AUT-6.1.length": "site.yaml:19",
        "AUT-1.3.usage": "site.yaml:25",
        "one": "site.yaml:27",
    }
    sections = {each.path: each.standard for each in check(message, profile, None) if each.path.startswith("AUT-")}
    assert sections["AUT-3"] == "HL7 chapter 11, 11.6.2.3"


@pytest.mark.parametrize(
    ("asked", "section"),
    [
        (("AUT", "2.8.2", 6), "HL7 chapter 11, 11.8.2.6"),
        (("AUT", "2.4", 6), "HL7 chapter 11, 11.6.2.6"),
        (("AUT", "2.3", 6), "HL7 chapter 11, AUT-6"),
        (("PID", "2.5", 3), "HL7 chapter 3, PID-3"),
        (("PR1", "2.5"), "HL7 chapter 6, PR1"),
        (("ZAU", "2.5", 1), ""),
        (("RF1", "2.5", 6, "11.6.1"), "HL7 chapter 11, 11.6.1.6"),
    ],
)
def test_where_hl7_describes_a_field(asked: tuple[str, str, int, str], section: str) -> None:
    assert section_of(*asked) == section


def test_notes_and_structure_have_a_category_and_a_way_out() -> None:
    text = f"{head()}\nPRD|RP|Moss\n,\nPID|||1||Quill\nAUT||A\nXYZ|1\nPID|||1||Quill".encode()
    message, profile = parse(text), compiled("referral", "2.5")
    layout = profile.layout("RQA_I08", tuple(segment.name for segment in message.segments))
    said = {each.rule: (each.category, each.line, each.mend != "") for each in check(message, profile, layout)}
    assert said == {
        "wire.segment-end-not-cr": ("format", 1, True),
        "wire.line-is-no-segment": ("invalid content", 1, True),
        "structure.sequence": ("structure", 4, True),
        "structure.unexpected": ("unexpected", 5, True),
        "structure.cardinality": ("cardinality", 6, True),
    }


@pytest.mark.parametrize(
    ("lines", "mend"),
    [
        ("PRD|RP|Moss\rPID|||1||Quill\rRF1|||||O|R1", "Send RF1 behind MSH and before AUT."),
        ("PRD|RP|Moss\rPID|||1||Quill\rAUT||A", "Send AUT behind RF1 and before PRD, or behind PR1."),
        ("PID|||1||Quill\rPRD|RP|Moss", "Send PRD behind AUT and before PID."),
        ("PRD|RP|Moss\rPID|||1||Quill\rPV2", "Send PV2 behind PV1 and before NTE."),
        ("PRD|RP|Moss", "Send PID behind this segment."),
        ("PRD|RP|Moss\rPID|||1||Quill\rPID|||1||Quill", "Send PID once less often here, or in a group of its own."),
    ],
)
def test_who_puts_a_segment_in_the_wrong_place_is_told_the_right_one(lines: str, mend: str) -> None:
    message, profile = parse(f"{head('2.3')}\r{lines}".encode()), compiled("referral", "2.3")
    layout = profile.layout("RQA_I08", tuple(segment.name for segment in message.segments))
    assert mend in [each.mend for each in check(message, profile, layout) if each.rule.startswith("structure.")]


def test_the_right_place_in_a_structure_of_a_partner_s_own() -> None:
    lines = "MSA|AA|1\rPRD|PS|Moss\rPID|||1||Quill\rPR1|1||99213||20260401\rZIN|Y"
    message, profile = parse(f"{head('2.4', 'ZPA^Z02')}\r{lines}".encode()), compiled("network-zqa", "2.4")
    layout = profile.layout("ZPA_Z02", tuple(segment.name for segment in message.segments))
    mends = [each.mend for each in check(message, profile, layout) if each.rule == "structure.sequence"]
    assert mends == ["Send ZIN behind IN1 and before DG1."]
