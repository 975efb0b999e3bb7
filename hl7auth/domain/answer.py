"""The answer to a request: RPA to RQA, RRI to REF, carrying what the store now knows (chapter 11, 11.3 and 11.5).

Imports wire, rules.dictionary and domain only.

The segments of the request come back as they were sent, as far as the answering structure has them; AUT and RF1-1 are
written anew, and procedures that the request did not name are added. RPA and RRI have no ERR: what is wrong with a
message is said by an ACK instead.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from hl7auth.domain.authorization import Aut, Claim
from hl7auth.domain.correlation import granted, request_made
from hl7auth.domain.document import Document
from hl7auth.domain.intent import STATUS_REQUEST, Change, Intent, Known
from hl7auth.domain.status import APPROVAL_CODES, UNDECIDED, Status, of_lines
from hl7auth.domain.values import Values, write_aut, write_code
from hl7auth.rules.dictionary import Node, dictionary
from hl7auth.wire.ack import Reply, msa, msh, reply_version
from hl7auth.wire.escapes import escape
from hl7auth.wire.message import Message, Segment
from hl7auth.wire.versions import at_least

ANSWERS = {"RQA": ("RPA", "RPA_I08"), "REF": ("RRI", "RRI_I12")}
"""The type and structure that answer a request."""

ANSWER_HEAD = frozenset({"MSH", "MSA", "SFT", "UAC"})
_LOCAL_TABLE = "HL70563"
_WRITTEN_ANEW = frozenset({"AUT", "RF1"})
BEHIND_PROCEDURES = frozenset({"OBR", "OBX", "PV1", "PV2", "NTE"})

#: RF1-1 by table 0283: accepted, rejected, pending, and expired for what was cancelled
_REFERRAL_STATUS = {
    Status.APPROVED: "A", Status.PARTIALLY_APPROVED: "A", Status.MODIFIED: "A", Status.DENIED: "R",
    Status.PENDED: "P", Status.REQUESTED: "P", Status.CANCELLED: "E",
}  # fmt: skip


class Name(NamedTuple):
    """MSH-9 of an answer: message type, event and structure; `syntax` is that structure where a profile defines it."""

    kind: str
    event: str
    structure: str
    syntax: Node | None = None

    def segments(self, version: str, standard: str) -> frozenset[str]:
        """The segments that its structure has; those of a standard one where no profile says."""
        return _names(self.syntax) if self.syntax else allowed_segments(version, standard)


class Standing(NamedTuple):
    """How what was asked stands now: the authorizations an answer speaks of, by key, the request, and their status.

    No status means that the store knows nothing of it.
    """

    documents: dict[str, Document]
    request: Document | None
    status: Status | None

    @property
    def waiting(self) -> bool:
        """True while nobody has decided."""
        return self.status in UNDECIDED


def standing(intent: Intent, changes: Sequence[Change], known: Known) -> Standing:
    """The Standing of a request after its changes: what it names and changed; of a status request its referral."""
    keys = [claim.identifier.key for claim in intent.claims if claim.identifier]
    records = [record for key in keys if (record := known.record(key))]
    if intent.trigger_event == STATUS_REQUEST and not keys and intent.referral:
        records = granted(intent, known)
    documents = {record.key: record.document for record in records}
    documents |= {change.record.key: change.record.document for change in changes if not change.record.is_request}
    asked = next((change.record for change in changes if change.record.is_request), None)
    # a control id that comes again names nothing: what stands under it may be of another patient
    asked = asked or (request_made(intent, known)[1] if intent.referral else None)
    request = asked.document if asked else None
    if documents:
        return Standing(documents, request, of_lines(Status(each["status"]) for each in documents.values()))
    return Standing({}, request, Status(asked.status) if asked else None)


def answer(
    request: Message,
    claims: Sequence[Claim],
    now: Standing,
    reply: Reply,
    modes: tuple[str, str],
    own: Name | None = None,
) -> str:
    """The answering message as text; `modes` are its MSH-15 and MSH-16, `own` what it is called in a partner's dialect,
    whose segments come back too.

    A request that nobody has decided is answered as pended: AUT-14 from 2.8, RF1-1 where a referral is meant, and
    MSA-3 while it exists.
    """
    version, c = reply_version(request.header), request.delimiters.component
    kind, structure = ANSWERS.get(request.header.message_type, ANSWERS["RQA"])
    named = own or Name(kind, request.header.trigger_event, structure)
    name = f"{named.kind}{c}{named.event}" + (f"{c}{named.structure}" if at_least(version, "2.3.1") else "")
    lines = [msh(reply, name, *modes), msa(reply, "AA", "pended" if now.waiting else "")]
    allowed = named.segments(version, structure)
    if own is not None:
        allowed |= {each.name for each in request.segments if each.name.startswith("Z")}
    lines += Body(request, claims, now, version).lines(allowed)
    return "\r".join(lines) + "\r"


class Body:
    """The segments behind MSA."""

    def __init__(self, request: Message, claims: Sequence[Claim], now: Standing, version: str) -> None:
        self.request = request
        self.now = now
        self.version = version
        self.marks = request.delimiters
        self.own = {aut.segment.start: (claim, aut) for claim in claims for aut in claim.auts}
        self.places = {
            line.aut.segment.start: (place, line.procedure.value(3))
            for claim in claims
            for place, line in enumerate(claim.lines)
            if line.aut
        }
        self.decided = {key: _by_procedure(document) for key, document in now.documents.items()}

    def lines(self, allowed: frozenset[str]) -> list[str]:
        segments = [each for each in self.request.segments if each.name in allowed and each.name not in ANSWER_HEAD]
        lines = [self.echo(each) if each.name in _WRITTEN_ANEW else each.text for each in segments]
        names = [segment.name for segment in segments]
        if "PR1" not in names:
            at = names.index("PID") + 1 if "PID" in names else len(names)
            while at < len(names) and names[at] not in BEHIND_PROCEDURES:
                at += 1
            lines[at:at] = self.stored_procedures()
            if "AUT" not in names and len(self.now.documents) == 1:
                at = names.index("RF1") + 1 if "RF1" in names else 0
                lines[at:at] = [self.stored_aut(document, document) for document in self.now.documents.values()]
        return lines

    def echo(self, segment: Segment) -> str:
        return self.aut(segment) if segment.name == "AUT" else self.referral(segment)

    def aut(self, segment: Segment) -> str:
        """What the store says of it; the request's own, with the decision open, where it says nothing yet."""
        claim, aut = self.own.get(segment.start, (None, None))
        document = self.now.documents.get(claim.identifier.key) if claim and claim.identifier else None
        if claim is None or aut is None or document is None or Status(document["status"]) in UNDECIDED:
            return self.pended(segment)
        values = document if claim.top is aut else self.line_of(document, aut)
        if values is None:
            return self.pended(segment)
        return self.write(values, _status(values, document), aut.raw_identifier)

    def line_of(self, document: Document, aut: Aut) -> Values | None:
        """The stored line of the same procedure or, where it has no code, of the same place; None if undecided."""
        place, code = self.places[aut.segment.start]
        lines = document.get("lines", [])
        if code:
            return self.decided[document["key"]].get(code)
        return lines[place] if place < len(lines) else None

    def pended(self, segment: Segment) -> str:
        fields = list(segment.fields[:29])
        if at_least(self.version, "2.8"):
            fields += [""] * (15 - len(fields))
            if not fields[14]:
                fields[14] = self.marks.component.join((*APPROVAL_CODES[Status.PENDED], _LOCAL_TABLE))
        return self.marks.field.join(fields).rstrip(self.marks.field)

    def referral(self, segment: Segment) -> str:
        """A referral without a status in RF1-1 gets the one that the store knows."""
        fields, code = list(segment.fields), _REFERRAL_STATUS.get(self.now.status) if self.now.status else None
        if code and len(fields) > 1 and not fields[1]:
            fields[1] = code
        return self.marks.field.join(fields)

    def stored_procedures(self) -> list[str]:
        """PR1 and AUT for every line that the store knows: a request may name its authorization alone."""
        sources = list(self.now.documents.values()) or ([self.now.request] if self.now.request else [])
        lines = [(document, line) for document in sources for line in document.get("lines", [])]
        found: list[str] = []
        for number, (document, line) in enumerate(lines, start=1):
            code = write_code(line.get("procedure", {}), self.marks)
            found.append(self.marks.field.join(("PR1", str(number), "", code)))
            if "payor" in line:  # the line had an AUT of its own
                found.append(self.stored_aut(document, line))
        return found

    def stored_aut(self, document: Document, values: Values) -> str:
        number, assigner = document.get("identifier", ""), document.get("assigner", "")
        is_payor = assigner == document.get("payor", {}).get("code")  # then nobody sent it as a namespace
        parts = (number,) if is_payor or not assigner else (number, assigner)
        identifier = self.marks.component.join(escape(part, self.marks) for part in parts)
        return self.write(values, _status(values, document), identifier)

    def write(self, values: Values, status: Status, identifier: str) -> str:
        """An AUT from stored values. Their own AUT-14 stays, unless a cancellation came after it."""
        if status is Status.CANCELLED or not values.get("approval_status"):
            code, text = APPROVAL_CODES[status]
            values = {**values, "approval_status": {"code": code, "text": text, "system": _LOCAL_TABLE}}
        return write_aut(values, identifier, self.marks, last_field(self.version))


def _status(values: Values, document: Document) -> Status:
    """A line's own status, else that of the whole."""
    return Status(values["status"] if "status" in values else document["status"])


def _by_procedure(document: Document) -> dict[str, Values]:
    """The lines that had an AUT of their own, by the code of their procedure; the first of a code counts."""
    lines = [line for line in document.get("lines", []) if "payor" in line]
    return {line.get("procedure", {}).get("code", ""): line for line in lines[::-1]}


@cache
def allowed_segments(version: str, structure: str) -> frozenset[str]:
    """The segments that a structure of HL7 has."""
    return _names(dictionary(version).structures[structure])


def _names(node: Node) -> frozenset[str]:
    if not node.children:
        return frozenset({node.name})
    return frozenset().union(*(_names(child) for child in node.children))


def last_field(version: str) -> int:
    """How many fields an AUT has, without AUT-29, which is no part of a document."""
    return min(28, len(dictionary(version).segments["AUT"].fields))
