"""The audit log: what was changed, taken out, or cut off shows."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine

from hl7auth.store import audit
from hl7auth.store.database import open_database
from hl7auth.store.desk_table import audit as table
from hl7auth.store.schema import metadata
from tests.store.postgres import shared


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    made = open_database(f"sqlite:///{tmp_path}/store.db" if request.param == "sqlite" else shared().database())
    assert table.name in metadata.tables
    metadata.create_all(made)
    yield made
    made.dispose()


def add(engine: Engine, count: int = 1) -> None:
    with engine.begin() as connection:
        for at in range(count):
            audit.write(connection, "me", "charge.attach", f"CH{at}", {"units": "2.5", "für": "Ä"}, 1_000_000)


def test_the_chain_holds_and_lists_newest_first(engine: Engine) -> None:
    with engine.begin() as connection:
        assert audit.verify(connection) == (0, "")
    add(engine, 5)
    with engine.begin() as connection:
        assert audit.verify(connection) == (5, "")
        assert [each["id"] for each in audit.listed(connection, "", None, 2)] == [5, 4]
        (found,) = audit.listed(connection, "CH1", 5, 2)
        assert (found["who"], found["detail"]) == ("me", {"units": "2.5", "für": "Ä"})


@pytest.mark.parametrize(
    ("harm", "fault"),
    [
        ("UPDATE audit SET who = 'you' WHERE id = 3", "row 3 is not as it was written"),
        ("UPDATE audit SET hash = 'x' WHERE id = 5", "row 5 is not as it was written"),
        ("DELETE FROM audit WHERE id = 2", "row 2 is missing"),
        ("DELETE FROM audit WHERE id = 5", "rows after 4 are missing: there were 5"),
        ("DELETE FROM audit_end", "the end of the chain is missing"),
    ],
)
def test_what_was_done_to_it_shows(engine: Engine, harm: str, fault: str) -> None:
    add(engine, 5)
    with engine.begin() as connection:
        connection.exec_driver_sql(harm)
        assert audit.verify(connection).fault == fault


def test_many_writers_make_one_chain(engine: Engine) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: add(engine), range(20)))
    with engine.begin() as connection:
        assert audit.verify(connection) == (20, "")
