"""Retention: packs go whole when their time is over, unless they are held, and what is dropped is told as dropped."""

from pathlib import Path

import pytest

from hl7auth.errors import UserError
from hl7auth.flow.decision import Disposition
from hl7auth.flow.retention import Retention
from hl7auth.store import bodies
from hl7auth.store.archive import read_message, read_raw, read_whole
from hl7auth.store.archive_lock import only_one
from hl7auth.store.archive_record import list_events
from hl7auth.store.holds import Held, place_hold, release_hold
from hl7auth.store.pack_list import list_packs, verify_packs
from hl7auth.store.pruning import Pruned, Pruning, preview, prune
from hl7auth.store.rebuild import rebuild
from tests.engine import request
from tests.messages import shipped_channel
from tests.store.sealed import FIRST, LATER, busy, packs, sealed

NAME = "referral-intake"
PACKS = [f"{NAME}/2026-03-0{day}.hl7pack" for day in (1, 2, 3)]


@pytest.fixture(autouse=True)
def nothing_is_kept_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at a pack is the first one, as in a process of its own."""
    monkeypatch.setattr(bodies, "_PACKS_OPEN", 0)


def after(days: int, bodies_days: int | None = 10, channel: str = NAME) -> Pruning:
    """A prune so many days after the first, under a retention of so many days."""
    return Pruning({channel: Retention(bodies_days=bodies_days)}, FIRST + days, "ada", LATER)


def states(found: list[Pruned]) -> list[tuple[str, str]]:
    return [(each.day, each.state) for each in found]


def test_packs_go_whole_when_their_time_is_over(tmp_path: Path) -> None:
    store = busy(tmp_path)
    sealed(store)
    assert prune(store.engine, after(10)) == []
    assert states(preview(store.engine, after(12))) == [("2026-03-01", "due"), ("2026-03-02", "due")]
    assert packs(tmp_path) == PACKS
    assert states(prune(store.engine, after(11))) == [("2026-03-01", "dropped")]
    assert packs(tmp_path) == PACKS[1:]
    assert prune(store.engine, after(11)) == []
    with store.reading() as connection:
        assert [each["state"] for each in list_packs(connection, None, 0)] == ["dropped", "kept", "kept"]
        assert [each["faults"] for each in verify_packs(connection, None)] == [[], []]
        assert [(each["action"], each["by"]) for each in list_events(connection, 1)] == [("drop", "ada")]
        shown = read_message(connection, 1)
        assert (shown["raw"], "lost" in shown, shown["control_id"]) == (None, False, "C0")
        assert "were dropped by retention on 2026-04-10" in shown["dropped"]
        with pytest.raises(UserError, match="dropped by retention"):
            read_whole(connection, 1)
        assert [number for number, _ in read_raw(connection, {}, 0)] == list(range(15, 41))
    assert store.rows("SELECT count(*) FROM message") == [(40,)]
    store.close()


def test_what_keeps_everything_is_never_dropped(tmp_path: Path) -> None:
    store = busy(tmp_path)
    sealed(store)
    assert prune(store.engine, after(9_000, None)) == []
    assert prune(store.engine, after(9_000, 1, "another")) == []
    assert packs(tmp_path) == PACKS
    store.close()


def test_a_hold_stops_it_until_it_is_released(tmp_path: Path) -> None:
    store = busy(tmp_path)
    sealed(store)
    with store.engine.begin() as connection:
        number = place_hold(connection, Held(NAME, "2026-03-02", "2026-03-02"), "ada", "audit", LATER)
    found = prune(store.engine, after(30))
    assert states(found) == [("2026-03-01", "dropped"), ("2026-03-02", "held"), ("2026-03-03", "dropped")]
    assert (found[1].hold, packs(tmp_path)) == (number, [PACKS[1]])
    with store.engine.begin() as connection:
        release_hold(connection, number, "ada", "over", LATER)
    assert states(prune(store.engine, after(30))) == [("2026-03-02", "dropped")]
    assert packs(tmp_path) == []
    store.close()


def test_bodies_that_are_not_sealed_stay_and_are_told(tmp_path: Path) -> None:
    store = busy(tmp_path)
    store.send(request("OPEN", number="PA-OPEN"))
    sealed(store, before=FIRST + 2)
    found = prune(store.engine, after(30))
    told = [(each.day, each.state, each.messages) for each in found]
    assert told == [("2026-03-01", "dropped", 14), ("2026-03-02", "dropped", 24), ("2026-03-03", "unsealed", 3)]
    assert store.rows("SELECT count(*) FROM message WHERE length(raw) > 0") == [(3,)]
    store.close()


def test_a_prune_that_was_broken_off_is_ended_by_the_next(tmp_path: Path) -> None:
    store = busy(tmp_path)
    sealed(store)
    first, second = (tmp_path / "archive" / name for name in PACKS[:2])
    left, other = first.read_bytes(), second.read_bytes()
    prune(store.engine, after(12))
    first.write_bytes(left)  # as if it had been killed before the file was removed
    second.write_bytes((tmp_path / "archive" / PACKS[2]).read_bytes())  # and this is somebody else's by now
    assert prune(store.engine, after(12)) == []
    assert packs(tmp_path) == PACKS[1:]
    second.write_bytes(other[:-9])
    prune(store.engine, after(12))
    assert packs(tmp_path) == PACKS[2:]
    store.close()


def test_one_at_a_time_changes_the_archive(tmp_path: Path) -> None:
    store = busy(tmp_path, 2)
    with only_one(store.engine), pytest.raises(UserError, match="under way"):
        prune(store.engine, after(30))
    store.close()


def test_a_message_that_comes_again_after_its_reply_is_dropped_is_told_so_and_rebuilt_so(tmp_path: Path) -> None:
    store = busy(tmp_path)
    sealed(store)
    prune(store.engine, after(30))
    (again,) = store.send(request("C1", number="PA1"))
    assert (again.disposition, again.duplicate_of, again.code) == (Disposition.DUPLICATE, 3, "AA")
    assert again.reply is not None
    assert b"MSA|AA|C1" in again.reply
    assert b"not kept any more" in again.reply
    assert store.rows("SELECT count(*) FROM authorization_version WHERE message_id = 41") == [(0,)]
    found = rebuild(store.engine, {NAME: shipped_channel()})
    assert (found.equal, found.given, found.messages) == (True, 40, 1)
    store.close()
