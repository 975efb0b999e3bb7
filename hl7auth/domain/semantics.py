"""What a message changes: requests, answers and cancellations applied to what the store knows.

Imports wire and domain only.

Snapshot is what is applied here: a claim replaces what was stored of its authorization, and an answer replaces the set
of its referral. What is not sent at all is no information and deletes nothing (chapter 2, 2.10.4.1). A message that
asks for more is refused whole, because MSA-1 speaks for the whole of it.
"""

from collections.abc import Iterator

from hl7auth.domain.authorization import Claim
from hl7auth.domain.document import Document, build, same_content, with_provenance
from hl7auth.domain.intent import STATUS_REQUEST, Change, Intent, Known, Record, shown_key
from hl7auth.domain.status import UNDECIDED, Status, decided, of_lines
from hl7auth.errors import Fault
from hl7auth.wire.ack import Location, Problem


class Refused(Fault):
    """The message can not be applied; nothing of it is."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems[0].text)
        self.problems = problems


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
    """The request that an answer belongs to: by MSA-2 and requester, else by the referral; never by a guess.

    Where several requests came under one control id, the referral tells which; where it does not, none is meant.
    """
    asked = [record for record in known.asked_by(intent.answers) if intent.requester.may_be(record.requester)]
    if intent.referral:
        asked = [record for record in asked if record.referral in ("", intent.referral)]
    if not asked and intent.referral:
        record = known.record(f"?{intent.referral}")
        asked = [record] if record else []
    asked = [record for record in asked if not differ(intent, record)]
    return asked[0] if len(asked) == 1 else None


def is_late(intent: Intent, request: Record) -> bool:
    """An answer to a request that was cancelled before, unless it confirms just that."""
    return request.status == Status.CANCELLED and not intent.cancels


def _refuse_another_patient(intent: Intent, known: Known) -> None:
    """Two patients never share a number: a sender that mistakes one must neither change nor see the other's."""
    for claim in intent.claims:
        record = known.record(claim.identifier.key) if claim.identifier else None
        if record and differ(intent, record):
            raise Refused(_unknown(claim, "AUT-6 is not known for this patient"))
    request = known.record(intent.request_key) if intent.is_request else None
    if request and intent.referral and differ(intent, request):
        text = "RF1-6 is not known for this patient" if intent.cancels else "RF1-6 was used for another patient"
        code = "204" if intent.cancels else "205"
        raise Refused(Problem(code, text, Location("RF1", 1, 6), rule="RF1-6.patient"))


def differ(intent: Intent, record: Record) -> bool:
    """Surely two patients: other ids (an id alone differs between a clinic and a payor), and another birth date or,
    where that is not sent, another family name."""
    one, other = intent.context.get("patient", {}), record.document.get("patient", {})
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
    """A request under a referral replaces the one before; under a control id never: senders use those again."""
    whole = Claim(None, next((claim.top for claim in claims if claim.top), None))
    whole.lines = [line for claim in claims for line in claim.lines]
    key = intent.request_key
    before = known.record(key)
    if before is not None and not intent.referral:
        key, before = f"{key}~{intent.message_id}", None
    document = {**build(whole, intent.context, intent.names, status), "key": shown_key(key)}
    numbers = [claim.identifier.key for claim in claims if claim.identifier]
    if numbers:
        document["concerns"] = numbers
    yield from _store(intent, document, before, "request", key)


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
    if not intent.cancels:
        changes += _dropped(intent, request, known)
    if request is not None:
        changes += _settled(intent, request, assumed)
    return changes


def _dropped(intent: Intent, request: Record | None, known: Known) -> Iterator[Change]:
    """Authorizations of the referral, or without one of the request, that a later answer no longer names have ended."""
    named = {claim.identifier.key for claim in intent.claims if claim.identifier}
    if not named:
        return
    scope = known.in_referral(intent.referral) if intent.referral else []
    if request is not None and not intent.referral:
        keys = request.document.get("authorizations", [])
        scope = [record for key in keys if (record := known.record(key)) is not None]
    for record in scope:
        if record.key not in named and record.status != Status.CANCELLED and not differ(intent, record):
            yield from _store(intent, _ended(record.document), record, "left out of a later snapshot")


def _ended(document: Document) -> Document:
    """The document as cancelled, with its lines."""
    lines = [{**line, "status": Status.CANCELLED} for line in document.get("lines", [])]
    return {**document, "status": Status.CANCELLED, "lines": lines}


def _settled(intent: Intent, request: Record, assumed: Status | None) -> Iterator[Change]:
    """The request takes over what the answer says; with a decision it is no longer open.

    An answer without any AUT decides by RF1-1, and leaves what was asked for as it is.
    """
    claims = [claim for claim in intent.claims if claim.auts]
    if claims:
        document = _answered_request(intent, request, claims, assumed)
    elif assumed is not None:
        document = _ended(request.document)
    elif intent.referral_status in intent.names.referral_status:
        document = {**request.document, "status": Status(intent.names.referral_status[intent.referral_status])}
    else:
        return
    yield from _store(intent, document, request, "answer", request.key)


def _answered_request(intent: Intent, request: Record, claims: list[Claim], assumed: Status | None) -> Document:
    kept = {key: request.document[key] for key in intent.context if request.document.get(key)}
    context = kept | {key: value for key, value in intent.context.items() if value}
    parts = [build(claim, context, intent.names, assumed) for claim in claims]
    lines = [line for part in parts for line in part["lines"]]
    status = of_lines(Status(part["status"]) for part in parts)
    document = {**parts[0], "lines": lines} if len(parts) == 1 else {**context, "lines": lines}
    numbers = [claim.identifier.key for claim in claims if claim.identifier]
    return {**document, "key": shown_key(request.key), "status": status} | (
        {"authorizations": numbers} if numbers else {}
    )


def _cancelled(intent: Intent, known: Known) -> list[Change]:
    """By number, else by referral, else by what the message concerns; an unknown one is an error, never a silence."""
    named = [(claim, known.record(claim.identifier.key)) for claim in intent.claims if claim.identifier]
    for claim, record in named:
        if record is None:
            raise Refused(_unknown(claim, "the authorization to cancel is not known"))
    records = [record for _, record in named if record is not None]
    if intent.referral:
        request = known.record(f"?{intent.referral}")
        granted = [] if named else known.in_referral(intent.referral)
        records += ([request] if request else []) + [record for record in granted if not differ(intent, record)]
    if not records:
        where = Location("RF1", 1, 6)
        raise Refused(Problem("204", "nothing is known that this message could cancel", where, rule="RF1-6.unknown"))
    changes: list[Change] = []
    for record in records:
        changes += _store(intent, _ended(record.document), record, "cancellation", record.key)
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
