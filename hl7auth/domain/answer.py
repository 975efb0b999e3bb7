"""The answer to a request: RPA to RQA, RRI to REF, carrying what the store now knows (chapter 11, 11.3 and 11.5).

Imports wire, rules.dictionary and domain only.

The segments of the request come back as they were sent, as far as the answering structure has them; only AUT and RF1
are written anew. RPA and RRI have no ERR: what is wrong with a message is said by an ACK instead.
"""

from collections.abc import Sequence
from functools import cache

from hl7auth.domain.authorization import Aut, Claim
from hl7auth.domain.document import Document
from hl7auth.domain.semantics import Change
from hl7auth.domain.status import APPROVAL_CODES, UNDECIDED, Status
from hl7auth.domain.values import write_aut
from hl7auth.rules.dictionary import Node, dictionary
from hl7auth.wire.ack import Reply, msa, msh, reply_version
from hl7auth.wire.message import Message, Segment
from hl7auth.wire.versions import at_least

ANSWERS = {"RQA": ("RPA", "RPA_I08"), "REF": ("RRI", "RRI_I12")}
"""The type and structure that answer a request."""

_HEAD = frozenset({"MSH", "MSA", "SFT", "UAC"})
_LOCAL_TABLE = "HL70563"


def answer(
    request: Message, claims: Sequence[Claim], known: dict[str, Document], reply: Reply, modes: tuple[str, str]
) -> str:
    """The answering message as text. `known` holds the store's documents by key; `modes` are MSH-15 and MSH-16.

    A request that nobody has decided is answered as pended: AUT-14 from 2.8, RF1-1 where a referral is meant, and
    MSA-3 while it exists.
    """
    kind, structure = ANSWERS[request.header.message_type]
    version, marks = reply_version(request.header), request.delimiters
    c = marks.component
    name = f"{kind}{c}{request.header.trigger_event}" + (f"{c}{structure}" if at_least(version, "2.3.1") else "")
    waiting = all(Status(document["status"]) in UNDECIDED for document in known.values())
    lines = [msh(reply, name, *modes), msa(reply, "AA", "pended" if waiting else "")]
    lines += _echo(request, claims, known, version, _allowed(version, structure), waiting)
    return "\r".join(lines) + "\r"


def documents_after(
    claims: Sequence[Claim], changes: Sequence[Change], stored: dict[str, Document]
) -> dict[str, Document]:
    """The documents an answer speaks of: those named by the claims, as the changes leave them."""
    known = dict(stored)
    known |= {change.record.key: change.record.document for change in changes if not change.record.is_request}
    return {
        claim.identifier.key: known[claim.identifier.key]
        for claim in claims
        if claim.identifier and claim.identifier.key in known
    }


def _echo(
    request: Message,
    claims: Sequence[Claim],
    known: dict[str, Document],
    version: str,
    allowed: frozenset[str],
    waiting: bool,
) -> list[str]:
    own = {aut.segment.start: (claim, aut) for claim in claims for aut in claim.auts}
    lines = []
    for segment in request.segments:
        if segment.name in _HEAD or segment.name not in allowed:
            continue
        if segment.name == "AUT":
            claim, aut = own.get(segment.start, (None, None))
            lines.append(_aut(segment, claim, aut, known, version))
        elif segment.name == "RF1" and waiting:
            lines.append(_pending_referral(segment))
        else:
            lines.append(segment.text)
    return lines


def _aut(segment: Segment, claim: Claim | None, aut: Aut | None, known: dict[str, Document], version: str) -> str:
    document = known.get(claim.identifier.key) if claim and claim.identifier else None
    if document is None or aut is None or Status(document["status"]) in UNDECIDED:
        return _pended(segment, version)
    values = document
    if claim is not None and claim.top is not aut:
        values = _line_of(document, claim, aut)
    return write_aut(values, aut.raw_identifier, segment.delimiters, _last_field(version))


def _line_of(document: Document, claim: Claim, aut: Aut) -> Document:
    """The stored line that stands where this AUT stands: the same procedure, else the same place."""
    place = next(at for at, line in enumerate(claim.lines) if line.aut is aut)
    lines = document.get("lines", [])
    code = claim.lines[place].procedure.value(3)
    same = [line for line in lines if code and line.get("procedure", {}).get("code") == code]
    found: Document = same[0] if same else lines[place] if place < len(lines) else document
    return found


def _pended(segment: Segment, version: str) -> str:
    """The request's own AUT, with the decision open and without an action code."""
    fields = list(segment.fields[:29])
    if at_least(version, "2.8"):
        fields += [""] * (15 - len(fields))
        if not fields[14]:
            fields[14] = segment.delimiters.component.join((*APPROVAL_CODES[Status.PENDED], _LOCAL_TABLE))
    return segment.delimiters.field.join(fields).rstrip(segment.delimiters.field)


def _pending_referral(segment: Segment) -> str:
    """RF1-1 of table 0283: a referral without a status is pending."""
    fields = list(segment.fields)
    if len(fields) > 1 and not fields[1]:
        fields[1] = "P"
    return segment.delimiters.field.join(fields)


@cache
def _allowed(version: str, structure: str) -> frozenset[str]:
    def names(node: Node) -> set[str]:
        return set().union(*(names(child) for child in node.children)) if node.children else {node.name}

    return frozenset(names(dictionary(version).structures[structure]))


def _last_field(version: str) -> int:
    return min(28, len(dictionary(version).segments["AUT"].fields))
