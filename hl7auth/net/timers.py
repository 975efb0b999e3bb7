"""The clocks of one connection, by name.

Imports net.intake only.
"""

from collections.abc import Callable

from hl7auth.net.intake import Clock, Timer


class Timers:
    """Calls that are to come; to set one again puts it off."""

    def __init__(self, reactor: Clock) -> None:
        self._reactor = reactor
        self._set: dict[str, Timer] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._set

    def set(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        """Calls after so many seconds."""
        timer = self._set.get(name)
        if timer is not None and timer.active():
            timer.reset(seconds)
            return
        self._set[name] = self._reactor.callLater(seconds, action)

    def cancel(self, name: str) -> None:
        """Not any more."""
        timer = self._set.pop(name, None)
        if timer is not None and timer.active():
            timer.cancel()

    def cancel_all(self) -> None:
        """None of them."""
        for name in list(self._set):
            self.cancel(name)
