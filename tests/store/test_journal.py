"""The journal on a real file and a real server: what is durable, what a bad message does to a batch, duplicates."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from hl7auth.flow import decision
from hl7auth.flow.decision import Disposition
from hl7auth.flow.intake import Plan, plan
from hl7auth.observe import ids, now
from hl7auth.store import deciding
from hl7auth.store.database import open_database, upgrade
from hl7auth.store.journal import Journal
from tests.engine import answer, channel, request
from tests.store import postgres

new_id = ids()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    yield from opened(f"sqlite:///{tmp_path}/store.db" if request.param == "sqlite" else postgres.shared().database())


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Engine]:
    yield from opened(f"sqlite:///{tmp_path}/store.db")


def opened(url: str) -> Iterator[Engine]:
    engine = open_database(url)
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> Iterator[Journal]:
    journal = Journal(engine)
    yield journal
    journal.close()


@pytest.fixture
def planned(tmp_path: Path) -> "Planner":
    return Planner(tmp_path)


class Planner:
    """Plans raw messages for one channel."""

    def __init__(self, folder: Path) -> None:
        self.channel = channel(folder)
        self.strict = channel(folder, duplicates="strict")

    def __call__(self, *raws: bytes, strict: bool = False) -> list[Plan]:
        return [plan(raw, self.strict if strict else self.channel, now(), new_id) for raw in raws]


def rows(engine: Engine, sql: str) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(sql)]


def test_the_pragmas_that_make_a_commit_durable(sqlite: Engine) -> None:
    assert rows(sqlite, "PRAGMA journal_mode") == [("wal",)]
    assert rows(sqlite, "PRAGMA synchronous") == [(2,)]  # FULL


def test_message_reply_and_authorization_are_written_together(engine: Engine, store: Journal, planned: Planner) -> None:
    raw = request("C1", number="PA1", referral="R1")
    (outcome,) = store.commit(planned(raw))
    assert outcome.disposition is Disposition.ACCEPTED
    assert rows(engine, "SELECT control_id, raw, reply FROM message") == [("C1", raw, outcome.reply)]
    assert rows(engine, "SELECT key, version, current, status FROM authorization_version") == [
        ("PA1@ACME", 1, 1, "pended")
    ]


def test_a_later_message_of_a_batch_sees_the_effect_of_an_earlier_one(
    engine: Engine, store: Journal, planned: Planner
) -> None:
    outcomes = store.commit(
        planned(request("C1", referral="R1"), answer("P1", "C1", referral="R1"), answer("P2", "C1", "PA2", "R1"))
    )
    assert [outcome.disposition for outcome in outcomes] == [Disposition.ACCEPTED] * 3
    found = rows(engine, "SELECT key, version, current, status FROM authorization_version ORDER BY key, version")
    assert found == [
        ("?R1@EHR:NORTH", 1, 0, "pended"),
        ("?R1@EHR:NORTH", 2, 0, "approved"),
        ("?R1@EHR:NORTH", 3, 1, "approved"),
        ("PA1@ACME", 1, 0, "approved"),
        ("PA1@ACME", 2, 1, "cancelled"),
        ("PA2@ACME", 1, 1, "approved"),
    ]


def test_batch_or_one_by_one_makes_no_difference(tmp_path: Path, planned: Planner) -> None:
    raws = [
        request("C1", referral="R1"),
        answer("P1", "C1"),
        request("C1", referral="R1"),
        request("C2", number="PA1"),
        answer("P2", "C9"),
    ]
    shapes = []
    for name, size in (("all", 5), ("single", 1)):
        engine = open_database(f"sqlite:///{tmp_path}/{name}.db")
        upgrade(engine)
        journal = Journal(engine)
        for start in range(0, 5, size):
            journal.commit(planned(*raws[start : start + size]))
        journal.close()
        messages = rows(engine, "SELECT control_id, disposition FROM message ORDER BY id")
        versions = rows(
            engine, "SELECT key, version, current, status, rule FROM authorization_version ORDER BY key, version"
        )
        shapes.append((messages, versions))
    assert shapes[0] == shapes[1]


def test_p61_the_same_message_gets_its_stored_reply_and_changes_nothing(
    engine: Engine, store: Journal, planned: Planner
) -> None:
    (first,) = store.commit(planned(request("C1", number="PA1")))
    (second,) = store.commit(planned(request("C1", number="PA1").replace(b"20260301101500", b"20260301101930")))
    assert second.disposition is Disposition.DUPLICATE
    assert second.replies == first.replies
    assert second.duplicate_of == first.plan.message_id
    assert len(rows(engine, "SELECT 1 FROM authorization_version")) == 1
    twice = store.commit(planned(request("C2"), request("C2")))
    assert twice[1].replies == twice[0].replies


def test_p61_a_constant_control_id_is_no_duplicate(store: Journal, planned: Planner) -> None:
    outcomes = [store.commit(planned(request("SAME", number=f"PA{n}")))[0] for n in range(3)]
    assert [outcome.disposition for outcome in outcomes] == [Disposition.ACCEPTED] * 3


def test_p62_a_strict_channel_refuses_a_used_control_id(store: Journal, planned: Planner) -> None:
    assert store.commit(planned(request("C1"), strict=True))[0].disposition is Disposition.ACCEPTED
    (second,) = store.commit(planned(request("C1", number="PA9"), strict=True))
    assert second.disposition is Disposition.REFUSED
    assert second.reply is not None
    assert b"|205^" in second.reply
    third, fourth = store.commit(planned(request("C5"), request("C5", number="PA9"), strict=True))
    assert (third.disposition, fourth.disposition) == (Disposition.ACCEPTED, Disposition.REFUSED)


def test_a_refused_message_is_kept_and_judged_anew_when_it_comes_again(
    engine: Engine, store: Journal, planned: Planner
) -> None:
    bad = request("C1").replace(b"|ACME|", b"||")
    outcomes = [store.commit(planned(bad))[0] for _ in range(2)]
    assert [outcome.disposition for outcome in outcomes] == [Disposition.REFUSED] * 2
    assert [row[0] for row in rows(engine, "SELECT raw FROM message")] == [bad, bad]
    assert rows(engine, "SELECT 1 FROM authorization_version") == []


def test_with_several_writers_ids_grow_in_the_order_of_the_commits(engine: Engine, planned: Planner) -> None:
    first, second = Journal(engine, ids(worker=1)), Journal(engine, ids(worker=0))
    early, late = (
        planned(request("C1", number="PA1", referral="R1")),
        planned(request("C2", number="PA1", referral="R2")),
    )
    second.commit(late)
    first.commit(early)
    stored = rows(engine, "SELECT control_id FROM message ORDER BY id")
    made = rows(
        engine,
        "SELECT m.control_id FROM message m JOIN authorization_version v ON m.id = message_id ORDER BY v.version",
    )
    first.close()
    second.close()
    assert stored == [("C2",), ("C1",)]
    assert made == stored


def test_a_clock_that_was_set_back_delays_a_batch_but_stops_nothing(engine: Engine, planned: Planner) -> None:
    ahead, behind = Journal(engine, ids(lambda: now() + 3_600_000_000, worker=0)), Journal(engine, ids(worker=1))
    for writer, control_id in ((ahead, "C1"), (behind, "C2")):
        (outcome,) = writer.commit(planned(request(control_id, number="PA1", referral=control_id)))
        assert outcome.disposition is Disposition.ACCEPTED
        writer.close()


def test_a_message_that_breaks_the_batch_hurts_only_itself(
    engine: Engine, store: Journal, planned: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide = decision.decide

    def brittle(each: Plan, known: object) -> object:
        if each.header.control_id == "BAD":
            raise RuntimeError("77001 must not be logged")
        return decide(each, known)  # type: ignore[arg-type]

    monkeypatch.setattr(deciding, "decide", brittle)
    outcomes = store.commit(planned(request("C1"), request("BAD"), request("C2")))
    assert [outcome.code for outcome in outcomes] == ["AA", "AE", "AA"]
    assert outcomes[1].reply is not None
    assert b"|207^" in outcomes[1].reply
    assert rows(engine, "SELECT control_id, disposition FROM message ORDER BY id") == [
        ("C1", "accepted"), ("BAD", "failed"), ("C2", "accepted"),
    ]  # fmt: skip


def test_a_row_the_database_refuses_is_tried_alone_and_its_neighbours_live(
    engine: Engine, store: Journal, planned: Planner
) -> None:
    refuse_bad = {
        "sqlite": "CREATE TRIGGER no BEFORE INSERT ON message WHEN NEW.control_id = 'BAD'"
        " BEGIN SELECT RAISE(ABORT, 'no'); END",
        "postgresql": "ALTER TABLE message ADD CHECK (control_id <> 'BAD')",
    }
    with engine.begin() as connection:
        connection.exec_driver_sql(refuse_bad[engine.dialect.name])
    outcomes = store.commit(planned(request("C1"), request("BAD", number="PA7"), request("C2")))
    assert [outcome.code for outcome in outcomes] == ["AA", "AE", "AA"]
    assert rows(engine, "SELECT control_id FROM message ORDER BY control_id") == [("C1",), ("C2",)]
    assert rows(engine, "SELECT 1 FROM authorization_version WHERE key = 'PA7@ACME'") == []


def test_every_look_up_uses_an_index(sqlite: Engine) -> None:
    from hl7auth.store import known

    queries = [
        known._same_message_sql(3, "?"),
        *(known._records_sql(column, 3, "?") for column in ("key", "referral", "control_id")),
    ]
    for sql in queries:
        count = sql.count("?") - sql.count("'?'")
        with sqlite.connect() as connection:
            steps = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + sql, tuple(["x"] * count)).fetchall()
        texts = [str(step[3]) for step in steps]
        assert not [
            text for text in texts if text.startswith("SCAN message") or text.startswith("SCAN authorization")
        ], (sql, texts)
