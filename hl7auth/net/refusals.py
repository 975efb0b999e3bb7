"""Connections that a channel turned away: every one is counted, and few are logged.

Imports flow.figures, net.board and observe only.
"""

import logging
from collections.abc import Callable

from hl7auth.flow.figures import Ending
from hl7auth.net.board import ENDING, Slots
from hl7auth.observe import log

LOG_SECONDS = 60.0
"""Of connections that are refused for one reason, one is logged in such a time, with how many they were since."""


class Refusals:
    """Those of one channel. A flood of them fills no log."""

    def __init__(self, channel: str, seconds: Callable[[], float], slots: Slots) -> None:
        self._channel = channel
        self._seconds = seconds
        self._slots = slots
        self._logged: dict[Ending, float] = {}
        self._since: dict[Ending, int] = {}

    def add(self, reason: Ending, sentence: str, peer: str) -> None:
        """One more. Nothing that a peer sent is in the sentence."""
        self._slots[ENDING[reason]] += 1
        self._since[reason] = self._since.get(reason, 0) + 1
        now = self._seconds()
        if now - self._logged.get(reason, -LOG_SECONDS) < LOG_SECONDS:
            return
        self._logged[reason] = now
        count = self._since.pop(reason)
        log(
            "connection.refused", sentence, level=logging.WARNING,
            channel=self._channel, reason=reason, peer=peer, connections=count,
        )  # fmt: skip
