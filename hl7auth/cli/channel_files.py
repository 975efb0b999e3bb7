"""Channels as people name them on the command line: by their name, or by their file.

Imports flow and errors.
"""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from hl7auth.errors import UserError

if TYPE_CHECKING:
    from hl7auth.domain.clock import Clocks
    from hl7auth.flow.channel import Channel
    from hl7auth.flow.channel_model import ChannelFile

TESTS = "tests"


def load(path: Path) -> "Channel":
    """The channel of a file. Raises ConfigError."""
    from hl7auth.flow.channel import load_channel

    return load_channel(path, os.environ)


def load_folder(folder: Path | None) -> "list[Channel]":
    """The channels of a folder, or the shipped ones. Raises ConfigError."""
    from hl7auth.flow.channel import load_channels

    return load_channels(folder, os.environ)


def clocks_by_channel(folder: Path | None) -> "Callable[[str], Clocks]":
    """The clocks of a channel by its name; channels are read when the first is asked for."""
    from hl7auth.domain.clock import Clocks

    @cache
    def files() -> "dict[str, ChannelFile]":
        return {channel.name: channel.file for channel in load_folder(folder)}

    def clocks_of(name: str) -> Clocks:
        file = files().get(name)
        if file is None:
            return Clocks()
        return file.clocks.agreed

    return clocks_of


def chosen(name: str, folder: Path | None) -> "Channel":
    """The channel of that file, or of that name. Raises UserError for an unknown one, ConfigError for a wrong one."""
    if is_file(name):
        return load(Path(name))
    channels = {channel.name: channel for channel in load_folder(folder)}
    if name not in channels:
        raise UserError(f"unknown channel '{name}' (known: {', '.join(channels)})")
    return channels[name]


def is_file(name: str) -> bool:
    """True where a file is meant: a channel's name has no dot and no slash."""
    return name.endswith((".yaml", ".yml")) or "/" in name


def files_of(folder: Path | None) -> list[Path]:
    """The channel files of a folder, or the shipped ones."""
    from hl7auth.flow.channel_files import channel_paths
    from hl7auth.resources import shipped

    return channel_paths((folder or shipped("channels")).glob("*.yaml"))


def tests_of(channel: "Channel") -> Path:
    """The folder of the tests of a channel: NAME/tests beside its file."""
    return channel.path.parent / channel.name / TESTS


def is_public(path: Path) -> bool:
    """May everybody on this machine read a file?"""
    try:
        return bool(path.stat().st_mode & 0o004)
    except OSError:
        return False


def content(path: Path) -> bytes | None:
    """The bytes of a file; None where there is none that can be read."""
    try:
        return path.read_bytes()
    except OSError:
        return None
