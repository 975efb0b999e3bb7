"""Statements given to the driver itself: the same rows as by SQLAlchemy, and errors as it tells them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DataError, IntegrityError, OperationalError

from hl7auth.store.database import open_database, upgrade
from hl7auth.store.direct import ask, insert_all, write_all
from hl7auth.store.schema import message, message_field
from tests.store import postgres

FIELDS = ("field", "value", "message_id")
MESSAGE = (
    "id", "channel", "received_at", "peer", "control_id", "digest", "message_type", "trigger_event", "version",
    "sender", "facility", "disposition", "code", "duplicate_of", "raw", "reply",
)  # fmt: skip
ROW = (7, "c", 2**60, "peer", "C1", -(2**62), "RQA", "I08", "2.5", "É", "", "accepted", "", None, b"MSH|\x00\xff", None)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    on_server = request.param == "postgresql"
    engine = open_database(postgres.shared().database() if on_server else f"sqlite:///{tmp_path}/store.db")
    upgrade(engine)
    yield engine
    engine.dispose()


def test_what_is_inserted_is_there_as_it_was_given(engine: Engine) -> None:
    with engine.begin() as connection:
        insert_all(connection, message, MESSAGE, [ROW])
        insert_all(connection, message, MESSAGE, [])
        found = ask(connection, f"SELECT {', '.join(MESSAGE)} FROM message", ())
    assert [tuple(row) for row in found] == [ROW]


def test_a_row_that_is_there_already_is_an_integrity_error(engine: Engine) -> None:
    with pytest.raises(IntegrityError), engine.begin() as connection:
        insert_all(connection, message_field, FIELDS, [("AUT-6.1", "PA1", 1), ("AUT-6.1", "PA1", 1)])
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM message_field")).scalar() == 0


def test_a_statement_that_is_wrong_is_told_as_by_sqlalchemy(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/store.db")
    with engine.connect() as connection, connection.begin():
        with pytest.raises(OperationalError, match="no such table: nowhere"):
            ask(connection, "SELECT * FROM nowhere", ())
        with pytest.raises(OperationalError, match="no such table: nowhere"):
            write_all(connection, "DELETE FROM nowhere WHERE id = ?", [(1,)])
    engine.dispose()


def test_text_that_a_server_can_not_keep_is_a_data_error() -> None:
    engine = open_database(postgres.shared().database())
    upgrade(engine)
    with pytest.raises(DataError), engine.begin() as connection:
        insert_all(connection, message_field, FIELDS, [("AUT-6.1", "P\x00", 1)])
    engine.dispose()


def test_a_lost_connection_is_known_to_be_lost() -> None:
    engine = open_database(postgres.shared().database())
    upgrade(engine)
    with engine.connect() as other, engine.connect() as connection:
        (number,) = connection.exec_driver_sql("SELECT pg_backend_pid()").one()
        other.exec_driver_sql(f"SELECT pg_terminate_backend({number}, 5000)")
        with pytest.raises(OperationalError) as told:
            insert_all(connection, message_field, FIELDS, [("AUT-6.1", "PA1", 1)])
        assert told.value.connection_invalidated
        assert connection.invalidated
    engine.dispose()
