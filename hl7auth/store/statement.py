"""Statements as the drivers of SQLite and PostgreSQL both take them, without a table of SQLAlchemy's.

Imports sqlalchemy and store.direct only.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, CursorResult

from hl7auth.store.direct import ask, write_all


def run(connection: Connection, sql: str, values: Sequence[object]) -> CursorResult[Any]:
    """One statement; `{p}` is a placeholder, whatever the driver calls it."""
    return connection.exec_driver_sql(_filled(connection, sql), tuple(values))


def ask_for(connection: Connection, sql: str, values: Sequence[object]) -> Sequence[Any]:
    """All rows of a query; `{p}` as with `run`."""
    return ask(connection, _filled(connection, sql), tuple(values))


def run_many(connection: Connection, sql: str, rows: Sequence[Sequence[object]]) -> int:
    """One statement for each row of values; returns how many rows of the table they changed."""
    return write_all(connection, _filled(connection, sql), [tuple(row) for row in rows]) if rows else 0


def _filled(connection: Connection, sql: str) -> str:
    return _with_marks(sql, "?" if connection.dialect.paramstyle == "qmark" else "%s")


@lru_cache(maxsize=512)
def _with_marks(sql: str, mark: str) -> str:
    return sql.replace("{p}", mark)
