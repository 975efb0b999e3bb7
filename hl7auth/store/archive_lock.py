"""One at a time changes the archive of a database: a lock that ends with its process.

Imports sqlalchemy, store.database and errors only.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from hl7auth.errors import UserError
from hl7auth.store.database import connect

SUFFIX = "-archive"
"""The lock file beside SQLite's is named like its own companions, `-wal` and `-shm`."""

_LOCK = "SELECT pg_try_advisory_lock(4717)"
_BUSY = "another seal, prune or import of this database is under way: nothing was changed"


@contextmanager
def only_one(engine: Engine) -> Iterator[None]:
    """Nobody else seals, prunes or imports meanwhile. Raises UserError where somebody does."""
    if engine.dialect.name == "postgresql":
        with connect(engine) as connection:  # the lock is the session's, and not that of a transaction
            connection.execution_options(isolation_level="AUTOCOMMIT")
            if not connection.exec_driver_sql(_LOCK).scalar():
                raise UserError(_BUSY)
            yield
        return
    path = (engine.url.database or "") + SUFFIX
    if path == SUFFIX or ":memory:" in path:
        raise UserError("a database in memory has no archive")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise UserError(f"can not open the lock file {path}: {error.strerror}") from None
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(_BUSY) from None
