"""Statements that every batch has, given to the driver of SQLite itself.

Imports sqlalchemy only.

SQLAlchemy's way to a statement costs ten times what SQLite needs for a row of it. With many messages in a batch that
does not show; with one it is a tenth of its time. What goes wrong is told as SQLAlchemy tells it. A server is farther
away than that, and what its driver says about a lost connection is for SQLAlchemy to understand.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError


def ask(connection: Connection, sql: str, values: tuple[object, ...]) -> Sequence[Any]:
    """All rows of a query. The placeholders are the driver's. Raises DBAPIError."""
    driver: Any = connection.connection.dbapi_connection
    if not isinstance(driver, sqlite3.Connection):
        return connection.exec_driver_sql(sql, values).all()
    try:
        return driver.execute(sql, values).fetchall()
    except sqlite3.Error as error:
        raise _told(sql, values, error) from error


def write_all(connection: Connection, sql: str, rows: Sequence[tuple[object, ...]]) -> int:
    """One statement for each row of values; nothing where there is none. Returns how many rows of the table they
    changed. Raises DBAPIError."""
    if not rows:
        return 0
    driver: Any = connection.connection.dbapi_connection
    if not isinstance(driver, sqlite3.Connection) or not connection.in_transaction():  # which SQLAlchemy begins itself
        return connection.exec_driver_sql(sql, list(rows)).rowcount
    try:
        changed: int = driver.executemany(sql, rows).rowcount
    except sqlite3.Error as error:
        raise _told(sql, None, error) from error
    return changed


def _told(sql: str, values: tuple[object, ...] | None, error: sqlite3.Error) -> BaseException:
    """The error as a statement of SQLAlchemy would raise it: journal and senders know those."""
    return DBAPIError.instance(sql, values, error, sqlite3.Error)
