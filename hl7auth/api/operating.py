"""The thread that works on operations, one after the other, also on those that a process left undone.

Imports api, store.operations and observe.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable

from hl7auth.api.state import State
from hl7auth.observe import log
from hl7auth.store.operations import Operation, begin, open_ids

_PAUSE = 1.0
"""Seconds until an operation is tried again that the database was in the way of."""


class Operator:
    """The thread. `perform` does one operation and ends it."""

    def __init__(self, state: State, perform: Callable[[State, Operation], None]) -> None:
        self._state = state
        self._perform = perform
        self._queue: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="operations", daemon=True)
        with state.reading() as connection:
            left = open_ids(connection)
        for each in left:
            self.put(each)
        self._stopping = False
        self._thread.start()

    def put(self, operation_id: str) -> None:
        """To be worked on."""
        self._queue.put(operation_id)

    def close(self) -> None:
        """What is under way is ended; what waits is worked on when the service is there again."""
        self._stopping = True
        self._queue.put("")
        self._thread.join()

    def _run(self) -> None:
        while (operation_id := self._queue.get()) and not self._stopping:
            try:
                operation = self._state.write(lambda connection, each=operation_id: begin(connection, each))  # type: ignore[misc]
                if operation is not None:
                    self._perform(self._state, operation)
            except Exception:
                log("operation.late", "an operation could not be ended, and is tried again",
                    level=logging.ERROR, error=True, operation=operation_id)  # fmt: skip
                time.sleep(_PAUSE)
                self.put(operation_id)
