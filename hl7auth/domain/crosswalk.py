"""One decision in all its vocabularies: ours, X12 (code list 306), the state of the process, and AUT-14 (table 0563).

Imports domain only.
"""

from enum import StrEnum
from typing import NamedTuple

from hl7auth.domain.process import Process
from hl7auth.domain.status import Status
from hl7auth.domain.values import Values


class Decision(StrEnum):
    """What may be decided about a request."""

    CERTIFIED_TOTAL = "certified_total"
    CERTIFIED_PARTIAL = "certified_partial"
    MODIFIED = "modified"
    NOT_CERTIFIED = "not_certified"
    PENDED = "pended"
    CANCELLED = "cancelled"
    CONTACT_PAYER = "contact_payer"
    NOT_REQUIRED = "not_required"


class Row(NamedTuple):
    """`x12` is HCR01, `display` its text, `code` and `text` are AUT-14 by the local table 0563."""

    x12: str
    display: str
    process: Process
    code: str
    text: str
    status: Status


CROSSWALK = {
    Decision.CERTIFIED_TOTAL: Row("A1", "Certified in total", Process.APPROVED, "AP", "Approved", Status.APPROVED),
    Decision.CERTIFIED_PARTIAL: Row(
        "A2", "Certified - partial", Process.APPROVED, "PA", "Partially approved", Status.PARTIALLY_APPROVED
    ),
    Decision.MODIFIED: Row("A6", "Modified", Process.APPROVED, "MO", "Modified", Status.MODIFIED),
    Decision.NOT_CERTIFIED: Row("A3", "Not Certified", Process.DENIED, "DE", "Denied", Status.DENIED),
    Decision.PENDED: Row("A4", "Pended", Process.PENDED, "PE", "Pended", Status.PENDED),
    Decision.CANCELLED: Row("C", "Cancelled", Process.CANCELLED, "CA", "Cancelled", Status.CANCELLED),
    Decision.CONTACT_PAYER: Row("CT", "Contact Payer", Process.PENDED, "CT", "Contact payer", Status.PENDED),
    Decision.NOT_REQUIRED: Row(
        "NA", "No Action Required", Process.APPROVED, "NA", "Not required", Status.APPROVED
    ),
}  # fmt: skip

GRANTING = frozenset({
    Decision.CERTIFIED_TOTAL, Decision.CERTIFIED_PARTIAL, Decision.MODIFIED, Decision.NOT_REQUIRED,
})  # fmt: skip
"""The decisions that a request ends with as Approved."""


def approval_status(decision: Decision) -> Values:
    """AUT-14: the local code first, X12's beside it."""
    row = CROSSWALK[decision]
    other = {"code": row.x12, "text": row.display, "system": "X12306"}
    return {"code": row.code, "text": row.text, "system": "HL70563", "alternate": other}
