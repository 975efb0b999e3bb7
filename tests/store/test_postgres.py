"""The store on a real PostgreSQL server: several processes on one database, and a server that goes and comes back."""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, event

from hl7auth.errors import UserError
from hl7auth.flow.channel import Channel
from hl7auth.flow.decision import Disposition, Outcome
from hl7auth.flow.intake import plan
from hl7auth.observe import ids, now
from hl7auth.store.database import HEAD, connect, lock_writers, open_database, require_current, soundness, upgrade
from hl7auth.store.journal import Journal
from hl7auth.store.rebuild import rebuild
from tests.cli.inline import run
from tests.engine import answer, request
from tests.messages import shipped_channel
from tests.serving import Line, Serving
from tests.store import postgres
from tests.store.tables import metadata

new_id = ids()


@pytest.fixture
def url() -> str:
    return postgres.shared().database()


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = open_database(url)
    upgrade(engine)
    yield engine
    engine.dispose()


def take_in(journal: Journal, *raws: bytes, on: Channel | None = None) -> list[Outcome]:
    return journal.commit([plan(raw, on or shipped_channel(), now(), new_id) for raw in raws])


def rows(engine: Engine, sql: str) -> list[tuple[Any, ...]]:
    with connect(engine) as connection:
        return [tuple(row) for row in connection.exec_driver_sql(sql)]


def setting(engine: Engine, name: str) -> object:
    return rows(engine, f"SHOW {name}")[0][0]


def test_a_migrated_schema_equals_a_fresh_one(url: str, engine: Engine) -> None:
    fresh = open_database(postgres.shared().database())
    metadata.create_all(fresh)
    shapes = []
    for each in (engine, fresh):
        with connect(each) as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        indexes = rows(each, "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexdef")
        shapes.append([row for row in indexes if "alembic_version" not in row[0]])
        each.dispose()
    assert shapes[0] == shapes[1]
    assert upgrade(open_database(url)) == (HEAD, HEAD)


def test_processes_that_start_together_make_one_schema(url: str) -> None:
    engines = [open_database(url) for _ in range(4)]
    with ThreadPoolExecutor(len(engines)) as pool:
        assert {after for _, after in pool.map(upgrade, engines)} == {HEAD}
    for engine in engines:
        require_current(engine)
        engine.dispose()


