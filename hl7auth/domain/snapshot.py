"""Snapshot mode: what an answer says replaces what was stored, at the level that the channel names.

Imports wire.ack and domain only.

The list of PROCEDURE groups is the repeating unit (chapter 2, 2.10.4.1): a line that a later snapshot leaves out has
ended, an AUT of `""` under a PR1 deletes that line's authorization alone, and the message-level AUT is a slot of one.
What is not sent at all is no information and deletes nothing.
"""

from collections.abc import Collection, Iterator, Sequence

from hl7auth.domain.authorization import Aut, Claim, Identifier, Line, Party
from hl7auth.domain.change import Refused, end, replace, unknown, withdrawn
from hl7auth.domain.correlation import differ, granted_elsewhere, granted_to
from hl7auth.domain.document import about
from hl7auth.domain.intent import Change, Intent, Known, Record, set_of
from hl7auth.domain.lines import identity
from hl7auth.domain.settle import settled
from hl7auth.domain.status import Status, by_event
from hl7auth.domain.terms import Snapshot
from hl7auth.wire.ack import Problem

LEFT_OUT = "left out of a later snapshot"
DELETED = "deleted with its set"

PATTERNS = {"first_field": frozenset({1}), "key": frozenset({6})}


def deletes_set(aut: Aut, terms: Snapshot) -> bool:
    """True for a delete pattern that the partners agreed on."""
    if not aut.deletes:
        return False
    sent = aut.sent_fields
    if len(sent) > 1:  # all fields: without a gap, as many as the sender has
        return "all_fields" in terms.delete_pattern and max(sent) == len(sent)
    return any(sent == PATTERNS.get(name) for name in terms.delete_pattern)


def pattern_problem(aut: Aut, terms: Snapshot) -> Problem | None:
    """An AUT that sends nothing but `""` without being a pattern of this channel: nobody knows what it deletes."""
    if not aut.deletes or deletes_set(aut, terms):
        return None
    if 2 not in aut.sent_fields:
        return Problem("101", "AUT-2 is empty, and this AUT is no delete pattern of this channel", aut.where(2))
    text = 'this AUT sends "" alone, and is no delete pattern of this channel'
    return Problem("207", text, aut.where(), rule="AUT.delete-set")


def answered(intent: Intent, known: Known, request: Record | None) -> list[Change]:
    """The changes that an answer in snapshot mode makes."""
    if deleted := deleted_set(intent):
        return _deleted(intent, known, request, deleted)
    claims = _resolved(intent, known, request)
    assumed = by_event(intent.message_type, intent.trigger_event, intent.names) if intent.cancels else None
    changes: list[Change] = []
    problems = []
    for claim in claims:
        if claim.identifier is None:
            continue
        before = known.record(claim.identifier.key)
        if intent.cancels and before is None and request is None:
            problems.append(unknown(claim, "the authorization to cancel is not known"))
        elif not over(before, request, intent) and not (assumed is Status.DENIED and before and withdrawn(before)):
            changes += replace(intent, claim, before, assumed, "answer")
    if problems:
        raise Refused(*problems)
    if not intent.cancels:
        changes += _dropped(intent, claims, request, known)
    if request is not None:
        changes += settled(intent, claims, request, assumed)
    return changes


def over(record: Record | None, request: Record | None, intent: Intent) -> bool:
    """What its requester cancelled comes back only by the answer to an open request."""
    if record is None or intent.cancels or not withdrawn(record):
        return False
    return request is None or not request.is_open


def deleted_set(intent: Intent) -> Aut | None:
    """The message-level AUT that deletes the whole set; beside other AUTs it only empties its own place."""
    tops = [claim.top for claim in intent.claims if claim.top and claim.top.deletes]
    return tops[0] if tops and all(aut.deletes for claim in intent.claims for aut in claim.auts) else None


