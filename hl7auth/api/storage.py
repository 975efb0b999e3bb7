"""The store as one process of the API reads and writes it.

Imports sqlalchemy only.

SQLite has one writer at a time: those of this process wait for each other here, which costs less than to find out
there.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

T = TypeVar("T")

_AGAIN = 3
"""How often a transaction is tried that another one was in the way of."""
_MOST_LEFT = 0.005
"""Seconds that a file is left to the engine between two transactions."""


class Storage:
    """Reading and writing."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.is_file = engine.dialect.name == "sqlite"
        # a server shows each statement what is committed then, with a transaction or without
        options = {"reads_only": True} if self.is_file else {"isolation_level": "AUTOCOMMIT"}
        self._reader = engine.execution_options(**options)
        self._lock: AbstractContextManager[object] = threading.Lock() if self.is_file else nullcontext()
        self._free_at = 0.0

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that only reads; of a file it sees one state."""
        with self._reader.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction: all of it or nothing."""
        with self.alone(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def alone(self) -> Iterator[None]:
        """The turn of a thread to write, where only one can. Afterwards the engine has as long to take its own: it is
        another process, which nothing else would let in while one transaction here follows the other."""
        with self._lock:
            time.sleep(max(0.0, self._free_at - time.monotonic()))
            began = time.monotonic()
            try:
                yield
            finally:
                if self.is_file:
                    ended = time.monotonic()
                    self._free_at = ended + min(ended - began, _MOST_LEFT)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Does work in a transaction, again where another was in its way. The work is to be without effects beside."""
        for attempt in range(_AGAIN):
            try:
                with self.writing() as connection:
                    return work(connection)
            except OperationalError as error:
                if getattr(error.orig, "sqlstate", None) not in ("40001", "40P01") or attempt == _AGAIN - 1:
                    raise
        raise AssertionError("unreachable")
