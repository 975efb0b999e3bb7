"""What a message wants and what the store knows, independent of syntax and of tables.

Imports domain and rules.profile (the shape of the mapping) only.
"""

from functools import lru_cache
from typing import NamedTuple, Protocol

from hl7auth.domain.action_table import SNAPSHOT_CODES
from hl7auth.domain.authorization import Claim, Party, joined_key
from hl7auth.domain.document import Document
from hl7auth.domain.status import UNDECIDED
from hl7auth.domain.terms import TERMS, Terms
from hl7auth.domain.values import Values
from hl7auth.rules.profile import StatusMap

CANCELLATIONS = frozenset({"I11", "I14"})
STATUS_REQUEST = "I15"


class Record(NamedTuple):
    """The current version of an authorization, or of a request that has no number yet.

    `key` is unique over both: a request's begins with `?`, and with `?#` where it stands under a control id and not
    under a referral. `control_id` is MSH-10 of the message that asked. `referral` is the set that a later snapshot
    replaces: the referral, or the patient and payor; of a request without a referral it is what the request concerns.
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

    def in_referral(self, referral: str, *, requests: bool = False) -> list[Record]:
        """The current authorizations of a referral (or another set), or the requests."""

    def asked_by(self, control_id: str) -> list[Record]:
        """The current requests that a message with this control id made."""


class Intent(NamedTuple):
    """All that a message says, independent of its syntax.

    `answers` is MSA-2, `acknowledged` MSA-1 of an answer; `receipt_only` an answer with MSA-1 CA, CE or CR;
    `promised` a request whose sender is told that it pends;
    `referral_status` RF1-1 and `referral_action` RF1-25; `sent_at` MSH-7 as it came; `has_procedures` false when the
    message has no PR1 at all.
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
    terms: Terms = TERMS
    sender: Party = Party("", "")
    sent_at: str = ""
    referral_action: str = ""
    has_procedures: bool = True
    acknowledged: str = ""
    receiver: Party = Party("", "")

    @property
    def is_request(self) -> bool:
        """RQA and REF ask; RPA and RRI answer."""
        return self.message_type in ("RQA", "REF")

    @property
    def is_error(self) -> bool:
        """An answer that says the request could not be processed."""
        return self.acknowledged in ("AE", "AR")

    @property
    def cancels(self) -> bool:
        """I11 and I14."""
        return self.trigger_event in CANCELLATIONS

    @property
    def request_key(self) -> str:
        """The key of the request that this message makes or answers: the referral, else sender and control id.

        Of several requests of one referral it is the first one's; `request_keys` has those of the others.
        """
        if self.referral:
            return f"?{self.referral}"
        return "?#" + joined_key(self.control_id if self.is_request else self.answers, self.requester.scope)

    @property
    def request_keys(self) -> tuple[str, ...]:
        """Where the request may stand, in the order of looking: a referral that is sent to several is several requests.

        The first of them stands under the referral alone, others under that with whom they were sent to, and where
        several payors have one system, with the payor.
        """
        first = self.request_key
        if not self.referral or not any(self.asked):
            return (first,)
        theirs = f"{first}~{joined_key(self.asked.application, self.asked.facility)}"
        return (first, theirs, *(f"{theirs}~{joined_key(payor, '')}" for payor in self.payors))

    @property
    def asked(self) -> Party:
        """Who is to decide: the receiver of a request, the sender of an answer."""
        return self.receiver if self.is_request else self.sender

    @property
    def payors(self) -> tuple[str, ...]:
        """The codes of AUT-2, each once."""
        return tuple(dict.fromkeys(aut.payor for claim in self.claims for aut in claim.auts if aut.payor))


def set_of(intent: Intent, claim: Claim) -> str:
    """The key of the set that a claim is a member of; empty where the message names none."""
    if intent.terms.snapshot.scope != "patient_and_payor":
        return intent.referral
    patient, payors = intent.context.get("patient", {}), [aut.payor for aut in claim.auts if aut.payor]
    if not patient.get("id") or not payors:
        return ""
    return "&" + joined_key(joined_key(patient["id"], patient.get("assigner", "")), payors[0])


@lru_cache(maxsize=1024)
def concern_of(key: str) -> str:
    """Where a request that concerns the authorization of that key stands among the sets."""
    return "=" + joined_key(key, "")


def sets_asked(intent: Intent) -> set[str]:
    """The sets that this message may touch: of most requests, and in action mode, none."""
    if reaches_referral(intent):
        sets = {intent.referral}
    elif intent.is_request or acts_alone(intent):
        sets = set()
    else:
        sets = {set_of(intent, claim) for claim in intent.claims} | {intent.referral}
    if not intent.is_request:
        sets |= {concern_of(claim.identifier.key) for claim in intent.claims if claim.identifier}
    return sets - {""}


def asks_granted(intent: Intent) -> bool:
    """True when the message may touch what answers to its request granted before."""
    if reaches_referral(intent):
        return True
    return not intent.is_request and not acts_alone(intent) and not any(set_of(intent, each) for each in intent.claims)


def reaches_referral(intent: Intent) -> bool:
    """True for what speaks of a referral as a whole: a cancellation, a status request, RF1-25, a delete set."""
    if intent.cancels or intent.referral_action or (intent.is_request and intent.trigger_event == STATUS_REQUEST):
        return True
    return any(aut.deletes for claim in intent.claims for aut in claim.auts)


def acts_alone(intent: Intent) -> bool:
    """True when every AUT has an action code: then none speaks of a set."""
    auts = [aut for claim in intent.claims for aut in claim.auts]
    return bool(auts) and all(aut.action not in SNAPSHOT_CODES for aut in auts)
