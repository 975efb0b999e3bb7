"""Filters and wrapped steps: what decides, and what is then done or left."""

import pytest

from hl7auth.errors import Fault
from hl7auth.steps.run import Shaped, Steps, run
from hl7auth.wire.message import parse
from tests.steps.shaping import message, segments, shaped

RAW = message("PV1|1|O", "AUT|A|X", "AUT|B|Y", "AUT|C|X")


def test_no_steps_give_the_very_bytes() -> None:
    assert run(Steps(), RAW) == Shaped(RAW)
    assert shaped(RAW).raw is RAW


def test_drop_ends_the_steps_and_leaves_what_came() -> None:
    steps = ({"set": {"PV1-1": "2"}}, {"drop": "PV1-2 = 'O'"}, {"set": {"AUT-9": "no"}}, {"drop": "PV1 present"})
    found = shaped(RAW, *steps)
    assert found.dropped
    assert found.raw == RAW
    assert [remark[:3] for remark in found.remarks] == [("2", "drop", "dropped: PV1-2 = 'O'")]
    assert not shaped(RAW, {"drop": "PV1-2 = 'I'"}).dropped


def test_match_drops_all_others() -> None:
    assert not shaped(RAW, {"match": "MSH-9.1 = 'RQA'"}).dropped
    found = shaped(RAW, {"match": "MSH-9.1 in {'RPA', 'RRI'}"})
    assert found.dropped
    assert found.remarks[0].text == "dropped, for not: MSH-9.1 in {'RPA', 'RRI'}"


def test_a_condition_sees_what_earlier_steps_did() -> None:
    assert shaped(RAW, {"set": {"PV1-2": "I"}}, {"match": "PV1-2 = 'O'"}).dropped
    assert shaped(RAW, {"remove": {"segment": "PV1"}}, {"drop": "PV1 absent"}).dropped
    assert shaped(RAW, {"add": {"segment": "ZAU|1"}}, {"drop": "any ZAU-1 = '1'"}).dropped


def test_when_does_one_thing_or_the_other() -> None:
    step = {"when": "AUT-2 = 'X'", "steps": [{"set": {"PV1-2": "yes"}}], "otherwise": [{"set": {"PV1-2": "no"}}]}
    assert segments(RAW, step)[0] == "PV1|1|yes"
    assert segments(message("PV1|1", "AUT|B|Y"), step)[0] == "PV1|1|no"


def test_a_filter_within_when_ends_all_steps() -> None:
    wrapped = {"when": "PV1 present", "steps": [{"drop": "PV1-2 = 'O'"}, {"set": {"PV1-2": "I"}}]}
    found = shaped(RAW, wrapped, {"set": {"PV1-2": "E"}})
    assert found.dropped
    assert found.remarks[0].step == "1.1"


def test_each_means_the_segment_of_the_turn() -> None:
    assert segments(RAW, {"each": "AUT", "when": "AUT-2 = 'X'", "steps": [{"set": {"AUT-3": "N"}}]})[1:] == [
        "AUT|A|X|N", "AUT|B|Y", "AUT|C|X|N",
    ]  # fmt: skip
    nested = {"each": "AUT", "steps": [{"when": "AUT-1 = 'B'", "steps": [{"copy": {"from": "AUT-2", "to": "AUT-4"}}]}]}
    assert segments(RAW, nested)[1:] == ["AUT|A|X", "AUT|B|Y||Y", "AUT|C|X"]


def test_each_can_add_and_remove_beside_the_turn() -> None:
    steps = [{"add": {"segment": "ZAU|1", "after": "AUT"}}, {"remove": {"segment": "AUT"}}]
    assert segments(RAW, {"each": "AUT", "steps": steps}) == ["PV1|1|O", "ZAU|1", "ZAU|1", "ZAU|1"]
    other = [{"remove": {"segment": "AUT[last]"}}]
    assert segments(RAW, {"each": "AUT", "steps": other}) == ["PV1|1|O", "AUT|A|X"]


def test_each_reads_another_segment_by_its_number() -> None:
    steps = [{"copy": {"from": "AUT[1]-1", "to": "AUT-3"}}, {"copy": {"from": "PV1-2", "to": "AUT-4"}}]
    assert segments(RAW, {"each": "AUT", "steps": steps})[3] == "AUT|C|X|A|O"


def test_a_message_that_was_parsed_before_is_not_parsed_again() -> None:
    parsed = parse(RAW)
    assert run(Steps(), parsed).raw is RAW


def test_bytes_that_hold_no_message_are_a_fault() -> None:
    with pytest.raises(Fault):
        shaped(b"PID|1\r")


def test_steps_that_multiply_come_to_an_end() -> None:
    raw = message(*["OBX|1|TX|A||text"] * 5_000)
    with pytest.raises(Fault, match="segments"):
        shaped(raw, *[{"add": {"segment": "NTE|1", "after": "OBX[*]"}}] * 4)
    raw = message("PID|1||" + "5~" * 30_000)
    with pytest.raises(Fault, match="too large for these steps"):
        shaped(raw, {"set": {"PID-3.4": "N"}})
