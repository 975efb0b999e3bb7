"""How a message becomes a new version of a record, and how it is refused.

Imports wire.ack, errors and domain only.
"""

from collections.abc import Iterator

from hl7auth.domain.authorization import Claim
from hl7auth.domain.document import WITHDRAWN, Document, Past, about, build, same_content, with_provenance
from hl7auth.domain.intent import Change, Intent, Record, set_of
from hl7auth.domain.status import Status
from hl7auth.errors import Fault
from hl7auth.wire.ack import Problem


class Refused(Fault):
    """The message can not be applied; nothing of it is."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems[0].text)
        self.problems = problems


def unknown(claim: Claim, text: str) -> Problem:
    """204 at the first AUT of a claim."""
    aut = claim.auts[0]
    return Problem("204", text, aut.where(6), rule="AUT-6.unknown")


def store(
    intent: Intent, document: Document, before: Record | None, rule: str, key: str = "", among: str | None = None
) -> Iterator[Change]:
    """A new version, unless nothing is new. `among` is the set that the record is a member of from now on."""
    if before is not None and same_content(before.document, document):
        return
    version = before.version + 1 if before else 1
    mark = (WITHDRAWN,) if intent.is_request and document["status"] == Status.CANCELLED else ()
    said = (intent.sent_at, "\n".join(intent.sender), *mark)
    whole = with_provenance(document, intent.message_id, version, before.document if before else None, said)
    asks = intent.is_request and not intent.cancels
    among = intent.referral if among is None else among
    yield Change(
        Record(
            key=key or document["key"],
            version=version,
            status=document["status"],
            referral=among or (before.referral if before else ""),
            requester=intent.requester if asks or before is None else before.requester,
            control_id=intent.control_id if asks else (before.control_id if before else ""),
            message_id=intent.message_id,
            document=whole,
        ),
        before,
        rule,
    )


def replace(intent: Intent, claim: Claim, before: Record | None, assumed: Status | None, rule: str) -> Iterator[Change]:
    """The claim as a snapshot in place of what was stored of it."""
    past = None
    if before is not None:
        keeps = intent.terms.snapshot.empty == "keep"
        past = Past(before.document, keeps, lines_stay=not intent.has_procedures)
    document = build(claim, intent.context, intent.names, assumed, past)
    return store(intent, document, before, rule, among=set_of(intent, claim))


def end(intent: Intent, record: Record, rule: str) -> Iterator[Change]:
    """The record as cancelled, in the set it is in."""
    return store(intent, ended(record.document), record, rule, record.key, record.referral)


def ended(document: Document, status: Status = Status.CANCELLED) -> Document:
    """The document as cancelled, or denied, with its lines."""
    lines = [{**line, "status": status} for line in document.get("lines", [])]
    return {**document, "status": status, "lines": lines}


def withdrawn(record: Record) -> bool:
    """True when its requester cancelled it."""
    return record.status == Status.CANCELLED and about(record.document)[2] == WITHDRAWN
