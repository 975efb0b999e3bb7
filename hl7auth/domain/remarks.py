"""What only the store could tell of a message that was accepted: warnings that do no harm.

Imports wire.ack and domain only.
"""

from collections.abc import Iterator, Sequence

from hl7auth.domain.authorization import Aut, Claim
from hl7auth.domain.change import withdrawn
from hl7auth.domain.correlation import MODIFICATIONS, is_late, names_what_was_asked, request_answered
from hl7auth.domain.document import AUT_KEYS, Document
from hl7auth.domain.intent import Change, Intent, Known
from hl7auth.domain.lines import matched
from hl7auth.domain.order import older_changes
from hl7auth.domain.semantics import contradictions
from hl7auth.domain.snapshot import over
from hl7auth.wire.ack import Location, Problem
from hl7auth.wire.message import NULL


def remarks(intent: Intent, changes: Sequence[Change], known: Known) -> list[Problem]:
    """Everything to be remarked, each with severity W."""
    updates = any(change.before is not None for change in changes)
    found: list[Problem] = []
    if not intent.is_request:
        found += _of_answer(intent, changes, known)
    elif intent.trigger_event in MODIFICATIONS:
        found += _of_payor(changes) if updates else _of_modification(intent, changes)
    if updates:
        found += _of_order(intent, changes)
    if any(aut.action for claim in intent.claims for aut in claim.auts):
        found += _of_actions(intent, known)
    return found


def _warning(rule: str, text: str, where: Location) -> Problem:
    return Problem("199", text, where, "W", rule)


def _of_answer(intent: Intent, changes: Sequence[Change], known: Known) -> Iterator[Problem]:
    settled = any(change.record.is_request for change in changes)  # then it is known which, and that it is not late
    request = None if settled else request_answered(intent, known)
    if intent.receipt_only:
        text = f"MSA-1 is {intent.acknowledged or 'CA'}: a receipt, and no answer yet"
        yield _warning("answer.receipt", text, Location("MSA", 1, 1))
    elif settled:
        pass
    elif request is None and not names_what_was_asked(intent, known):
        text = "neither MSA-2 nor RF1-6 nor AUT-6 names a request that waits; no request was changed"
        yield _warning("answer.unmatched", text, Location("MSA", 1, 2))
    elif request is not None and is_late(intent, request):
        text = "the request was cancelled before this answer came; nothing was changed"
        yield _warning("answer.late", text, Location("MSA", 1, 2))
        return
    if intent.is_error:
        text = f"MSA-1 is {intent.acknowledged}: an answer that tells an error grants nothing"
        yield _warning("answer.error", text, Location("MSA", 1, 1))
    for claim in intent.claims:
        record = known.record(claim.identifier.key) if claim.identifier else None
        if intent.receipt_only or record is None or not withdrawn(record):
            continue
        if over(record, request or request_answered(intent, known), intent):
            text = "the requester cancelled this authorization before this answer came; it was not changed"
            yield _warning("answer.late", text, claim.auts[0].where(6))


def _of_modification(intent: Intent, changes: Sequence[Change]) -> Iterator[Problem]:
    if any("concerns" in change.record.document for change in changes) or not changes:
        return
    where = Location("RF1", 1, 6) if intent.referral else Location("MSH", 1, 9)
    yield _warning("request.nothing-to-modify", "nothing is known that this modifies; it counts as a request", where)


def _of_payor(changes: Sequence[Change]) -> Iterator[Problem]:
    for change in changes:
        then, now = ((each.document.get("sent_to") if each else None) or {} for each in (change.before, change.record))
        if then.get("payor") and now.get("payor") != then["payor"]:
            text = f"the request waited for the payor {then['payor']}; it is asked of {now.get('payor')} now"
            yield _warning("request.payor-changed", text, Location("AUT", 1, 2))


def _of_order(intent: Intent, changes: Sequence[Change]) -> Iterator[Problem]:
    older = older_changes(intent, changes)
    if older:
        text = f"MSH-7 is before that of what this message changes ({len(older)} of {len(changes)} changes)"
        yield _warning("order.older", text, Location("MSH", 1, 7))


def _of_actions(intent: Intent, known: Known) -> Iterator[Problem]:
    yield from (problem._replace(severity="W") for problem in contradictions(intent))
    for claim in intent.claims:
        for aut in claim.auts:
            if aut.action == "A" and NULL in aut.segment.fields:
                yield _warning("AUT-29.nothing-to-delete", 'AUT-29 is A: "" stores nothing', aut.where(29))
        record = known.record(claim.identifier.key) if claim.identifier else None
        if record is not None and any(aut.action == "X" for aut in claim.auts):
            yield from _of_unchanged(claim, record.document)


def _of_unchanged(claim: Claim, document: Document) -> Iterator[Problem]:
    """Every X of a claim that differs from what is stored: at the top, or of the line that it stands under."""
    lines = document.get("lines", [])
    if claim.top and claim.top.action == "X":
        yield from _differing(claim.top, [document, *lines])
    for line, place in zip(claim.lines, matched(lines, claim.lines), strict=True):
        if line.aut and line.aut.action == "X":
            yield from _differing(line.aut, [document] if place is None else [lines[place]])


def _differing(aut: Aut, stored: Sequence[Document]) -> Iterator[Problem]:
    """An X that says something else than what is stored."""
    said = {key: value for key, value in aut.values.items() if key in AUT_KEYS}
    if not any(all(each.get(key) == value for key, value in said.items()) for each in stored):
        yield _warning("AUT-29.differs", "AUT-29 is X (no change), and what is stored differs", aut.where(29))
