"""Notices between the processes on one server: something was queued, or an answer came (NOTIFY and LISTEN).

Imports sqlalchemy, errors and store.database only.

A notice is part of its transaction: nobody hears of what is not committed. Whoever was not listening missed it, so
nothing may depend on one; it only spares the waiting for the next look.
"""

import os
import secrets
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from hl7auth.errors import UserError
from hl7auth.store.database import connect

_OWN = secrets.token_hex(8)
"""What this process says with its notices, so that it knows them: it has seen to its own work already."""


def notify(connection: Connection) -> None:
    """Tells all other processes when this transaction is committed; nobody where the database is a file."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_notify('hl7auth', %s)", (_OWN,))


class Notices:
    """A session that only listens."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._session: Connection | None = None

    @property
    def is_possible(self) -> bool:
        """Is there somebody who would tell?"""
        return self._engine.dialect.name == "postgresql"

    def open(self) -> int:
        """Listens from now on; a descriptor that can be read when there is something to hear, and is the caller's.

        It is a copy: the driver closes its own when the session ends, and a reactor still has to let go of it.
        Raises UserError.
        """
        self._session = connect(self._engine.execution_options(isolation_level="AUTOCOMMIT"))
        try:
            self._session.exec_driver_sql("LISTEN hl7auth")
        except DBAPIError as error:
            self.close()
            raise UserError(f"can not listen at the database: {error.orig}") from None
        return os.dup(self._driver.fileno())

    def take(self) -> bool:
        """Have others told anything since the last look? Raises UserError when the session has ended."""
        try:
            heard = [each.payload for each in self._driver.notifies(timeout=0)]
        except Exception as error:  # of a driver that may not be installed
            raise UserError(f"can not listen at the database: {error}") from None
        return any(each != _OWN for each in heard)

    def close(self) -> None:
        """Ends the session."""
        if self._session is not None:
            self._session.invalidate()  # whatever state it is in
            self._session.close()
            self._session = None

    @property
    def _driver(self) -> Any:
        assert self._session is not None
        return self._session.connection.driver_connection
