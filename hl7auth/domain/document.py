"""The authorization document: the one shape that the command line, the interfaces and the samples show.

Imports domain and rules.profile (the shape of the mapping) only.

A document is plain data. Stored, its provenance is `{"*": [message id, version]}` for all fields, plus the fields that
another message set, and under `@` what was said about the version itself; shown, it is spelled out per field.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from hl7auth.domain.authorization import Aut, Claim, Line, line_values
from hl7auth.domain.lines import matched
from hl7auth.domain.status import UNDECIDED, Status, decided, named, of_lines
from hl7auth.domain.values import AUT_FIELDS, Values
from hl7auth.rules.profile import StatusMap

Document = dict[str, Any]

AUT_KEYS = tuple(field.key for field in AUT_FIELDS)
ABOUT = "@"
"""Where provenance keeps [MSH-7, sender, mark] of the message that made the version."""

WITHDRAWN = "withdrawn"
"""The mark of what its requester cancelled: an answer to an earlier request does not bring it back."""

_HEAD = ("key", "identifier", "assigner", "status", "version", "patient")
_NOT_CONTENT = frozenset({"version", "provenance"})


class Past(NamedTuple):
    """What stood before a snapshot, as far as that matters: `keeps` lets empty fields keep their value, `lines_stay`
    is for a message that says nothing of procedures."""

    document: Document
    keeps: bool
    lines_stay: bool


def build(
    claim: Claim, context: Values, names: StatusMap, assumed: Status | None, past: Past | None = None
) -> Document:
    """The document of a claim as a snapshot, without version and provenance.

    `context` holds what the whole message says: patient, referral, diagnoses; what it leaves out is no information.
    `assumed` is the status that the kind of message gives (a request is requested, a cancellation cancelled); None lets
    the AUTs say it.
    """
    if past is not None:
        return _over(past, claim, context, names, assumed)
    made = claim.built
    if made is None or made.names is not names or made.assumed is not assumed:
        made = claim.built = _built(claim, names, assumed)
    document: Document = {"key": claim.identifier.key if claim.identifier else ""}
    if claim.identifier:
        document["identifier"], document["assigner"] = claim.identifier
    document["status"] = made.status
    for key, value in context.items():
        if value and key != "diagnoses":
            document[key] = value
    document |= made.top
    document["lines"] = list(made.lines)
    document["diagnoses"] = context.get("diagnoses", [])
    return document


class _Built(NamedTuple):
    """What a document takes from a claim: an answer makes two of it, the authorization and its request."""

    names: StatusMap
    assumed: Status | None
    lines: list[Values]
    status: Status
    top: Values


def _built(claim: Claim, names: StatusMap, assumed: Status | None) -> _Built:
    lines = [_line(line, claim, names, assumed) for line in claim.lines]
    return _Built(names, assumed, lines, assumed or _whole_status(claim, lines, names), _top_values(claim))


def _over(past: Past, claim: Claim, context: Values, names: StatusMap, assumed: Status | None) -> Document:
    """A snapshot of something known."""
    old = past.document
    context = {key: value or old.get(key, value) for key, value in context.items()}
    if past.keeps or any(line.aut and line.aut.deletes for line in claim.lines):
        claim = _filled_up(claim, old, names, past.keeps)
    document = build(claim, context, names, assumed)
    if past.lines_stay and old.get("lines"):
        document["lines"] = _lines_that_stay(old, assumed)
        document["status"] = assumed or _whole_status(claim, document["lines"], names)
    return document


def _lines_that_stay(old: Document, assumed: Status | None) -> list[Values]:
    """The lines under a message that names none. What cancels or denies the whole does so with them; what had ended
    with its lines and comes back is decided anew."""
    lines: list[Values] = old["lines"]
    if assumed in (Status.CANCELLED, Status.DENIED):
        return [{**line, "status": assumed} for line in lines]
    if old.get("status") == Status.CANCELLED:
        return [{key: value for key, value in line.items() if key != "status"} for line in lines]
    return lines


def _filled_up(claim: Claim, old: Document, names: StatusMap, keeps: bool) -> Claim:
    """The claim with the stored values where its fields are empty; what it deletes stays deleted.

    A line that is deleted as a whole keeps what it said, as all that is cancelled does.
    """
    stored = old.get("lines", [])
    places = matched(stored, claim.lines)
    lines = [
        line._replace(aut=_over_values(line.aut, stored[place], names))
        if _is_filled(line.aut, keeps) and place is not None
        else line
        for line, place in zip(claim.lines, places, strict=True)
    ]
    top = _over_values(claim.top, old, names) if claim.top and keeps else claim.top
    kept_codes = [line.aut.decision for line in lines if line.aut and line.aut.decision]
    if keeps and top and top.decision and kept_codes and len(kept_codes) == len(lines):
        top = top._replace(decision=of_lines(map(Status, kept_codes)))  # the header overrides no line, kept or sent
    return Claim(claim.identifier, top, lines)


def _over_values(aut: Aut | None, stored: Values, names: StatusMap) -> Aut | None:
    if aut is None:
        return None
    kept = {key: stored[key] for key in AUT_KEYS if key in stored}
    if aut.deletes:
        return aut._replace(values=kept)
    code, status = kept.get("approval_status"), stored.get("status")
    if code and "approval_status" not in aut.values and status != Status.CANCELLED and not named(code, names):
        aut = aut._replace(decision=status or "")  # a partner's own code is kept with what it decided
    return aut._replace(values=kept | aut.values)


def _is_filled(aut: Aut | None, keeps: bool) -> bool:
    return aut is not None and (keeps or aut.deletes)


def same_content(one: Document, other: Document) -> bool:
    """True when two documents say the same, whoever said it."""
    for key, value in one.items():
        if key not in _NOT_CONTENT and other.get(key) != value:
            return False
    return all(other[key] is None for key in other.keys() - one.keys() if key not in _NOT_CONTENT)


def with_provenance(
    document: Document, message_id: int, version: int, before: Document | None, about: tuple[str, ...] = ()
) -> Document:
    """The document as version `version`; fields that the message left as they were keep their provenance."""
    provenance: dict[str, list[Any]] = {"*": [message_id, version]}
    if before is not None:
        old = before.get("provenance", {})
        others = old.get("*")
        for key, value in document.items():
            if key not in _NOT_CONTENT and before.get(key) == value and (source := old.get(key, others)):
                provenance[key] = source
    if about:
        provenance[ABOUT] = list(about)
    return {**document, "version": version, "provenance": provenance}


def about(document: Document) -> tuple[str, str, str]:
    """MSH-7, sender and mark of the message that made this version; empty where that is not known."""
    found = document.get("provenance", {}).get(ABOUT, ())
    sent_at, sender, mark = (*found, "", "", "")[:3]
    return sent_at, sender, mark


def shown(document: Document) -> Document:
    """The document for people and programs: head fields first, provenance per field, nothing empty."""
    ordered = {key: document[key] for key in _HEAD if key in document}
    ordered |= {key: value for key, value in document.items() if key not in ordered and key != "provenance"}
    ordered = {key: value for key, value in ordered.items() if value not in (None, "", [], {})}
    stored = document.get("provenance", {})
    ordered["provenance"] = {
        key: {"message": str(source[0]), "version": source[1]}
        for key in ordered
        if key not in ("key", "version") and (source := stored.get(key) or stored.get("*"))
    }
    return ordered


def said(aut: Aut, has_number: bool, names: StatusMap) -> Status:
    """What an AUT decides: by the partner's own code where it has one, else by its fields."""
    return Status(aut.decision) if aut.decision else decided(aut.values, has_number, names)


