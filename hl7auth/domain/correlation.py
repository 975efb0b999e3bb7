"""Which request an answer belongs to, which records a message reaches, and whose they are: never by a guess.

Imports wire.ack and domain only.
"""

from collections.abc import Iterator

from hl7auth.domain.change import unknown
from hl7auth.domain.intent import Intent, Known, Record, concern_of
from hl7auth.domain.status import UNDECIDED, Status
from hl7auth.wire.ack import Location, Problem

_BEGIN = frozenset({"I08", "I10", "I12"})
"""Events that ask for something anew; the others speak of what the sender believes to be known."""


def request_answered(intent: Intent, known: Known) -> Record | None:
    """The request that an answer belongs to: by MSA-2 and requester, else by the referral, else by the number (AUT-6)
    that an open request concerns.

    Where several requests came under one control id, the referral tells which; where it does not, none is meant.
    """
    asked = [record for record in known.asked_by(intent.answers) if intent.requester.may_be(record.requester)]
    if intent.referral:
        asked = [record for record in asked if _referral(record) in ("", intent.referral)]
    several = len(asked) > 1
    if not asked and intent.referral:
        record = known.record(f"?{intent.referral}")
        asked = [record] if record else []
    asked = [record for record in asked if not differ(intent, record)]
    if not asked and not several and not intent.referral:
        asked = list(_concerned(intent, known))
    return asked[0] if len(asked) == 1 else None


def _referral(record: Record) -> str:
    return "" if record.referral.startswith("=") else record.referral


def _concerned(intent: Intent, known: Known) -> Iterator[Record]:
    """Open requests that concern a number which the answer names."""
    seen = set()
    for claim in intent.claims:
        if claim.identifier:
            for record in known.in_referral(concern_of(claim.identifier.key), requests=True):
                fits = intent.requester.may_be(record.requester) and not differ(intent, record)
                if record.is_open and fits and record.key not in seen:
                    seen.add(record.key)
                    yield record


def is_late(intent: Intent, request: Record) -> bool:
    """An answer to a request that was cancelled before, unless it confirms just that."""
    return request.status == Status.CANCELLED and not intent.cancels


def names_what_was_asked(intent: Intent, known: Known) -> bool:
    """A request that had its number already waits under that number."""
    records = [known.record(claim.identifier.key) for claim in intent.claims if claim.identifier]
    return any(
        record is not None and (record.control_id == intent.answers or record.status in UNDECIDED) for record in records
    )


def granted(intent: Intent, known: Known) -> list[Record]:
    """The authorizations of the referral that a message names, of this patient."""
    if not intent.referral:
        return []
    found = {record.key: record for record in known.in_referral(intent.referral)}
    request = known.record(f"?{intent.referral}")
    if request is not None and not differ(intent, request):
        found |= {record.key: record for record in granted_to(request, known)}
    return [record for record in found.values() if not differ(intent, record)]


def granted_to(request: Record, known: Known) -> list[Record]:
    """The authorizations that answers to a request named."""
    keys = request.document.get("authorizations", [])
    return [record for key in keys if (record := known.record(key)) is not None]


def another_patient(intent: Intent, known: Known) -> list[Problem]:
    """Two patients never share a number: a sender that mistakes one must neither change nor see the other's."""
    problems = []
    for claim in intent.claims:
        record = known.record(claim.identifier.key) if claim.identifier else None
        if record and differ(intent, record):
            problems.append(unknown(claim, "AUT-6 is not known for this patient"))
    request = known.record(intent.request_key) if intent.is_request else None
    if request and intent.referral and differ(intent, request):
        begins = intent.trigger_event in _BEGIN
        text = "RF1-6 was used for another patient" if begins else "RF1-6 is not known for this patient"
        code = "205" if begins else "204"
        problems.append(Problem(code, text, Location("RF1", 1, 6), rule="RF1-6.patient"))
    return problems


def differ(intent: Intent, record: Record) -> bool:
    """Surely two patients: other ids (an id alone differs between a clinic and a payor), and another birth date or,
    where that is not sent, another family name. The same id of two assigners is no more than another id; where an
    assigner is not sent, birth date and name must both be others."""
    one, other = intent.context.get("patient", {}), record.document.get("patient", {})
    if not one.get("id") or not other.get("id"):
        return False
    assigners = [patient.get("assigner", "") for patient in (one, other)]
    same_id = one["id"] == other["id"]
    if same_id and all(assigners) and assigners[0] == assigners[1]:
        return False
    found = []
    for key in ("birth_date", "name"):
        values = [str(patient.get(key, "")).split(",")[0].casefold() for patient in (one, other)]
        if all(values):
            found.append(values[0] != values[1])
    if same_id and not all(assigners):
        return len(found) > 1 and all(found)
    return bool(found) and found[0]
