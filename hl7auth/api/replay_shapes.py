"""The bodies of `/replays`: which messages, where to, why again, and how a run goes.

Imports pydantic, api.record_shapes (its Shape) and store.search (Query).
"""

from typing import Annotated, Any

from pydantic import Field, StringConstraints, model_validator

from hl7auth.api.record_shapes import Shape
from hl7auth.store.search import Query
from hl7auth.store.search_tests import MOST_IDENTIFIERS

Asked = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Given = Annotated[Asked, Field(min_length=1)]
Why = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]


class FieldValue(Shape):
    """A field and its value, which may end in `*`: `PID-3.1` and `A12`."""

    path: Given
    value: Given


class Selection(Shape):
    """As `GET /messages` and `hl7auth message search` choose: everything that is given must fit."""

    control_id: Asked = ""
    authorization: Asked = ""
    patient: Asked = ""
    name: Asked = ""
    referral: Asked = ""
    sender: Asked = ""
    event: Asked = ""
    status: Asked = ""
    rule: Asked = ""
    since: Asked = ""
    until: Asked = ""
    channel: Asked = ""
    disposition: Asked = ""
    words: Asked = ""
    fields: Annotated[list[FieldValue], Field(max_length=20)] = []
    any_of: Annotated[list[Given], Field(max_length=MOST_IDENTIFIERS)] = []


class Planned(Shape):
    """A replay to be planned. Without a target each message goes to the channel by which it came; `again` takes what
    was done before as well, and says why."""

    selection: Selection
    to_channel: Asked = ""
    to_destination: Asked = ""
    again: Why = ""

    @model_validator(mode="after")
    def _one_target(self) -> "Planned":
        if self.to_channel and self.to_destination:
            raise ValueError("a replay goes to one of to_channel and to_destination")
        return self


class Pacing(Shape):
    """How a run goes: at most `rate` messages a second, 0 for no limit; `stop_on_error` rests behind the first message
    that is refused or fails."""

    rate: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)] = 0.0
    stop_on_error: bool = False


def query_of(asked: dict[str, Any]) -> Query:
    """The query that was kept as plain data."""
    fields = tuple((path, value) for path, value in asked["fields"])
    return Query(**{**asked, "fields": fields, "any_of": tuple(asked["any_of"])})
