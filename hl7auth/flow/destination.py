"""Destinations as people write them in a channel: how messages are sent on, and what is made of the answers.

Imports flow.endpoint, flow.http_address, flow.tls, flow.verdict, rules.strict_yaml and steps only.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from hl7auth.flow.endpoint import endpoint
from hl7auth.flow.http_address import HttpHeaders, HttpUrl
from hl7auth.flow.tls import ClientTls
from hl7auth.flow.verdict import TABLE, Act, Policy, key_fault
from hl7auth.rules.strict_yaml import Strict
from hl7auth.steps.model import Step

OrderBy = Literal["authorization", "patient", "channel", "none"]
"""What keeps its order: messages with the same key are sent one after the other, others beside each other."""

NAME = r"^[a-z0-9][a-z0-9-]*$"

Answered = Literal[Act.SENT, Act.RETRY, Act.PARK, Act.STOP, Act.DEAD]
"""What can be made of an answer; only a step can have a message skipped."""

_OPTIONS = frozenset({"host", "port", "timeout", "bindAddress"})
"""What an address may say. Anything else that Twisted knows of TLS would go past the key `tls`."""

ER7 = "x-application/hl7-v2+er7"
"""The content type of HL7 over HTTP."""


class Retry(Strict):
    """The pauses before a message is sent again: `first_seconds`, times `factor` each time, up to `most_seconds`.

    Each pause is shortened or stretched by chance, at most by the share `jitter`. After `attempts` (0: never) `then`
    says what becomes of the message: `park` keeps it and what is behind it, `dead` gives it up and the rest flows on.
    """

    first_seconds: float = Field(1.0, gt=0, le=86_400)
    factor: float = Field(2.0, ge=1, le=10)
    most_seconds: float = Field(300.0, gt=0, le=86_400)
    jitter: float = Field(0.2, ge=0, le=0.9)
    attempts: int = Field(30, ge=0)
    then: Literal["park", "dead"] = "park"


class Mllp(Strict):
    """An MLLP listener; `connect` is a Twisted endpoint. One message at a time is under way on each connection.

    `wait_for` says when an answer is waited for: as MSH-15, MSH-16 and the kind of message ask (`header`), or not by
    them. Where none is due, `quiet_seconds` are waited for a refusal. `keep_open: false` is for listeners that hang up
    after each answer.
    """

    connect: str
    tls: ClientTls | None = None
    connections: int = Field(1, ge=1, le=64)
    connect_seconds: float = Field(10.0, gt=0)
    answer_seconds: float = Field(30.0, gt=0)
    quiet_seconds: float = Field(0.5, ge=0)
    wait_for: Literal["header", "always", "never"] = "header"
    keep_open: bool = True
    reconnect: Retry = Retry(first_seconds=0.25, most_seconds=30.0)

    @field_validator("connect")
    @classmethod
    def _client(cls, text: str) -> str:
        if text.partition(":")[0] not in ("tcp", "tls", "unix") or not text.partition(":")[2]:
            raise ValueError(f"'{text}' is no endpoint to connect to, like tcp:payer.example:2575")
        if text.startswith("tls:") and endpoint(text).options.keys() - _OPTIONS:
            raise ValueError("certificates are not named in the address: write them under the key tls beside it")
        return text

    @model_validator(mode="after")
    def _has_server_name(self) -> "Mllp":
        if (
            self.tls is not None
            and self.connect.startswith("unix:")
            and self.tls.check_name
            and not self.tls.server_name
        ):
            raise ValueError("a socket of this machine has no name: say tls.server_name, or check_name: false")
        return self

    @property
    def address(self) -> str:
        """Where to connect to: TLS, if any, goes around that."""
        return self.connect.replace("tls:", "tcp:", 1) if self.connect.startswith("tls:") else self.connect

    @property
    def secured(self) -> ClientTls | None:
        """How this is secured: `tls:` in the address alone means all the defaults."""
        return self.tls or (ClientTls() if self.connect.startswith("tls:") else None)


class Drop(Strict):
    """A folder. Each message becomes a file, which appears whole or not at all.

    With `batch` up to so many messages that wait become one file under FHS and BHS. `name` may hold `{id}` (of the
    delivery, which only grows), `{control_id}` and `{event}`.
    """

    folder: Path
    name: str = "{id}.hl7"
    batch: int = Field(0, ge=0, le=10_000)

    @field_validator("name")
    @classmethod
    def _usable(cls, text: str) -> str:
        try:
            shown = text.format(id="1", control_id="C1", event="RQA_I08")
        except (KeyError, IndexError, ValueError):
            raise ValueError("only {id}, {control_id} and {event} can stand in the name of a file") from None
        if "{id" not in text or "/" in shown or shown.startswith("."):
            raise ValueError("the name of a file must hold {id}, and neither a / nor a dot in front")
        return text


class Post(Strict):
    """An HTTP server that takes HL7 over HTTP: one message a POST, answered by an HL7 answer or by the status alone."""

    url: HttpUrl
    content_type: str = ER7
    headers: HttpHeaders = {}
    tls: ClientTls | None = None
    connections: int = Field(1, ge=1, le=64)
    answer_seconds: float = Field(30.0, gt=0)

    @model_validator(mode="after")
    def _secure(self) -> "Post":
        if self.tls is not None and not self.url.startswith("https://"):
            raise ValueError("tls is for https:// addresses")
        return self


class Destination(Strict):
    """One destination: exactly one of `mllp`, `file` and `http`, and what answers mean where they mean something else.

    `steps` shape the copy that is sent, behind those of the channel: one that they drop is skipped, one that they fail
    on is parked. `answers` goes by MSA-1, or MSA-1 and the code of ERR (`AE 207`), or a status (`HTTP 503`), or
    `timeout`, `closed`, `unreadable`, `unshaped` (a step failed); to `sent`, `retry`, `park` (this key waits for a
    person), `stop` (all of it does) or `dead`.
    """

    mllp: Mllp | None = None
    file: Drop | None = None
    http: Post | None = None
    order_by: OrderBy | None = None
    steps: tuple[Step, ...] = ()
    answers: dict[str, Answered] = {}
    retry: Retry = Retry()

    @model_validator(mode="after")
    def _one(self) -> "Destination":
        if sum(way is not None for way in (self.mllp, self.file, self.http)) != 1:
            raise ValueError("a destination has exactly one of mllp, file and http")
        return self

    @field_validator("answers")
    @classmethod
    def _known(cls, answers: dict[str, Answered]) -> dict[str, Answered]:
        for key in answers:
            if fault := key_fault(key):
                raise ValueError(fault)
        return answers

    @property
    def policy(self) -> Policy:
        """The table of this destination, and its pauses."""
        retry = self.retry
        return Policy(
            {**TABLE, **self.answers},
            retry.first_seconds, retry.factor, retry.most_seconds, retry.jitter, retry.attempts, Act(retry.then),
        )  # fmt: skip


def full_name(channel: str, destination: str) -> str:
    """How the queue names a destination: names are those of its channel."""
    return f"{channel}/{destination}"
