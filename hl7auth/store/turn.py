"""The turn to commit, where several processes write to one SQLite file: a lock on a file beside it.

Imports sqlalchemy (the engine's URL) and errors.

SQLite would let the processes find out by themselves, with sleeps that grow to 100 ms; who asks here is told at once.
The lock only spares that waiting: what keeps the data right is SQLite's own lock. It ends with its process.
"""

import fcntl
import os

from sqlalchemy import Engine

from hl7auth.errors import UserError

SUFFIX = "-turn"
"""The lock file is named like SQLite's own companions, `-wal` and `-shm`."""


def turn_of(engine: Engine) -> "Turn | None":
    """The turn of this process; None for a server, which has writers wait for each other wherever they run
    (database.lock_writers). Raises UserError as Turn does."""
    return Turn(engine) if engine.dialect.name == "sqlite" else None


class Turn:
    """The turn of this process. Opens the lock file; raises UserError where a database has none to share."""

    def __init__(self, engine: Engine) -> None:
        database = engine.url.database or ""
        if database in ("", ":memory:") or database.startswith("file:"):
            shown = engine.url.render_as_string()
            raise UserError(f"several workers need a database that they can share, and '{shown}' is none: --workers 1")
        path = database + SUFFIX
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UserError(f"can not open the lock file {path}: {error.strerror}") from None

    def take(self) -> bool:
        """True when it is this process's turn from now on; False when another has it. Never waits."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def give_back(self) -> None:
        """Lets another have it."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Closes the lock file, which stays: another may have it open."""
        os.close(self._descriptor)
