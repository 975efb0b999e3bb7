"""The check: a finding holds exactly the bytes at fault of the received message, and none where a value is missing."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hl7auth.rules.check import Finding, check
from hl7auth.rules.compiled import compiled
from hl7auth.wire.ack import Location
from hl7auth.wire.charset import encode
from hl7auth.wire.message import parse
from tests.rules.said import checked, head, own_profile, said


def bytes_at(raw: bytes, location: Location) -> tuple[int, int]:
    """Where a place lies, found anew in the bytes: the usual delimiters, CR between segments."""
    start, seen = 0, 0
    for line in raw.split(b"\r"):
        seen += line[:3] == location.segment.encode()
        if seen == location.occurrence:
            break
        start += len(line) + 1
    end = start + len(line)
    number = location.field - (location.segment == "MSH")
    for mark, place in (
        (b"|", number + 1),
        (b"~", location.repetition),
        (b"^", location.component),
        (b"&", location.subcomponent),
    ):
        if place and location.field:
            parts = raw[start:end].split(mark)
            if place > len(parts):
                return end, end
            start += sum(len(part) + 1 for part in parts[: place - 1])
            end = start + len(parts[place - 1])
    return start, end


def assert_exact(raw: bytes, findings: list[Finding]) -> None:
    for each in findings:
        assert 0 <= each.start <= each.end <= len(raw)
        assert (each.start, each.end) == bytes_at(raw, each.location), each.path


@pytest.mark.parametrize(
    ("line", "path", "expected"),
    [
        ("AUT||ACME|||19941301", "AUT-5.1", b"19941301"),
        ("AUT||ACME||20260301^x^y", "AUT-4.3", b"y"),
        ("AUT|A~B|ACME", "AUT-1", b"A~B"),
        ("AUT||ACME||||P1^^TOOLONG", "AUT-6.3", b"TOOLONG"),
        ("AUT||ACME||||" + "P" * 16 + "^x", "AUT-6.1", b"P" * 16),
        ("AUT||ACME|||||1^$", "AUT-7.2", b"$"),
        ("AUT||ACME|" + "x" * 46, "AUT-3", b"x" * 46),
        ("AUT||ACME|||||||||x", "AUT-11", b"x"),
        ("AUT||ACME|||||||||" + "|" * 19 + "x|", "AUT-30", b"x"),
        ("AUT||ACME||1994010|20260101", "AUT-4.1", b"1994010"),
    ],
)
def test_a_finding_holds_exactly_the_bytes_at_fault(line: str, path: str, expected: bytes) -> None:
    raw = f"{head()}\rPID|||1||Quill\r{line}\rPR1|1".encode()
    findings = checked(parse(raw), compiled("aut-standard", "2.5"))
    finding = next(each for each in findings if each.path == path)
    assert raw[finding.start : finding.end] == expected
    assert_exact(raw, findings)


def test_a_subcomponent_at_fault_is_its_bytes_alone() -> None:
    raw = f"{head()}\rAUT||ACME|||||free&USD^TP|x".encode()
    finding = next(each for each in checked(parse(raw), compiled("aut-standard", "2.5")) if each.path == "AUT-7.1.1")
    assert raw[finding.start : finding.end] == b"free"
    assert_exact(raw, [finding])


@pytest.mark.parametrize("line", ["AUT|GOLD", "AUT|GOLD|", "AUT|GOLD||x", "AUT|", "AUT"])
def test_a_missing_value_is_an_empty_range_where_it_would_begin(line: str) -> None:
    raw = f"{head()}\r{line}\rPID|||1||Quill".encode()
    (finding,) = checked(parse(raw), compiled("aut-standard", "2.5"))
    at = raw.index(b"\rAUT") + 1
    assert finding.start == finding.end == at + min(len(line), len("AUT|GOLD|") if "GOLD" in line else len(line))


def test_a_missing_component_is_an_empty_range_in_its_field(tmp_path: Path) -> None:
    profile = own_profile(
        tmp_path, "segments: {AUT: {fields: {2: {components: {2: {verb: SHALL}, 4: {verb: SHALL}}}}}}"
    )
    for value, second, fourth in (("A", 1, 1), ("A^", 2, 2), ("A^^^", 2, 4), ("A^^x", 2, 4)):
        for tail in ("", "|x", "\rPID|1"):
            raw = f"{head()}\rAUT||{value}{tail}".encode()
            at = raw.index(b"AUT||") + 5
            findings = check(parse(raw), profile, None)
            assert [(each.path, each.start - at, each.end - at) for each in findings if "AUT" in each.path] == [
                ("AUT-2.2", second, second),
                ("AUT-2.4", fourth, fourth),
            ]


def test_repetitions_and_components_in_repetitions(tmp_path: Path) -> None:
    profile = own_profile(
        tmp_path, "segments: {AUT: {fields: {2: {cardinality: 1..*, length: 6, components: {2: {length: 2}}}}}}"
    )
    raw = f"{head()}\rAUT||A^b~LONGER^x~C^ddd".encode()
    findings = check(parse(raw), profile, None)
    assert [(each.path, raw[each.start : each.end], each.location.repetition) for each in findings] == [
        ("AUT-2[2]", b"LONGER^x", 2),
        ("AUT-2[3].2", b"ddd", 3),
    ]
    assert_exact(raw, findings)


def test_fields_of_msh_count_the_separator() -> None:
    raw = b"MSH|^~\\&|EHR|NORTH|PAYER|SOUTH|yesterday||RQA^I08|" + b"x" * 21 + b"|P|2.5|||QQ|ZZ"
    findings = check(parse(raw), compiled("referral", "2.5"), None)
    assert [(each.path, raw[each.start : each.end]) for each in findings] == [
        ("MSH-7.1", b"yesterday"),
        ("MSH-10", b"x" * 21),
        ("MSH-15", b"QQ"),
        ("MSH-16", b"ZZ"),
    ]
    assert_exact(raw, findings)
    empty = b"MSH|^~\\&|EHR|NORTH|PAYER|SOUTH|||RQA^I08||P|2.5"
    assert [(each.path, each.start, each.end) for each in check(parse(empty), compiled("referral", "2.5"), None)] == [
        ("MSH-7", 31, 31),
        ("MSH-10", 41, 41),
    ]


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("UNICODE UTF-8", "Späß東😀"),
        ("8859/1", "Späth"),
        ("8859/7", "Νίκος"),
        ("GB 18030-2000", "北京 Späth"),
        ("KS X 1001", "서울"),
        ("BIG-5", "台北"),
        ("ISO IR87", "東京"),
    ],
)
def test_bytes_of_every_kind_of_character_set(charset: str, name: str) -> None:
    text = (
        f"{head(charset=charset)}\rPID|||1||{name}\rAUT|{name}|{name}~{name}^{name}|||{name}^{name}^{name}\rAUT|{name}"
    )
    raw = encode(text, charset)
    findings = checked(parse(raw), compiled("aut-standard", "2.5"))
    assert said(findings) == [
        "error 198 AUT-2.cardinality AUT-2",
        "error 102 AUT-5.type AUT-5.1",
        "warning 102 AUT-5.type AUT-5.3",
        "error 101 AUT-2.usage AUT[2]-2",
    ]
    value = encode(name, charset)
    assert [raw[each.start : each.end] for each in findings] == [
        b"~".join((value, value + b"^" + value)), value, value, b"",
    ]  # fmt: skip
    assert findings[3].start == len(raw)
    if charset != "ISO IR87":  # its bytes look like ASCII, delimiters among them
        assert_exact(raw, findings)


def test_bytes_without_a_declared_character_set() -> None:
    raw = f"{head()}\rPID|||1||Späth\rAUT|GOLD||Späth|Späth".encode("latin-1")
    bad = next(each for each in checked(parse(raw), compiled("aut-standard", "2.5")) if each.path == "AUT-4.1")
    assert raw[bad.start : bad.end] == "Späth".encode("latin-1")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_bytes_behind_line_feeds_and_indents(end: str) -> None:
    raw = end.join((head(charset="UNICODE UTF-8"), "PID|||1||Späth", " \t AUT|ü||||tomorrow")).encode()
    findings = [each for each in checked(parse(raw), compiled("aut-standard", "2.5")) if each.location.segment == "AUT"]
    assert [(each.path, raw[each.start : each.end]) for each in findings] == [("AUT-5.1", b"tomorrow"), ("AUT-2", b"")]
    assert findings[1].start == raw.index(b"||||tomorrow") + 1


_PIECES = st.text(st.sampled_from('^~&|A1ü東."\\'), max_size=12)
_LINES = st.tuples(st.sampled_from(["AUT", "PID", "PR1", "PRD", "RF1", "IN1"]), _PIECES).map("|".join)


@settings(deadline=None)
@given(st.lists(_LINES, max_size=6), st.sampled_from(["2.3", "2.5", "2.7", "2.9.1"]))
def test_every_finding_of_any_message_is_exact(lines: list[str], version: str) -> None:
    raw = "\r".join((head(version, "RPA^I08", charset="UNICODE UTF-8"), *lines)).encode()
    findings = checked(parse(raw), compiled("referral", version))
    assert_exact(raw, findings)
    for each in findings:
        assert each.severity in ("error", "warning", "information")
        assert each.text
        assert each.location.segment == each.path[:3]
