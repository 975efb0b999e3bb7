"""The write-ahead log of SQLite, taken into the database where nobody waits for it.

Imports sqlalchemy and observe.

SQLite does it within the commit that makes its log too long: some 15 ms, on a slow disk many more, in which the senders
of that batch wait for their replies and the other processes for their turn. The log can only begin anew when all of it
was taken over and nobody wrote meanwhile, so where several write a last bit is still left to a commit.
"""

import logging
import sqlite3
from typing import Any

from sqlalchemy import Connection

from hl7auth.observe import log

MESSAGES = 1_000
"""Between two times: some 4,000 pages, 16 MiB. A start after a crash has no more than that to read."""

MOST_PAGES = 16_384
"""With more than 64 MiB in the log a commit takes them over, whoever waits: the log of a writer without a pause."""


class Log:
    """The log as one connection sees it. `messages` were committed since it was taken over."""

    def __init__(self) -> None:
        self.messages = 0
        self._told: object = None

    def tidy(self, connection: Connection) -> None:
        """Takes it over when it is time. For a connection of any database, outside of a transaction. Never raises."""
        if self.messages < MESSAGES:
            return
        self.messages = 0
        driver: Any = connection.connection.dbapi_connection
        if not isinstance(driver, sqlite3.Connection):
            return
        try:
            if self._told is not driver:
                driver.execute(f"PRAGMA wal_autocheckpoint = {MOST_PAGES}")
                self._told = driver
            driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:  # what was committed is safe in the log, and stays there until the next time
            log("store.log", f"the log of the database was not taken over: {error}", level=logging.WARNING)
