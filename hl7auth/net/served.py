"""The channels that the engine serves, as a process beside it knows them.

Imports flow, observe and errors only.
"""

import logging
from collections.abc import Collection, ItemsView, Iterator, Mapping, ValuesView

from hl7auth.errors import UserError
from hl7auth.flow.channel import Channel
from hl7auth.flow.channel_folder import ChannelFolder
from hl7auth.observe import log


class Served(Mapping[str, Channel]):
    """Channels by their names, as their files were when the engine last read them. Thread-safe: each look is of one
    state. `times` counts how often they were read."""

    def __init__(self, folder: ChannelFolder) -> None:
        """Raises ConfigError where there is no channel."""
        self._folder = folder
        self._now: Mapping[str, Channel] = dict(folder.look().channels)
        self.times = 1

    def look(self, names: Collection[str]) -> None:
        """The engine has read its channels again, and serves these: one whose file is wrong goes on as it was."""
        try:
            found = self._folder.look().channels
        except UserError as fault:
            log("channels.late", str(fault), level=logging.WARNING)
            found = {}
        self._now = {name: each for name, each in {**self._now, **found}.items() if name in names}
        self.times += 1

    def __getitem__(self, name: str) -> Channel:
        return self._now[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now)

    def __len__(self) -> int:
        return len(self._now)

    def items(self) -> ItemsView[str, Channel]:
        """Of one state."""
        return self._now.items()

    def values(self) -> ValuesView[Channel]:
        """Of one state."""
        return self._now.values()
