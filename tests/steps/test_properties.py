"""What holds for every message: nothing changes but what is named, and nothing goes wrong but with a Fault."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hl7auth.errors import Fault
from hl7auth.resources import shipped
from hl7auth.steps.run import Steps, run
from hl7auth.wire.message import Message, parse
from tests.steps.shaping import shaped, steps_of

PATHS = sorted(shipped("sample_messages").glob("*.hl7"))


def readable(path: Path) -> Message | None:
    """The sample, where it can be read at all."""
    try:
        return parse(path.read_bytes())
    except Fault:
        return None


SAMPLES = {path.stem: message for path in PATHS if (message := readable(path))}
samples = pytest.mark.parametrize("name", SAMPLES)

EVERYTHING = (
    {"when": "AUT-2 valued", "steps": [{"set": {"AUT-13.1": "X"}}], "otherwise": [{"set": {"PID-8": "U"}}]},
    {"each": "AUT", "when": "any AUT-6 valued", "steps": [{"add": {"segment": "ZAU|a^b&c~d", "after": "AUT"}}]},
    {"copy": {"from": "AUT-6.1", "to": "ZAU-2"}},
    {"copy": {"from": "AUT[*]-2", "to": "ZAU[*]-3[2].2.2"}},
    {"move": {"from": "PID-3[last].4", "to": "PID-18"}},
    {"split": {"from": "AUT-2.2", "at": " ", "to": ["AUT-2.2", "AUT-3"]}},
    {"join": {"from": ["PID-5.1", "PID-5.2"], "with": ", ", "to": "PID-9"}},
    {"translate": {"field": "PID-8", "table": {"F": "ä", "M": "|"}, "unmapped": "漢"}},
    {"date": {"field": "PID-7", "to": "DD.MM.YYYY", "fill": True, "invalid": "empty"}},
    {"name": {"field": "PID-5", "case": "upper", "to": "given family"}},
    {"add": {"repetition": "1^2", "to": "PID-3"}},
    {"remove": {"repetition": "PID-3", "where": "this.4 empty"}},
    {"remove": {"segment": "IN1", "where": "IN1-2 valued"}},
    {"version": {"to": "2.4", "beyond": "cut", "action_codes": "drop"}},
)
ALL_STEPS = steps_of(*EVERYTHING)
TO_UTF_8 = steps_of(*EVERYTHING, {"charset": "UNICODE UTF-8"})


def fields_of(raw: bytes, segment: str) -> tuple[list[bytes], list[list[bytes]]]:
    """The bytes between and beside the segments of a name, and the fields of each of those."""
    pattern = rb"((?:\A|(?<=[\r\n \t]))" + segment.encode() + rb"(?=[^A-Za-z0-9])[^\r\n]*)"
    parts = re.split(pattern, raw)
    return parts[::2], [part.split(raw[3:4]) for part in parts[1::2]]


@samples
def test_no_steps_and_steps_that_name_nothing_give_the_same_bytes(name: str) -> None:
    message = SAMPLES[name]
    assert run(Steps(), message).raw is message.raw
    idle = (
        {"set": {"ZZZ-1": "A"}},
        {"remove": {"segment": "ZZZ"}},
        {"each": "ZZZ", "steps": [{"drop": "MSH present"}]},
    )
    assert shaped(message.raw, *idle).raw == message.raw


@samples
@pytest.mark.parametrize("segment", ["PID", "AUT"])
@pytest.mark.parametrize("step", ["set", "translate", "move"])
def test_only_the_named_field_changes(name: str, segment: str, step: str) -> None:
    raw = SAMPLES[name].raw
    choices: dict[str, Any] = {
        "set": {"set": {f"{segment}-2": "N"}},
        "translate": {"translate": {"field": f"{segment}-2", "table": {}, "unmapped": "N"}},
        "move": {"move": {"from": f"{segment}-2", "to": "ZZZ-1"}},
    }
    found = shaped(raw, choices[step]).raw
    before, after = fields_of(raw, segment), fields_of(found, segment)
    assert before[0] == after[0], "what is beside the segments"
    for old, new in zip(before[1], after[1], strict=True):
        assert old[:2] == new[:2]
        assert old[3:] == new[3:]
    if step == "set":
        assert all(new[2] == b"N" for new in after[1])


@samples
def test_set_and_translate_twice_is_once(name: str) -> None:
    raw = SAMPLES[name].raw
    for step in (
        {"set": {"PID-5.2": "N", "AUT-11[2].1": "X"}},
        {"translate": {"field": "PID-8", "table": {"F": "W", "W": "W"}, "unmapped": "U"}},
        {"date": {"field": "PID-7", "to": "YYYYMM"}},
        {"name": {"field": "PID-5", "case": "upper"}},
        {"remove": {"segment": "PR1"}},
        {"version": {"to": "2.3", "beyond": "cut", "action_codes": "drop"}},
        {"charset": "UNICODE UTF-8"},
    ):
        once = shaped(raw, step).raw
        assert shaped(once, step).raw == once


@samples
def test_all_steps_leave_a_message(name: str) -> None:
    found = run(ALL_STEPS, SAMPLES[name])
    assert parse(found.raw).segments[0].value(12) == "2.4"


def test_positions_that_libraries_lose_stay() -> None:  # P75
    wide = "|".join(f"{at}^a&b~c" for at in range(1, 60))
    for version, names in (("2.8", ("OBR", "PID", "PV1", "IN1", "ERR")), ("2.6", ("PR1", "DG1"))):
        head = f"MSH|^~\\&|A|B|C|D|2026||RQA^I08^RQA_I08|1|P|{version}"
        raw = "\r".join([head, *(f"{each}|{wide}||" for each in names), "AUT||OLD|", ""]).encode()
        assert shaped(raw, {"set": {"AUT-2": "NEW"}}).raw == raw.replace(b"OLD", b"NEW")


LINES = st.lists(
    st.one_of(
        st.sampled_from([line for message in SAMPLES.values() for line in message.raw.split(b"\r") if line]),
        st.binary(max_size=30),
        st.text(alphabet="AUTPIDZ|^~\\&\"'\n 1é漢\x1b", max_size=40).map(lambda text: text.encode("utf_8")),
    ),
    max_size=8,
)
HEADS = st.sampled_from(
    [
        *(b"MSH|^~\\&|A|B|C|D|2026||RQA^I08|1|P|2.8||||||" + name for name in (b"", b"8859/1", b"ISO IR87", b"BIG-5")),
        b"MSH|^~\\|A|B|C|D|2026||RQA^I08|1|P|2.5",
        b"MSH$%*?!#$A$B$C$D$2026$$RQA%I08$1$P$2.7",
        b"MSH^~\\&|",
        b"",
    ]
)


@settings(max_examples=300, deadline=None)
@given(HEADS, LINES, st.sampled_from([b"\r", b"\n", b"\r\n"]))
def test_whatever_comes_only_a_fault_is_raised(head: bytes, lines: list[bytes], end: bytes) -> None:
    raw = end.join([head, *lines])
    for steps in (ALL_STEPS, TO_UTF_8):
        try:
            shaped_message = parse(run(steps, raw).raw)
        except Fault:
            continue
        assert shaped_message.segments[0].value(12) == "2.4"


@settings(max_examples=200, deadline=None)
@given(HEADS, LINES, st.sampled_from([b"\r", b"\n", b"\r\n"]))
def test_whatever_comes_is_left_where_nothing_is_named(head: bytes, lines: list[bytes], end: bytes) -> None:
    raw = end.join([head, *lines])
    try:
        found = shaped(raw, {"set": {"MSH[1]-10": "C9"}}).raw
    except Fault:
        return
    mark = head[3:4]
    assert found == raw.replace(mark + b"1" + mark + b"P" + mark, mark + b"C9" + mark + b"P" + mark, 1)
