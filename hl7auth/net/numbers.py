"""The numbers of the channels that are served: by these the processes of an engine speak of them.

Imports flow only.
"""

from collections.abc import Sequence

from hl7auth.flow.change import Change
from hl7auth.flow.channel import Channel


class Numbers:
    """The channels that are served, by name, and their numbers, of which none is given twice."""

    def __init__(self, channels: Sequence[Channel], size: int) -> None:
        self._size = size
        self._numbers = {channel.name: number for number, channel in enumerate(channels)}
        self._next = len(channels)
        self.channels: dict[str, Channel] = {channel.name: channel for channel in channels}

    def items(self) -> list[tuple[int, Channel]]:
        """Numbers and channels."""
        return [(self._numbers[name], channel) for name, channel in self.channels.items()]

    def names(self) -> list[tuple[int, str]]:
        """Numbers and names; any thread may ask."""
        return [(number, name) for name, number in list(self._numbers.items())]

    def too_many(self, changes: Sequence[Change]) -> dict[str, str]:
        """New channels for which there is no room, by name, with a sentence."""
        new = [each.name for each in changes if each.before is None]
        text = "so many channels were added since the start that the engine has to be started anew"
        return dict.fromkeys(new[max(0, self._size - self._next) :], text)

    def of(self, name: str) -> int:
        """The number of a channel."""
        return self._numbers[name]

    def put(self, channel: Channel) -> int:
        """The number of a channel that is new, or another version of itself."""
        self.channels[channel.name] = channel
        if channel.name not in self._numbers:
            self._numbers[channel.name] = self._next
            self._next += 1
        return self._numbers[channel.name]

    def remove(self, name: str) -> int:
        """The number of a channel that is gone."""
        del self.channels[name]
        return self._numbers.pop(name)
