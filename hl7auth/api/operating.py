"""Threads that work on operations, one after the other of a kind, also on those that a process left undone.

Imports api, store.operations and observe.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping

from hl7auth.api.state import State
from hl7auth.observe import log
from hl7auth.store.operations import Operation, begin, open_ids

Perform = Callable[[State, Operation, threading.Event], None]
"""Does one operation and ends it. The event is set when the service ends: what takes long comes to rest then. One that
is left open is gone on with when the service is there again."""

_PAUSE = 1.0
"""Seconds until an operation is tried again that the database was in the way of."""


class Operators:
    """A thread for each of `performs`, which are known by how the kinds of their operations begin: a replay that takes
    an hour keeps no record waiting."""

    def __init__(self, state: State, performs: Mapping[str, Perform]) -> None:
        self._stopping = threading.Event()
        self._by_kind = {kinds: _Operator(state, kinds, perform, self._stopping) for kinds, perform in performs.items()}

    def put(self, kind: str, operation_id: str) -> None:
        """To be worked on."""
        next(each for kinds, each in self._by_kind.items() if kind.startswith(kinds)).put(operation_id)

    def close(self) -> None:
        """What is under way is ended or comes to rest; what waits is worked on when the service is there again."""
        self._stopping.set()
        for each in self._by_kind.values():
            each.close()


class _Operator:
    def __init__(self, state: State, kinds: str, perform: Perform, stopping: threading.Event) -> None:
        self._state = state
        self._stopping = stopping
        self._perform = perform
        self._queue: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"operations {kinds}", daemon=True)
        with state.reading() as connection:
            left = open_ids(connection, kinds)
        for each in left:
            self.put(each)
        self._thread.start()

    def put(self, operation_id: str) -> None:
        self._queue.put(operation_id)

    def close(self) -> None:
        self._queue.put("")
        self._thread.join()

    def _run(self) -> None:
        while (operation_id := self._queue.get()) and not self._stopping.is_set():
            try:
                operation = self._state.write(lambda connection, each=operation_id: begin(connection, each))  # type: ignore[misc]
                if operation is not None:
                    self._perform(self._state, operation, self._stopping)
            except Exception:
                log("operation.late", "an operation could not be ended, and is tried again",
                    level=logging.ERROR, error=True, operation=operation_id)  # fmt: skip
                time.sleep(_PAUSE)
                self.put(operation_id)
