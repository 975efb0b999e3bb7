"""Opening the database: the engine, SQLite's pragmas, and the schema's revision.

Imports sqlalchemy, alembic (only when a migration runs) and errors.
"""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from hl7auth.errors import UserError

HEAD = "0003"
"""The revision this code works with."""

_MIGRATIONS = Path(__file__).parent / "migrations"


def open_database(url: str, *, create: bool = True) -> Engine:
    """An engine for the URL, not yet connected. Raises UserError for a URL nobody understands or a missing file.

    SQLite: WAL, and synchronous=FULL, so that a commit has reached the disk when it returns. Transactions are begun by
    us (the driver begins them too late), and as IMMEDIATE, so that a writer waits at its start and not in the middle.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            _prepare_file(parsed.database, create)
        engine = create_engine(parsed)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise UserError(f"can not open the database '{url}': {error}") from None
    if parsed.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _set_pragmas)
        event.listen(engine, "begin", _begin)
    return engine


def connect(engine: Engine) -> Connection:
    """A connection, or a UserError that says in a sentence why there is none."""
    try:
        return engine.connect()
    except DBAPIError as error:
        raise UserError(f"can not open the database {engine.url.render_as_string()}: {error.orig}") from None


def revision(connection: Connection) -> str | None:
    """The revision of the schema; None for an empty database. Raises UserError for one that is not ours."""
    tables = inspect(connection).get_table_names()
    if "alembic_version" not in tables:
        if tables:
            raise UserError("the database holds tables of another program")
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return str(found) if found is not None else None


def require_current(engine: Engine) -> None:
    """Raises UserError when the schema is older or newer than this code."""
    with connect(engine) as connection:
        found = _own_revision(connection)
    if found != HEAD:
        raise UserError(
            f"the database has schema revision {found or 'none'}, this version needs {HEAD}: {_advice(found)}"
        )


def upgrade(engine: Engine) -> tuple[str | None, str]:
    """Brings the schema to HEAD; returns the revision before and after. Raises UserError for a newer database."""
    with connect(engine) as connection:
        before = _own_revision(connection)
        if before is not None and before > HEAD:
            raise UserError(f"the database has schema revision {before}, this version needs {HEAD}: {_advice(before)}")
    if before != HEAD:
        _migrate(engine)
    return before, HEAD


def _advice(found: str | None) -> str:
    if found is not None and found > HEAD:
        return "it was written by a newer hl7auth; use that version"
    return "run `hl7auth db upgrade`"


def _own_revision(connection: Connection) -> str | None:
    try:
        return revision(connection)
    except DBAPIError as error:
        raise UserError(f"can not read the database {connection.engine.url.render_as_string()}: {error.orig}") from None


def _migrate(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _prepare_file(database: str | None, create: bool) -> None:
    if database in (None, "", ":memory:"):
        return
    path = Path(str(database))
    if not create and not path.exists():
        raise UserError(f"there is no database at {path}; `hl7auth serve` or `hl7auth db upgrade` makes one")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"can not make the folder {path.parent}: {error.strerror}") from None


def _set_pragmas(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout = 2000")  # milliseconds; the senders wait as long, and may then send again
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA cache_size = -65536")  # 64 MiB: the indexes of a few million messages
    cursor.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get("reads_only") else "BEGIN IMMEDIATE")


def soundness(engine: Engine) -> list[str]:
    """What SQLite's own check finds wrong; empty for a sound database, and for servers that check themselves."""
    if engine.dialect.name != "sqlite":
        return []
    with connect(engine.execution_options(reads_only=True)) as connection:
        found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA quick_check(20)")]
    return [] if found == ["ok"] else found
