"""What a partner's messages mean where the standard leaves it open: the dialect of a profile.

Imports rules.status, rules.strict_yaml and pydantic only.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hl7auth.rules.status import Decision
from hl7auth.rules.strict_yaml import Strict

Event = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{2}\^[A-Z][A-Z0-9]{2}$")]
Meaning = Annotated[str, Field(pattern=r"^((RQA|RPA)\^I(08|09|10|11)|(REF|RRI)\^I(12|13|14|15))$")]
Place = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{2}-[1-9][0-9]{0,2}$")]


class Said(Strict):
    """A code of a partner and its text, as we write it: the first two components."""

    code: Annotated[str, Field(min_length=1, max_length=60)]
    text: Annotated[str, Field(max_length=200)] = ""


Decided = Literal[
    "certified_total", "certified_partial", "modified", "not_certified", "pended", "contact_payer", "not_required",
]  # fmt: skip
"""A decision that is made here, as domain.crosswalk names it; a cancellation says itself by its event."""

_GRANTED = ("approved", "partially_approved", "modified")
_READ_AS: Mapping[str, tuple[str, ...]] = {
    "certified_total": ("approved",), "certified_partial": ("partially_approved",), "modified": _GRANTED,
    "not_certified": ("denied",), "pended": ("pended",), "contact_payer": ("pended",), "not_required": ("approved",),
}  # fmt: skip
_ELSE: Mapping[str, str] = {
    "modified": "certified_partial", "contact_payer": "pended", "not_required": "certified_total",
}  # fmt: skip


class StatusCodes(Strict):
    """Where a partner's own status code stands (its first component), and what each code means.

    An exact code counts before a prefix, and a longer prefix before a shorter one; what is in neither pends. `says` is
    how we write what is decided here; without it nothing can be decided here for this partner.
    """

    source: Place = Field(alias="from")
    codes: dict[str, Decision] = {}
    prefixes: dict[str, Decision] = {}
    says: dict[Decided, Said] = {}

    def written(self, decided: str) -> Said | None:
        """The partner's code for a decision, or for the nearest that it has one for; None where it has none."""
        said = {str(name): each for name, each in self.says.items()}
        return said.get(decided) or said.get(_ELSE.get(decided, ""))

    @model_validator(mode="after")
    def _read_as_written(self) -> Self:
        """What we write has to be read as it was meant: an answer of ours is taken in like a partner's."""
        for decided, said in self.says.items():
            fits = _READ_AS[decided]
            if self.meaning(said.code) not in fits:
                raise ValueError(f"says.{decided}: the code {said.code} means {self.meaning(said.code)} here")
        return self

    def meaning(self, code: str) -> Decision:
        """What a code says of the authorization."""
        if code in self.codes:
            return self.codes[code]
        fitting = [prefix for prefix in self.prefixes if code.startswith(prefix)]
        return self.prefixes[max(fitting, key=len)] if fitting else "pended"


class Dialect(Strict):
    """How one partner speaks; a profile without a dialect means what the standard says.

    `events` names for each message of the partner's own the standard one that it acts as (`ZQA^Z02: RQA^I08`). `number`
    lists where the authorization number stands, the first that has a value counts; a number from a field that is not
    AUT-6 is unique in the payer, which is who a request is sent to and an answer comes from. `absent` lists values that
    say nothing, by field (`ZAU-2: ["0"]`). `status` tells what a partner's own codes decide.
    """

    events: dict[Event, Meaning] = {}
    number: tuple[Place, ...] = ("AUT-6",)
    absent: dict[Place, tuple[str, ...]] = {}
    status: StatusCodes | None = None

    def acts_as(self, message_type: str, event: str) -> tuple[str, str]:
        """The message type and event that a message is treated as: its own where nothing else is said."""
        kind, _, trigger = self.events.get(f"{message_type}^{event}", f"{message_type}^{event}").partition("^")
        return kind, trigger

    def events_of(self, message_type: str) -> tuple[str, ...]:
        """The partner's own events of a message type."""
        names = (name.partition("^") for name in self.events)
        return tuple(event for kind, _, event in names if kind == message_type)

    def own_name(self, meaning: str, event: str) -> str:
        """The partner's name for a standard message (`RPA^I08`), with this event where several mean it; else empty."""
        names = [name for name, means in self.events.items() if means == meaning]
        return next((name for name in names if name.endswith(f"^{event}")), names[0] if names else "")

    def says(self, place: str, value: str) -> str:
        """The value, or nothing where this partner writes it for nothing."""
        return "" if value in self.absent.get(place, ()) else value

    @property
    def own_numbers(self) -> tuple[str, ...]:
        """Where a number stands outside of AUT."""
        return tuple(place for place in self.number if not place.startswith("AUT"))

    @property
    def own_segments(self) -> Mapping[str, None]:
        """The names of the partner's segments that carry a number or a status, in order."""
        places = [*self.number, *([self.status.source] if self.status else [])]
        return dict.fromkeys(place[:3] for place in places if place[:3] != "AUT")
