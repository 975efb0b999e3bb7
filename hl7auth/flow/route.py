"""Routes: which destinations a message goes to, by its event, what became of it, and a condition on its fields.

Imports flow.condition, rules.strict_yaml and wire only.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, field_validator

from hl7auth.flow.condition import condition
from hl7auth.rules.strict_yaml import Strict
from hl7auth.wire.message import Message

Became = Literal["accepted", "refused", "duplicate", "failed", "parked", "ignored", "filtered"]
Status = Literal["requested", "pended", "approved", "partially_approved", "modified", "denied", "cancelled"]


class Route(Strict):
    """A message that fits all that is said here goes to each destination in `to`.

    `when` is a condition of profiles (docs of `hl7auth profile`); a segment in it is the first such of the message.
    `events` are `RQA^I08` or `RQA`; `status` are those of which an authorization that the message changed has one.
    """

    to: tuple[str, ...] = Field(min_length=1)
    when: str = ""
    events: tuple[str, ...] = ()
    disposition: tuple[Became, ...] = ("accepted",)
    status: tuple[Status, ...] = ()

    @field_validator("when")
    @classmethod
    def _compiles(cls, text: str) -> str:
        if text:
            condition(text)
        return text


def addressed(
    routes: Sequence[Route], message: Message | None, event: str, disposition: str, statuses: Sequence[str]
) -> tuple[str, ...]:
    """The destinations in the order of the routes, each once. A frame that is no message meets no `when`."""
    found: dict[str, None] = {}
    for route in routes:
        if _fits(route, message, event, disposition, statuses):
            found.update(dict.fromkeys(route.to))
    return tuple(found)


def _fits(route: Route, message: Message | None, event: str, disposition: str, statuses: Sequence[str]) -> bool:
    if disposition not in route.disposition:
        return False
    if route.events and event not in route.events and event.partition("^")[0] not in route.events:
        return False
    if route.status and not set(route.status) & set(statuses):
        return False
    if not route.when:
        return True
    return message is not None and condition(route.when)(message, message.segments[0])
