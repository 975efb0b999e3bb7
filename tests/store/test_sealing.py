"""Sealing: bodies move to packs, nothing that is worked on does, and everybody who reads bodies gets the same bytes."""

from pathlib import Path

import pytest
from sqlalchemy import event

from benchmarks.sealed import measure
from hl7auth.errors import UserError
from hl7auth.flow.decision import Disposition
from hl7auth.store import archive
from hl7auth.store.archive_lock import only_one
from hl7auth.store.bodies import read_bodies
from hl7auth.store.database import open_database
from hl7auth.store.history import read_why
from hl7auth.store.pack_list import list_packs, verify_packs
from hl7auth.store.rebuild import rebuild
from tests.engine import answer, request
from tests.messages import shipped_channel
from tests.store.sealed import FIRST, asked, busy, packs, sealed
from tests.store.stored import Store

CHANNELS = {"referral-intake": shipped_channel()}


def bodies(store: Store) -> dict[int, tuple[object, ...]]:
    with store.reading() as connection:
        ids = [row[0] for row in connection.exec_driver_sql("SELECT id FROM message")]
        return {message_id: tuple(each) for message_id, each in read_bodies(connection, ids).items()}


def good(store: Store) -> None:
    with store.reading() as connection:
        assert [each["faults"] for each in verify_packs(connection, None) if each["faults"]] == []


def test_every_body_is_read_from_its_pack_as_it_was_read_from_the_table(tmp_path: Path) -> None:
    store = busy(tmp_path)
    before = bodies(store)
    done = sealed(store)
    assert [(each.day, each.sealed, each.open) for each in done] == [
        ("2026-03-01", 14, 0),
        ("2026-03-02", 24, 0),
        ("2026-03-03", 2, 0),
    ]
    assert packs(tmp_path) == [f"referral-intake/2026-03-0{day}.hl7pack" for day in (1, 2, 3)]
    empty = "SELECT count(*) FROM message WHERE raw = x'' AND accept_ack IS NULL AND reply IS NULL AND pack IS NOT NULL"
    assert store.rows(empty) == [(40,)]
    assert bodies(store) == before
    good(store)
    with store.reading() as connection:
        assert archive.read_message(connection, 1)["reply"] == before[1][3]
        assert archive.read_raw(connection, {"control_id": "C3"}, 0) == [(7, before[7][0])]
        assert read_why(connection, "PA3@ACME", "status", CHANNELS)["place"] is not None
    assert sealed(store) == []
    store.close()


def test_a_rebuild_from_packs_is_equal(tmp_path: Path) -> None:
    store = busy(tmp_path)
    sealed(store, before=FIRST + 2)
    found = rebuild(store.engine, CHANNELS)
    assert (found.equal, found.messages, found.versions) == (True, 40, 40)
    store.close()


def test_a_message_that_comes_again_gets_its_sealed_reply(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.send(*asked("C1", "PA1"))
    sealed(store)
    (again,) = store.send(request("C1", number="PA1"))
    assert again.disposition is Disposition.DUPLICATE
    assert again.replies == first[0].replies
    assert again.replies
    store.close()


def test_an_open_request_stays_in_the_table_and_joins_the_pack_when_it_is_answered(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.send(*asked("C1", "PA1"), request("C2", number="PA2"))
    before = bodies(store)
    assert [(each.sealed, each.open) for each in sealed(store)] == [(2, 1)]
    assert store.rows("SELECT id FROM message WHERE pack IS NULL") == [(3,)]
    store.send(answer("A2", "C2", number="PA2"))
    (done,) = sealed(store)
    assert (done.sealed, done.open, done.generation, done.messages) == (2, 0, 2, 4)
    assert packs(tmp_path) == ["referral-intake/2026-03-01.2.hl7pack"]
    assert {key: each for key, each in bodies(store).items() if key < 4} == before
    good(store)
    store.close()


def test_a_forwarded_request_stays_in_the_table_for_its_reply_may_still_change(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.send(*asked("C1", "PA1"))
    store.change(
        "INSERT INTO forward (message_id, channel, destination, state, wanted, enhanced, ways, within, hold_until,"
        " owed, way, lanes, said, told_late)"
        " VALUES (1, 'referral-intake', 'x', 'answered', '', 0, '[]', 0, 0, 0, '', '[]', 0, 0)"
    )
    assert [(each.sealed, each.open) for each in sealed(store)] == [(1, 1)]
    assert store.rows("SELECT id FROM message WHERE pack IS NULL") == [(1,)]
    store.close()


def test_days_that_are_not_over_and_other_channels_are_left_alone(tmp_path: Path) -> None:
    store = busy(tmp_path)
    assert [each.day for each in sealed(store, before=FIRST + 1)] == ["2026-03-01"]
    assert store.rows("SELECT count(*) FROM message WHERE pack IS NULL") == [(26,)]
    with store.reading() as connection:
        (listed,) = list_packs(connection, None, 0)
        assert list_packs(connection, "another", 0) == []
    assert (listed["messages"], listed["listed"], listed["state"], listed["held"]) == (14, 14, "kept", False)
    store.close()


def test_two_seals_at_once_are_one_and_a_sentence(tmp_path: Path) -> None:
    store = busy(tmp_path, 2)
    with only_one(store.engine), pytest.raises(UserError, match="another seal, prune or import"):
        sealed(store)
    assert [each.sealed for each in sealed(store)] == [4]
    store.close()


def test_a_rebuild_takes_what_messages_without_bodies_changed_as_given(tmp_path: Path) -> None:
    store = busy(tmp_path)
    sealed(store, before=FIRST + 1)
    store.change("UPDATE pack SET state = 'dropped', dropped_at = sealed_at")
    found = rebuild(store.engine, CHANNELS)
    assert (found.differences, found.given, found.messages) == ([], 14, 26)
    store.change("DELETE FROM message WHERE pack IS NOT NULL")
    found = rebuild(store.engine, CHANNELS)
    assert (found.differences, found.messages) == ([], 26)
    with store.reading() as connection, pytest.raises(UserError, match="there is no message 1"):
        archive.read_message(connection, 1)
    store.change("UPDATE pack SET state = 'kept'")
    assert {each.what for each in rebuild(store.engine, CHANNELS).differences} == {"version"}
    store.close()


def test_a_pack_is_looked_up_once_for_all_messages_that_are_read_of_it(tmp_path: Path) -> None:
    store = busy(tmp_path)
    sealed(store)
    asked_for: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda *told: asked_for.append(told[2]))
    with store.reading() as connection:
        ids = [row[0] for row in connection.exec_driver_sql("SELECT id FROM message")]
        asked_for.clear()
        assert len(read_bodies(connection, ids)) == 40
        assert len([sql for sql in asked_for if "FROM pack" in sql]) == 3
    store.close()


def test_the_benchmark_of_a_sealed_archive_does_what_it_measures(tmp_path: Path) -> None:
    told = measure(60, 1, tmp_path)
    assert told["messages"] == 60
    again = open_database(f"sqlite:///{tmp_path}/again.db", create=False)
    with again.connect() as connection:
        count = "SELECT disposition, count(*) FROM message GROUP BY 1"
        assert connection.exec_driver_sql(count).all() == [("accepted", 60)]
    again.dispose()
