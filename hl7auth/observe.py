"""What the engine tells about itself: the clock and ids it works with, and logs without patient data.

Imports the standard library only.
"""

import json
import logging
import sys
import time
from collections.abc import Callable

_EPOCH_MS = 1_577_836_800_000  # 2020-01-01: ids of 64 bits then last beyond 2080
_SEQUENCE_BITS = 22

MAX_WORKERS = 64
"""Processes that may make ids at the same time, the parent of workers among them: a power of two, because its bits are
the lowest of an id."""


def now() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1_000


def ids(clock: Callable[[], int] = now, worker: int | None = None) -> Callable[[], int]:
    """A source of ids that grow with time and never repeat within a process (milliseconds, then a counter).

    A clock that is set back does not bring ids back: the counter goes on from the highest id given. With the number of
    a `worker` (below MAX_WORKERS) as the lowest bits they do not repeat among workers either.
    """
    last = 0
    own, step = (0, 1) if worker is None else (worker, MAX_WORKERS)

    def new_id() -> int:
        nonlocal last
        last = max(last + step, ((clock() // 1_000 - _EPOCH_MS) << _SEQUENCE_BITS) + own)
        return last

    return new_id


def first_id(at: int) -> int:
    """The least id that can have been given at a time (microseconds) or later, while no clock was set back."""
    return max(0, at // 1_000 - _EPOCH_MS) << _SEQUENCE_BITS


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, action, sentence, and the fields that the caller gave on purpose.

    Nothing of a message is ever passed to a logger but its id, its size and codes of tables: no patient data by
    construction.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        entry = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "action": getattr(record, "action", record.name),
            "text": record.getMessage(),
        }
        entry |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[0]:
            frames = self.formatException(record.exc_info).splitlines()
            entry["error"] = record.exc_info[0].__name__
            # the places only: the text of an exception may quote what a sender sent
            entry["where"] = [line.strip() for line in frames if line.lstrip().startswith("File ")]
        return json.dumps(entry)


def log_to_stderr(level: int = logging.INFO) -> None:
    """Sends all logs to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("alembic").setLevel(max(level, logging.WARNING))  # it tells of each of its plugins


def log(action: str, sentence: str, *, level: int = logging.INFO, error: bool = False, **fields: object) -> None:
    """One log line; `error` adds where the exception being handled was raised."""
    logging.getLogger("hl7auth").log(level, sentence, exc_info=error, extra={"action": action, "fields": fields})
