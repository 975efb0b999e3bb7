"""The authorization document: the one shape that the command line, the interfaces and the samples show.

Imports domain and rules.profile (the shape of the mapping) only.

A document is plain data. Stored, its provenance is `{"*": [message id, version]}` for all fields, plus the fields that
another message set; shown, it is spelled out per field.
"""

from typing import Any

from hl7auth.domain.authorization import Claim, Line, line_values
from hl7auth.domain.status import Status, decided, of_lines
from hl7auth.domain.values import Values
from hl7auth.rules.profile import StatusMap

Document = dict[str, Any]

_HEAD = ("key", "identifier", "assigner", "status", "version", "patient")
_NOT_CONTENT = frozenset({"version", "provenance"})


def build(claim: Claim, context: Values, names: StatusMap, assumed: Status | None) -> Document:
    """The document of a claim as a snapshot, without version and provenance.

    `context` holds what the whole message says: patient, referral, diagnoses. `assumed` is the status that the kind of
    message gives (a request is requested, a cancellation cancelled); None lets the AUTs say it.
    """
    lines = [_line(line, claim, names, assumed) for line in claim.lines]
    document: Document = {"key": claim.identifier.key if claim.identifier else ""}
    if claim.identifier:
        document |= {"identifier": claim.identifier.number, "assigner": claim.identifier.assigner}
    document["status"] = assumed or _whole_status(claim, lines, names)
    document |= {key: value for key, value in context.items() if value and key != "diagnoses"}
    document |= _top_values(claim)
    document["lines"] = lines
    document["diagnoses"] = context.get("diagnoses", [])
    return document


def same_content(one: Document, other: Document) -> bool:
    """True when two documents say the same, whoever said it."""
    keys = (one.keys() | other.keys()) - _NOT_CONTENT
    return all(one.get(key) == other.get(key) for key in keys)


def with_provenance(document: Document, message_id: int, version: int, before: Document | None) -> Document:
    """The document as version `version`; fields that the message left as they were keep their provenance."""
    provenance: dict[str, list[int]] = {"*": [message_id, version]}
    if before is not None:
        old = before.get("provenance", {})
        kept = (key for key in document if key not in _NOT_CONTENT and before.get(key) == document[key])
        provenance |= {key: old[key] if key in old else old["*"] for key in kept if key in old or "*" in old}
    return {**document, "version": version, "provenance": provenance}


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


def _top_values(claim: Claim) -> Values:
    """The values at the top: those of the message-level AUT or, where there is none, of the only line."""
    top = claim.top or (claim.lines[0].aut if len(claim.lines) == 1 else None)
    if top is not None:
        return top.stated
    auts = claim.auts
    shared = ("plan", "payor", "payor_name")  # several lines of one authorization still have one payor
    return {key: auts[0].values[key] for key in shared if auts and _all_say(auts[0].values.get(key), key, claim)}


def _all_say(value: Any, key: str, claim: Claim) -> bool:
    return value is not None and all(aut.values.get(key) == value for aut in claim.auts)


def _line(line: Line, claim: Claim, names: StatusMap, assumed: Status | None) -> Values:
    values = line_values(line)
    if line.aut is not None or assumed is not None:
        has_number = claim.identifier is not None
        values["status"] = assumed or decided(line.aut.values if line.aut else {}, has_number, names)
    return values


def _whole_status(claim: Claim, lines: list[Values], names: StatusMap) -> Status:
    """Lines with an AUT of their own decide; the message-level AUT only where it names a status or stands alone."""
    own = [Status(line["status"]) for line in lines if "status" in line]
    if claim.top and (not own or claim.top.values.get("approval_status")):
        return decided(claim.top.values, claim.identifier is not None, names)
    return of_lines(own) if own else Status.PENDED
