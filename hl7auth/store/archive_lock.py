"""One at a time changes the archive of a database, or runs a replay: locks that end with their process.

Imports sqlalchemy, store.database and errors only.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from hl7auth.errors import UserError
from hl7auth.store.database import connect

SUFFIX = "-archive"
"""The lock file beside SQLite's is named like its own companions, `-wal` and `-shm`."""


class Lock(NamedTuple):
    """What is locked: the end of the file's name, the number of the lock on a server, and what others are told."""

    suffix: str
    number: int
    busy: str


ARCHIVE = Lock(SUFFIX, 4717, "another seal, prune or import of this database is under way: nothing was changed")
REPLAY = Lock("-replay", 4718, "another replay of this database is running: nothing was done")


@contextmanager
def only_one(engine: Engine, lock: Lock = ARCHIVE) -> Iterator[None]:
    """Nobody else seals, prunes or imports (or replays) meanwhile. Raises UserError where somebody does."""
    if engine.dialect.name == "postgresql":
        with connect(engine) as connection:  # the lock is the session's, and not that of a transaction
            connection.execution_options(isolation_level="AUTOCOMMIT")
            if not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({lock.number})").scalar():
                raise UserError(lock.busy)
            try:
                yield
            finally:  # the session may be kept for others; where it is cut, its locks are gone with it
                with suppress(DBAPIError):
                    connection.exec_driver_sql(f"SELECT pg_advisory_unlock({lock.number})")
        return
    path = (engine.url.database or "") + lock.suffix
    if path == lock.suffix or ":memory:" in path:
        raise UserError("a database in memory has no archive")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise UserError(f"can not open the lock file {path}: {error.strerror}") from None
    try:
        _lock(descriptor, lock.busy)
        yield
    finally:
        os.close(descriptor)


def is_taken(engine: Engine, lock: Lock) -> bool:
    """Does somebody have it just now?"""
    try:
        with only_one(engine, lock):
            return False
    except UserError:
        return True


def _lock(descriptor: int, busy: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(busy) from None
