"""What a message changes: requests, answers and cancellations applied to what the store knows.

Imports wire and domain only.

Snapshot is what is applied here: a claim replaces what was stored of its authorization, and an answer replaces the set
of its referral. What is not sent at all is no information and deletes nothing (chapter 2, 2.10.4.1). A message that
asks for more is refused whole, because MSA-1 speaks for the whole of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from hl7auth.domain.authorization import Claim
from hl7auth.domain.document import Document, build, same_content, with_provenance
from hl7auth.domain.status import UNDECIDED, Status, decided
from hl7auth.domain.values import Values
from hl7auth.errors import Fault
from hl7auth.rules.profile import StatusMap
from hl7auth.wire.ack import Location, Problem

CANCELLATIONS = frozenset({"I11", "I14"})
STATUS_REQUEST = "I15"


class Refused(Fault):
    """The message can not be applied; nothing of it is."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems[0].text)
        self.problems = problems


class Record(NamedTuple):
    """The current version of an authorization, or of a request that has no number yet.

    `key` is unique over both: a request's begins with `?`. `control_id` is MSH-10 of the message that asked.
    """

    key: str
    version: int
    status: str
    referral: str
    requester: str
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


@dataclass(frozen=True, slots=True)
class Intent:
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
    requester: str
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
        number = self.control_id if self.is_request else self.answers
        return "?" + (self.referral or f"{number}@{self.requester}")


def apply(intent: Intent, known: Known) -> list[Change]:
    """The changes of a message, in order. Raises Refused."""
    _refuse_what_is_no_snapshot(intent)
    _refuse_another_patient(intent, known)
    if intent.receipt_only or (intent.is_request and intent.trigger_event == STATUS_REQUEST):
        return []
    if intent.is_request:
        return _cancelled(intent, known) if intent.cancels else list(_requested(intent, known))
    return _answered(intent, known)


def request_answered(intent: Intent, known: Known) -> Record | None:
    """The request that an answer belongs to: by MSA-2 and requester, else by the referral; never by a guess."""
    for record in known.asked_by(intent.answers):
        if record.requester == intent.requester:
            return record
    return known.record("?" + intent.referral) if intent.referral else None


def is_late(intent: Intent, request: Record) -> bool:
    """An answer to a request that was cancelled before, unless it confirms just that."""
    return request.status == Status.CANCELLED and not intent.cancels


def _refuse_another_patient(intent: Intent, known: Known) -> None:
    """Two patients never share a number: a sender that mistakes one must neither change nor see the other's."""
    for claim in intent.claims:
        record = known.record(claim.identifier.key) if claim.identifier else None
        if record and _differ(intent.context.get("patient", {}), record.document.get("patient", {})):
            raise Refused(_unknown(claim, "AUT-6 is not known for this patient"))


def _differ(one: Values, other: Values) -> bool:
    """Surely two patients: other ids (an id alone differs between a clinic and a payor), and another birth date or,
    where that is not sent, another family name."""
    if not one.get("id") or not other.get("id") or one["id"] == other["id"]:
        return False
    for key in ("birth_date", "name"):
        values = [str(patient.get(key, "")).split(",")[0].casefold() for patient in (one, other)]
        if all(values):
            return values[0] != values[1]
    return False


def _unknown(claim: Claim, text: str) -> Problem:
    return Problem("204", text, Location("AUT", claim.auts[0].occurrence, 6), rule="AUT-6.unknown")


def _refuse_what_is_no_snapshot(intent: Intent) -> None:
    for claim in intent.claims:
        for aut in claim.auts:
            where = Location("AUT", aut.occurrence, 29)
            if aut.action not in ("", "S"):
                text = "AUT-29 asks for action mode; this channel applies snapshots only"
                raise Refused(Problem("207", text, where, rule="AUT-29.mode"))
            if aut.deletes:
                text = "this AUT deletes a whole set, and the channel does not say of what"
                raise Refused(Problem("207", text, Location("AUT", aut.occurrence), rule="AUT.delete-set"))


def _requested(intent: Intent, known: Known) -> Iterator[Change]:
    """A request never overwrites a decision: what is decided stays in force until somebody decides anew."""
    status = Status.PENDED if intent.promised else Status.REQUESTED
    waiting = [claim for claim in intent.claims if claim.identifier is None]
    for claim in intent.claims:
        before = known.record(claim.identifier.key) if claim.identifier else None
        if before is not None and Status(before.status) not in UNDECIDED:
            waiting.append(claim)
        elif claim.identifier is not None:
            yield from _store(
                intent, build(claim, intent.context, intent.names, _said(intent, claim, status)), before, "request"
            )
    if waiting or not intent.claims:
        yield from _waiting(intent, known, waiting, status)


