"""The durable queue: order within lanes, claims with leases, what a person decides, and what the database forbids."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from hl7auth.errors import UserError
from hl7auth.flow.outbox import Claimed, Settled
from hl7auth.flow.verdict import Act, Answer, Verdict
from hl7auth.store.claiming import claim_sql, due_sql
from hl7auth.store.deliveries import list_deliveries, move, read_delivery, retry, skip
from hl7auth.store.queue import LEASE, Exchange, Queue
from tests.outbox import Outbox, raw
from tests.store import postgres

NOW = 1_772_359_200_000_000


@pytest.fixture(params=["sqlite", "postgresql"])
def outbox(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path, "" if request.param == "sqlite" else postgres.shared().database())
    yield outbox
    outbox.close()


@pytest.fixture
def queue(outbox: Outbox) -> Iterator[Queue]:
    queue = outbox.queue()
    yield queue
    queue.close()


def put(outbox: Outbox, *lanes: str | tuple[str, ...]) -> None:
    outbox.put(*[(lane, raw(f"C{at}")) for at, lane in enumerate(lanes, 1)], at=NOW)


def settled(claimed: Claimed, act: Act = Act.SENT, due_at: int = 0) -> Settled:
    return Settled(claimed, Verdict(act, act.upper(), due_at), Answer("AA"))


def claim(queue: Queue, *done: Settled, room: int = 10, now: int = NOW) -> list[int]:
    """The messages of the next claims."""
    return [each.message_id for each in queue.exchange(done, room, now).claimed]


def test_only_the_oldest_of_each_lane_is_claimed(outbox: Outbox, queue: Queue) -> None:
    put(outbox, "a", "b", "a", "b", "c")
    first = queue.exchange([], 10, NOW).claimed
    assert [(each.message_id, each.lane, each.attempts) for each in first] == [(1, "a", 1), (2, "b", 1), (5, "c", 1)]
    assert first[0].raw == raw("C1")
    assert claim(queue) == []
    assert claim(queue, settled(first[0])) == [3]
    assert claim(queue, settled(first[1]), room=0) == []
    assert claim(queue) == [4]


def test_a_retry_keeps_its_place_until_it_is_due(outbox: Outbox, queue: Queue) -> None:
    put(outbox, "a", "a")
    (first,) = queue.exchange([], 10, NOW).claimed
    assert claim(queue, settled(first, Act.RETRY, NOW + 5)) == []
    assert queue.due().at == NOW + 5
    (again,) = queue.exchange([], 10, NOW + 5).claimed
    assert (again.message_id, again.attempts) == (1, 2)


@pytest.mark.parametrize(("act", "behind"), [(Act.PARK, []), (Act.DEAD, [2]), (Act.STOP, [])])
def test_what_parks_holds_its_lane_up_and_what_is_dead_does_not(
    outbox: Outbox, queue: Queue, act: Act, behind: list[int]
) -> None:
    put(outbox, "a", "a", "b", "b")
    first, other = queue.exchange([], 10, NOW).claimed
    assert claim(queue, settled(first, act)) == behind
    assert claim(queue, settled(other)) == ([] if act is Act.STOP else [4])
    assert queue.due().halted is (act is Act.STOP)


def test_a_message_in_several_lanes_is_claimed_at_the_head_of_all(outbox: Outbox, queue: Queue) -> None:
    put(outbox, "a", ("a", "b", "c"), "b", "c", "b")
    (first,) = queue.exchange([], 10, NOW).claimed
    (second,) = queue.exchange([settled(first)], 10, NOW).claimed
    assert (second.message_id, second.has_parts) == (2, True)
    assert claim(queue) == []
    (again,) = queue.exchange([settled(second, Act.RETRY, NOW)], 10, NOW).claimed
    queue.give_back([again])
    (again,) = queue.exchange([], 10, NOW).claimed
    assert (again.message_id, again.attempts) == (2, 2)
    assert claim(queue, settled(again, Act.DEAD)) == [3, 4]


def test_a_claim_that_ran_out_is_anothers_and_its_settlement_is_lost(outbox: Outbox, queue: Queue) -> None:
    put(outbox, "a", ("b", "c"))
    mine = queue.exchange([], 10, NOW).claimed
    other = outbox.queue("two")
    assert claim(other, now=NOW + LEASE) == []
    queue.tend(mine, NOW + LEASE)
    assert other.due().at == NOW + 2 * LEASE
    assert claim(other, now=NOW + 2 * LEASE) == []
    later = NOW + 2 * LEASE + 1
    theirs = other.exchange([], 10, later).claimed
    assert [each.message_id for each in theirs] == [1, 2]
    assert queue.exchange([settled(each) for each in mine], 0, later) == Exchange([], [each.id for each in mine])
    assert outbox.states() == ["in_flight", "in_flight"]
    assert other.exchange([settled(each) for each in theirs], 0, later).lost == []
    assert outbox.states() == ["sent", "sent"]
    other.close()


def test_a_claim_of_ours_that_we_do_not_know_of_is_given_up(outbox: Outbox, queue: Queue) -> None:
    put(outbox, "a", "b")
    known, _ = queue.exchange([], 10, NOW).claimed
    queue.tend([known], NOW + 1)
    queue.tend([known], NOW + LEASE + 1)
    assert outbox.states() == ["in_flight", "queued"]


def test_the_database_itself_forbids_a_second_of_a_lane(outbox: Outbox, queue: Queue) -> None:
    put(outbox, "a", "a")
    queue.exchange([], 10, NOW)
    with pytest.raises(IntegrityError), outbox.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE delivery SET state = 'in_flight' WHERE message_id = 2")


def test_a_head_that_is_wrong_never_makes_two_of_a_lane(outbox: Outbox, queue: Queue) -> None:
    put(outbox, "a", "a")
    queue.exchange([], 10, NOW)
    with outbox.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE delivery SET head = 1")
    assert claim(queue) == []


def test_a_locked_database_is_told_at_once_and_nothing_is_done(outbox: Outbox, queue: Queue) -> None:
    put(outbox, "a", "a")
    (first,) = queue.exchange([], 10, NOW).claimed
    with outbox.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE delivery SET reason = 'held'")
        with pytest.raises(OperationalError, match="lock"):
            queue.exchange([settled(first)], 10, NOW)
        assert queue.due().at is None
    assert outbox.states() == ["in_flight", "queued"]
    assert claim(queue, settled(first)) == [2]


def test_a_person_sends_a_parked_one_again_in_its_place(outbox: Outbox, queue: Queue) -> None:
    put(outbox, ("a", "b"), "a", "b")
    (first,) = queue.exchange([], 10, NOW).claimed
    queue.exchange([settled(first, Act.STOP)], 10, NOW)
    with outbox.engine.begin() as connection:
        assert retry(connection, first.id, "ada", "mended", NOW + 9) == first.id
    assert claim(queue, now=NOW + 8) == []
    (again,) = queue.exchange([], 10, NOW + 9).claimed
    assert (again.message_id, again.attempts) == (1, 1)
    assert claim(queue, settled(again)) == [2, 3]
    with outbox.engine.connect() as connection:
        record = read_delivery(connection, first.id)["record"]
    assert [(each["by"], each["action"], each["reason"]) for each in record] == [
        ("one", "stop", "STOP"),
        ("ada", "retry", "mended"),
    ]


def test_a_person_skips_and_what_is_behind_flows_on(outbox: Outbox, queue: Queue) -> None:
    put(outbox, ("a", "b"), "a", "b", "a")
    (first,) = queue.exchange([], 10, NOW).claimed
    queue.exchange([settled(first, Act.PARK)], 10, NOW)
    with outbox.engine.begin() as connection:
        skip(connection, first.id, "ada", "wrong patient", NOW)
        fourth = list_deliveries(connection, {"message_id": "4"}, 0)[0]
        skip(connection, int(fourth["id"]), "ada", "", NOW)
    second, third = queue.exchange([], 10, NOW).claimed
    assert (second.message_id, third.message_id) == (2, 3)
    assert claim(queue, settled(second), settled(third)) == []
    assert outbox.states() == ["skipped", "sent", "sent", "skipped"]


def test_what_is_over_goes_on_as_a_new_one_at_the_end(outbox: Outbox, queue: Queue) -> None:
    put(outbox, ("a", "b"), "a")
    (first,) = queue.exchange([], 10, NOW).claimed
    queue.exchange([settled(first, Act.DEAD)], 0, NOW)
    with outbox.engine.begin() as connection:
        new = retry(connection, first.id, "ada", "", NOW)
        entry = read_delivery(connection, new)
    assert (entry["lanes"], len(entry["waits_for"]), entry["control_id"]) == (["a", "b"], 1, "C1")
    (second,) = queue.exchange([], 10, NOW).claimed
    assert second.message_id == 2
    assert claim(queue, settled(second), now=NOW + 1) == [1]
    assert outbox.states() == ["dead", "sent", "in_flight"]


def test_a_person_moves_one_to_another_destination(outbox: Outbox, queue: Queue) -> None:
    put(outbox, "a", "a")
    (first,) = queue.exchange([], 10, NOW).claimed
    queue.exchange([settled(first, Act.PARK)], 0, NOW)
    with outbox.engine.begin() as connection:
        new = move(connection, first.id, "feed/other", "ada", "down", NOW)
        with pytest.raises(UserError, match="already"):
            move(connection, new, "feed/other", "ada", "", NOW)
    assert claim(queue) == [2]
    other = outbox.queue(to="feed/other")
    assert claim(other) == [1]
    other.close()
    with outbox.engine.connect() as connection:
        assert read_delivery(connection, first.id)["reason"] == "moved to feed/other"
        assert read_delivery(connection, new)["record"][0]["reason"] == f"was delivery {first.id}: down"


def test_what_is_being_sent_or_over_can_not_be_skipped(outbox: Outbox, queue: Queue) -> None:
    put(outbox, "a")
    (first,) = queue.exchange([], 10, NOW).claimed
    with outbox.engine.begin() as connection:
        for act in (
            lambda: skip(connection, first.id, "ada", "", NOW),
            lambda: retry(connection, first.id, "ada", "", NOW),
            lambda: move(connection, first.id, "feed/x", "ada", "", NOW),
        ):
            with pytest.raises(UserError, match="being sent"):
                act()
        with pytest.raises(UserError, match="there is no delivery 99"):
            skip(connection, 99, "ada", "", NOW)
    queue.exchange([settled(first)], 0, NOW)
    with outbox.engine.begin() as connection:
        with pytest.raises(UserError, match="nothing to skip"):
            skip(connection, first.id, "ada", "", NOW)
        with pytest.raises(UserError, match="was sent"):
            move(connection, first.id, "feed/x", "ada", "", NOW)


def test_lists_show_the_newest_and_filter(outbox: Outbox, queue: Queue) -> None:
    put(outbox, "a", ("a", "b"), "c")
    queue.exchange([], 1, NOW)
    with outbox.engine.connect() as connection:
        found = list_deliveries(connection, {}, 2)
        assert [each["message"] for each in found] == ["2", "3"]
        assert [each["message"] for each in list_deliveries(connection, {"state": "in_flight"}, 0)] == ["1"]
        assert [each["message"] for each in list_deliveries(connection, {"lane": "c"}, 0)] == ["3"]


def test_the_indexes_carry_every_look(tmp_path: Path) -> None:
    """A queue that has sent millions must not look at them again."""
    outbox = Outbox(tmp_path)
    with outbox.engine.connect() as connection:
        for sql, count in ((claim_sql("sqlite"), 4), (due_sql(), 4)):
            plan = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + sql.replace("{p}", "?"), ("x",) * count)
            steps = [str(row[3]) for row in plan]
            assert not [step for step in steps if step.startswith("SCAN") and "CONSTANT" not in step], steps
    outbox.close()


def run_of(outbox: Outbox, queue: Queue, count: int) -> list[Claimed]:
    """One lane whose first is claimed with all behind it."""
    put(outbox, *["a"] * count)
    found = queue.exchange([], 10, NOW, behind=10)
    assert [each.message_id for each in (*found.claimed, *found.behind)] == list(range(1, count + 1))
    return [*found.claimed, *found.behind]


def test_a_run_is_settled_at_once_and_goes_on_where_it_is_being_sent(outbox: Outbox, queue: Queue) -> None:
    first, second, third, fourth, _ = run_of(outbox, queue, 5)
    assert outbox.states() == ["in_flight", *["queued"] * 4]
    done = [settled(first), settled(second), settled(third)]
    assert queue.exchange(done, 10, NOW + 1, [fourth], 10) == Exchange([], [])
    assert outbox.states() == ["sent", "sent", "sent", "in_flight", "queued"]
    held = fourth._replace(follows=False)
    found = queue.exchange([settled(held, Act.RETRY, NOW + 5)], 10, NOW + 2, behind=10)
    assert found == Exchange([], [])
    assert outbox.rows("SELECT state, attempts, due_at, owner FROM delivery WHERE message_id > 3") == [
        ("queued", 1, NOW + 5, None),
        ("queued", 0, NOW, None),
    ]
    found = queue.exchange([], 10, NOW + 5, behind=10)
    assert [(each.message_id, each.attempts, each.follows) for each in (*found.claimed, *found.behind)] == [
        (4, 2, False),
        (5, 1, True),
    ]


@pytest.mark.parametrize(("act", "left"), [(Act.PARK, ["parked", "queued"]), (Act.DEAD, ["dead", "in_flight"])])
def test_a_run_may_end_badly_in_its_middle(outbox: Outbox, queue: Queue, act: Act, left: list[str]) -> None:
    first, second, _ = run_of(outbox, queue, 3)
    queue.exchange([settled(first), settled(second, act)], 10, NOW)
    assert outbox.states() == ["sent", *left]
    with outbox.engine.begin() as connection:
        assert [row["action"] for row in read_delivery(connection, second.id)["record"]] == [act]


def test_what_follows_a_claim_that_another_has_is_not_ours(outbox: Outbox, queue: Queue) -> None:
    first, second, third = run_of(outbox, queue, 3)
    other, late = outbox.queue("two"), NOW + LEASE + 1
    (theirs,) = other.exchange([], 10, late).claimed
    assert theirs.message_id == 1
    assert queue.exchange([settled(first), settled(second)], 10, late, [third]).lost == [first.id, second.id]
    assert outbox.states() == ["in_flight", "queued", "queued"]
    assert claim(other, settled(theirs), now=late) == [2]
    other.close()


def test_a_run_has_nothing_of_several_lanes_nothing_of_another_kind_and_nothing_too_early(
    outbox: Outbox, queue: Queue
) -> None:
    put(outbox, "a", "a", ("a", "b"), "a")
    found = queue.exchange([], 10, NOW, behind=10)
    assert [each.message_id for each in found.behind] == [2]
    outbox.put(("c", raw("C5")), ("c", raw("C6")), at=NOW)
    with outbox.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE delivery SET due_at = due_at + 1 WHERE message_id = 6")
    assert queue.exchange([], 10, NOW, behind=10).behind == ()
    assert queue.exchange([], 0, NOW, behind=10).behind == ()


def test_what_is_next_in_a_run_is_nothing_for_a_person(outbox: Outbox, queue: Queue) -> None:
    _, second = run_of(outbox, queue, 2)
    with outbox.engine.begin() as connection:
        for decide in (skip, retry):
            with pytest.raises(UserError, match="being sent right now"):
                decide(connection, second.id, "ann", "", NOW)
        skip(connection, second.id, "ann", "", NOW + LEASE)
