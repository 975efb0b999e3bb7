"""Statements that every batch has, given to the driver itself: to SQLite's row by row, to PostgreSQL's as one COPY.

Imports sqlalchemy only.

SQLAlchemy's way to a statement costs ten times what SQLite needs for a row of it. With many messages in a batch that
does not show; with one it is a tenth of its time. A server has less work with the rows of a COPY than with as many
INSERTs, and so has its driver. What goes wrong is told as SQLAlchemy tells it.
"""

import sqlite3
from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Connection, Integer, LargeBinary, Table
from sqlalchemy.exc import DBAPIError

Values = tuple[object, ...]

_SERVER_TYPES = ((LargeBinary, "bytea"), (BigInteger, "int8"), (Integer, "int4"))
"""Of columns, as PostgreSQL names them; all others are text."""


def ask(connection: Connection, sql: str, values: Values) -> Sequence[Any]:
    """All rows of a query. The placeholders are the driver's. Raises DBAPIError."""
    driver: Any = connection.connection.dbapi_connection
    if not isinstance(driver, sqlite3.Connection):
        return connection.exec_driver_sql(sql, values).all()
    try:
        return driver.execute(sql, values).fetchall()
    except sqlite3.Error as error:
        raise _told(connection, sql, error) from error


def write_all(connection: Connection, sql: str, rows: Sequence[Values]) -> int:
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
        raise _told(connection, sql, error) from error
    return changed


def insert_all(connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[Values]) -> None:
    """New rows of a table, each with a value for each of the columns. Raises DBAPIError."""
    if connection.dialect.name != "postgresql":
        write_all(connection, _insert(table, columns), rows)
        return
    if not rows:
        return
    driver: Any = connection.connection.dbapi_connection
    sql = f"COPY {table.name} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"
    try:
        with driver.cursor() as cursor, cursor.copy(sql) as copy:
            copy.set_types(_types(table, columns))
            for row in rows:
                copy.write_row(row)
    except _driver_error(connection) as error:
        raise _told(connection, sql, error) from error


@cache
def _insert(table: Table, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


@cache
def _types(table: Table, columns: tuple[str, ...]) -> list[str]:
    kinds = [table.columns[name].type for name in columns]
    return [next((name for kind, name in _SERVER_TYPES if isinstance(each, kind)), "text") for each in kinds]


def _driver_error(connection: Connection) -> Any:
    dialect: Any = connection.dialect
    return dialect.loaded_dbapi.Error


def _told(connection: Connection, sql: str, error: Exception) -> BaseException:
    """The error as a statement of SQLAlchemy would raise it, with the connection given up where it is lost."""
    dialect: Any = connection.dialect
    lost = not connection.invalidated and bool(dialect.is_disconnect(error, connection.connection, None))
    if lost:
        connection.invalidate(error)
    base = _driver_error(connection)
    return DBAPIError.instance(sql, None, error, base, connection_invalidated=lost, dialect=connection.dialect)