def _said(intent: Intent, claim: Claim, status: Status) -> Status | None:
    """A referral may carry an authorization that was granted before: then its AUTs say what was decided."""
    granted = intent.message_type == "REF" and claim.identifier is not None
    return (
        None
        if granted and any(decided(aut.values, True, intent.names) not in UNDECIDED for aut in claim.auts)
        else status
    )


def _waiting(intent: Intent, known: Known, claims: list[Claim], status: Status) -> Iterator[Change]:
    whole = Claim(None, next((claim.top for claim in claims if claim.top), None))
    whole.lines = [line for claim in claims for line in claim.lines]
    document = build(whole, intent.context, intent.names, status)
    numbers = [claim.identifier.key for claim in claims if claim.identifier]
    if numbers:
        document["concerns"] = numbers
    yield from _store(
        intent,
        {**document, "key": intent.request_key[1:]},
        known.record(intent.request_key),
        "request",
        intent.request_key,
    )


def _answered(intent: Intent, known: Known) -> list[Change]:
    request = request_answered(intent, known)
    if request is not None and request.status == Status.CANCELLED:
        return []  # a late answer is kept as a message, and revives nothing
    assumed = Status.CANCELLED if intent.cancels else None
    changes: list[Change] = []
    for claim in intent.claims:
        if claim.identifier is None:
            continue
        before = known.record(claim.identifier.key)
        if intent.cancels and before is None and request is None:
            raise Refused(_unknown(claim, "the authorization to cancel is not known"))
        changes += _store(intent, build(claim, intent.context, intent.names, assumed), before, "answer")
    changes += _dropped(intent, known)
    if request is not None:
        changes += _settled(intent, request, assumed)
    return changes


def _dropped(intent: Intent, known: Known) -> Iterator[Change]:
    """Authorizations of the referral that a full answer no longer names have ended."""
    named = {claim.identifier.key for claim in intent.claims if claim.identifier}
    if not named or not intent.referral:
        return
    for record in known.in_referral(intent.referral):
        if record.key not in named and record.status != Status.CANCELLED:
            document = {**record.document, "status": Status.CANCELLED}
            yield from _store(intent, document, record, "left out of a later snapshot")


def _settled(intent: Intent, request: Record, assumed: Status | None) -> Iterator[Change]:
    """The request takes over what the answer says; with a decision it is no longer open."""
    claims = [claim for claim in intent.claims if claim.auts]
    referral_status = intent.names.referral_status.get(intent.referral_status)
    if not claims and assumed is None and referral_status:
        assumed = Status(referral_status)
    if not claims and assumed is None:
        return
    whole = Claim(claims[0].identifier if len(claims) == 1 else None, claims[0].top if claims else None)
    whole.lines = [line for claim in claims for line in claim.lines]
    kept = {key: request.document[key] for key in intent.context if request.document.get(key)}
    said = {key: value for key, value in intent.context.items() if value}
    document = build(whole, {**kept, **said}, intent.names, assumed)
    yield from _store(intent, {**document, "key": request.key[1:]}, request, "answer", request.key)


def _cancelled(intent: Intent, known: Known) -> list[Change]:
    """By number, else by referral, else by what the message concerns; an unknown one is an error, never a silence."""
    named = [(claim, known.record(claim.identifier.key)) for claim in intent.claims if claim.identifier]
    for claim, record in named:
        if record is None:
            raise Refused(_unknown(claim, "the authorization to cancel is not known"))
    records = [record for _, record in named if record is not None]
    if intent.referral:
        request = known.record("?" + intent.referral)
        records += ([request] if request else []) + ([] if named else known.in_referral(intent.referral))
    if not records:
        where = Location("RF1", 1, 6)
        raise Refused(Problem("204", "nothing is known that this message could cancel", where, rule="RF1-6.unknown"))
    changes: list[Change] = []
    for record in records:
        changes += _store(intent, {**record.document, "status": Status.CANCELLED}, record, "cancellation", record.key)
    return changes


def _store(intent: Intent, document: Document, before: Record | None, rule: str, key: str = "") -> Iterator[Change]:
    """A new version, unless nothing is new."""
    if before is not None and same_content(before.document, document):
        return
    version = before.version + 1 if before else 1
    whole = with_provenance(document, intent.message_id, version, before.document if before else None)
    asks = intent.is_request and not intent.cancels
    yield Change(
        Record(
            key=key or document["key"],
            version=version,
            status=document["status"],
            referral=intent.referral or (before.referral if before else ""),
            requester=intent.requester if asks or before is None else before.requester,
            control_id=intent.control_id if asks else (before.control_id if before else ""),
            message_id=intent.message_id,
            document=whole,
        ),
        before,
        rule,
    )
