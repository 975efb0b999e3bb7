"""What a message decides, as tables that a profile writes: its `status` section over profiles/dictionary/status.yaml.

Imports rules.strict_yaml, resources and pydantic only. The tables are compiled once, when they are first asked.
"""

import operator
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache, cached_property
from typing import Annotated, Literal

from pydantic import Field, field_validator

from hl7auth.resources import shipped
from hl7auth.rules.strict_yaml import Strict, load

Decision = Literal["pended", "approved", "partially_approved", "modified", "denied", "cancelled"]
Fits = Callable[[Decimal, Decimal | None], bool]
"""Asked with the authorized number and the requested one, None where that is not sent."""

_SIGNS = {"<": operator.lt, "<=": operator.le, "=": operator.eq, ">=": operator.ge, ">": operator.gt}
_ASKS, _ENDS, _TAKEN_BACK = ("requested", "pended"), ("cancelled",), ("cancelled", "denied")
EVENTS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("RQA^I08", "RQA^I09", "RQA^I10", "REF^I12", "REF^I13"), _ASKS),
    **dict.fromkeys(("RQA^I11", "REF^I14"), _ENDS),
    **dict.fromkeys(("RPA^I11", "RRI^I14"), _TAKEN_BACK),
}
"""The messages that decide by their event, each with what it may mean; in all others the AUTs say it."""


class Counted(Strict):
    """A row of what the authorized number (AUT-18, else AUT-9) decides: `any`, or as it compares with a number or with
    the requested one (`< AUT-8`), which does not fit where AUT-8 is no number."""

    authorized: Annotated[str, Field(pattern=r"^(any|(<|<=|=|>=|>) (AUT-8|-?[0-9]{1,9}(\.[0-9]{1,4})?))$")]
    status: Decision

    def compiled(self) -> Fits:
        """The row as a question."""
        sign, _, operand = self.authorized.partition(" ")
        if not operand:
            return lambda _authorized, _asked: True
        compare = _SIGNS[sign]
        if operand == "AUT-8":
            return lambda authorized, asked: asked is not None and bool(compare(authorized, asked))
        number = Decimal(operand)
        return lambda authorized, _asked: bool(compare(authorized, number))


class StatusMap(Strict):
    """How a message says what was decided, of a line or of the whole.

    `approval_status` are codes of AUT-14, `referral_status` of RF1-1 where an answer has no AUT; `treatments` is what
    the authorized number decides without a code, the first row that fits; `dated` what a number (AUT-6) with an
    effective date (AUT-4) and no count is; `events` what the event alone decides. What is in none of them pends.
    """

    approval_status: dict[str, Decision] = {}
    referral_status: dict[str, Decision] = {}
    treatments: tuple[Counted, ...] = ()
    dated: Decision = "pended"
    events: dict[str, str] = {}

    @field_validator("approval_status", "referral_status")
    @classmethod
    def _folded(cls, names: dict[str, Decision]) -> dict[str, Decision]:
        return {name.strip().upper(): meaning for name, meaning in names.items()}

    @field_validator("events")
    @classmethod
    def _of_events(cls, events: dict[str, str]) -> dict[str, str]:
        for name, meaning in events.items():
            if name not in EVENTS:
                raise ValueError(f"{name} decides nothing by itself; these do: {', '.join(EVENTS)}")
            if meaning not in EVENTS[name]:
                raise ValueError(f"{name} can not mean '{meaning}', but {' or '.join(EVENTS[name])}")
        return events

    def over(self, base: "StatusMap") -> "StatusMap":
        """This table with what another one says where it says nothing: key by key, of the events each by itself."""
        said = {key: getattr(self, key) for key in self.model_fields_set}
        inherited = {key: getattr(base, key) for key in base.model_fields_set}
        events = {"events": {**base.events, **self.events}} if base.events or self.events else {}
        return StatusMap(**{**inherited, **said, **events})

    @cached_property
    def rows(self) -> tuple[tuple[Fits, Decision], ...]:
        """`treatments`, compiled."""
        return tuple((row.compiled(), row.status) for row in self.treatments)

    @cached_property
    def by_event(self) -> Mapping[tuple[str, str], str]:
        """`events` by message type and trigger event."""
        return {(name[:3], name[4:]): meaning for name, meaning in self.events.items()}


@cache
def standard_status() -> StatusMap:
    """The table that holds where a profile says nothing. Raises ConfigError where the installation is broken."""
    return load(shipped("profiles") / "dictionary" / "status.yaml", StatusMap)
