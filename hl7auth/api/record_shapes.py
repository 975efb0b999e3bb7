"""The bodies of `/authorization`: lowercase names, lines and accesses, and what is done to each of them in an update.

Imports pydantic, domain.entered and domain.units.

A field that is not there keeps its value, null and the empty text clear it.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator

from hl7auth.domain.entered import is_code

Word = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")
]
Free = Annotated[str, StringConstraints(strip_whitespace=True, max_length=80, pattern=r"^[^\x00-\x1f\x7f]*$")]
Reference = Annotated[str, StringConstraints(max_length=300, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""The key of an authorization or request, as in lists."""
Units = Annotated[Decimal, Field(gt=0, max_digits=12, decimal_places=3)]
Action = Literal["n", "m", "d"]


class Shape(BaseModel):
    """Unknown fields are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def iso_day(value: object) -> object:
    """2026-01-31 or 20260131 as ISO; an empty text is null. Raises ValueError for what is no day."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ValueError("is no date: write 2026-01-31")
    text = f"{value[:4]}-{value[4:6]}-{value[6:]}" if len(value) == 8 and value.isascii() and value.isdigit() else value
    try:
        if len(text) != 10:
            raise ValueError
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError("is no date: write 2026-01-31") from None


def shaped_code(value: object) -> object:
    """A CPT or HCPCS code in upper case; an empty text is null. Raises ValueError for another shape."""
    if value is None or value == "":
        return None
    code = value.strip().upper() if isinstance(value, str) else ""
    if not is_code(code):
        raise ValueError("has not the shape of a CPT or HCPCS code")
    return code


_DATE = {"type": "string", "format": "date"}
_CODE = {"type": "string", "pattern": "^([0-9]{5}|[0-9]{4}[FTU]|[A-Z][0-9]{4})$"}
_NULL = {"type": "null"}

Day = Annotated[str | None, BeforeValidator(iso_day), WithJsonSchema({"anyOf": [_DATE, _NULL]})]
GivenDay = Annotated[str, BeforeValidator(iso_day), WithJsonSchema(_DATE)]
Code = Annotated[str | None, BeforeValidator(shaped_code), WithJsonSchema({"anyOf": [_CODE, _NULL]})]
GivenCode = Annotated[str, BeforeValidator(shaped_code), WithJsonSchema(_CODE)]


class Access(Shape):
    """A provider who has access. All three are its key."""

    idtype: Word
    providerid: Word
    role: Word


def _distinct(some: Sequence[Access]) -> None:
    """Raises ValueError where an access is there twice."""
    if len({(each.idtype, each.providerid, each.role) for each in some}) < len(some):
        raise ValueError("two accesses are the same")


def _distinct_lines(lines: Sequence["Coded"]) -> None:
    """Raises ValueError where a line is there twice."""
    if len({line.authlinenumber for line in lines}) < len(lines):
        raise ValueError("two lines have the same authlinenumber")


class Window(Shape):
    """What authorizations and lines both say."""

    dosstart: Day = None
    dosend: Day = None
    units: Units | None = None
    unittype: Free | None = None

    @model_validator(mode="after")
    def _in_order(self) -> "Window":
        if self.dosstart and self.dosend and self.dosend < self.dosstart:
            raise ValueError("dosend is before dosstart")
        return self


class Coded(Window):
    """A line: what it is for."""

    authlinenumber: Word
    hcpcs: Code = None


class Line(Coded):
    """A line of a new authorization."""

    access: Annotated[list[Access], Field(max_length=100)] = []

    @model_validator(mode="after")
    def _once(self) -> "Line":
        _distinct(self.access)
        return self


class Record(Window):
    """A new authorization. `payor` is AUT-2.1, `assigner` who gave the number; `memberid` whom it is for."""

    authnumber: Word
    authtype: Word
    authdecision: Word
    access: Annotated[list[Access], Field(max_length=100)] = []
    lines: Annotated[list[Line], Field(max_length=200)] = []
    payor: Word | None = None
    assigner: Word | None = None
    memberid: Word | None = None
    membername: Word | None = None

    @model_validator(mode="after")
    def _once(self) -> "Record":
        _distinct_lines(self.lines)
        _distinct(self.access)
        return self


class Acted(Shape):
    """A child of an update: `record_action` says what is done to it; `action_record` is read as that."""

    record_action: Action | None = None
    action_record: Action | None = None

    @model_validator(mode="after")
    def _acts(self) -> "Acted":
        if self.record_action is None and self.action_record is None:
            raise ValueError("record_action is required: n (new), m (modify) or d (delete)")
        if self.record_action is not None and self.action_record is not None:
            raise ValueError("record_action and action_record are the same thing: send record_action")
        return self

    @property
    def action(self) -> str:
        """n, m or d."""
        return self.record_action or self.action_record or ""

    @property
    def misspelled(self) -> bool:
        """True with action_record."""
        return self.action_record is not None


class ActedAccess(Acted, Access):
    """An access in an update."""


class ActedLine(Acted, Coded):
    """A line in an update."""

    access: Annotated[list[ActedAccess], Field(max_length=100)] = []

    @model_validator(mode="after")
    def _once(self) -> "ActedLine":
        _distinct(self.access)
        if self.action == "d" and any(each.action != "d" for each in self.access):
            raise ValueError("a line that is deleted takes its accesses along")
        return self


class Update(Window):
    """What is to be other."""

    authtype: Word | None = None
    authdecision: Word | None = None
    access: Annotated[list[ActedAccess], Field(max_length=100)] = []
    lines: Annotated[list[ActedLine], Field(max_length=200)] = []

    @model_validator(mode="after")
    def _once(self) -> "Update":
        _distinct_lines(self.lines)
        _distinct(self.access)
        return self

    @model_validator(mode="before")
    @classmethod
    def _not_cleared(cls, value: Any) -> Any:
        for name in ("authtype", "authdecision"):
            if isinstance(value, dict) and name in value and value[name] in (None, ""):
                raise ValueError(f"{name} can not be cleared")
        return value
