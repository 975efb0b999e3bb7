"""A store on a scratch file, filled by the real journal at times of the test's choosing."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from hl7auth.flow.channel import Channel
from hl7auth.flow.decision import Outcome
from hl7auth.flow.intake import plan
from hl7auth.resources import shipped
from hl7auth.store.database import open_database, upgrade
from hl7auth.store.journal import Journal
from hl7auth.store.schema import metadata
from tests.messages import shipped_channel

HOUR = 3_600_000_000
START = 1_772_359_200_000_000
"""2026-03-01T10:00:00Z in microseconds."""


@cache
def samples() -> tuple[bytes, ...]:
    """The shipped sample messages in their order."""
    return tuple(path.read_bytes() for path in sorted(shipped("sample_messages").glob("*.hl7")))


class Store:
    """A database file; message ids are 1, 2, 3, and each message comes an hour after the one before it."""

    def __init__(
        self, folder: Path, on: Channel | None = None, name: str = "store.db", *, migrate: bool = False
    ) -> None:
        self.url = f"sqlite:///{folder / name}"
        self.engine = open_database(self.url)
        if migrate:
            upgrade(self.engine)
        else:
            metadata.create_all(self.engine)  # the same, sooner
        self.channel = on or shipped_channel()
        self.journal = Journal(self.engine)
        self.time = START
        self._ids = itertools.count(1)

    def close(self) -> None:
        """Lets go of the file."""
        self.journal.close()
        self.engine.dispose()

    def send(self, *raws: bytes, at: int | None = None, on: Channel | None = None) -> list[Outcome]:
        """Commits the messages as one batch; `at` is the time of the first, in microseconds."""
        plans = []
        for raw in raws:
            self.time = at if at is not None else self.time
            message_id = next(self._ids)
            plans.append(plan(raw, on or self.channel, self.time, lambda now=message_id: now))  # type: ignore[misc]
            self.time, at = self.time + HOUR, None
        return self.journal.commit(plans)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that only reads."""
        with self.engine.execution_options(reads_only=True).connect() as connection:
            yield connection

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query finds."""
        with self.reading() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(sql)]

    def change(self, *statements: str) -> None:
        """Damages the store."""
        with self.engine.begin() as connection:
            for sql in statements:
                connection.exec_driver_sql(sql)


def steps(connection: Connection, query: Any, values: Sequence[Any] = ()) -> list[str]:
    """How SQLite goes about a query, a statement a line."""
    if isinstance(query, str):
        sql, given = query, tuple(values)
    else:
        compiled = query.compile(connection, compile_kwargs={"literal_binds": True})
        sql, given = str(compiled), ()
    return [str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", given)]
