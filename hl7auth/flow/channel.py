"""A channel ready for use: its file as it was loaded, with what its profiles, tables and neighbours make of it.

Imports domain, the modules of flow that hold parts of a channel, rules, steps, resources and errors only.
"""

from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path

from hl7auth.domain.rule_model import RulesFile, load_rules
from hl7auth.errors import ConfigError, UserError
from hl7auth.flow.channel_files import channel_paths
from hl7auth.flow.channel_links import linked
from hl7auth.flow.channel_model import SUPPORTED, ChannelFile, all_in, profile_keys
from hl7auth.flow.channel_values import NO_ENVIRONMENT, Environment, filled_in
from hl7auth.flow.channel_version import files_beside, masked, version_of
from hl7auth.flow.derived import Derived
from hl7auth.flow.destination import OrderBy, full_name
from hl7auth.flow.kind import Asked, Kind
from hl7auth.resources import shipped
from hl7auth.rules.compiled import CompiledProfile, compiled
from hl7auth.rules.edition import Edition, edition_now
from hl7auth.rules.profile import resolved
from hl7auth.rules.strict_yaml import place, written
from hl7auth.steps.run import Steps, compile_steps


class Channel(Derived):
    """A channel ready for use: the file, where it came from, and what other channels have to do with it.

    `version` is a fingerprint of all that decides what it does, `text` its file as it was read, without secrets.
    `editions` are those of its profiles by their names: it keeps them whatever becomes of the files.
    `returns` are the channels whose forwarded requests may be answered here; `elsewhere` is how destinations of other
    channels, to which answers go, keep their order; `lends` are its own that answers of others go to.
    """

    file: ChannelFile
    path: Path
    version: str = ""
    text: str = ""
    editions: dict[str, str] = {}
    beside: dict[str, str] = {}
    returns: tuple[str, ...] = ()
    elsewhere: dict[str, OrderBy] = {}
    lends: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the channel."""
        return self.file.channel

    @cached_property
    def kinds(self) -> dict[Asked, Kind]:
        """The kinds of messages that it took so far: not more than it accepts events, versions and processing ids."""
        return {}

    @cached_property
    def steps(self) -> Steps:
        """What is done with an incoming message. Reads the code tables once. Raises ConfigError."""
        return compile_steps(self.file.steps, self.path)

    @cached_property
    def steps_out(self) -> dict[str, Steps]:
        """What is done with the copies for destinations that have steps. Reads the code tables. Raises ConfigError."""
        return {
            name: compile_steps(each.steps, self.path, "destinations", name, "steps")
            for name, each in self.file.destinations.items()
            if each.steps
        }

    @property
    def rules_path(self) -> Path:
        """The file of its decision rules; where it has no `decisions`, its own folder."""
        return self.path.parent / (self.file.decisions.rules if self.file.decisions else "")

    @cached_property
    def rules(self) -> RulesFile | None:
        """The rules by which its requests are decided; None where people decide. Read once. Raises ConfigError."""
        return None if self.file.decisions is None else load_rules(self.rules_path)

    def compiled(self, profile: str, version: str) -> CompiledProfile:
        """One of its profiles for a version of HL7. Raises as `rules.compiled.compiled`."""
        return compiled(profile, version, None, self.editions.get(profile, ""))

    def full(self, destination: str) -> str:
        """How the queue names a destination that this channel names."""
        return destination if "/" in destination else full_name(self.name, destination)

    def for_answers(self, *, flawed: bool = False) -> "Channel":
        """The channel as it takes the answers that come back on the connections to its destinations; with `flawed` also
        those with errors."""
        accepts = self.file.accepts.model_copy(update={"senders": (), "receivers": ()})  # those are the requesters
        if "messages" in accepts.model_fields_set:
            messages = dict.fromkeys((*accepts.messages, "RPA", "RRI", *self.file.own_messages(self.editions)))
            accepts = accepts.model_copy(update={"messages": tuple(messages)})
        replies = self.file.replies and self.file.replies.model_copy(update={"acknowledgments": "as_asked"})
        errors = "accept" if flawed else self.file.errors
        update = {"accepts": accepts, "replies": replies, "steps": (), "errors": errors}
        file = self.file.model_copy(update=update)
        return Channel(
            file=file, path=self.path, returns=(self.name,), lends=self.lends, version=self.version, text=self.text,
            editions=self.editions, beside=self.beside,
        )  # fmt: skip

    @property
    def taken(self) -> frozenset[str]:
        """The destinations for answers and what is forwarded: others go there only if a route says so."""
        return (self.file.replies.taken if self.file.replies is not None else frozenset()) | {*self.lends}

    def order_of(self, destination: str) -> OrderBy:
        """What keeps its order on the way to a destination that this channel names."""
        if destination in self.elsewhere:
            return self.elsewhere[destination]
        own = self.file.destinations.get(destination)
        return (own.order_by if own is not None else None) or self.file.order_by

    def events(self, message_type: str, profile: str) -> tuple[str, ...]:
        """The events of a message type that it understands under a profile; none for a type that it does not take."""
        return self.file.events(message_type, profile, self.editions.get(profile, ""))


Editions = Callable[[str], Edition]
"""Gives the edition of a profile by its name. Raises UserError for an unknown one."""


def load_channel(path: Path, environment: Environment = NO_ENVIRONMENT, editions: Editions = edition_now) -> Channel:
    """One channel file, with values of the environment where it names them (`${PAYER_HOST}`).

    Raises ConfigError, also when its profile is unknown or wrong.
    """
    found = written(path)
    file = filled_in(found, ChannelFile, environment)
    chosen = _chosen(path, file, editions)
    try:
        all_in(file.accepts.messages, [*SUPPORTED, *file.own_messages(chosen)], "message type")
    except ValueError as error:
        raise ConfigError(f"{place(path, 'accepts', 'messages')}: accepts.messages: {error}") from None
    text, beside = masked(found), files_beside(file, path.parent)
    version = version_of(found, text, chosen, beside)
    made = Channel(file=file, path=path, version=version, text=text, editions=chosen, beside=beside)
    return made if made.rules is None else made.model_copy()


def _chosen(path: Path, file: ChannelFile, editions: Editions) -> dict[str, str]:
    """The editions of the profiles of a file, each of which can be used."""
    chosen = {}
    for keys, name in profile_keys(file):
        try:
            chosen[name] = editions(name).digest
            resolved(name, None, chosen[name])
        except ConfigError:
            raise
        except UserError as error:
            raise ConfigError(f"{place(path, *keys)}: {'.'.join(map(str, keys))}: {error}") from None
    return chosen


def load_channels(folder: Path | None = None, environment: Environment = NO_ENVIRONMENT) -> list[Channel]:
    """Every channel of a folder (default: the shipped ones), by name. Raises ConfigError."""
    editions = cache(edition_now)  # the same for all, also while somebody writes them
    return together([load_channel(path, environment, editions) for path in paths_in(folder or shipped("channels"))])


def paths_in(folder: Path) -> list[Path]:
    """The channel files of a folder, in their order. Raises ConfigError where there are none."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder of channels")
    paths = channel_paths(folder.glob("*.yaml"))
    if not paths:
        raise ConfigError(f"{folder}: no channel file (*.yaml)")
    return paths


def together(channels: list[Channel]) -> list[Channel]:
    """The channels as one process serves them. Raises ConfigError where they do not go together."""
    _refuse_doubles(channels)
    return linked(channels)


def find_channel(name: str, folder: Path | None = None, environment: Environment = NO_ENVIRONMENT) -> Channel:
    """The channel of that name. Raises UserError listing the known ones."""
    channels = {channel.name: channel for channel in load_channels(folder, environment)}
    if name not in channels:
        raise UserError(f"unknown channel '{name}' (known: {', '.join(channels)})")
    return channels[name]


def _refuse_doubles(channels: list[Channel]) -> None:
    by_name: dict[str, Path] = {}
    by_address: dict[str, Path] = {}
    for channel in channels:
        for seen, key, value in ((by_name, "channel", channel.name), (by_address, "listen", channel.file.listen)):
            if value in seen and value.split(":")[:2] != ["tcp", "0"]:
                raise ConfigError(f"{place(channel.path, key)}: {key}: '{value}' is already used by {seen[value]}")
            seen[value] = channel.path
