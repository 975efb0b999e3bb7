"""Walks through an abstract syntax: what is worked out once, how much is kept of it, and what a long message costs."""

import gc
import sys
from types import FrameType

import pytest

from hl7auth.rules.dictionary import dictionary
from hl7auth.rules.structure import MESSAGE, UNPLACED, Fault, layout, layout_of
from hl7auth.rules.syntax import parse_syntax
from hl7auth.rules.walk import _REMEMBERED, Standing, Standings

HEAD = ("MSH", "RF1", "PRD", "PRD", "PID", "IN1", "DG1", "PR1", "AUT", "PR1", "AUT", "OBR")
TAIL = ("PV1", "NTE")


def walk(standings: Standings, *names: str) -> Standing:
    """Where the walk stands behind these segments, when each goes where the innermost group takes it."""
    standing = standings.first
    for name in names:
        standing = standings.steps(standing, name)[0].after
    return standing


def test_the_same_place_is_the_same_standing() -> None:
    standings = Standings(dictionary("2.8").structures["RQA_I08"])
    one = walk(standings, *HEAD, "OBX")
    assert walk(standings, *HEAD, "OBX", "OBX", "OBX") is one
    assert walk(standings, *HEAD, "OBX", "NTE", "OBR", "OBX") is one
    assert walk(standings, *HEAD, "OBX", "NTE") is not one
    assert [frame.place.name for frame in one.frames][1:] == ["OBSERVATION", "RESULTS"]


def test_a_step_says_what_it_passes_over() -> None:
    standings = Standings(parse_syntax("MSH PRD PID [{<P> PR1 [<A> AUT [CTD]]}] [{NTE}]"))
    (note,) = standings.steps(walk(standings, "MSH", "PRD"), "NTE")
    assert (note.missing, note.depth, note.opened) == (("PID",), 0, 0)
    assert [place.name for place in note.skipped] == ["PID", "P"]
    (procedure,) = standings.steps(walk(standings, "MSH", "PRD", "PID", "PR1", "AUT"), "PR1")
    assert [place.name for place in procedure.skipped] == ["CTD"]
    assert set(procedure.risky) == {"CTD"}
    assert standings.steps(standings.first, "ZZZ") == ()
    assert walk(standings, "MSH").missing() == ["PRD", "PID"]


def test_names_that_a_sender_makes_up_are_not_remembered() -> None:
    standings = Standings(dictionary("2.8").structures["RQA_I08"])
    for number in range(100):
        assert standings.steps(standings.first, f"Z{number:02}") == ()
    assert standings.first.steps == {}


def test_what_is_remembered_is_bounded() -> None:
    root = parse_syntax("MSH {0..99999 NTE} [PV1]")
    names = ("MSH", *["NTE"] * (3 * _REMEMBERED), "PV1")
    assert layout_of(root, names).faults == ()
    gc.collect()
    kept = [each for each in gc.get_objects() if isinstance(each, Standing) and each.frames[0].place.name == root.name]
    assert 0 < len(kept) <= 2 * _REMEMBERED


@pytest.mark.parametrize(
    ("middle", "owner"),
    [(["OBX"], "OBR"), (["OBX", "NTE"], "OBR"), (["OBR", "OBX", "OBX"], "OBR"), (["ZZZ"], "?"), (["OBX", "PID"], "?")],
)
def test_a_long_message_is_laid_out_as_its_beginning(middle: list[str], owner: str) -> None:
    short, long = (layout("2.8", "RQA_I08", (*HEAD, *middle * times, *TAIL)) for times in (4, 2_000))
    size = len(HEAD) + 3 * len(middle)
    assert long.owners[:size] == short.owners[:size]
    last = len(HEAD) + 2_000 * len(middle) - 1
    names = (*HEAD, *middle * 2_000, *TAIL)
    at = long.owners[last]
    assert (at == UNPLACED) if owner == "?" else names[at] in ("OBR", "OBX")
    assert long.owners[-2:] == (MESSAGE, MESSAGE)
    assert len(long.faults) == {"ZZZ": 2_000, "PID": 2_000}.get(middle[-1], 0)
    assert {fault.fault for fault in long.faults} <= {Fault.UNKNOWN, Fault.TOO_MANY}


def calls(names: tuple[str, ...]) -> int:
    """How many functions of Python a layout calls."""
    count = 0

    def counted(_: FrameType, event: str, __: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        layout("2.8", "RQA_I08", names)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize(
    "middle",
    [
        ["OBX"],
        ["OBX", "NTE"],
        ["OBR", "NTE", "OBX", "NTE", "OBX"],
        ["AL1"],
        ["PR1", "AUT"],
        ["PR1"],
        ["DG1", "OBX", "PID"],  # all of them out of place
    ],
)
def test_a_segment_of_a_long_message_costs_what_it_costs_in_a_short_one(middle: list[str]) -> None:
    head = ("MSH", "RF1", "PRD", "PID", *["OBR"] * (middle[0] == "OBX"))
    few, many = ((*head, *middle * times, *TAIL) for times in (300, 3_000))
    calls(few)  # what is worked out once
    assert calls(many) <= 10.5 * calls(few)
    if "PID" not in middle:
        assert calls(many) <= 3 * len(many)
