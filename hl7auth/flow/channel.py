"""A channel as people write it: one YAML file that says where it listens, what it accepts and how it answers.

Imports domain, the modules of flow that hold parts of a channel, rules, steps, wire, resources and errors only.
"""

from collections.abc import Callable, Collection, Mapping
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from hl7auth.domain import clock
from hl7auth.domain.rule_model import RulesFile, load_rules
from hl7auth.domain.terms import Action, Order, Snapshot, Terms
from hl7auth.errors import ConfigError, UserError
from hl7auth.flow.admission import Receiver, Sender, network
from hl7auth.flow.channel_bounds import Framing, Limits
from hl7auth.flow.channel_files import channel_paths
from hl7auth.flow.channel_links import linked
from hl7auth.flow.channel_protocol import Agreed
from hl7auth.flow.channel_values import NO_ENVIRONMENT, Environment, filled_in
from hl7auth.flow.channel_version import files_beside, masked, version_of
from hl7auth.flow.decisions import Decisions
from hl7auth.flow.derived import Derived
from hl7auth.flow.destination import NAME, Destination, OrderBy, full_name
from hl7auth.flow.enrollment import Enrollment
from hl7auth.flow.kind import Asked, Kind
from hl7auth.flow.profile_choice import Choice, checked, profile_of
from hl7auth.flow.replies import Replies, placed
from hl7auth.flow.retention import Retention
from hl7auth.flow.route import Route
from hl7auth.flow.tls import ServerTls
from hl7auth.resources import shipped
from hl7auth.rules.compiled import CompiledProfile, compiled
from hl7auth.rules.edition import Edition, edition_now
from hl7auth.rules.profile import resolved
from hl7auth.rules.strict_yaml import Strict, place, written
from hl7auth.steps.model import Step
from hl7auth.steps.run import Steps, compile_steps
from hl7auth.wire import charset
from hl7auth.wire.message import Message
from hl7auth.wire.versions import VERSIONS

SUPPORTED = {
    "RQA": ("I08", "I09", "I10", "I11"),
    "RPA": ("I08", "I09", "I10", "I11"),
    "REF": ("I12", "I13", "I14", "I15"),
    "RRI": ("I12", "I13", "I14", "I15"),
}
"""The messages the engine understands, with their events (chapter 11); a profile's dialect adds its own."""

NO_EDITIONS: Mapping[str, str] = MappingProxyType({})
"""Profiles as their files are."""


class Accepts(Strict):
    """Which messages, versions (MSH-12) and processing ids (MSH-11) come in; others get the refusal of HL7.

    Without `messages` those of chapter 11 come in, and those of the profile's dialect. `networks` are where connections
    may come from; others are closed at once. `load_balancers` are networks whose connections begin with a header of the
    PROXY protocol: the client that it names is the peer, and nobody else may connect. `senders` (MSH-3 and MSH-4) and
    `receivers` (MSH-5 and MSH-6) are whom messages may be from and for; others are refused with 103.
    """

    networks: tuple[str, ...] = ()
    load_balancers: tuple[str, ...] = ()
    senders: tuple[Sender, ...] = ()
    receivers: tuple[Receiver, ...] = ()

    messages: tuple[str, ...] = tuple(SUPPORTED)
    versions: tuple[str, ...] = VERSIONS
    processing_ids: tuple[str, ...] = ("P",)

    @field_validator("versions")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _all_in(names, VERSIONS, "version")

    @field_validator("networks", "load_balancers")
    @classmethod
    def _networks(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(network, texts))


class Clocks(Strict):
    """How long a decision may take, in hours, and which requests are expedited: by RF1-2 (`expedited`, table 0280), or
    by PR1-14 of any procedure (`expedited_procedures`, codes that partners agree on)."""

    expedited_hours: float = Field(72, gt=0)
    standard_hours: float = Field(168, gt=0)
    expedited: tuple[str, ...] = ("S", "A")
    expedited_procedures: tuple[str, ...] = ("S", "A")

    @property
    def agreed(self) -> clock.Clocks:
        """The clocks as requests run by them."""
        codes = frozenset(self.expedited), frozenset(self.expedited_procedures)
        return clock.Clocks(self.expedited_hours, self.standard_hours, *codes)


