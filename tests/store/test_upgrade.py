"""Old code on a new schema and new code on an old one: what fits works, what does not is refused in a sentence."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, inspect

from hl7auth.errors import UserError
from hl7auth.flow.outbox import Delivery
from hl7auth.observe import now
from hl7auth.store import database
from hl7auth.store.channel_versions import keep_versions
from hl7auth.store.database import HEAD, OLDEST, open_database, prepare, require_current, revision, upgrade
from hl7auth.store.deliveries import write_deliveries
from hl7auth.store.journal import Journal
from hl7auth.store.queue import Queue
from tests.cli.inline import run
from tests.engine import answer, request
from tests.messages import shipped_channel
from tests.running import Running
from tests.serving import Line
from tests.store import postgres
from tests.store.test_postgres import rows, take_in

LATER = "0999"
MUST, UNIQUE = " must be given", " is unique"
REVISIONS = [f"{number:04d}" for number in range(1, int(HEAD) + 1)]
EXPANDS = [each for each in REVISIONS if each > OLDEST]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    return f"sqlite:///{tmp_path}/north.db" if request.param == "sqlite" else postgres.shared().database()


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = open_database(url)
    yield engine
    engine.dispose()


def expand(engine: Engine, works_with: str | None = HEAD) -> None:
    """What a later release does: a column on every table that we write, a table, an index, and its word about us."""
    upgrade(engine)
    with engine.begin() as connection:
        for table in ("message", "authorization_version", "delivery", "message_field", "channel_version"):
            connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN later TEXT")
            connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN counted INTEGER NOT NULL DEFAULT 7")
        connection.exec_driver_sql("CREATE TABLE later_table (id INTEGER PRIMARY KEY)")
        connection.exec_driver_sql("CREATE INDEX later_index ON message (facility, later)")
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{LATER}'")
        if works_with is not None:
            connection.exec_driver_sql(f"INSERT INTO schema_revision VALUES ('{LATER}', '{works_with}')")


def works(engine: Engine) -> None:
    """Takes messages in, answers what comes again, sends on."""
    keep_versions(engine, [shipped_channel()], now())
    journal = Journal(engine)
    outcomes = take_in(
        journal, request("C1", referral="R1"), answer("P1", "C1", referral="R1"), request("C1", referral="R1")
    )
    assert [outcome.disposition for outcome in outcomes] == ["accepted", "accepted", "duplicate"]
    (again,) = take_in(journal, request("C1", referral="R1"))
    assert again.replies == outcomes[0].replies
    journal.close()
    assert rows(engine, "SELECT count(*) FROM authorization_version WHERE current = 1") == [(2,)]
    with engine.begin() as connection:
        number = outcomes[0].plan.message_id
        write_deliveries(connection, [Delivery(number, "north/copy", ("lane",), now())])
    queue = Queue(engine, "north/copy", "me")
    (claimed,) = queue.exchange([], 10, now()).claimed
    assert claimed.raw == request("C1", referral="R1")
    queue.close()


def test_this_code_works_on_the_schema_of_the_release_before(url: str, engine: Engine) -> None:
    database._migrate(engine, OLDEST)
    prepare(engine, migrate=False)
    works(engine)
    assert rows(engine, "SELECT version_num FROM alembic_version") == [(OLDEST,)]
    assert run("message", "list", "--format", "json", database=url).code == 0
    assert upgrade(engine) == (OLDEST, HEAD)  # beside what was written meanwhile
    assert rows(engine, "SELECT count(*) FROM message") == [(4,)]


def test_this_code_works_on_the_schema_of_the_release_after(url: str, engine: Engine) -> None:
    expand(engine)
    prepare(engine, migrate=True)
    assert upgrade(engine) == (LATER, LATER)
    works(engine)
    assert rows(engine, "SELECT DISTINCT later, counted FROM message") == [(None, 7)]
    assert run("message", "list", "--format", "json", database=url).code == 0
    assert run("db", "check", "--format", "json", database=url).document["schema"] == LATER


def test_a_schema_that_grows_under_an_engine_does_not_stop_it(tmp_path: Path) -> None:
    with Running(tmp_path) as running, Line(running.port) as line:
        assert line.ask(request("C1")) == "AA C1"
        grown = open_database(f"sqlite:///{tmp_path}/north.db")
        expand(grown)
        grown.dispose()
        assert line.ask(request("C2")) == "AA C2"
        assert line.ask(request("C1")) == "AA C1"


@pytest.mark.parametrize("works_with", [None, LATER])
def test_a_later_schema_that_is_not_for_this_code_is_refused(engine: Engine, works_with: str | None) -> None:
    expand(engine, works_with)
    for act in (upgrade, require_current):
        with pytest.raises(UserError, match=f"revision {LATER}, this version needs {HEAD}: .*newer hl7auth"):
            act(engine)


def test_a_schema_that_is_too_old_asks_for_the_upgrade(engine: Engine) -> None:
    database._migrate(engine, REVISIONS[REVISIONS.index(OLDEST) - 1])
    with pytest.raises(UserError, match="run `hl7auth db upgrade`"):
        prepare(engine, migrate=False)
    prepare(engine, migrate=True)
    with engine.connect() as connection:
        assert revision(connection) == HEAD


def shape(engine: Engine) -> dict[str, Any]:
    """What old code relies on: tables, columns with their types, and what must be given or be unique."""
    found = inspect(engine)
    shapes: dict[str, Any] = {}
    for table in found.get_table_names():
        for column in found.get_columns(table):
            shapes[f"{table}.{column['name']}"] = str(column["type"])
            if not column["nullable"] and column["default"] is None:
                shapes[f"{table}.{column['name']}{MUST}"] = True
        for index in [*found.get_indexes(table), *found.get_unique_constraints(table)]:
            if index.get("unique", True):
                shapes[f"{table} {index['name']}{UNIQUE}"] = index["column_names"]
        shapes[f"{table} key"] = found.get_pk_constraint(table)["constrained_columns"]
    return shapes


def test_a_migration_that_old_code_is_to_live_with_only_adds(engine: Engine) -> None:
    database._migrate(engine, OLDEST)
    before = shape(engine)
    for each in EXPANDS:
        database._migrate(engine, each)
        after = shape(engine)
        said = rows(engine, f"SELECT works_with FROM schema_revision WHERE revision = '{each}'")
        assert said, f"migration {each} adds no row to schema_revision (docs/why/upgrades.md)"
        works_with = said[0][0]
        assert works_with <= each
        if works_with < each:
            assert {name: kind for name, kind in after.items() if name in before} == before
            new = [name for name in after.keys() - before.keys() if name.endswith((MUST, UNIQUE))]
            assert [name for name in new if f"{name.partition('.')[0].partition(' ')[0]} key" in before] == []
        before = after
