"""What a message changes: requests, answers and cancellations applied to what the store knows.

Imports wire.ack and domain only.

AUTs without an action code are a snapshot (domain.snapshot, domain.requests), those with one act each for themselves
(domain.action). A message that asks for what can not be done is refused whole, because MSA-1 speaks for the whole.
"""

from collections.abc import Iterator

from hl7auth.domain.action import act, acts
from hl7auth.domain.action_table import SNAPSHOT_CODES
from hl7auth.domain.change import Refused
from hl7auth.domain.correlation import another_patient, in_its_referral, request_answered
from hl7auth.domain.intent import STATUS_REQUEST, Change, Intent, Known, Record
from hl7auth.domain.referral_action import apply_to_referral
from hl7auth.domain.requests import cancelled, requested
from hl7auth.domain.snapshot import answered, pattern_problem
from hl7auth.domain.status import Status
from hl7auth.wire.ack import Problem
from hl7auth.wire.message import NULL

__all__ = ["Refused", "apply", "contradictions"]

_BEGIN = frozenset({"I08", "I12"})
_GRANTS = frozenset({Status.APPROVED, Status.PARTIALLY_APPROVED, Status.MODIFIED})


def apply(intent: Intent, known: Known) -> list[Change]:
    """The changes of a message, in order. Raises Refused with every problem that can be told apart."""
    plain = not any(aut.action or NULL in aut.segment.text for claim in intent.claims for aut in claim.auts)
    problems = another_patient(intent, known)
    if not plain:
        problems += [*_patterns(intent), *_modes(intent)]
    if problems:
        raise Refused(*problems)
    if intent.receipt_only or (intent.is_request and intent.trigger_event == STATUS_REQUEST):
        return []
    request = None if intent.is_request else request_answered(intent, known)
    if request is not None:
        intent = in_its_referral(intent, request)
    rest: Intent | None = intent
    changes: list[Change] = []
    if intent.referral_action not in SNAPSHOT_CODES:
        rest, changes = apply_to_referral(intent, known, request)
    changes = changes if rest is None else _apply(rest, known, request, plain)
    if intent.is_error and not _GRANTS.isdisjoint(change.record.status for change in changes):
        return []  # whoever could not process the request has granted nothing
    return changes


def _apply(intent: Intent, known: Known, request: Record | None, plain: bool) -> list[Change]:
    if request is not None and request.status == Status.CANCELLED:
        return []  # a late answer is kept as a message, and revives nothing
    if not plain and acts(intent):
        return act(intent, known, request)
    if intent.is_request:
        return cancelled(intent, known) if intent.cancels else requested(intent, known)
    return answered(intent, known, request)


def _patterns(intent: Intent) -> Iterator[Problem]:
    for claim in intent.claims:
        for aut in claim.auts:
            problem = pattern_problem(aut, intent.terms.snapshot)
            if problem is not None and aut.action in SNAPSHOT_CODES:
                yield problem


def _modes(intent: Intent) -> Iterator[Problem]:
    """What is wrong with the modes themselves: two of them in one message, or a code against the event."""
    auts = [aut for claim in intent.claims for aut in claim.auts]
    bare = [aut for aut in auts if aut.action in SNAPSHOT_CODES]
    if bare and len(bare) < len(auts) and intent.terms.action.mixed == "refuse":
        for aut in bare:
            text = "AUT-29 is empty beside AUTs in action mode: one message must be in one mode"
            yield Problem("207", text, aut.where(29), rule="AUT-29.mixed")
    if intent.terms.action.contradiction == "refuse":
        yield from contradictions(intent)


def contradictions(intent: Intent) -> Iterator[Problem]:
    """Action codes that say the opposite of the event: an A that cancels, a D that begins.

    An answer keeps the event of its request, so that a D in the answer to I08 is no contradiction. Beside the D that
    says what a requester cancels, nothing can be changed or asked for.
    """
    deleting = intent.cancels and intent.is_request and acts(intent)
    for claim in intent.claims:
        for aut in claim.auts:
            if intent.cancels and aut.action == "A":
                text = "AUT-29 is A (add) in a message that cancels"
            elif intent.is_request and intent.trigger_event in _BEGIN and aut.action == "D":
                text = "AUT-29 is D (delete) in a message that asks for something new"
            elif deleting and aut.action not in ("D", "X") and not _is_mixed(intent, aut.action):
                text = "AUT-29 is not D beside an AUT with D, in a message that cancels"
            else:
                continue
            yield Problem("207", text, aut.where(29), rule="AUT-29.event")


def _is_mixed(intent: Intent, action: str) -> bool:
    """True for an AUT that is refused already because its message is in two modes."""
    return action in SNAPSHOT_CODES and intent.terms.action.mixed == "refuse"
