"""Requests: what was asked for, beside what was decided, and how it is withdrawn.

Imports wire.ack and domain only.

A request never overwrites a decision: what is decided stays in force until somebody decides anew.
"""

from collections.abc import Collection, Iterator, Sequence

from hl7auth.domain.authorization import Claim
from hl7auth.domain.change import Refused, end, replace, store, unknown
from hl7auth.domain.correlation import granted, request_made, requests_of, sent_to
from hl7auth.domain.document import Past, build, said
from hl7auth.domain.intent import Change, Intent, Known, Record, concern_of
from hl7auth.domain.key import shown_key
from hl7auth.domain.snapshot import DELETED, deleted_set
from hl7auth.domain.status import UNDECIDED, Status, by_event
from hl7auth.wire.ack import Location, Problem


def requested(intent: Intent, known: Known) -> list[Change]:
    """The changes that a request in snapshot mode makes."""
    if deleted_set(intent):
        return _withdrawn(intent, known)
    status = asked_status(intent)
    beside = [claim for claim in intent.claims if claim.identifier is None]
    changes: list[Change] = []
    for claim in intent.claims:
        before = known.record(claim.identifier.key) if claim.identifier else None
        if is_decided(before):
            beside.append(claim)
        elif claim.identifier is not None:
            changes += replace(intent, claim, before, _said(intent, claim, status), "request")
    if beside or not intent.claims:
        changes += waiting(intent, known, beside, status)
    return changes


def asked_status(intent: Intent) -> Status:
    """Pended once the sender has been told to wait, else what the event says."""
    if intent.promised:
        return Status.PENDED
    return by_event(intent.message_type, intent.trigger_event, intent.names) or Status.REQUESTED


def is_decided(record: Record | None) -> bool:
    """True for what a request must leave as it is."""
    return record is not None and Status(record.status) not in UNDECIDED


def _said(intent: Intent, claim: Claim, status: Status) -> Status | None:
    """A referral may carry an authorization that was granted before: then its AUTs say what was decided."""
    granted_before = intent.message_type == "REF" and claim.identifier is not None
    if granted_before and any(said(aut, True, intent.names) not in UNDECIDED for aut in claim.auts):
        return None
    return status


def waiting(
    intent: Intent, known: Known, claims: Sequence[Claim], status: Status, actions: dict[str, str] | None = None
) -> Iterator[Change]:
    """A request under a referral replaces the one before; under a control id never: senders use those again.

    `actions` says for each number what is to be done with it, where a request in action mode says so.
    """
    whole = Claim(None, next((claim.top for claim in claims if claim.top), None))
    whole.lines = [line for claim in claims for line in claim.lines]
    if whole.top and whole.top.deletes:
        whole.top = None
    key, before = request_made(intent, known)
    if before is not None and not intent.referral:
        key, before = f"{key}~{intent.message_id}", None
    past = None
    if before is not None:
        past = Past(before.document, intent.terms.snapshot.empty == "keep", lines_stay=not intent.has_procedures)
    document = {**build(whole, intent.context, intent.names, status, past), "key": shown_key(key)}
    if intent.referral:
        document["sent_to"] = sent_to(intent, before)
    numbers = [claim.identifier.key for claim in claims if claim.identifier]
    if before is not None and "authorizations" in before.document:  # what was granted to it is so while more is asked
        document["authorizations"] = before.document["authorizations"]
    if numbers:
        document["concerns"] = numbers
    if actions:
        document["actions"] = actions
    among = intent.referral or (concern_of(numbers[0]) if numbers else "")
    yield from store(intent, document, before, "request", key, among)


def _withdrawn(intent: Intent, known: Known) -> list[Change]:
    """A request that deletes its set takes back what was asked for; what was decided stays."""
    open_ones = [record for record in granted(intent, known) if Status(record.status) in UNDECIDED]
    records = [request for request in requests_of(intent, known) if request.is_open] + open_ones
    if not records and not intent.referral:
        text = "this AUT deletes a whole set, and nothing says of what"
        raise Refused(Problem("204", text, Location("AUT"), rule="AUT.delete-set"))
    return [change for record in records for change in end(intent, record, DELETED)]


def ends_request(intent: Intent, known: Known, request: Record, numbers: Collection[str]) -> bool:
    """True when the cancellation of these numbers ends their request too: it asked for nothing else, or nothing else
    that was granted in its referral stands. Otherwise answers about the rest would come too late."""
    concerns = request.document.get("concerns")
    if concerns and request.is_open:
        return set(concerns) <= set(numbers)
    return all(record.status == Status.CANCELLED or record.key in numbers for record in granted(intent, known))


def cancelled(intent: Intent, known: Known) -> list[Change]:
    """By number, else by referral, else by what the message concerns; an unknown one is an error, never a silence."""
    named = [(claim, known.record(claim.identifier.key)) for claim in intent.claims if claim.identifier]
    problems = [unknown(claim, "the authorization to cancel is not known") for claim, record in named if record is None]
    if problems:
        raise Refused(*problems)
    records = [record for _, record in named if record is not None]
    if intent.referral:
        keys = [record.key for record in records]
        asked = requests_of(intent, known)
        records += [each for each in asked if not named or ends_request(intent, known, each, keys)]
        records += [] if named else granted(intent, known)
    if not records:
        auts = [aut for claim in intent.claims for aut in claim.auts]
        where = auts[0].where(6) if auts and not intent.referral else Location("RF1", 1, 6)
        raise Refused(Problem("204", "nothing is known that this message could cancel", where, rule="RF1-6.unknown"))
    changes: list[Change] = []
    for record in {record.key: record for record in records}.values():
        changes += end(intent, record, "cancellation")
    return changes
