"""Is a member enrolled? When the answer that is kept will do, when it is asked for anew, and when it can not be had.

Imports domain only.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from hl7auth.domain.document import Document

FATAL_CODE = "AUT-FL-ENRO-001"
FATAL_TEXT = "No enrollment data found and enrollment callout is disabled"
"""What the requester is told when nothing is kept and nobody may be asked; the denial has both."""


class Way(StrEnum):
    """What is done about the enrollment of a member."""

    REUSE = "reuse"
    FETCH = "fetch"
    FATAL = "fatal"


class Case(NamedTuple):
    """A row of the table; None where it does not matter."""

    present: bool
    keep: bool
    expired: bool | None
    way: Way


CASES = (
    Case(present=True, keep=True, expired=None, way=Way.REUSE),
    Case(present=True, keep=False, expired=False, way=Way.REUSE),
    Case(present=True, keep=False, expired=True, way=Way.FETCH),
    Case(present=False, keep=True, expired=None, way=Way.FATAL),
    Case(present=False, keep=False, expired=None, way=Way.FETCH),
)
"""`keep` is the setting by which what is there is never asked for anew, whatever its age."""


class Wanted(NamedTuple):
    """What is asked: of which member of which payor, under which plan, from which day to which (ISO, or empty).

    `name` is `Family, Given`, as documents have it.
    """

    member: str
    assigner: str
    payor: str
    plan: str
    start: str
    end: str
    name: str = ""
    birth_date: str = ""

    @property
    def entity(self) -> str:
        """The member as the store keeps it: numbers are unique for who gives them out."""
        return f"{self.member}@{self.assigner}" if self.assigner else self.member


def way(received_at: int | None, now: int, expires: int, *, keep: bool) -> Way:
    """The way by the table. `received_at` is when what is kept came; what is as old as `expires` is expired."""
    present = received_at is not None
    expired = received_at is not None and now - received_at >= expires
    return next(
        case.way for case in CASES if (case.present, case.keep) == (present, keep) and case.expired in (None, expired)
    )


def wanted(document: Document, payor: str) -> Wanted:
    """What is asked for a request: the days are the first and the last that it asks for."""
    lines = [line for line in document.get("lines", []) if isinstance(line, Mapping)]
    places = [document, *lines]
    patient = document.get("patient") or {}
    plan = next((code for each in places if (code := _code(each.get("plan")))), "")
    starts = [day for each in places if (day := each.get("effective_date"))]
    ends = [day for each in places if (day := each.get("expiration_date"))]
    return Wanted(
        patient.get("id", ""), patient.get("assigner", ""), payor, plan, min(starts, default=""),
        max(ends, default=""), patient.get("name", ""), patient.get("birth_date", ""),
    )  # fmt: skip


def _code(value: Any) -> str:
    return str(value.get("code", "")) if isinstance(value, Mapping) else ""
