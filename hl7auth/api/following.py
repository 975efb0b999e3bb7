"""Balances that follow what comes in: as far as a request needs them, and all of them in a process of its own.

Imports sqlalchemy, api.storage, store, net (the pipe, the collector), observe and errors.
Run by the engine as `python -m hl7auth.api.following`, where it has an API.

Another process, because one thread at a time runs Python and an answer needs several turns: a thread that works beside
the answers costs each of them some of its own. And one that others go before, because a request that needs a balance
brings it up to date by itself.
"""

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from hl7auth.api.storage import Storage
from hl7auth.errors import UserError
from hl7auth.net.beside import hear
from hl7auth.net.collector import calm_the_collector
from hl7auth.observe import log, log_to_stderr, now
from hl7auth.store import operations
from hl7auth.store.balances import Portion, read_portion, refresh, unread_about, write_portion
from hl7auth.store.database import open_database, require_current

_PORTIONS = 4
"""Of 500 messages each, that a request waits for until balances are read."""
_SECONDS = 0.25
"""How far the balances are behind while nobody asks."""
_NICENESS = 10
_KEPT_DAYS = 30
"""How long an operation that has ended can be asked for, and its Idempotency-Key counts."""
_FORGET_SECONDS = 3_600.0


class Following:
    """The balances of one store."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._lock = threading.Lock()
        self._unsynced: Connection | None = None

    def catch_up(self) -> bool:
        """Has the balances follow what came since, as far as that goes in a moment: what they are is worked out before
        the turn to write is taken. True when nothing is left that came before."""
        with self._lock:
            for _ in range(_PORTIONS):
                with self._storage.reading() as connection:
                    portion = read_portion(connection)
                if portion is None:
                    return True
                self._bring(portion)
                if portion.is_last:
                    return True
        return False

    def about(self, word: str) -> None:
        """Has the balances follow of what came since that which names a member or a number. Mostly there is nothing of
        that, and then nothing is written."""
        with self._storage.reading() as connection:
            rows = unread_about(connection, word, _PORTIONS * 500)
        if rows:
            self._storage.write(lambda connection: refresh(connection, rows))

    def close(self) -> None:
        """Lets go of the database; who asks later begins anew."""
        with self._lock:
            if self._unsynced is not None:
                self._unsynced.close()
                self._unsynced = None

    def _bring(self, portion: Portion) -> None:
        """Writes balances without waiting for the disk: they are made of what is there already, and a crash that takes
        them takes the mark of how far they reach as well."""
        if not self._storage.is_file:
            self._storage.write(partial(_written_soon, portion=portion))
            return
        with self._storage.alone():
            if self._unsynced is None:
                self._unsynced = self._storage.engine.connect()
                driver: Any = self._unsynced.connection.dbapi_connection
                driver.execute("PRAGMA synchronous = NORMAL")
                self._unsynced.detach()  # never to be given to others
            with self._unsynced.begin():
                write_portion(self._unsynced, portion)


def _written_soon(connection: Connection, portion: Portion) -> None:
    connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
    write_portion(connection, portion)


class Rounds:
    """What the process does again and again: balances, and operations to forget. `now` is microseconds since 1970."""

    def __init__(self, storage: Storage, now: Callable[[], int] = now) -> None:
        self._storage = storage
        self._now = now
        self._following = Following(storage)
        self._forgets_at = time.monotonic()

    def round(self) -> bool:
        """One; False when there is more to do at once."""
        if time.monotonic() >= self._forgets_at:
            self._forgets_at = time.monotonic() + _FORGET_SECONDS
            self.forget()
        return self._following.catch_up()

    def forget(self) -> None:
        """Removes operations that ended long ago; what they asked for holds data of patients."""
        before = self._now() - _KEPT_DAYS * 86_400_000_000
        while self._storage.write(partial(operations.forget, before=before)) == operations.FORGOTTEN_AT_ONCE:
            pass


def main() -> None:
    """Works until standard input ends. Its first line is the setup, as JSON: the database."""
    log_to_stderr()
    setup = json.loads(sys.stdin.buffer.readline())
    os.nice(_NICENESS)
    stopping = threading.Event()
    try:
        engine = open_database(setup["database"], create=False, pooled=True)
        require_current(engine)
    except UserError as fault:
        log("api.failed", str(fault), level=logging.ERROR)
        sys.exit(2)
    threading.Thread(target=_watch, args=(stopping,), name="engine", daemon=True).start()
    calm_the_collector()
    _work(Rounds(Storage(engine)), stopping)
    engine.dispose()


def _work(rounds: Rounds, stopping: threading.Event) -> None:
    is_there = True
    while not stopping.wait(_SECONDS if is_there else 0):
        try:
            is_there = rounds.round()
        except (SQLAlchemyError, UserError):
            is_there = True
            log("api.late", "the balances could not follow yet", level=logging.WARNING, error=True)


def _watch(stopping: threading.Event) -> None:
    """The engine has ended when the pipe does."""
    hear(sys.stdin.buffer, bool)
    stopping.set()


if __name__ == "__main__":
    main()
