"""Text that goes back to its very bytes, also where a character has two codes or shifts stand idle."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hl7auth.errors import Fault
from hl7auth.steps import carried
from hl7auth.steps.carried import Carried
from hl7auth.steps.faults import StepRefused
from hl7auth.steps.run import run
from hl7auth.wire.message import parse
from tests.steps.shaping import HEAD, shaped, steps_of

TOUCH = {"set": {"PID-4": "N"}}

# Bytes that their character set reads, and would write otherwise
ODD = {
    "BIG-5": b"\xa1\xc3x\xa2\xcc",
    "KS X 1001": b"\xa4\xd4\xa4\xa1\xa4\xbf\xa4\xd4 ",
    "ISO IR87": b"a\x1b(B\x1b$B4A\x1b$B;z\x1b(Bb\x1b(J\\~c\x1b(B",
    "ISO IR159": b"\x1b$B4A\x1b(J\x1b(B",
}


def with_charset(name: str, *lines: bytes) -> bytes:
    """A message in that character set."""
    return b"\r".join((f"{HEAD}||||||{name}".encode(), *lines, b""))


@pytest.mark.parametrize("name", ODD)
def test_odd_bytes_stay_beside_a_changed_field(name: str) -> None:
    raw = with_charset(name, b"PID|1||" + ODD[name] + b"|4|" + ODD[name], b"AUT|" + ODD[name])
    text = parse(raw).text
    assert text.encode(parse(raw).codec, "replace") != raw, "the bytes are not odd"
    assert shaped(raw, TOUCH).raw == raw.replace(b"|4|", b"|N|")


@pytest.mark.parametrize("name", ODD)
def test_odd_bytes_can_be_copied_moved_and_read(name: str) -> None:
    raw = with_charset(name, b"PID|1||" + ODD[name] + b"|4|", b"AUT|1")
    assert shaped(raw, {"copy": {"from": "PID-3", "to": "AUT-1"}}).raw == raw.replace(b"AUT|1", b"AUT|" + ODD[name])
    value = parse(raw).segments[1].value(3)
    assert shaped(raw, {"drop": f"PID-3 = '{value}'"}).dropped
    assert shaped(raw, TOUCH, {"drop": f"PID-3 = '{value}'"}).dropped
    step = {"translate": {"field": "PID-3", "table": {value: "found"}}}
    assert shaped(raw, step).raw == raw.replace(ODD[name], b"found")


def test_odd_bytes_can_go_into_another_character_set() -> None:
    raw = with_charset("ISO IR87", b"PID|1||" + ODD["ISO IR87"])
    assert "PID|1||a漢字b¥‾c\r".encode() in shaped(raw, {"charset": "UNICODE UTF-8"}).raw


def test_delimiters_among_shifted_characters_are_refused() -> None:
    raw = with_charset("ISO IR87", b"PID|1||a\x1b(B\x1b$B4A\r;z\x1b(B|4|b")
    with pytest.raises(StepRefused):
        run(steps_of(TOUCH), raw)


def test_bytes_that_the_codec_does_not_read_are_refused() -> None:
    message = parse(with_charset("ISO IR87", b"PID|1"))
    message.raw = message.raw.replace(b"PID", b"\x1b$B4\n")
    with pytest.raises(StepRefused, match="can not be followed"):
        Carried(message)


def test_there_is_an_end_to_odd_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = with_charset("ISO IR87", b"PID|1||" + ODD["ISO IR87"])
    monkeypatch.setattr(carried, "_HALF", 1)
    with pytest.raises(StepRefused, match="too many bytes"):
        Carried(parse(raw))


def test_plain_text_is_carried_as_it_is() -> None:
    message = parse(with_charset("UNICODE UTF-8", "PID|1||漢".encode()))
    text = Carried(message)
    assert text.plain
    assert text.text is message.text
    assert text.to_bytes(text.text) == message.raw


CODED = st.sampled_from(["BIG-5", "ISO IR14", "KS X 1001", "GB 18030-2000", "ISO IR87", "ISO IR159", "8859/7", "ASCII"])


@given(CODED, st.lists(st.binary(max_size=12), max_size=4))
@example("KS X 1001", [b"\xa4\xd4\xa4\xa1\xa4\xbf\xa4\xd4"])
@example("ISO IR87", [b"\x1b$B4A\n4A\x1b(B"])
@example("ISO IR87", [b"\x1b(I16\x1b(B"])
def test_any_bytes_come_back_or_are_refused(name: str, fields: list[bytes]) -> None:
    raw = with_charset(name, b"PID|1|2|3|4|" + b"|".join(fields))
    try:
        message = parse(raw)
        text = Carried(message)
    except Fault:
        return
    assert text.to_bytes(text.text) == raw
    assert text.meaning(text.text) == message.text
    for segment in message.segments:
        end = segment.start + len(segment.text)
        assert text.meaning(text.cut(segment.start, end)) == segment.text
