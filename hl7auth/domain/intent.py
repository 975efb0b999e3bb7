"""What a message wants and what the store knows, independent of syntax and of tables.

Imports domain and rules.profile (the shape of the mapping) only.
"""

from typing import NamedTuple, Protocol

from hl7auth.domain.authorization import Claim, Party, joined_key
from hl7auth.domain.document import Document
from hl7auth.domain.status import UNDECIDED
from hl7auth.domain.values import Values
from hl7auth.rules.profile import StatusMap

CANCELLATIONS = frozenset({"I11", "I14"})
STATUS_REQUEST = "I15"


class Record(NamedTuple):
    """The current version of an authorization, or of a request that has no number yet.

    `key` is unique over both: a request's begins with `?`, and with `?#` where it stands under a control id and not
    under a referral. `control_id` is MSH-10 of the message that asked.
    """

    key: str
    version: int
    status: str
    referral: str
    requester: Party
    control_id: str
    message_id: int
    document: Document

    @property
    def is_request(self) -> bool:
        """True for a request waiting for, or closed by, its answer."""
        return self.key.startswith("?")

    @property
    def is_open(self) -> bool:
        """A request that nobody has answered or cancelled."""
        return self.is_request and self.status in UNDECIDED


class Change(NamedTuple):
    """A new version of a record; `rule` names what made it, in the words of `authorization history`."""

    record: Record
    before: Record | None
    rule: str


class Known(Protocol):
    """What the store knows, as far as a message can touch it."""

    def record(self, key: str) -> Record | None:
        """The current record of a key."""

    def in_referral(self, referral: str) -> list[Record]:
        """The current authorizations of a referral."""

    def asked_by(self, control_id: str) -> list[Record]:
        """The current requests that a message with this control id made."""


class Intent(NamedTuple):
    """All that a message says, independent of its syntax.

    `answers` is MSA-2; `receipt_only` an answer with MSA-1 CA; `promised` a request whose sender is told that it pends;
    `referral_status` RF1-1.
    """

    message_id: int
    message_type: str
    trigger_event: str
    control_id: str
    claims: tuple[Claim, ...]
    context: Values
    referral: str
    requester: Party
    answers: str
    receipt_only: bool
    promised: bool
    referral_status: str
    names: StatusMap

    @property
    def is_request(self) -> bool:
        """RQA and REF ask; RPA and RRI answer."""
        return self.message_type in ("RQA", "REF")

    @property
    def cancels(self) -> bool:
        """I11 and I14."""
        return self.trigger_event in CANCELLATIONS

    @property
    def request_key(self) -> str:
        """The key of the request that this message makes or answers: the referral, else sender and control id."""
        if self.referral:
            return f"?{self.referral}"
        return "?#" + joined_key(self.control_id if self.is_request else self.answers, self.requester.scope)


def shown_key(key: str) -> str:
    """A key as people see it: without the marks of a request."""
    return key.removeprefix("?").removeprefix("#") if key.startswith("?") else key
