"""Opening and migrating: a fresh schema equals a migrated one, and a person's mistakes are one sentence."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from hl7auth.errors import UserError
from hl7auth.store.database import HEAD, connect, open_database, require_current, revision, soundness, upgrade
from tests.store.tables import metadata


def test_a_migrated_schema_equals_a_fresh_one(tmp_path: Path) -> None:
    migrated = open_database(f"sqlite:///{tmp_path}/migrated.db")
    assert upgrade(migrated) == (None, HEAD)
    assert upgrade(migrated) == (HEAD, HEAD)
    with migrated.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        migrated_sql = _schema(connection)
    fresh = open_database(f"sqlite:///{tmp_path}/fresh.db")
    metadata.create_all(fresh)
    with fresh.connect() as connection:
        assert _schema(connection) == {name: sql for name, sql in migrated_sql.items() if name != "alembic_version"}


def test_a_file_that_is_gone_is_not_made_anew_and_may_come_back(tmp_path: Path) -> None:
    path, away = tmp_path / "it.db", tmp_path / "away.db"
    engine = open_database(f"sqlite:///{path}")
    upgrade(engine)
    with engine.connect() as held:  # whoever comes now needs a connection of its own
        path.rename(away)
        with pytest.raises(UserError, match="it is gone"):
            connect(engine)
        assert not path.exists()
        away.rename(path)
        with connect(engine) as connection:
            assert revision(connection) == HEAD
        held.rollback()


def _schema(connection: Connection) -> dict[str, str]:
    rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: " ".join(sql.replace('"', "").split()) for name, sql in rows}


def test_a_database_from_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/new.db")
    upgrade(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for act in (upgrade, require_current):
        with pytest.raises(UserError, match="newer hl7auth"):
            act(engine)


def test_an_old_or_empty_database_asks_for_the_upgrade(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/empty.db")
    with pytest.raises(UserError, match="db upgrade"):
        require_current(engine)


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/other.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE theirs (x)")
    with engine.connect() as connection, pytest.raises(UserError, match="another program"):
        revision(connection)


def test_what_is_no_database_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database at all, but long enough to be read as one" * 40)
    with pytest.raises(UserError, match="not a database"):
        upgrade(open_database(f"sqlite:///{tmp_path}/text.db"))
    with pytest.raises(UserError, match="there is no database"):
        open_database(f"sqlite:///{tmp_path}/none.db", create=False)
    with pytest.raises(UserError, match="can not open the database 'nonsense'"):
        open_database("nonsense")
    with pytest.raises(UserError, match="can not open the database 'nosuch://x'"):
        open_database("nosuch://x")
    with pytest.raises(UserError, match="can not make the folder"):
        open_database(f"sqlite:///{tmp_path}/text.db/below/x.db")


def test_soundness_finds_a_damaged_file(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/store.db")
    upgrade(engine)
    assert soundness(engine) == []
    with connect(engine) as connection:
        connection.exec_driver_sql("PRAGMA writable_schema = ON")
        connection.exec_driver_sql("UPDATE sqlite_master SET rootpage = 3 WHERE name = 'message_control_id'")
        connection.commit()
    engine.dispose()
    assert soundness(engine) != []