def members(intent: Intent, claims: Sequence[Claim], request: Record | None, known: Known) -> list[Record]:
    """The authorizations of the sets that a message replaces, of this patient."""
    scope = intent.terms.snapshot.scope
    if scope == "message":
        return []
    keys = {set_of(intent, claim) for claim in claims} - {""}
    found = [record for key in sorted(keys) for record in known.in_referral(key)]
    if request is not None and not keys:
        found = granted_to(request, known)
    stand = [record for record in found if record.status != Status.CANCELLED and not differ(intent, record)]
    elsewhere = granted_elsewhere(intent, request, known)
    stand = [record for record in stand if record.key not in elsewhere]
    payors = {aut.payor for claim in intent.claims for aut in claim.auts}
    return [record for record in stand if _may_end(intent, record, payors)]


def _may_end(intent: Intent, record: Record, payors: Collection[str]) -> bool:
    """Of one referral several payors may grant something: an answer says nothing of what another one granted."""
    if record.document.get("payor", {}).get("code") in payors or not any(intent.sender):
        return True
    application, _, facility = about(record.document)[1].partition("\n")
    said_by = Party(application, facility)
    return not any(said_by) or intent.sender.may_be(said_by) or intent.requester.may_be(said_by)


def _deleted(intent: Intent, known: Known, request: Record | None, top: Aut) -> list[Change]:
    if intent.terms.snapshot.scope == "message":
        text = "this AUT deletes a whole set, and on this channel a message reaches no more than it names"
        raise Refused(Problem("207", text, top.where(), rule="AUT.delete-set"))
    claims = intent.claims if intent.referral or intent.terms.snapshot.scope == "patient_and_payor" else ()
    gone = members(intent, claims, request, known)
    named = intent.referral and intent.terms.snapshot.scope == "referral"  # an AUT of "" names no payor
    if not gone and not named and request is None:
        text = "this AUT deletes a whole set, and nothing says of what"
        raise Refused(Problem("204", text, top.where(), rule="AUT.delete-set"))
    changes = [change for record in gone for change in end(intent, record, DELETED)]
    if request is not None:
        changes += end(intent, request, DELETED)
    return changes


def _resolved(intent: Intent, known: Known, request: Record | None) -> list[Claim]:
    """The claims, with each deleted line under the authorization that has it, and without an emptied top."""
    if not any(aut.deletes for claim in intent.claims for aut in claim.auts):
        return list(intent.claims)
    claims: dict[Identifier | None, Claim] = {}
    stored = members(intent, intent.claims, request, known)
    for claim in intent.claims:
        top = None if claim.top and claim.top.deletes else claim.top
        kept = claims.setdefault(claim.identifier, Claim(claim.identifier))
        kept.top = kept.top or top
        for line in claim.lines:
            home = claim.identifier or (_home(line, stored) if line.aut and line.aut.deletes else None)
            claims.setdefault(home, Claim(home)).lines.append(line)
    return list(claims.values())


def _home(line: Line, stored: Sequence[Record]) -> Identifier | None:
    """The one authorization that has this line."""
    wanted = identity(line)
    homes = [record for record in stored if any(_fits(wanted, each) for each in record.document.get("lines", []))]
    if len(homes) != 1:
        return None
    return Identifier(homes[0].document["identifier"], homes[0].document["assigner"])


def _fits(wanted: tuple[str, str], line: dict[str, object]) -> bool:
    identifier, code = wanted
    if identifier and "identifier" in line:
        return line["identifier"] == identifier
    stored = line.get("procedure")
    return bool(code) and isinstance(stored, dict) and stored.get("code") == code


def _dropped(intent: Intent, claims: Sequence[Claim], request: Record | None, known: Known) -> Iterator[Change]:
    """Authorizations of the set that a later answer no longer names have ended."""
    named = {claim.identifier.key for claim in claims if claim.identifier}
    if not named:
        return
    for record in members(intent, claims, request, known):
        if record.key not in named:
            yield from end(intent, record, LEFT_OUT)
