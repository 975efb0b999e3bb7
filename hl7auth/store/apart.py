"""Statements in a transaction of somebody else, whom it must not hurt when they fail.

Imports sqlalchemy only. For SQLite alone.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError


class Undone(Exception):
    """What was tried was taken back; the transaction around it goes on."""


@contextmanager
def apart(connection: Connection) -> Iterator[None]:
    """Statements that are taken back by themselves where something goes wrong: then raises Undone.

    Raises DBAPIError where the whole transaction is lost with them.
    """
    driver: Any = connection.connection.dbapi_connection
    driver.execute("SAVEPOINT apart")
    try:
        yield
    except Exception as error:
        try:
            driver.execute("ROLLBACK TO apart")
            driver.execute("RELEASE apart")
        except sqlite3.Error as lost:
            raise DBAPIError.instance("ROLLBACK TO apart", None, lost, sqlite3.Error) from error
        raise Undone from error
    driver.execute("RELEASE apart")
