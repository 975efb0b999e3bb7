"""Archives of other installations: read where they are, and taken in as whole packs or not at all."""

from pathlib import Path

import pytest

from hl7auth.errors import UserError
from hl7auth.flow.decision import Disposition
from hl7auth.packs.format import FORMAT, MAGIC, TRAILER
from hl7auth.store import bodies, bringing_in
from hl7auth.store.archive import list_messages, read_message, read_raw
from hl7auth.store.archive_record import list_events
from hl7auth.store.bringing_in import Import, Imported, bring_in
from hl7auth.store.foreign import foreign, verify_foreign
from hl7auth.store.pack_list import verify_packs
from hl7auth.store.rebuild import rebuild
from hl7auth.store.search import Query, find
from tests.engine import request
from tests.messages import shipped_channel
from tests.store.sealed import LATER, asked, busy, packs, sealed
from tests.store.stored import START, Store

NAME = "referral-intake"
PACKS = [f"north.{NAME}/2026-03-0{day}.hl7pack" for day in (1, 2, 3)]
FAR = 1_000_000


@pytest.fixture(autouse=True)
def nothing_is_kept_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at a pack is the first one, as in a process of its own."""
    monkeypatch.setattr(bodies, "_PACKS_OPEN", 0)


@pytest.fixture
def north(tmp_path: Path) -> str:
    """The archive of another installation: 40 messages in three packs."""
    (tmp_path / "north").mkdir()
    store = busy(tmp_path / "north")
    sealed(store)
    store.close()
    return str(tmp_path / "north" / "archive")


@pytest.fixture
def here(tmp_path: Path) -> Store:
    """A store with messages of its own, whose ids begin far behind those of the other one."""
    (tmp_path / "here").mkdir()
    store = Store(tmp_path / "here")
    store._ids = iter(range(FAR, 2 * FAR))  # type: ignore[assignment]
    store.send(*asked("H1", "PH1"))
    return store


def files(folder: str) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


def wanted(source: str, name: str = "north") -> Import:
    return Import(source, name, "", "ada", LATER, 2 * FAR)


def spoil(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def as_newer(path: Path) -> None:
    data = path.read_bytes()
    at, size, digest, _, _ = TRAILER.unpack(data[-TRAILER.size :])
    path.write_bytes(data[: -TRAILER.size] + TRAILER.pack(at, size, digest, FORMAT + 1, MAGIC))


def test_packs_are_read_where_they_are_and_nothing_is_written_there(north: str) -> None:
    before, told = files(north), list[str]()
    with foreign(north, told.append, indexed=True) as connection:
        assert len(list_messages(connection, {}, 0)) == 40
        shown = read_message(connection, 3)
        assert (shown["raw"], shown["control_id"]) == (asked("C1", "PA1")[0], "C1")
        assert shown["reply"] is not None
        assert [number for number, _ in read_raw(connection, {"message_type": "RPA"}, 2)] == [38, 40]
        assert [each["id"] for each in find(connection, Query(authorization="PA7")).messages] == ["16", "15"]
        assert [each["id"] for each in find(connection, Query(words="PA9")).messages] == ["20", "19"]
        assert [each["faults"] for each in verify_packs(connection, None)] == [[], [], []]
    assert [each["faults"] for each in verify_foreign(north, NAME)] == [[], [], []]
    assert (files(north), told) == (before, [])
    one = f"{north}/{NAME}/2026-03-03.hl7pack"
    with foreign(one, told.append) as connection:
        assert [each["id"] for each in list_messages(connection, {}, 0)] == ["39", "40"]


def test_a_pack_that_is_no_good_is_told_and_the_others_are_read(north: str, tmp_path: Path) -> None:
    first, second, third = sorted((tmp_path / "north" / "archive" / NAME).iterdir())
    first.write_bytes(first.read_bytes()[:-7])
    as_newer(second)
    told: list[str] = []
    with foreign(north, told.append) as connection:
        assert [each["id"] for each in list_messages(connection, {}, 0)] == ["39", "40"]
    assert ["no whole pack" in told[0], "written by a newer hl7auth" in told[1]] == [True, True]
    assert [len(each["faults"]) for each in verify_foreign(north, None)] == [1, 1, 0]
    third.unlink()
    with pytest.raises(UserError, match="none of 2 pack"), foreign(north, told.append):
        pass
    with pytest.raises(UserError, match="there are no packs"), foreign(str(tmp_path / "nowhere"), told.append):
        pass


def test_packs_are_taken_in_found_and_never_taken_for_messages_of_this_installation(north: str, here: Store) -> None:
    done = bring_in(here.engine, wanted(north))
    assert done == [
        Imported(f"north.{NAME}", f"2026-03-0{day}", count, count) for day, count in ((1, 14), (2, 24), (3, 2))
    ]
    with here.reading() as connection:
        assert [each["faults"] for each in verify_packs(connection, None)] == [[], [], []]
        found = find(connection, Query(authorization="PA7")).messages
        assert [(each["id"], each["channel"]) for each in found] == [(str(each), f"north.{NAME}") for each in (16, 15)]
        assert read_message(connection, 3)["raw"] == asked("C1", "PA1")[0]
        assert [each["action"] for each in list_events(connection, 0)] == ["import"] * 3
    # it was never here: it is applied, and answered for the first time
    (came,) = here.send(request("C1", number="PA1"), at=START + 90 * 24 * 3_600_000_000)
    assert (came.disposition, len(came.changes)) == (Disposition.ACCEPTED, 1)
    report = rebuild(here.engine, {NAME: shipped_channel()})
    assert (report.equal, report.links) == (True, 40)
    assert [each.added for each in bring_in(here.engine, wanted(north))] == [0, 0, 0]
    here.close()


def untouched(here: Store) -> bool:
    tables = "SELECT (SELECT count(*) FROM pack), (SELECT count(*) FROM message), (SELECT count(*) FROM archive_event)"
    return here.rows(tables) == [(0, 2, 0)] and packs(Path(here.url.removeprefix("sqlite:///")).parent) == []


def test_one_pack_that_is_no_good_leaves_everything_as_it_was(north: str, here: Store, tmp_path: Path) -> None:
    third = tmp_path / "north" / "archive" / NAME / "2026-03-03.hl7pack"
    whole = third.read_bytes()
    for damage, said in (
        (lambda: third.write_bytes(whole[:-7]), "no whole pack"),
        (lambda: spoil(third, 300), "damaged"),
        (lambda: as_newer(third), "written by a newer hl7auth; use that version"),
    ):
        third.write_bytes(whole)
        damage()
        with pytest.raises(UserError, match=said):
            bring_in(here.engine, wanted(north))
        assert untouched(here)
    third.write_bytes(whole)
    here.change("UPDATE message SET id = 40 WHERE control_id = 'H1'")
    with pytest.raises(UserError, match="1 of its 2 messages have ids that other messages have here"):
        bring_in(here.engine, wanted(north))
    here.change(f"UPDATE message SET id = {FAR} WHERE control_id = 'H1'")
    with pytest.raises(UserError, match="mind the clocks"):
        bring_in(here.engine, wanted(north)._replace(most=30))
    with pytest.raises(UserError, match="is no name of an installation"):
        bring_in(here.engine, wanted(north, "North!"))
    assert untouched(here)
    here.close()


def test_another_pack_of_the_same_day_is_refused(north: str, here: Store, tmp_path: Path) -> None:
    bring_in(here.engine, wanted(north))
    other = busy(tmp_path, 2)
    sealed(other)
    other.close()
    with pytest.raises(UserError, match=r"this archive has another pack of north\.referral-intake 2026-03-01 already"):
        bring_in(here.engine, wanted(str(tmp_path / "archive")))
    here.close()


@pytest.mark.parametrize("broken", ["_add", "write_event"])
def test_an_import_that_fails_takes_its_pack_back_and_the_next_one_ends_it(
    north: str, here: Store, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fails(*_words: object) -> None:
        raise UserError("the database could not be written: disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(bringing_in, broken, fails)
        with pytest.raises(UserError, match="disk is full"):
            bring_in(here.engine, wanted(north))
    assert untouched(here)
    assert [each.added for each in bring_in(here.engine, wanted(north))] == [14, 24, 2]
    assert packs(Path(here.url.removeprefix("sqlite:///")).parent) == PACKS
    here.close()


def test_an_import_that_was_killed_goes_on(north: str, here: Store) -> None:
    bring_in(here.engine, wanted(north))
    here.change(
        "DELETE FROM message WHERE id IN (5, 6, 40)", "DELETE FROM message_field WHERE message_id IN (5, 6, 40)"
    )
    assert [each.added for each in bring_in(here.engine, wanted(north))] == [2, 0, 1]
    here.change("DELETE FROM pack WHERE day = '2026-03-03'", "DELETE FROM message WHERE id IN (39, 40)")
    assert [each.added for each in bring_in(here.engine, wanted(north))] == [0, 0, 2]
    with here.reading() as connection:
        assert [each["faults"] for each in verify_packs(connection, None)] == [[], [], []]
    here.close()


def test_a_place_that_can_not_be_written_leaves_nothing(north: str, here: Store) -> None:
    with pytest.raises(UserError, match="/dev/full"):
        bring_in(here.engine, wanted(north)._replace(place="/dev/full/archive"))
    assert untouched(here)
    here.close()
