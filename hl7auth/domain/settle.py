"""What an answer does to the request that it answers.

Imports domain only.
"""

from collections.abc import Iterable, Iterator, Sequence

from hl7auth.domain.authorization import Claim
from hl7auth.domain.change import ended, store
from hl7auth.domain.document import Document, build
from hl7auth.domain.intent import Change, Intent, Record
from hl7auth.domain.key import shown_key
from hl7auth.domain.status import Status, of_lines


def settled(intent: Intent, claims: Sequence[Claim], request: Record, assumed: Status | None) -> Iterator[Change]:
    """The request takes over what the answer says; with a decision it is no longer open.

    An answer without any AUT decides by RF1-1, and leaves what was asked for as it is.
    """
    speaking = [claim for claim in claims if claim.auts]
    if speaking:
        document = _answered_request(intent, request, speaking, assumed)
    elif assumed is not None:
        document = ended(request.document, assumed)
    elif intent.referral_status in intent.names.referral_status:
        document = {**request.document, "status": Status(intent.names.referral_status[intent.referral_status])}
    else:
        return
    yield from store(intent, document, request, "answer", request.key, request.referral)


def settled_by(intent: Intent, request: Record, decided: Iterable[Document]) -> Iterator[Change]:
    """The request after an answer in action mode: what was asked stays, and is as decided as what it was told of."""
    documents = list(decided)
    if not documents:
        return
    numbers = dict.fromkeys([*request.document.get("authorizations", []), *(each["key"] for each in documents)])
    status = of_lines(Status(each["status"]) for each in documents)
    document = {**request.document, "status": status, "authorizations": list(numbers)}
    yield from store(intent, document, request, "answer", request.key, request.referral)


def _answered_request(intent: Intent, request: Record, claims: list[Claim], assumed: Status | None) -> Document:
    kept = {key: request.document[key] for key in intent.context if request.document.get(key)}
    context = kept | {key: value for key, value in intent.context.items() if value}
    parts = [build(claim, context, intent.names, assumed) for claim in claims]
    lines = [line for part in parts for line in part["lines"]]
    status = of_lines(Status(part["status"]) for part in parts)
    document = {**parts[0], "lines": lines} if len(parts) == 1 else {**context, "lines": lines}
    numbers = [claim.identifier.key for claim in claims if claim.identifier]
    numbers = numbers or request.document.get("authorizations", [])  # an answer in between that names none ends none
    document |= {"key": shown_key(request.key), "status": status}
    document |= {"authorizations": numbers} if numbers else {}
    return document | {key: request.document[key] for key in ("sent_to",) if key in request.document}
