"""Opening the database: the engine, what each session of SQLite or PostgreSQL is told, and the schema's revision.

Imports sqlalchemy, alembic (only when a migration runs) and errors.
"""

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from hl7auth.errors import UserError

HEAD = "0017"
"""The revision of the schema that this code makes."""

OLDEST = "0012"
"""The oldest revision that this code can work on; what came later it has to do without (docs/why/upgrades.md)."""

_MIGRATIONS = Path(__file__).parent / "migrations"

_OLDEST_SERVER = 150_000
"""PostgreSQL 15, as it tells its version itself."""

_WAIT = {"connect_timeout": 2, "tcp_user_timeout": 5_000}
"""Seconds for a new connection, and milliseconds for what a server does not confirm; a URL may say otherwise."""

_BUSY_MS = 2_000
"""How long a writer of a file waits for others; the senders wait as long, and may then send again."""

_LOOK_SECONDS = 0.0005

_WRITE_LOCK = "SELECT pg_advisory_xact_lock(4715)"
"""Whatever the number: nobody else takes such locks in a database of ours."""


def open_database(url: str, *, create: bool = True, pooled: bool = False) -> Engine:
    """An engine for the URL, not yet connected. Raises UserError for a URL nobody understands or a missing file.

    SQLite: WAL, and synchronous=FULL, so that a commit has reached the disk when it returns. Transactions are begun by
    us (the driver begins them too late), and as IMMEDIATE, so that a writer waits at its start and not in the middle.
    Who waits looks for its turn every half millisecond: SQLite itself would sleep longer and longer, up to 100 ms, and
    so never have a turn beside another process that writes often.

    `pooled` keeps connections of a server for those who ask often and briefly; each is tried before it is used.

    PostgreSQL: READ COMMITTED, so that who waited for another writer then sees what it wrote, and synchronous_commit.
    """
    shown = url
    try:
        parsed = make_url(url)
        shown = parsed.render_as_string()
        backend = parsed.get_backend_name()
        if backend == "postgresql":
            return _on_server(parsed, pooled)
        if backend != "sqlite":
            parsed.get_dialect()  # says so where it is none at all
            raise ArgumentError("only sqlite:// and postgresql:// will do")
        _prepare_file(parsed.database, create)
        engine = create_engine(parsed)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise UserError(f"can not open the database '{shown}': {error}") from None
    _never_anew(engine)
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    return engine


def _on_server(url: URL, pooled: bool) -> Engine:
    """An engine for PostgreSQL by psycopg 3."""
    if url.get_driver_name() != "psycopg":
        raise ArgumentError("the driver is psycopg: postgresql://")
    waits = {name: value for name, value in _WAIT.items() if name not in url.query}
    try:
        # who needs a connection for long keeps it; a pool would give out what a restart of the server has cut
        pool: dict[str, Any] = (
            {"pool_pre_ping": True, "pool_size": 16, "pool_use_lifo": True} if pooled else {"poolclass": NullPool}
        )
        engine = create_engine(url, isolation_level="READ COMMITTED", connect_args=waits, **pool)
    except ImportError as error:
        raise ArgumentError(f"{error}: pip install 'hl7auth[postgres]'") from None
    event.listen(engine, "connect", _set_session)
    return engine


