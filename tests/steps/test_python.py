"""What a Python step gave back, and how it lands: what it left alone keeps its bytes."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hl7auth.steps.calls import Entries, PythonCall, aligned
from hl7auth.steps.draft import Remark
from hl7auth.steps.faults import StepFailed
from hl7auth.steps.run import Shaped
from tests.steps.shaping import HEAD, message, shaped

STEP = {"python": "site_steps:tidy", "seconds": 1.5}
RAW = message("PID|1", "AUT|A", "AUT|B", head=f"{HEAD}||||||8859/1")


class Says:
    """A runner that gives a fixed answer and keeps what it was asked."""

    def __init__(self, answer: Entries | None) -> None:
        self.answer = answer
        self.asked: list[tuple[PythonCall, Sequence[str]]] = []

    def __call__(self, call: PythonCall, lines: Sequence[str]) -> Entries | None:
        self.asked.append((call, lines))
        return self.answer


def test_the_runner_is_asked_with_segments_and_the_limit() -> None:
    says = Says([0, 1, 2, 3])
    assert shaped(RAW, STEP, runner=says).raw is RAW
    ((call, lines),) = says.asked
    assert (call.function, call.seconds) == ("site_steps:tidy", 1.5)
    assert list(lines) == RAW.decode().split("\r")[:-1]


def test_none_drops_the_message() -> None:
    found = shaped(RAW, STEP, {"set": {"PID-1": "2"}}, runner=Says(None))
    assert found == Shaped(RAW, True, (Remark("1", "python", "dropped by site_steps:tidy", ""),))


@pytest.mark.parametrize(
    ("entries", "after"),
    [
        ([0, 1, "AUT|C", 3], ["PID|1", "AUT|C", "AUT|B"]),
        ([0, 1, 3], ["PID|1", "AUT|B"]),
        ([0, 1, 2, "ZAU|1", 3], ["PID|1", "AUT|A", "ZAU|1", "AUT|B"]),
        ([0, 3, 1], ["AUT|B", "PID|1"]),
        ([0, "ZZZ", 1, 2, 3, "ZAU"], ["ZZZ", "PID|1", "AUT|A", "AUT|B", "ZAU"]),
        ([0, 1, "AUT|é漢", 3], ["PID|1", "AUT|é\\XE6BCA2\\", "AUT|B"]),
    ],
)
@pytest.mark.parametrize("end", ["\r", "\n"])
@pytest.mark.parametrize("last", [True, False])
def test_segments_land_with_the_ends_of_the_message(entries: Entries, after: list[str], end: str, last: bool) -> None:
    def joined(lines: list[str]) -> bytes:
        return (end.join(lines) + (end if last else "")).encode("latin_1")

    head, *others = RAW.decode().split("\r")[:-1]
    assert shaped(joined([head, *others]), STEP, runner=Says(entries)).raw == joined([head, *after])


def test_odd_lines_stay_where_segments_keep_their_number() -> None:
    raw = f"{HEAD}\r  PID|1\r,\rAUT|A\r".encode()
    assert shaped(raw, STEP, runner=Says([0, "PID|2", 2])).raw == raw.replace(b"PID|1", b"PID|2")


def test_later_steps_see_the_new_segments() -> None:
    steps = (STEP, {"set": {"ZAU-2": "N"}})
    assert shaped(RAW, *steps, runner=Says([0, "ZAU|1", 2, 3])).raw == RAW.replace(b"PID|1", b"ZAU|1|N")


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([], "no message with the MSH-1 and MSH-2"),
        ([1, 2], "no message with the MSH-1 and MSH-2"),
        (["MSH|^~\\&#|A", 1], "no message with the MSH-1 and MSH-2"),
        ([0, *["NTE|1"] * 20_001], "no message with the MSH-1 and MSH-2"),
        ([0, 7], "an answer that can not be read"),
        ([0, 1, 1], "an answer that can not be read"),
        ([0, "pid|1"], "a segment without a name"),
        ([0, "PIDX|1"], "a segment without a name"),
        ([0, ""], "a segment without a name"),
        ([0, "PID|a\rb"], "a raw segment end or framing byte"),
        ([0, "PID|\x1c"], "a raw segment end or framing byte"),
    ],
)
def test_an_answer_that_is_no_message_is_a_fault(entries: Entries, said: str) -> None:
    with pytest.raises(StepFailed, match=said):
        shaped(RAW, STEP, runner=Says(entries))


def test_without_a_runner_a_python_step_is_a_fault() -> None:
    with pytest.raises(StepFailed, match="site_steps:tidy can not run here"):
        shaped(RAW, STEP)


LINES = st.lists(st.sampled_from(["PID|1", "AUT|A", "AUT|B", "NTE"]), max_size=8)


@given(LINES, LINES)
def test_aligned_segments_say_the_same(before: list[str], after: list[str]) -> None:
    entries = aligned(before, after)
    assert [before[entry] if isinstance(entry, int) else entry for entry in entries] == after
    kept = [entry for entry in entries if isinstance(entry, int)]
    assert kept == sorted(set(kept))


@given(LINES)
def test_equal_segments_stay_all(lines: list[str]) -> None:
    assert aligned(lines, list(lines)) == list(range(len(lines)))
