"""The folder of channels of a running engine, which is read again and again: what in it is as it was is not read anew.

Imports flow, rules.edition, resources and errors only.
"""

from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from hl7auth.errors import UserError
from hl7auth.flow.channel import Channel, Editions, load_channel, paths_in, together
from hl7auth.flow.channel_values import NO_ENVIRONMENT, Environment
from hl7auth.flow.channel_version import files_beside
from hl7auth.resources import shipped
from hl7auth.rules.edition import edition_now


class Found(NamedTuple):
    """What a folder holds: channels by their names, and what is wrong with the other files, by their paths."""

    channels: Mapping[str, Channel]
    wrong: Mapping[Path, str]


class _Read(NamedTuple):
    """A fingerprint of a file as it was, and the channel that it made."""

    said: bytes
    channel: Channel


class ChannelFolder:
    """The channel files of a folder (default: the shipped ones). The environment is that of the process: it stays."""

    def __init__(self, folder: Path | None = None, environment: Environment = NO_ENVIRONMENT) -> None:
        self.path = folder or shipped("channels")
        self.environment = environment
        self._read: dict[Path, _Read] = {}

    def load(self) -> list[Channel]:
        """All channels, by name. Raises ConfigError for the first mistake, as a start does."""
        editions = cache(edition_now)
        return together([self._channel(path, editions) for path in paths_in(self.path)])

    def look(self) -> Found:
        """All channels as they are now, and the mistakes, file by file. Raises ConfigError where no file is left."""
        paths = paths_in(self.path)
        editions = cache(edition_now)
        channels: dict[str, Channel] = {}
        wrong: dict[Path, str] = {}
        for path in paths:
            try:
                channel = self._channel(path, editions)
            except UserError as fault:
                wrong[path] = str(fault)
                continue
            other = channels.setdefault(channel.name, channel)
            if other is not channel:
                wrong[path] = f"{path}: channel: '{channel.name}' is already used by {other.path}"
        return Found(channels, wrong)

    def _channel(self, path: Path, editions: Editions) -> Channel:
        try:
            said = blake2b(path.read_bytes()).digest()
        except OSError:
            return load_channel(path, self.environment, editions)  # which says what is wrong
        read = self._read.get(path)
        if read is None or read.said != said or not _is_of_today(read.channel, editions):
            self._read[path] = read = _Read(said, load_channel(path, self.environment, editions))
        return read.channel


def _is_of_today(channel: Channel, editions: Editions) -> bool:
    """Its profiles and the files beside it are as they were."""
    try:
        same = all(editions(name).digest == digest for name, digest in channel.editions.items())
    except UserError:
        return False
    return same and files_beside(channel.file, channel.path.parent) == channel.beside
