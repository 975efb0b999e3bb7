"""The clocks of open requests, and the moments that people write."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hl7auth.domain.clock import Asked, Clocks, clock, hours, iso_time, moment, spoken
from hl7auth.errors import UserError

START = 1_772_359_200_000_000  # 2026-03-01T10:00:00Z
HOUR = hours(1)
STAT, ASAP, ROUTINE = "S", "A", "R"
priorities = st.sampled_from(["", STAT, ASAP, ROUTINE, "stat", "X"])
asking = st.lists(st.tuples(st.integers(0, 400), priorities), min_size=1, max_size=6).map(
    lambda found: [Asked(START + hours(at), said) for at, said in sorted(found, key=lambda each: each[0])]
)


@pytest.mark.parametrize(
    ("priority", "allowed"),
    [("", 168), (ROUTINE, 168), ("X", 168), (STAT, 72), (ASAP, 72), ("STAT", 72), (" asap", 72), ("s", 72)],
)
def test_72_hours_expedited_and_7_days_standard(priority: str, allowed: int) -> None:
    due = START + hours(allowed)
    running = clock([Asked(START, priority)], due)
    assert running is not None
    assert (running.due, running.overdue, running.age) == (due, False, hours(allowed))
    late = clock([Asked(START, priority)], due + 1)
    assert late is not None
    assert late.overdue
    assert late.expedited is (allowed == 72)


def test_a_channel_may_have_other_durations_and_codes() -> None:
    clocks = Clocks(expedited_hours=24, standard_hours=36.5, expedited=frozenset({"stat"}))
    for priority, allowed in ((STAT, 24), ("STAT", 24), (ASAP, 36.5)):
        running = clock([Asked(START, priority)], START, clocks)
        assert running is not None
        assert running.due == START + hours(allowed)


def test_to_ask_again_wins_no_time() -> None:
    running = clock([Asked(START, ROUTINE), Asked(START + hours(100), "")], START)
    assert running is not None
    assert (running.since, running.due, running.priority) == (START, START + hours(168), ROUTINE)


@pytest.mark.parametrize(("after", "due"), [(10, 82), (96, 168), (150, 168)])
def test_what_is_hurried_later_gets_the_shorter_time_from_then_on(after: int, due: int) -> None:
    asked = [Asked(START, ROUTINE), Asked(START + hours(after), STAT), Asked(START + hours(after + 1), "")]
    running = clock(asked, START)
    assert running is not None
    assert (running.expedited, running.due, running.since) == (True, START + hours(due), START)


def test_what_is_no_longer_hurried_gets_the_longer_time_from_its_start() -> None:
    running = clock([Asked(START, STAT), Asked(START + hours(10), ROUTINE)], START)
    assert running is not None
    assert (running.expedited, running.due) == (False, START + hours(168))


def test_what_was_not_asked_has_no_clock() -> None:
    assert clock([], START) is None


@given(asking, st.integers(0, 600))
def test_a_clock_never_gives_more_than_the_standard_time_from_the_first_message(asked: list[Asked], after: int) -> None:
    running = clock(asked, START + hours(after))
    assert running is not None
    assert asked[0].at + hours(72) <= running.due <= asked[0].at + hours(168)
    entry = running.entry()
    assert entry["overdue"] is (running.now > running.due) is (entry["left_hours"] < 0)


def test_the_entry_shows_everything() -> None:
    running = clock([Asked(START, ASAP)], START + hours(73.5))
    assert running is not None
    assert running.entry() == {
        "since": "2026-03-01T10:00:00.000+00:00",
        "age_hours": 73.5,
        "urgency": "expedited",
        "priority": ASAP,
        "procedure_priority": None,
        "due": "2026-03-04T10:00:00.000+00:00",
        "left_hours": -1.5,
        "overdue": True,
    }


@pytest.mark.parametrize(
    ("duration", "words"),
    [(0, "0 min"), (HOUR - 1, "59 min"), (HOUR, "1 h 0 min"), (-hours(25), "1 d 1 h"), (hours(168), "7 d 0 h")],
)
def test_durations_in_words(duration: int, words: str) -> None:
    assert spoken(duration) == words


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("2026-03-01", "2026-03-01T23:59:59.999999+00:00"),
        ("2026-03-01T10:15", "2026-03-01T10:15:00.999999+00:00"),
        ("2026-03-01T10:15:07", "2026-03-01T10:15:07.999999+00:00"),
        ("2026-03-01 10:15:07Z", "2026-03-01T10:15:07.999999+00:00"),
        ("2026-03-01T10:15:07.120+02:00", "2026-03-01T08:15:07.120999+00:00"),
        ("2026-03-01T10:15:07.123456-05:00", "2026-03-01T15:15:07.123456+00:00"),
    ],
)
def test_a_moment_is_the_end_of_what_is_written(text: str, end: str) -> None:
    assert moment(text) == (datetime.fromisoformat(end) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@given(st.integers(-(10**15), 200 * 10**15))
def test_a_time_copied_from_a_history_includes_what_happened_then(at: int) -> None:
    assert at <= moment(iso_time(at)) < at + 1_000


@pytest.mark.parametrize("text", ["", "yesterday", "2026-02-30", "2026-03", "2026-03-01T25:00", "20260301101500"])
def test_what_is_no_time_is_said_with_an_example(text: str) -> None:
    with pytest.raises(UserError, match="is no date or time; write 2026-03-01"):
        moment(text)


@pytest.mark.parametrize(
    ("priority", "procedures", "hurries", "by"),
    [
        (ROUTINE, ("1", "S"), True, "S"),  # what hurries wins
        (STAT, ("1", ROUTINE), True, ""),
        ("", ("stat",), True, "stat"),
        ("", ("0", "1", "2"), False, ""),  # ranks
        (ROUTINE, (), False, ""),
    ],
)
def test_one_urgent_procedure_hurries_the_request(
    priority: str, procedures: tuple[str, ...], hurries: bool, by: str
) -> None:
    running = clock([Asked(START, priority, tuple(zip("ABC", procedures, strict=False)))], START)
    assert running is not None
    assert (running.expedited, running.procedure_priority) == (hurries, by)
    assert running.due == START + hours(72 if hurries else 168)


def test_the_codes_of_procedures_are_a_list_of_their_own() -> None:
    clocks = Clocks(expedited_procedures=frozenset({"U"}))
    found = [clock([Asked(START, first, (("A", own),))], START, clocks) for first, own in ("-S", "-u", "U-")]
    assert [running.expedited for running in found if running] == [False, True, False]
    none = clock([Asked(START, "", (("A", "S"),))], START, Clocks(expedited_procedures=frozenset()))
    assert none is not None
    assert not none.expedited


@pytest.mark.parametrize(
    ("later", "hurries"),
    [((("A", ""), ("B", "")), True), ((("A", ROUTINE),), False), ((("B", ""),), False), ((), False)],
)
def test_a_procedure_is_as_urgent_as_it_was_said_last_and_gone_when_left_out(
    later: tuple[tuple[str, str], ...], hurries: bool
) -> None:
    running = clock([Asked(START, "", (("A", "S"),)), Asked(START + hours(10), ROUTINE, later)], START)
    assert running is not None
    assert (running.expedited, running.due) == (hurries, START + hours(72 if hurries else 168))
