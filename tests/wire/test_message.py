"""The positional message: delimiters as declared, fields by HL7 number, tolerance with notes, canonical form."""

import hl7
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hl7auth.errors import Unreadable
from hl7auth.wire.delimiters import Delimiters, read_delimiters
from hl7auth.wire.escapes import escape, unescape
from hl7auth.wire.message import (
    MAX_REPETITIONS,
    MAX_SEGMENTS,
    NULL,
    TooManyRepetitions,
    TooManySegments,
    canonical,
    parse,
)

MSH = "MSH|^~\\&|FRONT|NORTH|PAYER|SOUTH|20260301||RQA^I08^RQA_I08|C1|P|2.5"


def message(*segments: str, msh: str = MSH) -> bytes:
    return ("\r".join((msh, *segments)) + "\r").encode()


def test_msh_counts_its_separator_as_field_one() -> None:
    msh = parse(message()).segments[0]
    assert msh.field(1) == "|"
    assert msh.field(2) == "^~\\&"
    assert msh.field(3) == "FRONT"
    assert msh.value(9, 2) == "I08"


def test_header_reads_first_components_and_keeps_the_parties_whole() -> None:
    header = parse(b"MSH|^~\\&|A^1^ISO|B|C|D^2^DNS|20260301||RPA^I09|77|P|2.4^AUS&Australia&ISO3166|5||AL|NE\r").header
    assert header.sending_application == "A"
    assert header.parties == ("A^1^ISO", "B", "C", "D^2^DNS")
    assert (header.message_type, header.trigger_event, header.structure) == ("RPA", "I09", "")
    assert (header.version, header.sequence_number) == ("2.4", "5")
    assert (header.accept_acknowledgment, header.application_acknowledgment) == ("AL", "NE")


def test_places_below_a_field() -> None:
    aut = parse(message("AUT|P1^Plan|X&Y&Z^two~second^rep|" + NULL)).segments[1]
    assert aut.value(2, 1) == "X&Y&Z"
    assert aut.value(2, 1, subcomponent=2) == "Y"
    assert aut.value(2, 2, repetition=2) == "rep"
    assert aut.repetitions(2) == ["X&Y&Z^two", "second^rep"]
    assert aut.value(3) == NULL
    assert aut.value(4) == ""
    assert aut.value(2, 9, repetition=9) == ""
    assert aut.repetitions(9) == []


def test_p12_an_undeclared_subcomponent_separator_splits_nothing() -> None:
    parsed = parse(b"MSH|^~\\{|A|B|C|D|20260301||RQA^I08|1|P|2.4\rZAU|x|0&$^a{b\r")
    assert parsed.delimiters == Delimiters("|", "^", "~", "\\", "{")
    assert parsed.segments[1].value(2) == "0&$"
    assert parsed.segments[1].value(2, 2, subcomponent=2) == "b"


def test_delimiters_other_than_the_usual_ones() -> None:
    parsed = parse(b"MSH$%*!?$A$B$C$D$20260301$$RQA%I08$1$P$2.4\rAUT$a%b$c?d\r")
    assert parsed.header.trigger_event == "I08"
    assert parsed.segments[1].value(1, 2) == "b"
    assert parsed.segments[1].value(2, 1, subcomponent=2) == "d"


@pytest.mark.parametrize("characters", ["^~", "^^\\&", "^~\\&#!", "a~\\&", "^~ &"])
def test_unsure_delimiters_are_refused(characters: str) -> None:
    with pytest.raises(Unreadable) as caught:
        parse(f"MSH|{characters}|A|B|C|D|20260301||RQA^I08|1|P|2.4\r".encode())
    assert caught.value.location == "MSH-2"
    assert caught.value.ack == "AR"


def test_five_encoding_characters_declare_a_truncation_character() -> None:
    assert read_delimiters("|", "^~\\&#").truncation == "#"
    assert read_delimiters("|", "^~\\&").truncation == ""
    assert read_delimiters("|", "^~\\").subcomponent == ""


