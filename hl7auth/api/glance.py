"""What is looked up for nearly every request, by a key: on connections that are kept for it.

Imports fastapi (its threads), sqlalchemy and store.tokens.

A file is looked into by the one thread that all requests begin in: that takes less than to go to another, and nobody
there waits for a writer. A server is asked in a few threads, each with a connection of its own. There is no
transaction: each statement sees what is committed then. A connection that the server has cut is made anew.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from hl7auth.store import tokens
from hl7auth.store.tokens import Caller

T = TypeVar("T")

_THREADS = 4


class Glance:
    """The connections. `look` is asked by the thread that all requests begin in."""

    def __init__(self, engine: Engine) -> None:
        self._is_file = engine.dialect.name == "sqlite"
        # to begin and to end a transaction costs as much as what is looked up
        options = {"each_alone": True} if self._is_file else {"isolation_level": "AUTOCOMMIT"}
        self._engine = engine.execution_options(**options)
        self._own = threading.local()
        self._kept: list[Connection] = []
        self._threads = None if self._is_file else ThreadPoolExecutor(_THREADS, "glance")

    async def look(self, work: Callable[[Connection], T]) -> T:
        """What `work` finds; it is to be brief."""
        if self._threads is None:
            return self._found(work)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._found, work)

    async def caller(self, token: str) -> Caller | None:
        """Whose token it is; None for one that is unknown or revoked, from that moment on."""
        return await self.look(lambda connection: tokens.caller(connection, token))

    def close(self) -> None:
        """Lets the connections go. Who looks later begins anew."""
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = ThreadPoolExecutor(_THREADS, "glance")
        self._own = threading.local()
        while self._kept:
            self._kept.pop().close()

    def _found(self, work: Callable[[Connection], T]) -> T:
        try:
            return self._once(work)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            self._drop()
        return self._once(work)

    def _once(self, work: Callable[[Connection], T]) -> T:
        connection: Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = self._engine.connect()
            self._kept.append(connection)
        with connection.begin():
            return work(connection)

    def _drop(self) -> None:
        connection: Connection = self._own.connection
        self._own.connection = None
        self._kept.remove(connection)
        connection.close()
