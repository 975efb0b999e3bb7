"""Decision rules as people write them: one YAML file of steps, each with callouts, events, validation and pend rules.

Imports domain, rules, steps.shape and pydantic only.
"""

import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from hl7auth.domain.rule_condition import compiled
from hl7auth.rules.strict_yaml import Strict, load
from hl7auth.steps.shape import FunctionText, Text

MAX_SECONDS = 60
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}|[{}]")
_KNOWN = ("request", "year")


def _condition(text: str) -> str:
    compiled(text)
    return text


def _number(text: str) -> str:
    for found in _PLACEHOLDER.finditer(text):
        if found[1] not in _KNOWN:
            raise ValueError(f"'{found[0]}' is no placeholder (there is: {{request}}, {{year}})")
    if text and "{request}" not in text:
        raise ValueError("without {request} all authorizations would have the same number")
    return text


Condition = Annotated[Text, AfterValidator(_condition)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)]
Said = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Code = Annotated[str, Field(max_length=60, pattern=r"^[^\x00-\x1f\x7f]*$")]
Quantity = Annotated[Decimal, Field(gt=0, max_digits=18)]


class Message(Strict):
    """A message about a request. One that is fatal ends it as denied, with its text as AUT-17."""

    severity: Literal["info", "warning", "fatal"]
    code: Code = ""
    text: Said


class Why(Strict):
    """A fatal message: a code of the payor, and the text that the requester reads."""

    code: Code = ""
    text: Said


class Grant(Strict):
    """What is granted: what was asked, or `quantity` (AUT-9; with a `unit` AUT-18), from the day that was asked or
    today on, for so many `days` or until the day that was asked. `leave_out` names procedures that are not granted, and
    why not: those of them that are asked for make it an approval in part. `quantities` are those of single procedures,
    in place of one for all, where they are asked for: fewer than was asked is an approval in part, more is modified."""

    decision: Literal["certified_total", "certified_partial", "modified", "not_required"] = "certified_total"
    quantity: Quantity | None = None
    quantities: Annotated[dict[Code, Quantity], Field(max_length=200)] = {}
    unit: Code = ""
    days: Annotated[int, Field(ge=1, le=3660)] | None = None
    reason: Annotated[str, Field(max_length=200)] = ""
    leave_out: Annotated[dict[Code, Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=200)] = {}

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.quantity is not None and self.quantities:
            raise ValueError("say one quantity for all, or quantities of single procedures")
        if self.decision == "not_required" and self.quantities:
            raise ValueError("what needs no authorization is granted in no quantity")
        if both := sorted(set(self.quantities) & set(self.leave_out)):
            raise ValueError(f"the procedure '{both[0]}' is left out: no quantity of it is granted")
        if self.decision == "certified_partial" and self.quantity is None and not self.quantities:
            raise ValueError("certified_partial needs a quantity")
        if self.leave_out and self.decision != "certified_total":
            raise ValueError("leave_out makes it certified_partial by itself, where procedures of it are asked for")
        if self.unit and self.quantity is None and not self.quantities:
            raise ValueError("a unit needs a quantity")
        return self


class Called(Strict):
    """Whom the requester is to call."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    phone: Annotated[str, Field(min_length=1, max_length=60)]


class PendReason(Strict):
    """Why a request pends: the requester is told `text`. `reattach`: again, though it was resolved once before.
    `follow_up_days` from today somebody looks again. With a `contact` it is to call there ('contact payer')."""

    code: Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f]*$")]
    text: Said
    reattach: bool = False
    follow_up_days: Annotated[int, Field(ge=0, le=3660)] | None = None
    contact: Called | None = None


class Callout(Strict):
    """A function beside the channel (`module:function`) that is asked with all that is known, as a dict, and gives back
    a dict: conditions read it as `callouts.NAME`."""

    callout: Annotated[str, Field(pattern=r"^[a-z_]+$")]
    when: Condition = ""
    python: FunctionText
    seconds: float = Field(2, gt=0, le=MAX_SECONDS)


class Event(Strict):
    """Something worth a line in the history of the request."""

    event: Name
    when: Condition = ""


class Validation(Strict):
    """A rule: where `when` holds, a message, an approval (the first that fits counts) or a denial."""

    rule: Name
    when: Condition = ""
    say: Message | None = None
    approve: Grant | None = None
    deny: Why | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(each is not None for each in (self.say, self.approve, self.deny)) != 1:
            raise ValueError("a rule has one outcome: say, approve or deny")
        return self


class Pend(Strict):
    """A rule: where `when` holds, the request pends with that reason. No later step runs."""

    rule: Name
    when: Condition = ""
    pend: PendReason


class ProcessStep(Strict):
    """A step: its callouts, then its events, then its validation rules, and its pend rules last."""

    step: Name
    callouts: tuple[Callout, ...] = ()
    events: tuple[Event, ...] = ()
    validation: tuple[Validation, ...] = ()
    pend: tuple[Pend, ...] = ()


_REVIEW = PendReason(code="REVIEW", text="a person decides", reattach=True)


class RulesFile(Strict):
    """The rules of a channel. `number` is how authorizations are numbered: `{request}` is the id of the request's
    message, `{year}` this year. `silence` is what becomes of what no rule decides: pend (with the reason `review`),
    wait (In Process, for a person) or approve."""

    rules: Name
    number: Annotated[Text, AfterValidator(_number)] = ""
    silence: Literal["pend", "wait", "approve"] = "pend"
    review: PendReason = _REVIEW
    steps: Annotated[tuple[ProcessStep, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        for name, count in Counter([each.step for each in self.steps]).items():
            if count > 1:
                raise ValueError(f"two steps are named '{name}'")
        for name, count in Counter(self._rules()).items():
            if count > 1:
                raise ValueError(f"two rules are named '{name}'")
        if not self.number and self._grants():
            raise ValueError("what is approved needs a number: say how authorizations are numbered (number)")
        return self

    def _rules(self) -> Iterator[str]:
        for step in self.steps:
            yield from (each.rule for each in step.validation)
            yield from (each.rule for each in step.pend)

    def _grants(self) -> bool:
        granted = (each.approve for step in self.steps for each in step.validation if each.approve)
        return self.silence == "approve" or any(each.decision != "not_required" for each in granted)

    @property
    def callouts(self) -> tuple[Callout, ...]:
        """All of them, in their order."""
        return tuple(each for step in self.steps for each in step.callouts)


def load_rules(path: Path) -> RulesFile:
    """The rules of a file. Raises ConfigError naming file, line and key."""
    return load(path, RulesFile)