@pytest.mark.parametrize("raw", [b"", b"MSH", b"PID|1", b"dsfddfMSH|^~\\&|A|B", b"MSH|^~\\&"])
def test_p04_what_does_not_begin_with_msh_is_no_message(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        parse(raw)


@pytest.mark.parametrize("end", ["", "\r", "\n"])
@pytest.mark.parametrize("charset", ["", "ASCII", "NONE SUCH"])
def test_p06_segments_joined_by_blanks_are_no_message(end: str, charset: str) -> None:
    """Whatever the charset seems to be: the rest of the message stands in MSH-18."""
    with pytest.raises(Unreadable, match="joined by blanks"):
        parse(" ".join((f"{MSH}||||||{charset}", "PID|1", "AUT|a")).encode() + end.encode())
    assert len(parse("\r".join((MSH, "PID|1 PR1 x", "NTE|1||see AUT|x")).encode()).segments) == 3


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_p06_other_segment_ends_are_tolerated_with_a_note(end: str) -> None:
    parsed = parse(end.join((MSH, "PID|1", "AUT|a")).encode())
    assert [segment.name for segment in parsed.segments] == ["MSH", "PID", "AUT"]
    assert parsed.notes == ("segment-end-not-cr",)


def test_a_line_feed_inside_a_field_is_data_where_segments_end_with_cr() -> None:
    parsed = parse(message("NTE|1||first\nsecond", "AUT|a"))
    assert parsed.segments[1].value(3) == "first\nsecond"
    assert parsed.notes == ("line-feed-in-data",)


def test_p13_indented_segments_and_lines_that_are_none() -> None:
    parsed = parse(message("  PRD|RP", "AUT|a|b", ",", "PID|1"))
    assert [segment.name for segment in parsed.segments] == ["MSH", "PRD", "AUT", "PID"]
    assert parsed.segments[2].field(2) == "b"
    assert set(parsed.notes) == {"indented-segment", "line-is-no-segment"}


def test_p14_trailing_separators_do_not_change_what_is_said() -> None:
    one = parse(message("PRD|PS^^~46^^L||^^^B^||||30^CU^", "AUT||112233^||||||1|0", "PV1|1||||||", "ZZZ|a&b&^c&|~~"))
    two = parse(message("PRD|PS~46^^L||^^^B||||30^CU", "AUT||112233||||||1|0", "PV1|1", "ZZZ|a&b^c"))
    assert canonical(one) == canonical(two)
    assert canonical(one).startswith("MSH|^~\\&|")


def test_canonical_keeps_what_is_no_trailing_separator() -> None:
    text = canonical(parse(message("AUT|^a^^b~~c|&x||y")))
    assert "AUT|^a^^b~~c|&x||y\r" in text


def test_canonical_is_linear_in_runs_of_separators() -> None:
    """Half a million separators that end in data: a quadratic scan would not come back within the test's time."""
    assert canonical(parse(message("AUT|" + "^" * 500_000 + "a|" + "&" * 500_000))).endswith("a\r")


def test_too_many_segments_are_refused() -> None:
    with pytest.raises(TooManySegments) as caught:
        parse(message(*["NTE|1"] * (MAX_SEGMENTS + 1)))
    assert caught.value.ack == "AR"


def test_too_many_repetitions_are_refused() -> None:
    assert parse(message("PID|||" + "~" * (MAX_REPETITIONS - 1))).segments[1].name == "PID"
    assert parse(message("NTE|1||" + "x" * 2 * MAX_REPETITIONS)).segments[1].name == "NTE"
    with pytest.raises(TooManyRepetitions) as caught:
        parse(message("PID|||" + "~" * MAX_REPETITIONS))  # and that of MSH-2
    assert caught.value.ack == "AR"


def test_p31_many_trailing_separators_are_no_harm() -> None:
    assert parse(message("PV1|1" + "|" * 47)).segments[1].field(40) == ""


def test_p15_escapes_are_undone_in_one_pass() -> None:
    marks = Delimiters()
    assert unescape(r"\E\F\E\ ", marks) == r"\F\ "
    assert unescape(r"a\S\b\T\c\R\d\F\e", marks) == "a^b&c~d|e"
    assert unescape(r"\X0D0A\\X41\ ", marks) == "\r\nA "
    assert unescape(r"\Zlocal\ \.br\ \H\ lone \ end", marks) == r"\Zlocal\ \.br\ \H\ lone \ end"
    assert unescape(r"\XC3A9\ ", marks) == "é "
    assert unescape(r"\XE9\ ", marks, "utf_8") == "é "


def test_p16_the_truncation_escape_exists_where_a_truncation_character_does() -> None:
    assert unescape("\\P\\", read_delimiters("|", "^~\\&#")) == "#"
    assert unescape("\\P\\", Delimiters()) == "\\P\\"


@given(st.text(max_size=60))
def test_what_is_escaped_comes_back(text: str) -> None:
    marks = Delimiters()
    assert unescape(escape(text, marks), marks) == text
    assert not set("|^~&\r\n\x0b\x1c") & set(escape(text, marks))


def test_byte_ranges_count_bytes_where_characters_are_wider() -> None:
    raw = "MSH|^~\\&|é|B|C|D|20260301||RQA^I08|1|P|2.5||||||UNICODE UTF-8\rAUT|ü|x\r".encode()
    parsed = parse(raw)
    aut = parsed.segments[1]
    start, end = parsed.byte_range(aut.start, aut.start + len(aut.text))
    assert raw[start:end] == "AUT|ü|x".encode()


@given(st.binary(max_size=300))
def test_no_bytes_whatever_raise_anything_but_a_fault(data: bytes) -> None:
    from hl7auth.errors import Fault

    for raw in (data, b"MSH|^~\\&|" + data, message("AUT|") + data):
        try:
            parsed = parse(raw)
        except Fault:
            continue
        assert canonical(parsed)
        assert parsed.header.control_id is not None


FIELD = st.text(alphabet='abc12^~&\\"', max_size=8)


@given(st.lists(st.lists(FIELD, min_size=1, max_size=6), min_size=1, max_size=5))
def test_fields_agree_with_python_hl7(rows: list[list[str]]) -> None:
    lines = ["|".join(("AUT", *row)) for row in rows]
    parsed = parse(message(*lines))
    other = hl7.parse("\r".join((MSH, *lines)) + "\r")
    for number, row in enumerate(rows, start=1):
        for field in range(1, len(row) + 1):
            assert parsed.segments[number].field(field) == str(other[number](field))
