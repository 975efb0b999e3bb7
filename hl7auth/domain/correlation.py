"""Which request an answer belongs to, which records a message reaches, and whose they are: never by a guess.

Imports wire.ack and domain only.
"""

from collections.abc import Iterator

from hl7auth.domain.authorization import Party
from hl7auth.domain.change import unknown
from hl7auth.domain.intent import Intent, Known, Record, concern_of
from hl7auth.domain.status import UNDECIDED, Status
from hl7auth.domain.values import Values
from hl7auth.wire.ack import Location, Problem

_BEGIN = frozenset({"I08", "I10", "I12"})
"""Events that ask for something anew; the others speak of what the sender believes to be known."""

MODIFICATIONS = frozenset({"I09", "I13"})


def request_answered(intent: Intent, known: Known) -> Record | None:
    """The request that an answer belongs to: by MSA-2 and requester, else by the referral, else by the number (AUT-6)
    that an open request concerns.

    Where several requests came under one control id, the referral tells which; where it does not, none is meant.
    """
    asked = [record for record in known.asked_by(intent.answers) if intent.requester.may_be(record.requester)]
    if intent.referral:
        asked = [record for record in asked if same_referral(intent.referral, _referral(record))]
    several = len(asked) > 1
    if not asked and intent.referral:
        asked = list(_of_referral(intent, known))
    asked = [record for record in asked if not differ(intent, record)]
    if not asked and not several and not intent.referral:
        asked = list(_concerned(intent, known))
    return asked[0] if len(asked) == 1 else None


def _of_referral(intent: Intent, known: Known) -> Iterator[Record]:
    """The request of the referral that was sent to whom the answer speaks for."""
    if known.record(intent.request_key) is not None:
        found = [known.record(key) for key in intent.request_keys]
    else:
        half = known.record(half_key(intent))
        found = [half] if half is not None and intent.requester.may_be(half.requester) else []
    yield from [record for record in found if record is not None and is_sent_to(intent, record)][:1]


def half_key(intent: Intent) -> str:
    """Where a request stands whose sender did not name its facility, which the answer does; else empty."""
    number, _, scope = intent.referral.partition("@")
    application, mark, _ = scope.partition(":")
    return f"?{number}@{application}" if mark and application else ""


def request_made(intent: Intent, known: Known) -> tuple[str, Record | None]:
    """The key of the request that a request makes or is about, and what stands there.

    A modification that names another payor is about the one request of its referral that waits at this receiver.
    """
    keys = intent.request_keys
    for key in keys:
        record = known.record(key)
        if record is None or not intent.referral or is_sent_to(intent, record):
            break
    if record is None and key != keys[0] and key == keys[1] and intent.trigger_event in MODIFICATIONS:
        first = known.record(keys[0])
        if first is not None and first.is_open and intent.is_request and _same_party(intent, first):
            return keys[0], first
    return key, record


def requests_of(intent: Intent, known: Known) -> list[Record]:
    """The requests of a referral as a whole, as far as they were sent to whom this message was sent."""
    if not intent.referral:
        return []
    return [record for record in known.in_referral(intent.referral, requests=True) if is_sent_to(intent, record)]


def is_sent_to(intent: Intent, request: Record) -> bool:
    """True where a request of a referral was sent to whom this message is sent to or comes from: to that system, and
    to that payor (AUT-2) where both name one. What is not named differs from nothing.

    An answer may come from another system than the request went to, if it speaks for the payor that was asked.
    """
    payor = request.document.get("sent_to", {}).get("payor", "")
    if not payor or not intent.payors:
        return _same_party(intent, request)
    return payor in intent.payors and (not intent.is_request or _same_party(intent, request))


def _same_party(intent: Intent, request: Record) -> bool:
    sent = request.document.get("sent_to", {})
    party = Party(sent.get("application", ""), sent.get("facility", ""))
    return not any(party) or not any(intent.asked) or intent.asked.may_be(party)


def sent_to(intent: Intent, before: Record | None = None) -> Values:
    """Whom a request was sent to, as its document keeps it: what was known stays, unless it asks another payor."""
    values = {"application": intent.asked.application, "facility": intent.asked.facility}
    values["payor"] = next(iter(intent.payors), "")
    sent = {key: value for key, value in values.items() if value}
    if before is None:
        return sent
    asked: Values = sent | before.document.get("sent_to", {})
    return asked | ({"payor": sent["payor"]} if intent.payors and asked["payor"] not in intent.payors else {})


def in_its_referral(intent: Intent, request: Record) -> Intent:
    """An answer in the referral of the request that it answers, which it may name less exactly."""
    return intent._replace(referral=_referral(request) or intent.referral) if intent.referral else intent


def same_referral(answered: str, asked: str) -> bool:
    """True where an answer to a request that MSA-2 names may mean its referral: of the same number, if both have one.

    An answer may leave out a part of who asked, or repeat RF1-6 without its namespace; two namespaces differ.
    """
    if not asked or asked == answered:
        return True
    (number, _, scope), (other, _, wanted) = answered.partition("@"), asked.partition("@")
    return number == other and (":" in scope or ":" in wanted)


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
    """The authorizations of the referral that a message names, of this patient, without what was granted to a request
    that was sent to somebody else."""
    if not intent.referral:
        return []
    found = {record.key: record for record in known.in_referral(intent.referral)}
    theirs: dict[str, Record] = {}
    for request in known.in_referral(intent.referral, requests=True):
        for record in granted_to(request, known):
            if not is_sent_to(intent, request):
                found.pop(record.key, None)
            elif not differ(intent, request):
                theirs[record.key] = record
    return [record for record in (found | theirs).values() if not differ(intent, record)]


def granted_elsewhere(intent: Intent, request: Record | None, known: Known) -> frozenset[str]:
    """The keys of what was granted to requests of the same referral that were sent to others, and to none of ours."""
    asked = known.in_referral(intent.referral, requests=True) if intent.referral else []
    others = [each for each in asked if not is_sent_to(intent, each) and (request is None or each.key != request.key)]
    if not others:
        return frozenset()
    own = {key for each in asked if each not in others for key in each.document.get("authorizations", [])}
    return frozenset(key for each in others for key in each.document.get("authorizations", []) if key not in own)


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
    assigners = one.get("assigner", ""), other.get("assigner", "")
    same_id = one["id"] == other["id"]
    if same_id and assigners[0] and assigners[0] == assigners[1]:
        return False
    found = []
    for key in ("birth_date", "name"):
        values = [str(patient.get(key, "")).split(",")[0].casefold() for patient in (one, other)]
        if all(values):
            found.append(values[0] != values[1])
    if same_id and not all(assigners):
        return len(found) > 1 and all(found)
    return bool(found) and found[0]