class ChannelFile(Strict):
    """The shape of a channel file.

    `profile` is one for all messages, or a list of `{when, profile}` of which the first that fits is taken.
    `errors` says what findings of severity error do to a message, `tells` which findings the ERR segments of an ACK
    speak of; `snapshot`, `action` and `order` are what the partners agreed on about updates. `steps` shape a message
    before it is checked and applied; the archive keeps what came, and replies are about that.
    """

    channel: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str = ""
    listen: str
    tls: ServerTls | None = None
    profile: str | tuple[Choice, ...] = "referral"
    accepts: Accepts = Accepts()
    errors: Literal["reject", "accept"] = "reject"
    tells: Literal["errors", "warnings", "all"] = "errors"
    duplicates: Literal["lenient", "strict"] = "lenient"
    fallback_charset: str = "8859/1"
    steps: tuple[Step, ...] = ()
    framing: Framing = Framing()
    limits: Limits = Limits()
    protocol: Agreed = Agreed()
    snapshot: Snapshot = Snapshot()
    action: Action = Action()
    order: Order = Order()
    clocks: Clocks = Clocks()
    retention: Retention = Retention()
    decisions: Decisions | None = None
    order_by: OrderBy = "authorization"
    destinations: dict[Annotated[str, Field(pattern=NAME)], Destination] = {}
    routes: tuple[Route, ...] = ()
    replies: Replies | None = None
    enrollment: Enrollment | None = None

    @model_validator(mode="after")
    def _routed(self) -> Self:
        for route in self.routes:
            _all_in(route.to, tuple(self.destinations), "destination")
        if self.replies is not None:
            placed(self.replies, {name: each.mllp is not None for name, each in self.destinations.items()})
        return self

    @field_validator("listen")
    @classmethod
    def _in_the_open(cls, text: str) -> str:
        """TLS of Twisted's own endpoints knows no client certificates, and versions that are broken."""
        if text.partition(":")[0] in ("ssl", "tls"):
            raise ValueError("TLS is not asked for by the address: write tcp:PORT here, and the key tls beside it")
        return text

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        held = any(sender.certificate for sender in self.accepts.senders)
        if held and (self.tls is None or self.tls.client_certificates == "none"):
            raise ValueError("a sender is held to its certificate, and no tls.client_certificates are asked for")
        return self

    @property
    def terms(self) -> Terms:
        """What decides how far a message reaches."""
        return Terms(self.snapshot, self.action, self.order)

    @property
    def profiles(self) -> tuple[str, ...]:
        """The profiles of this channel, each once, in their order."""
        if isinstance(self.profile, str):
            return (self.profile,)
        return tuple(dict.fromkeys(choice.profile for choice in self.profile))

    def profile_of(self, message: Message) -> str:
        """The profile that a message is checked against."""
        profile = self.profile
        return profile if isinstance(profile, str) else profile_of(profile, message)

    def own_messages(self, editions: Mapping[str, str] = NO_EDITIONS) -> tuple[str, ...]:
        """The message types of the partners' own, by the dialects of the profiles in these editions."""
        dialects = (resolved(name, None, editions.get(name, "")).dialect for name in self.profiles)
        return tuple(dict.fromkeys(event[:3] for dialect in dialects if dialect for event in dialect.events))

    def events(self, message_type: str, profile: str = "", edition: str = "") -> tuple[str, ...]:
        """The events of a message type that this channel understands under a profile, or under any of its own.

        None for a message type that it does not take.
        """
        if not profile:
            found = (event for name in self.profiles for event in self.events(message_type, name))
            return tuple(dict.fromkeys(found))
        dialect, accepted = resolved(profile, None, edition).dialect, self.accepts.messages
        own = dialect.events_of(message_type) if dialect else ()
        if message_type in accepted or (own and "messages" not in self.accepts.model_fields_set):
            return SUPPORTED.get(message_type, ()) + own
        return ()

    @field_validator("profile")
    @classmethod
    def _for_all(cls, profile: str | tuple[Choice, ...]) -> str | tuple[Choice, ...]:
        return profile if isinstance(profile, str) else checked(profile)

    @field_validator("fallback_charset")
    @classmethod
    def _codec(cls, name: str) -> str:
        if name not in charset.CODECS:
            raise ValueError(f"unknown character set '{name}' (table 0211 has: {', '.join(charset.CODECS)})")
        return name


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

    def for_answers(self) -> "Channel":
        """The channel as it takes the answers that come back on the connections to its destinations."""
        accepts = self.file.accepts.model_copy(update={"senders": (), "receivers": ()})  # those are the requesters
        if "messages" in accepts.model_fields_set:
            messages = dict.fromkeys((*accepts.messages, "RPA", "RRI", *self.file.own_messages(self.editions)))
            accepts = accepts.model_copy(update={"messages": tuple(messages)})
        replies = self.file.replies and self.file.replies.model_copy(update={"acknowledgments": "as_asked"})
        file = self.file.model_copy(update={"accepts": accepts, "replies": replies, "steps": ()})
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
        _all_in(file.accepts.messages, [*SUPPORTED, *file.own_messages(chosen)], "message type")
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


def profile_keys(file: ChannelFile) -> list[tuple[tuple[int | str, ...], str]]:
    """Where the file names its profiles, and their names."""
    if isinstance(file.profile, str):
        return [(("profile",), file.profile)]
    return [(("profile", number, "profile"), choice.profile) for number, choice in enumerate(file.profile)]


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


def _all_in(names: tuple[str, ...], allowed: Collection[str], what: str) -> tuple[str, ...]:
    for name in names:
        if name not in allowed:
            raise ValueError(f"unknown {what} '{name}' (allowed: {', '.join(allowed)})")
    return names
