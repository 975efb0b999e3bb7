"""The shape of a channel file: what people write about what a channel accepts and how it answers.

Imports domain, the modules of flow that hold parts of a channel, rules, wire and steps.model only.
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from hl7auth.domain import clock
from hl7auth.domain.terms import Action, Order, Snapshot, Terms
from hl7auth.flow.admission import Receiver, Sender, network
from hl7auth.flow.channel_bounds import Framing, Limits
from hl7auth.flow.channel_protocol import Agreed
from hl7auth.flow.decisions import Decisions
from hl7auth.flow.destination import NAME, Destination, OrderBy
from hl7auth.flow.enrollment import Enrollment
from hl7auth.flow.profile_choice import Choice, checked, profile_of
from hl7auth.flow.replies import Replies, placed
from hl7auth.flow.retention import Retention
from hl7auth.flow.route import Route
from hl7auth.flow.tls import ServerTls
from hl7auth.rules.profile import resolved
from hl7auth.rules.strict_yaml import Misplaced, Strict
from hl7auth.rules.strict_yaml import Step as Key
from hl7auth.steps.model import Step
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
        return all_in(names, VERSIONS, "version")

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
        for number, route in enumerate(self.routes):
            all_in(route.to, tuple(self.destinations), "destination", "routes", number, "to")
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
        held = [number for number, sender in enumerate(self.accepts.senders) if sender.certificate]
        if held and (self.tls is None or self.tls.client_certificates == "none"):
            text = "a sender is held to its certificate, and no tls.client_certificates are asked for"
            raise Misplaced(text, "accepts", "senders", held[0], "certificate")
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


def all_in(names: tuple[str, ...], allowed: Collection[str], what: str, *keys: Key) -> tuple[str, ...]:
    """The names. Raises Misplaced, there, for one that is not allowed."""
    for name in names:
        if name not in allowed:
            raise Misplaced(f"unknown {what} '{name}' (allowed: {', '.join(allowed) or 'none'})", *keys)
    return names


def profile_keys(file: ChannelFile) -> list[tuple[tuple[int | str, ...], str]]:
    """Where the file names its profiles, and their names."""
    if isinstance(file.profile, str):
        return [(("profile",), file.profile)]
    return [(("profile", number, "profile"), choice.profile) for number, choice in enumerate(file.profile)]
