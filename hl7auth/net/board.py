"""The board: what a process counts about its channels, in memory that another process can read while it counts.

Imports flow.figures, flow.decision and the standard library only.

A figure is a slot of 64 bits that one process alone writes, so that no lock is needed, and nothing is sent to anybody:
a worker counts on a board that its parent mapped before, and what a worker counted outlives it.
"""

import mmap
import tempfile
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import IO

from hl7auth.flow.decision import Disposition
from hl7auth.flow.figures import ChannelFigures, Ending

MOST_IN_BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""Commits are counted by how many messages they have at most; the slot behind is for more, the next for the sum."""

Slots = memoryview
"""The figures of one channel, by the numbers below."""

SLOT = {each: number for number, each in enumerate(Disposition)}
ENDING = {each: number for number, each in enumerate(Ending, start=len(SLOT))}
LAST = len(SLOT) + len(ENDING)
"""When the last message came, in microseconds."""

_CHANNEL = LAST + 1
_BATCHES = len(MOST_IN_BATCH) + 2
_WORD = 8

SPARE = 4096
"""Channels that may be added while the engine runs; a page of memory is taken only when something is counted on it."""


class Board:
    """The figures of one process with so many channels; on a `file` of its size, where another is to read them."""

    def __init__(self, channels: int, file: int | None = None) -> None:
        self._channels = channels
        size = (_BATCHES + _CHANNEL * channels) * _WORD
        memory = bytearray(size) if file is None else mmap.mmap(file, size)
        self._slots = memoryview(memory).cast("q")
        self.batches = self._slots[:_BATCHES]

    def channel(self, number: int) -> Slots:
        """Where a channel counts."""
        at = _BATCHES + _CHANNEL * number
        return self._slots[at : at + _CHANNEL]

    def committed(self, messages: int) -> None:
        """Counts a commit."""
        self.batches[bisect_left(MOST_IN_BATCH, messages)] += 1
        self.batches[-1] += messages


def shared_file(channels: int) -> IO[bytes]:
    """An empty file for the board of another process. It has no name, and is gone with its last user."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as its process may be started again
    file.truncate((_BATCHES + _CHANNEL * channels) * _WORD)
    return file


def channel_figures(
    names: Iterable[tuple[int, str]],
    boards: Sequence[Board],
    listening: Callable[[int], bool],
    connections: Callable[[int], int],
) -> tuple[ChannelFigures, ...]:
    """The figures of channels, by number and name, over all boards."""
    found = []
    for number, name in names:
        columns = list(zip(*(board.channel(number) for board in boards), strict=True))
        messages = {each: sum(columns[at]) for each, at in SLOT.items()}
        endings = {each: sum(columns[at]) for each, at in ENDING.items()}
        last = max(columns[LAST])
        found.append(ChannelFigures(name, listening(number), connections(number), messages, endings, last))
    return tuple(found)


def batch_figures(boards: Sequence[Board]) -> tuple[int, ...]:
    """Commits over all boards, and at the end the messages in them."""
    return tuple(map(sum, zip(*(board.batches for board in boards), strict=True)))
