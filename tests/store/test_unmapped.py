"""The inbox of codes: counted, bounded, done, and forgotten."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine

from hl7auth.flow.channel import Channel, load_channel
from hl7auth.flow.intake import plan
from hl7auth.flow.shaping import mapped_by
from hl7auth.observe import ids, now
from hl7auth.steps.draft import Unmapped
from hl7auth.store.archive import read_message
from hl7auth.store.database import open_database, upgrade
from hl7auth.store.history import read_why
from hl7auth.store.journal import Journal
from hl7auth.store.rebuild import rebuild
from hl7auth.store.unmapped import (
    MOST_CHARACTERS,
    MOST_OF_MESSAGE,
    MOST_VALUES,
    Lacking,
    forget_mapped,
    lacking,
    list_unmapped,
    mark_done,
    write_unmapped,
)
from tests.engine import request
from tests.store import postgres

SECOND = 1_000_000


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    if request.param == "sqlite":
        engine = open_database(f"sqlite:///{tmp_path / 'inbox.db'}")
    else:
        engine = open_database(postgres.shared().database())
    upgrade(engine)
    with engine.begin() as found:
        yield found
    engine.dispose()


def lacked(value: str, at: int = 1, place: str = "north", table: str = "t.csv") -> Lacking:
    return Lacking(place, table, value, f"AUT[{at}]-2.1", at, at * SECOND)


def shown(connection: Connection, channel: str | None = None, *, all_: bool = False) -> list[tuple[str, str, int]]:
    return [(each["place"], each["value"], each["count"]) for each in list_unmapped(connection, channel, all_=all_)]


def test_values_are_counted_with_their_last_message(connection: Connection) -> None:
    write_unmapped(connection, [lacked("B", 1), lacked("A", 2), lacked("B", 3)])
    write_unmapped(connection, [lacked("B", 4)])
    write_unmapped(connection, [])
    first, second = list_unmapped(connection)
    assert second.pop("id") != (number := first.pop("id"))
    assert number.isdigit()
    assert first == {
        "place": "north", "table": "t.csv", "value": "A", "location": "AUT[2]-2.1", "count": 1,
        "first_seen": "1970-01-01T00:00:02.000+00:00", "last_seen": "1970-01-01T00:00:02.000+00:00",
        "message": "2", "done": None,
    }  # fmt: skip
    assert second == first | {
        "value": "B", "location": "AUT[4]-2.1", "count": 3, "first_seen": "1970-01-01T00:00:03.000+00:00",
        "last_seen": "1970-01-01T00:00:04.000+00:00", "message": "4",
    }  # fmt: skip


def test_a_channel_has_its_destinations(connection: Connection) -> None:
    places = ("north", "north/payer", "north-2", "north-2/payer", "nort")
    write_unmapped(connection, [lacked("A", place=place) for place in places])
    assert [each[0] for each in shown(connection, "north")] == ["north", "north/payer"]
    assert len(shown(connection)) == 5


def test_a_table_has_its_share_and_known_values_are_counted_on(connection: Connection) -> None:
    write_unmapped(connection, [lacked(f"V{at}") for at in range(MOST_VALUES + 20)])
    write_unmapped(connection, [lacked("V0"), lacked("NEW"), lacked("NEW", table="other.csv")])
    found = shown(connection)
    assert len(found) == MOST_VALUES + 1
    assert ("north", "V0", 2) in found
    assert [each for each in found if each[1] == "NEW"] == [("north", "NEW", 1)]


def test_what_is_done_is_shown_no_more_and_counted_on(connection: Connection) -> None:
    write_unmapped(connection, [lacked("A"), lacked("B")])
    number = int(list_unmapped(connection)[0]["id"])
    assert mark_done(connection, [number, 4711], "ada", SECOND) == 1
    assert mark_done(connection, [number], "ben", SECOND) == 0
    write_unmapped(connection, [lacked("A", 9)])
    assert shown(connection) == [("north", "B", 1)]
    (seen, _) = list_unmapped(connection, all_=True)
    assert (seen["done"], seen["count"]) == ({"at": "1970-01-01T00:00:01.000+00:00", "by": "ada"}, 2)


def test_what_its_table_has_is_forgotten(connection: Connection, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("from,to\nA,X\n", encoding="utf-8")
    north = channel(tmp_path, "- translate: {field: AUT-2, table: t.csv}\n- translate: {field: PID-8, table: {A: B}}")
    found = [lacked("A"), lacked("B"), lacked("A", table="gone.csv"), lacked("A", table="(in step 2)")]
    write_unmapped(connection, [*found, lacked("A", place="south")])
    assert forget_mapped(connection, mapped_by([north])) == 2
    left = [(each["place"], each["table"], each["value"]) for each in list_unmapped(connection)]
    assert sorted(left) == [("north", "gone.csv", "A"), ("north", "t.csv", "B"), ("south", "t.csv", "A")]
    (tmp_path / "t.csv").unlink()
    assert not mapped_by([load_channel(north.path)])("north", "t.csv", "A")


def test_what_one_message_lacks_is_bounded_and_fits_a_column(connection: Connection) -> None:
    many = lacking((Unmapped("t.csv", "AUT-2.1", str(at)) for at in range(1_000)), "north", 1, SECOND)
    assert len(many) == MOST_OF_MESSAGE
    same = lacking([Unmapped("t.csv", f"AUT[{at}]-2.1", "A") for at in (1, 2)], "north", 1, SECOND)
    assert same == [Lacking("north", "t.csv", "A", "AUT[2]-2.1", 1, SECOND)]
    odd = lacking([Unmapped("t.csv", "AUT-2.1", "a\0b\udc80" + "x" * 500)], "north", 1, SECOND)
    write_unmapped(connection, odd)
    ((_, value, _),) = shown(connection)
    assert value == "a\N{REPLACEMENT CHARACTER}b?" + "x" * (MOST_CHARACTERS - 4)


def channel(folder: Path, steps: str) -> Channel:
    path = folder / "north.yaml"
    path.write_text(f"channel: north\nlisten: tcp:0\nsteps:\n{steps}\n", encoding="utf-8")
    return load_channel(path)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    found = open_database(f"sqlite:///{tmp_path / 'engine.db'}")
    upgrade(found)
    yield found
    found.dispose()


def stored(engine: Engine, north: Channel, *messages: bytes) -> list[int]:
    journal, new_id = Journal(engine), ids()
    outcomes = journal.commit([plan(raw, north, now(), new_id) for raw in messages])
    journal.close()
    return [outcome.plan.message_id for outcome in outcomes]


STEPS = (
    "- drop: PID-8 = 'U'\n- translate: {field: AUT-1, table: {GOLD: G}, unmapped: refuse}\n"
    "- translate: {field: AUT-2, table: {ACME: NOVA}}"
)


def story() -> tuple[bytes, ...]:
    """One of each: shaped, unmapped, refused, dropped, the same again, and no message."""
    return (
        request("C1", number="N1"),
        request("C2", number="N2").replace(b"|ACME|", b"|MOON|"),
        request("C3").replace(b"|GOLD|", b"|LEAD|"),
        request("C4").replace(b"|19800102", b"|19800102|U"),
        request("C2", number="N2").replace(b"|ACME|", b"|MOON|"),
        b"PID|1\r",
    )


def test_the_journal_keeps_what_came_what_was_made_of_it_and_what_was_lacking(engine: Engine, tmp_path: Path) -> None:
    numbers = stored(engine, channel(tmp_path, STEPS), *story())
    with engine.connect() as connection:
        found = [read_message(connection, each) for each in numbers]
        inbox = [(each["table"], each["value"], each["count"]) for each in list_unmapped(connection)]
    assert [each["disposition"] for each in found] == [
        "accepted", "accepted", "refused", "filtered", "duplicate", "refused",
    ]  # fmt: skip
    assert [each["raw"] for each in found] == list(story())
    made = [story()[0].replace(b"|GOLD|ACME|", b"|G|NOVA|"), story()[1].replace(b"|GOLD|", b"|G|")]
    assert [each["shaped"] for each in found] == [*made, None, None, made[1], None]
    assert sorted(inbox) == [("(in step 2)", "LEAD", 1), ("(in step 3)", "MOON", 1)]


def test_a_rebuild_takes_what_the_steps_made_then_and_not_what_they_make_now(engine: Engine, tmp_path: Path) -> None:
    stored(engine, channel(tmp_path, STEPS), *story())
    for steps in (STEPS, "- python: gone:tidy", "- drop: PID present"):
        report = rebuild(engine, {"north": channel(tmp_path, steps)})
        assert [each.entry() for each in report.differences] == []
        assert (report.messages, report.versions) == (6, 2)
    plain = tmp_path / "north.yaml"
    plain.write_text("channel: north\nlisten: tcp:0\n", encoding="utf-8")
    assert rebuild(engine, {"north": load_channel(plain)}).equal


def test_why_a_value_is_so_is_told_of_what_was_judged(engine: Engine, tmp_path: Path) -> None:
    stored(engine, channel(tmp_path, STEPS), story()[0])
    later = channel(tmp_path, "- drop: PID present")
    with engine.connect() as connection:
        for channels in ({"north": later}, {}):
            why = read_why(connection, "N1@NOVA", "payor", channels)
            assert (why["value"], why["place"]["path"]) == ({"code": "NOVA"}, "AUT-2")
