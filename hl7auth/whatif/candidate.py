"""The configuration that is tried: today's channels, with files in the place of some channels and profiles.

Imports flow, rules and errors only.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from hl7auth.errors import ConfigError, UserError
from hl7auth.flow.channel import Channel, load_channel, together
from hl7auth.flow.channel_values import Environment
from hl7auth.rules.edition import edition_of, profile_files


def candidates(
    now: Mapping[str, Channel],
    channel_files: Sequence[Path],
    profile_files_: Sequence[Path],
    environment: Environment,
    instead_of: str | None = None,
) -> dict[str, Channel]:
    """Today's channels as they would be: a channel file stands for the channel of its name, or for `instead_of`; a
    profile file for the profile of its name, wherever that is used.

    Raises ConfigError for a file that is wrong, UserError for a channel that is not there.
    """
    for path in (*channel_files, *profile_files_):
        if not path.is_file():
            raise UserError(f"{path}: there is no such file")
    files = profile_files() | {path.stem: path for path in profile_files_}
    editions = cache(lambda name: edition_of(name, files))
    found = {name: load_channel(each.path, environment, editions) for name, each in now.items()}
    if instead_of is not None and len(channel_files) != 1:
        raise UserError("--channel says which channel one --channel-file stands for")
    seen: dict[str, Path] = {}
    for path in channel_files:
        channel = _named(load_channel(path, environment, editions), instead_of)
        if channel.name not in now:
            known = ", ".join(now)
            raise UserError(f"{path}: there is no channel '{channel.name}' (known: {known}); name one with --channel")
        if channel.name in seen:
            raise ConfigError(f"{path}: channel: '{channel.name}' is in {seen[channel.name]} already")
        seen[channel.name] = path
        found[channel.name] = channel
    return {each.name: each for each in together(list(found.values()))}


def _named(channel: Channel, name: str | None) -> Channel:
    if name is None or name == channel.name:
        return channel
    return channel.model_copy(update={"file": channel.file.model_copy(update={"channel": name})})
