"""Lists of authorizations and of open requests, on a real store: filters, limits, ages, and what is late."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hl7auth.domain.clock import Clocks
from hl7auth.errors import UserError
from hl7auth.store import authorizations, courses
from hl7auth.store.authorizations import Wanted, list_authorizations, read_authorization
from tests.messages import ASKED, THERAPY, VISIT, answer, aut, granted, request
from tests.store.stored import HOUR, START, Store, samples, steps

ALL = Wanted()
OPEN = Wanted(open_requests=True)
LATE = Wanted(open_requests=True, overdue=True)
UNDECIDED = aut({6: "PA1", 8: "3"})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.close()


def listed(store: Store, wanted: Wanted = ALL, limit: int = 0, now: int = START) -> list[dict[str, Any]]:
    with store.reading() as connection:
        return list_authorizations(connection, wanted, limit, now)


def keys(store: Store, wanted: Wanted = ALL, limit: int = 0, now: int = START) -> list[str]:
    return [entry["key"] for entry in listed(store, wanted, limit, now)]


def asked(number: int, priority: str = "") -> bytes:
    """A request under the referral R1, R2 and so on, with RF1-2."""
    raw = request(VISIT, ASKED, referral=f"R{number}", control_id=f"C{number}")
    return raw.replace(b"RF1||", f"RF1||{priority}".encode(), 1)


def test_filters_and_limits(store: Store) -> None:
    for number in range(1, 6):
        store.send(answer(VISIT, granted(f"PA{number}", {9: str(number % 2)}), control_id=f"D{number}"))
    store.send(answer(VISIT, granted("PA3", {2: "OTHER", 3: "x"}), control_id="D9"))
    names = ["PA1@ACME", "PA2@ACME", "PA3@ACME", "PA4@ACME", "PA5@ACME", "PA3@OTHER"]
    assert keys(store) == names
    assert keys(store, limit=2) == names[-2:]
    assert keys(store, Wanted({"status": "denied"})) == ["PA2@ACME", "PA4@ACME"]
    assert keys(store, Wanted({"payor": "ACME", "patient": "77001"}), 1) == ["PA5@ACME"]
    assert keys(store, Wanted({"patient": "0"})) == []


@pytest.mark.parametrize("portion", [1, 2, 3, 200])
def test_the_size_of_portions_shows_nowhere(store: Store, monkeypatch: pytest.MonkeyPatch, portion: int) -> None:
    lines = [part for number in range(7) for part in (VISIT, granted(f"PA{number}"))]
    store.send(answer(*lines, control_id="D1"), *(asked(number) for number in range(4)))
    monkeypatch.setattr(authorizations, "_PORTION", portion)
    assert keys(store) == [f"PA{number}@ACME" for number in range(7)]
    assert keys(store, limit=3) == ["PA4@ACME", "PA5@ACME", "PA6@ACME"]
    assert keys(store, OPEN) == [f"R{number}@FRONT:NORTH" for number in range(4)]
    assert keys(store, Wanted({"payor": "ACME"}, open_requests=True), 1) == ["R3@FRONT:NORTH"]


def test_an_open_request_has_its_age_and_when_it_is_due(store: Store) -> None:
    store.send(asked(1), asked(2, "A^ASAP^HL70280"), asked(3, "R"), at=START)
    now = START + 74 * HOUR
    clocks = {entry["key"]: entry["clock"] for entry in listed(store, OPEN, now=now)}
    assert [clocks[f"R{number}@FRONT:NORTH"]["age_hours"] for number in (1, 2, 3)] == [74, 73, 72]
    assert [clocks[f"R{number}@FRONT:NORTH"]["urgency"] for number in (1, 2, 3)] == [
        "standard",
        "expedited",
        "standard",
    ]
    assert clocks["R2@FRONT:NORTH"]["due"] == "2026-03-04T11:00:00.000+00:00"
    assert [clocks[f"R{number}@FRONT:NORTH"]["priority"] for number in (1, 2, 3)] == [None, "A", "R"]
    assert keys(store, LATE, now=now) == ["R2@FRONT:NORTH"]
    assert keys(store, LATE, now=START + 200 * HOUR, limit=2) == ["R2@FRONT:NORTH", "R3@FRONT:NORTH"]
    assert keys(store, LATE, now=START) == []


@pytest.mark.parametrize("version", ["2.5", "2.8.2"])
def test_a_procedure_says_how_urgent_it_is(store: Store, version: str) -> None:
    """PR1-14, where RF1-2 says routine: the urgent one wins, until it is left out."""
    urgent, rank = VISIT + "|" * 9 + "S", THERAPY + "|" * 9 + "1"
    first = request(rank, urgent, aut({8: "3", 13: "SPEC"}), VISIT, referral="R1", version=version)
    store.send(first.replace(b"RF1||", b"RF1||R", 1), at=START)
    (entry,) = listed(store, OPEN, now=START + 73 * HOUR)
    assert [line.get("priority") for line in entry["lines"]] == ["1", "S", None]
    said = ("urgency", "priority", "procedure_priority", "overdue")
    assert [entry["clock"][key] for key in said] == ["expedited", "R", "S", True]
    store.send(request(rank, referral="R1", event="I09", control_id="C2", version=version), at=START + HOUR)
    (entry,) = listed(store, OPEN, now=START + 73 * HOUR)
    assert [entry["clock"][key] for key in said] == ["standard", "R", None, False]


@pytest.mark.parametrize("version", ["2.8", "2.9"])
def test_a_line_that_is_updated_or_deleted_hurries_accordingly(store: Store, version: str) -> None:
    def lines(action: str, priority: str) -> tuple[str, str]:
        return VISIT + "|" * 9 + priority, aut({6: "PA7", 8: "3", 13: "SPEC", 29: action})

    store.send(request(*lines("A", ""), version=version), at=START)
    kept = (THERAPY, aut({6: "PA7", 8: "1", 13: "SPEC", 29: "A"}))
    top = aut({6: "PA7", 13: "SPEC", 29: "X"})
    more = request(*lines("U", "S"), *kept, top=top, event="I09", version=version, control_id="C2")
    store.send(more, at=START + HOUR)
    assert [entry["clock"]["urgency"] for entry in listed(store, OPEN)] == ["expedited"]
    store.send(request(*lines("D", "S"), event="I09", version=version, control_id="C3"), at=START + 2 * HOUR)
    assert [entry["clock"]["urgency"] for entry in listed(store, OPEN)] == ["standard"]


def test_an_answer_stops_the_clock_and_a_new_request_starts_another(store: Store) -> None:
    store.send(asked(1), at=START)
    assert keys(store, OPEN) == ["R1@FRONT:NORTH"]
    store.send(answer(VISIT, granted("PA1"), referral="R1"), at=START + HOUR)
    assert keys(store, OPEN) == []
    store.send(asked(1).replace(b"|C1|", b"|C9|").replace(b"I08", b"I10"), at=START + 50 * HOUR)
    (entry,) = listed(store, OPEN, now=START + 51 * HOUR)
    assert (entry["clock"]["since"], entry["clock"]["age_hours"]) == ("2026-03-03T12:00:00.000+00:00", 1)


def test_a_pended_answer_leaves_the_clock_running_and_a_modification_wins_no_time(store: Store) -> None:
    store.send(asked(1, "S"), at=START)
    store.send(answer(VISIT, UNDECIDED, referral="R1"), at=START + HOUR)
    changed = asked(1).replace(b"|C1|", b"|C9|").replace(b"I08", b"I09").replace(ASKED.encode(), aut({8: "9"}).encode())
    store.send(changed, at=START + 30 * HOUR)
    (entry,) = listed(store, OPEN, now=START + 73 * HOUR)
    assert entry["clock"]["age_hours"] == 73
    assert (entry["clock"]["urgency"], entry["clock"]["overdue"]) == ("expedited", True)


def test_what_an_answer_opens_again_runs_from_that_answer(store: Store) -> None:
    store.send(asked(1, "S"), at=START)
    store.send(answer(VISIT, granted("PA1"), referral="R1"), at=START + HOUR)
    store.send(answer(VISIT, UNDECIDED, referral="R1", control_id="D2"), at=START + 10 * HOUR)
    (entry,) = listed(store, OPEN, now=START + 11 * HOUR)
    assert (entry["key"], entry["clock"]["age_hours"], entry["clock"]["urgency"]) == ("R1@FRONT:NORTH", 1, "expedited")


def test_a_request_under_its_own_number_is_open_too_and_a_pended_number_is_not_listed_twice(store: Store) -> None:
    store.send(request(VISIT, aut({6: "PA7", 8: "3"})), asked(1))
    store.send(answer(VISIT, UNDECIDED, referral="R1", to="C1"))
    assert keys(store, Wanted({"status": "pended"})) == ["PA7@ACME", "PA1@ACME"]
    assert sorted(keys(store, OPEN)) == ["PA7@ACME", "R1@FRONT:NORTH"]
    found = {entry["key"]: "clock" in entry for entry in listed(store)}
    assert found == {"PA7@ACME": True, "PA1@ACME": False}


def test_durations_are_the_channels(store: Store) -> None:
    store.send(asked(1, "S"), asked(2, "A"), at=START)
    short = {"referral-intake": Clocks(1, 2, frozenset({"A"}))}
    with store.reading() as connection:
        found = list_authorizations(connection, OPEN, 0, START, short.__getitem__)
        one = read_authorization(connection, "R2@FRONT:NORTH", START, short.__getitem__)
    assert [entry["clock"]["urgency"] for entry in found] == ["standard", "expedited"]
    assert [entry["clock"]["left_hours"] for entry in found] == [2, 2]
    assert one == found[1]


def test_an_answer_with_the_control_id_of_its_request_asks_for_nothing(store: Store) -> None:
    store.send(request(VISIT, aut({6: "PA7", 8: "3"})), at=START)
    store.send(answer(VISIT, aut({6: "PA7", 8: "4"}), control_id="C1"), at=START + 9 * HOUR)
    (entry,) = listed(store, OPEN, now=START + 10 * HOUR)
    assert (entry["version"], entry["clock"]["age_hours"]) == (2, 10)


def test_one_authorization_is_read_by_its_key_or_that_of_its_request(store: Store) -> None:
    store.send(asked(1), request(VISIT, ASKED, control_id="C2"))
    with store.reading() as connection:
        assert read_authorization(connection, "R1@FRONT:NORTH", START)["clock"]["urgency"] == "standard"
        assert read_authorization(connection, "C2@FRONT:NORTH", START)["status"] == "pended"
        assert read_authorization(connection, "?R1@FRONT:NORTH", START)["key"] == "R1@FRONT:NORTH"
        with pytest.raises(UserError, match="there is no authorization or request 'R9@FRONT:NORTH'"):
            read_authorization(connection, "R9@FRONT:NORTH", START)
    store.send(answer(VISIT, granted("PA1"), referral="R1"))
    with store.reading() as connection:
        assert "clock" not in read_authorization(connection, "R1@FRONT:NORTH", START)


def test_clocks_are_looked_up_by_primary_keys(store: Store) -> None:
    with store.reading() as connection:
        found = steps(connection, courses._query(["a", "b"]))
    assert len([step for step in found if step.startswith("SEARCH")]) == len(found) == 2, found


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(samples()), min_size=1, max_size=12), st.integers(0, 400))
def test_whatever_comes_the_late_ones_are_those_of_the_open_ones_that_are_due(
    tmp_path_factory: pytest.TempPathFactory, raws: list[bytes], after: int
) -> None:
    store = Store(tmp_path_factory.mktemp("late"))
    store.send(*raws)
    now = store.time + after * HOUR
    waiting = listed(store, OPEN, now=now)
    assert all("clock" in entry for entry in waiting)
    assert [entry for entry in waiting if entry["clock"]["overdue"]] == listed(store, LATE, now=now)
    undecided = store.rows(
        "SELECT COUNT(*) FROM authorization_version WHERE current = 1 AND status IN ('requested', 'pended')"
        " AND key >= '?' AND key < '@'"
    )
    assert len([entry for entry in waiting if "identifier" not in entry]) <= undecided[0][0] <= len(waiting)
    store.close()