def of_own_lines(statuses: Iterable[str]) -> Status | None:
    """The status of the whole from lines that have one; a cancelled line is out of the set while others stand."""
    found = [Status(each) for each in statuses]
    return of_lines([each for each in found if each is not Status.CANCELLED] or found) if found else None


def of_whole(lines: Sequence[Values], above: Status) -> Status | None:
    """The status of the whole from its lines; those without an AUT of their own are what the AUT above decides."""
    own = [line["status"] for line in lines if "status" in line]
    if own and len(own) < len(lines) and above not in UNDECIDED:
        own.append(above)
    return of_own_lines(own)


def _top_values(claim: Claim) -> Values:
    """The values at the top: those of the message-level AUT or, where there is none, of the only line."""
    top = claim.top or (claim.lines[0].aut if len(claim.lines) == 1 else None)
    if top is not None:
        return {key: value for key, value in top.values.items() if value is not None} if top.deletes else top.stated
    auts = claim.auts
    shared = ("plan", "payor", "payor_name")  # several lines of one authorization still have one payor
    return {key: auts[0].values[key] for key in shared if auts and _all_say(auts[0].values.get(key), key, claim)}


def _all_say(value: Any, key: str, claim: Claim) -> bool:
    return value is not None and all(aut.values.get(key) == value for aut in claim.auts)


def _line(line: Line, claim: Claim, names: StatusMap, assumed: Status | None) -> Values:
    values = line_values(line)
    if line.aut is not None and line.aut.deletes:
        values["status"] = Status.CANCELLED
    elif line.aut is not None or assumed is not None:
        has_number = claim.identifier is not None
        values["status"] = assumed or (said(line.aut, has_number, names) if line.aut else Status.PENDED)
    return values


def _whole_status(claim: Claim, lines: list[Values], names: StatusMap) -> Status:
    """Lines with an AUT of their own decide; the message-level AUT for the others, or where it names a status."""
    own = [line["status"] for line in lines if "status" in line]
    if claim.top and (not own or claim.top.decision or claim.top.values.get("approval_status")):
        return said(claim.top, claim.identifier is not None, names)
    above = said(claim.top, claim.identifier is not None, names) if claim.top else Status.PENDED
    return of_whole(lines, above) or Status.PENDED