def test_a_commit_is_on_disk_whatever_the_database_was_set_to(url: str) -> None:
    name = url.rpartition("/")[2].partition("?")[0]
    postgres.shared().say(f"ALTER DATABASE {name} SET synchronous_commit = off")
    postgres.shared().say(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    engine = open_database(url)
    with connect(engine) as connection:
        connection.rollback()
    assert setting(engine, "synchronous_commit") == "on"
    assert setting(engine, "transaction_isolation") == "read committed"
    assert setting(engine, "lock_timeout") == "2s"
    engine.dispose()


def test_a_stricter_commit_stays_as_it_was_set(url: str) -> None:
    name = url.rpartition("/")[2].partition("?")[0]
    postgres.shared().say(f"ALTER DATABASE {name} SET synchronous_commit = remote_apply")
    engine = open_database(url)
    assert setting(engine, "synchronous_commit") == "remote_apply"
    engine.dispose()


def test_a_server_that_does_not_sync_is_not_sound(engine: Engine) -> None:
    assert soundness(engine) == []
    with postgres.Server(fsync="off") as server:
        forgetful = server.database()
        run("db", "upgrade", database=forgetful)
        found = run("db", "check", database=forgetful)
    assert found.code == 1
    assert "fsync = off" in found.out


def test_commands_work_by_url(url: str) -> None:
    assert run("db", "check", database=url).code == 1
    assert f"schema none -> {HEAD}" in run("db", "upgrade", database=url).out
    engine = open_database(url)
    journal = Journal(engine)
    take_in(journal, request("C1", referral="R1"), answer("P1", "C1", referral="R1"), request("C1", referral="R1"))
    journal.close()
    engine.dispose()
    found = run("db", "check", "--rebuild", "--format", "json", database=url)
    assert (found.code, found.document["rebuild"]["equal"], found.document["rebuild"]["messages"]) == (0, True, 3)
    assert len(run("message", "list", "--format", "json", database=url).document) == 3
    story = run("authorization", "history", "PA1@ACME", "--format", "json", database=url)
    assert story.code == 0


def test_what_can_not_be_opened_is_one_sentence_without_a_password(tmp_path: Path) -> None:
    nobody = open_database(f"postgresql://me:secret@/store?host={tmp_path}")
    with pytest.raises(UserError, match="can not open the database postgresql") as told:
        connect(nobody)
    assert "secret" not in str(told.value)
    assert "\n" not in str(told.value)
    with pytest.raises(UserError, match="only sqlite:// and postgresql:// will do"):
        open_database("mysql://me:secret@localhost/store")
    with pytest.raises(UserError, match="the driver is psycopg"):
        open_database("postgresql+psycopg2://localhost/store")


def test_ids_grow_in_the_order_of_the_commits_whoever_makes_them(engine: Engine) -> None:
    """Two processes may give the same id, and the one that planned first may commit last."""
    journals = [Journal(engine), Journal(engine)]
    early, late = (
        [plan(request(name, number="PA1", referral=name), shipped_channel(), now(), itertools.count(first).__next__)]
        for name, first in (("C1", 1), ("C2", 1))
    )
    (second,), (first,) = journals[1].commit(late), journals[0].commit(early)
    assert rows(engine, "SELECT control_id FROM message ORDER BY id") == [("C2",), ("C1",)]
    assert rows(engine, "SELECT control_id FROM authorization_version WHERE key = 'PA1@ACME' ORDER BY version") == [
        ("C2",), ("C1",),
    ]  # fmt: skip
    assert not {*first.plan.reply_ids} & {*second.plan.reply_ids}
    for journal in journals:
        journal.close()


def test_who_waits_too_long_for_another_tells_the_senders(engine: Engine) -> None:
    journal = Journal(engine)
    with connect(engine) as slow, slow.begin():
        lock_writers(slow)
        outcomes = take_in(journal, request("C1"), request("C2", number="PA2"))
        assert [(outcome.disposition, outcome.code) for outcome in outcomes] == [(Disposition.FAILED, "AE")] * 2
    assert [outcome.code for outcome in take_in(journal, request("C1"))] == ["AA"]
    journal.close()


def cut(connection: Connection) -> None:
    """Ends the session of a connection, as an administrator does."""
    own = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
    postgres.shared().say(f"SELECT pg_terminate_backend({own}, 10000)")


def cut_before(connection: Connection) -> None:
    cut(connection)


def cut_after(connection: Connection) -> None:
    """The commit is done, and nobody hears of it."""
    own = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
    driver: Any = connection.connection.driver_connection
    driver.commit()
    postgres.shared().say(f"SELECT pg_terminate_backend({own}, 10000)")
    connection.exec_driver_sql("SELECT 1")


@pytest.mark.parametrize("happens", [cut_before, cut_after])
def test_a_commit_that_is_cut_off_is_there_once(engine: Engine, happens: Callable[[Connection], None]) -> None:
    journal = Journal(engine)
    done: list[bool] = []

    def once(connection: Connection) -> None:
        if not done:
            done.append(True)
            happens(connection)

    event.listen(engine, "commit", once)
    outcomes = take_in(journal, request("C1", number="PA1"), request("C2", number="PA1", referral="R2"))
    journal.close()
    assert done
    assert [outcome.disposition for outcome in outcomes] == [Disposition.ACCEPTED] * 2
    assert rows(engine, "SELECT id, control_id, disposition FROM message ORDER BY id") == [
        (outcome.plan.message_id, name, "accepted") for outcome, name in zip(outcomes, ("C1", "C2"), strict=True)
    ]
    assert rows(engine, "SELECT version, current FROM authorization_version WHERE key = 'PA1@ACME' ORDER BY 1") == [
        (1, 0), (2, 1),
    ]  # fmt: skip


def test_two_transactions_in_each_others_way_come_one_after_the_other(
    url: str, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """A real deadlock, in which the journal is the victim: it commits when the other one is through."""
    name = url.rpartition("/")[2].partition("?")[0]
    postgres.shared().say(f"ALTER DATABASE {name} SET deadlock_timeout = '500ms'")  # else a second
    journal = Journal(engine)
    take_in(journal, request("C1", number="PA1"))
    journal.close()
    with connect(engine) as other, ThreadPoolExecutor(1) as pool:
        with other.begin():
            other.exec_driver_sql("SET LOCAL deadlock_timeout = '1min'")  # the journal finds out first
            other.exec_driver_sql("SET LOCAL lock_timeout = 0")
            other.exec_driver_sql("UPDATE authorization_version SET status = status WHERE key = 'PA1@ACME'")
            done = pool.submit(take_in, journal, request("C2", number="PA1", referral="R2"))
            while not rows(engine, "SELECT 1 FROM pg_locks WHERE NOT granted"):
                pass
            lock_writers(other)
        (outcome,) = done.result()
    journal.close()
    assert outcome.disposition is Disposition.ACCEPTED
    assert rows(engine, "SELECT control_id, disposition FROM message ORDER BY id") == [
        ("C1", "accepted"), ("C2", "accepted"),
    ]  # fmt: skip
    assert rows(engine, "SELECT version, current FROM authorization_version ORDER BY 1") == [(1, 0), (2, 1)]
    assert [each.__dict__["action"] for each in caplog.records] == ["store.again"]


def test_what_postgresql_can_not_keep_is_refused_alone(engine: Engine) -> None:
    """Its texts hold no NUL."""
    journal = Journal(engine)
    outcomes = take_in(journal, request("C1"), request("C\x002"), request("C3"))
    assert [outcome.code for outcome in outcomes] == ["AA", "AE", "AA"]
    journal.close()


def hammer(ports: list[int], messages: list[bytes]) -> list[str]:
    """Sends every message to every port at the same time, over three connections each; returns all replies."""

    def sender(job: tuple[int, int]) -> list[str]:
        port, first = job
        with Line(port) as line:
            return [line.ask(message) for message in messages[first::3]]

    jobs = [(port, first) for first in range(3) for port in ports]
    with ThreadPoolExecutor(len(jobs)) as pool:
        return [reply for replies in pool.map(sender, jobs) for reply in replies]


def test_two_processes_come_out_as_one_and_survive_a_crash_of_the_server(tmp_path: Path) -> None:
    """One authorization and, half of the time, one control id; every message is sent to both processes."""
    count = 60
    names = [f"C{number}" if number % 2 else "SAME" for number in range(count)]
    messages = [request(name, number="PA1", referral=f"R{number}") for number, name in enumerate(names)]
    half = count // 2
    with postgres.Server() as server:
        url = server.database()
        folders = [tmp_path / name for name in ("one", "other")]
        for folder in folders:
            folder.mkdir()
        with ThreadPoolExecutor(2) as pool:  # both migrate
            one, other = pool.map(lambda folder: Serving(folder, 1, url), folders)
        with one, other:
            ports = [one.port, other.port]
            replies = hammer(ports, messages[:half])
            with Line(one.port) as left, Line(other.port) as right:
                assert [line.ask(messages[0]) for line in (left, right)] == ["AA SAME"] * 2
                server.stop("immediate")
                assert [line.ask(messages[half]) for line in (left, right)] == ["AE SAME"] * 2
                server.start()
                assert [line.ask(messages[half]) for line in (left, right)] == ["AA SAME"] * 2
            replies += hammer(ports, messages[half:])
        assert {reply[:2] for reply in replies} == {"AA"}
        engine = open_database(url)
        accepted = rows(engine, "SELECT digest FROM message WHERE disposition = 'accepted'")
        assert len(accepted) == len(set(accepted)) == count
        found = rows(engine, "SELECT version, current FROM authorization_version WHERE key = 'PA1@ACME' ORDER BY 1")
        assert found == [(version, int(version == count)) for version in range(1, count + 1)]
        report = rebuild(engine, {"referral-intake": shipped_channel()})
        assert (report.differences, report.messages) == ([], 2 * count + 4)
        engine.dispose()