def lock_writers(connection: Connection) -> None:
    """Makes this transaction the only one that takes messages in; waits for another, as SQLite does at BEGIN.

    One lock for all, and not one for each authorization: what a message touches is known only when it has been looked
    up (a referral has members, a request has answers), and the order of the commits has to be the order of the ids.
    What was committed before is seen by every statement after this one. Raises OperationalError after two seconds.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_WRITE_LOCK)


class KeptFile:
    """The file of a SQLite database, which has to stay the one that was opened; nothing for other databases.

    SQLite itself goes on in a file that was deleted or replaced, and what is committed there is found by nobody.
    """

    def __init__(self, engine: Engine) -> None:
        database = engine.url.database
        is_file = engine.dialect.name == "sqlite" and database not in (None, "", ":memory:")
        self._path = str(database) if is_file and not str(database).startswith("file:") else ""
        self._opened = self._now()

    def require(self) -> None:
        """Raises UserError when it is not in its place; costs one look at the folder."""
        if self._path and self._now() != self._opened:
            text = "put that file back, or start the engine anew"
            raise UserError(f"the database {self._path} is gone, or another file is in its place: {text}")

    def _now(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path) if self._path else None
        except OSError:
            return None
        return None if found is None else (found.st_dev, found.st_ino)


def without_password(url: str) -> str:
    """The URL as it may be shown; nothing of one that nobody understands."""
    try:
        return make_url(url).render_as_string()
    except ArgumentError:
        return "the database"


def connect(engine: Engine) -> Connection:
    """A connection, or a UserError that says in a sentence why there is none."""
    try:
        return engine.connect()
    except DBAPIError as error:
        said = str(error.orig).strip().partition("\n")[0]
        raise UserError(f"can not open the database {engine.url.render_as_string()}: {said}") from None


def revision(connection: Connection) -> str | None:
    """The revision of the schema; None for an empty database. Raises UserError for one that is not ours."""
    tables = inspect(connection).get_table_names()
    if "alembic_version" not in tables:
        if tables:
            raise UserError("the database holds tables of another program")
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return str(found) if found is not None else None


def require_current(engine: Engine) -> str:
    """The revision of a schema that this code can work on. Raises UserError for one that is too old or too new."""
    with connect(engine) as connection:
        found = _own_revision(connection)
        if found is not None and found >= OLDEST and _reaches_back(connection, found):
            return found
    raise _unfit(found)


def upgrade(engine: Engine) -> tuple[str | None, str]:
    """Brings the schema to HEAD; returns the revision before and after. What is newer and fits is left as it is.

    Raises UserError for a newer database that does not.
    """
    with connect(engine) as connection:
        before = _own_revision(connection)
        if before is not None and before > HEAD:
            if _reaches_back(connection, before):
                return before, before
            raise _unfit(before)
    if before != HEAD:
        _migrate(engine)
    return before, HEAD


def prepare(engine: Engine, *, migrate: bool) -> None:
    """What an engine does at its start: brings the schema to HEAD, or makes sure that it can work on what is there.

    Raises UserError.
    """
    if migrate:
        upgrade(engine)
    else:
        require_current(engine)


def _reaches_back(connection: Connection, found: str) -> bool:
    """Says the schema itself that code like this one may work on it? An older schema can not know, nor need it."""
    if found <= HEAD:
        return True
    sql = "SELECT works_with FROM schema_revision WHERE revision = :found"
    works_with = connection.execute(text(sql), {"found": found}).scalar()
    return works_with is not None and str(works_with) <= HEAD


def _unfit(found: str | None) -> UserError:
    newer = found is not None and found > HEAD
    advice = "it was written by a newer hl7auth; use that version" if newer else "run `hl7auth db upgrade`"
    return UserError(f"the database has schema revision {found or 'none'}, this version needs {HEAD}: {advice}")


def _own_revision(connection: Connection) -> str | None:
    try:
        return revision(connection)
    except DBAPIError as error:
        raise UserError(f"can not read the database {connection.engine.url.render_as_string()}: {error.orig}") from None


def _migrate(engine: Engine, to: str = "head") -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    with connect(engine) as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            # another process may be at it; what takes long is waited for, and then there is nothing left to do
            connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        lock_writers(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, to)


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


def _never_anew(engine: Engine) -> None:
    """Only its first connection may make a file: an empty one in the place of one that is gone for a while, with
    companions of its own, would spoil the one that comes back."""
    database = engine.url.database or ""
    if database in ("", ":memory:") or database.startswith("file:"):
        return
    opened = False

    def stays(*_: object) -> None:
        if opened and not Path(database).exists():
            raise sqlite3.OperationalError("unable to open database file: it is gone")

    def is_open(*_: object) -> None:
        nonlocal opened
        opened = True

    event.listen(engine, "do_connect", stays)
    event.listen(engine, "connect", is_open)


def _set_pragmas(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA cache_size = -65536")  # 64 MiB: the indexes of a few million messages
    # 16 MiB of write-ahead log: a page that many transactions wrote goes into the database once
    cursor.execute("PRAGMA wal_autocheckpoint = 4096")
    cursor.close()


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get("each_alone"):  # every statement sees what is committed then
        return
    if connection.get_execution_options().get("reads_only"):
        connection.exec_driver_sql("BEGIN")
        return
    if connection.get_execution_options().get("impatient"):  # told at once that it is locked, and asks again
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    driver: Any = connection.connection.dbapi_connection
    driver.execute("PRAGMA busy_timeout = 0")  # or SQLite waits by itself
    try:
        _take_turn(driver, connection)
    finally:
        driver.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")


def _take_turn(driver: Any, connection: Connection) -> None:
    until = time.monotonic() + _BUSY_MS / 1_000
    while time.monotonic() < until:
        try:
            driver.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                break
        else:
            return
        time.sleep(_LOOK_SECONDS)
    connection.exec_driver_sql("BEGIN IMMEDIATE")  # what goes wrong here is told as with any statement


def _set_session(connection: Any, _record: object) -> None:
    """What a server, a role or a database may have set otherwise. Raises UserError for a server that is too old."""
    if connection.info.server_version < _OLDEST_SERVER:
        connection.close()
        raise UserError("the database server is older than PostgreSQL 15")
    cursor = connection.cursor()
    if cursor.execute("SHOW synchronous_commit").fetchone()[0] == "off":
        cursor.execute("SET synchronous_commit = on")
    cursor.execute("SET lock_timeout = '2s'")  # as long as with SQLite
    cursor.close()
    connection.commit()  # or the first rollback takes it back


def soundness(engine: Engine) -> list[str]:
    """What is wrong with the store itself; empty for a sound one.

    SQLite checks its file. A server checks itself, but has to keep what it confirms: with `fsync = off` it does not.
    """
    with connect(engine.execution_options(reads_only=True)) as connection:
        if engine.dialect.name == "sqlite":
            found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA quick_check(20)")]
            return [] if found == ["ok"] else found
        names = ("fsync", "full_page_writes")
        off = [name for name in names if connection.exec_driver_sql(f"SHOW {name}").scalar() == "off"]
        return [f"the server runs with {name} = off: a power cut loses what was confirmed" for name in off]
