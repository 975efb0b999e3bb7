"""The processes beside the engine: those that are always there, and the one that decides while a channel wants it.

Imports twisted, flow, net.beside and observe only.
"""

from collections.abc import Callable, Mapping, Sequence

from twisted.internet import defer

from hl7auth.flow.channel import Channel
from hl7auth.net.beside import Beside
from hl7auth.observe import log


def decides(channels: Mapping[str, Channel]) -> bool:
    """Is there a channel whose requests rules decide, or whose members' enrollment is asked for?"""
    return any(each.file.decisions is not None or each.file.enrollment is not None for each in channels.values())


class Neighbours:
    """The processes. `desk` makes the one that decides; `share` hears that it writes to the database from now on;
    `channels` are those that are served at the start."""

    def __init__(
        self,
        always: Sequence[Beside],
        desk: Callable[[], Beside] | None,
        share: Callable[[], None],
        channels: Mapping[str, Channel],
    ) -> None:
        self._always = always
        self._make = desk
        self._share = share
        self._channels = channels
        self._desk: Beside | None = None
        self._leaving: list[defer.Deferred[None]] = []

    def start(self) -> None:
        """Starts those that are wanted."""
        for each in self._always:
            each.start()
        self._see_to(self._channels)

    def serve(self, channels: Mapping[str, Channel]) -> None:
        """These channels are served from now on: the others are told, and the one that decides begins or ends."""
        for each in self._always:
            each.tell(channels)
        if self._desk is not None and decides(channels):
            self._desk.tell(channels)
        self._see_to(channels)

    async def stop(self) -> None:
        """Ends all of them, and waits until they have ended."""
        for each in (*self._always, *([self._desk] if self._desk is not None else [])):
            await each.stop()
        for ended in self._leaving:
            await ended

    def _see_to(self, channels: Mapping[str, Channel]) -> None:
        if decides(channels) and self._desk is None and self._make is not None:
            self._share()
            self._desk = self._make()
            self._desk.start()
        elif self._desk is not None and not decides(channels):
            log("desk.leaving", "no channel has requests decided by rules any more")
            # a function that a rule asks may keep it: nobody who reloads waits for that
            self._leaving = [each for each in self._leaving if not each.called]
            self._leaving.append(defer.Deferred.fromCoroutine(self._desk.stop()))
            self._desk = None
