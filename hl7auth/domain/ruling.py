"""What the rules of a channel say about a request: all steps in their order, as one pure function of what is known.

Imports domain only. Callouts are a function that the caller gives.

A fatal message lets the step end that it was said in, and no later step run; then the request is denied. A pend reason
ends it likewise, and then the request pends, whatever else was said. Nothing is approved because nothing was said.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from hl7auth.domain.crosswalk import Decision
from hl7auth.domain.decided import Decided, LeftOut, LineQuantity
from hl7auth.domain.rule_condition import Facts, compiled
from hl7auth.domain.rule_model import Callout, Grant, Message, PendReason, ProcessStep, RulesFile

Document = Mapping[str, Any]
Ask = Callable[[Callout, Facts], Mapping[str, Any]]
"""Calls the function of a callout."""


class Verdict(StrEnum):
    """What rules come to. `wait` leaves the request to a person as it is."""

    APPROVE = "approve"
    DENY = "deny"
    PEND = "pend"
    WAIT = "wait"


class Before(NamedTuple):
    """What is known of a request beside its document: `resolved` are the codes of pend reasons that were resolved on it
    in any version, `decisions` those of versions before this one."""

    version: int = 1
    urgency: str = "standard"
    channel: str = ""
    member: str = ""
    source: str = "hl7"
    event: str = ""
    decisions: tuple[str, ...] = ()
    pends: tuple[str, ...] = ()
    resolved: frozenset[str] = frozenset()
    attached: tuple[str, ...] = ()


class Ruled(NamedTuple):
    """The verdict, and all that led to it: messages, pend reasons, events, and the rules that fired as `step/rule`.
    `grant` is what an approval grants; None where nothing was said but silence."""

    verdict: Verdict
    messages: tuple[Message, ...] = ()
    pends: tuple[PendReason, ...] = ()
    events: tuple[str, ...] = ()
    fired: tuple[str, ...] = ()
    grant: Grant | None = None

    @property
    def fatal(self) -> tuple[Message, ...]:
        """The messages that deny it."""
        return tuple(each for each in self.messages if each.severity == "fatal")

    @property
    def decider(self) -> str:
        """The rule that decided, as `step/rule`; `silence` where none did, empty where what came before them did."""
        return self.fired[-1] if self.fired else ""


def facts_of(document: Document, before: Before, today: date) -> dict[str, Any]:
    """What conditions read."""
    patient = dict(document.get("patient") or {})
    if (age := _age(str(patient.get("birth_date") or ""), today)) is not None:
        patient["age"] = age
    request = {name: getattr(before, name) for name in ("version", "urgency", "channel", "member", "source", "event")}
    history = {
        "decisions": list(before.decisions), "pends": list(before.pends), "open_pends": list(before.attached),
    }  # fmt: skip
    found = {key: value for key, value in document.items() if key != "provenance"}
    beside = {"patient": patient, "today": today.isoformat(), "request": request, "history": history, "callouts": {}}
    return found | beside


def rule(rules: RulesFile, document: Document, before: Before, today: date, ask: Ask, said: tuple[Message, ...] = ()
) -> Ruled:  # fmt: skip
    """What the rules say. `said` was said before them (of enrollment): with a fatal message no step runs. Whatever
    `ask` raises is raised."""
    facts = facts_of(document, before, today)
    ruling = _Ruling(facts, list(said))
    for step in rules.steps:
        if ruling.ended:
            break
        ruling.run(step, before.resolved, ask)
    return ruling.concluded(rules)


class _Ruling:
    """The steps so far."""

    def __init__(self, facts: dict[str, Any], messages: list[Message]) -> None:
        self.facts = facts
        self.messages = messages
        self.pends: list[PendReason] = []
        self.events: list[str] = []
        self.fired: dict[str, list[str]] = {"approve": [], "deny": [], "pend": [], "say": []}
        self.grant: Grant | None = None

    @property
    def ended(self) -> bool:
        return bool(self.pends) or any(each.severity == "fatal" for each in self.messages)

    def holds(self, when: str) -> bool:
        return compiled(when)(self.facts)

    def run(self, step: ProcessStep, resolved: Collection[str], ask: Ask) -> None:
        for callout in step.callouts:
            if self.holds(callout.when):
                self.facts["callouts"][callout.callout] = dict(ask(callout, self.facts))
        self.events += [each.event for each in step.events if self.holds(each.when)]
        self._validate(step)
        for each in step.pend:
            again = each.pend.reattach or each.pend.code not in resolved
            if again and self.holds(each.when):
                self.fired["pend"].append(f"{step.step}/{each.rule}")
                self.pends.append(each.pend)

    def _validate(self, step: ProcessStep) -> None:
        for each in step.validation:
            if not self.holds(each.when):
                continue
            name = f"{step.step}/{each.rule}"
            if each.approve is not None:
                if self.grant is None:
                    self._approve(name, each.approve)
            elif each.deny is not None:
                self.fired["deny"].append(name)
                self.messages.append(Message(severity="fatal", code=each.deny.code, text=each.deny.text))
            elif each.say is not None:
                self.fired["deny" if each.say.severity == "fatal" else "say"].append(name)
                self.messages.append(each.say)

    def _approve(self, name: str, grant: Grant) -> None:
        if refused := nothing_left(grant, self.facts):
            self.fired["deny"].append(name)
            self.messages.append(Message(severity="fatal", code="LINES", text=refused))
        else:
            self.fired["approve"].append(name)
            self.grant = grant

    def concluded(self, rules: RulesFile) -> Ruled:
        """The end: pended, denied, approved, or what the file says of silence. The rule that decided comes last."""
        pends, grant, order = tuple(self.pends), None, ("say", "approve", "deny", "pend")
        if pends:
            verdict = Verdict.PEND
        elif self.ended:
            verdict, order = Verdict.DENY, ("say", "approve", "pend", "deny")
        elif self.grant is not None:
            verdict, grant, order = Verdict.APPROVE, self.grant, ("say", "deny", "pend", "approve")
        else:
            verdict = {"wait": Verdict.WAIT, "approve": Verdict.APPROVE}.get(rules.silence, Verdict.PEND)
            pends = (rules.review,) if verdict is Verdict.PEND else ()
        fired = tuple(name for kind in order for name in self.fired[kind])
        if not (self.pends or self.ended or self.grant):
            fired = (*fired, "silence")
        return Ruled(verdict, tuple(self.messages), pends, tuple(self.events), fired, grant)


def nothing_left(grant: Grant, asked: Mapping[str, Any]) -> str:
    """Why an approval that leaves out every procedure that is asked for is a denial; empty where it is none."""
    codes = _codes(asked)
    return grant.leave_out[codes[0]] if codes and all(code in grant.leave_out for code in codes) else ""


def _codes(asked: Mapping[str, Any]) -> list[str]:
    """The codes of the procedures, empty for one that has none, each once."""
    found = [str((line.get("procedure") or {}).get("code", "")) for line in asked.get("lines", ())]
    return list(dict.fromkeys(found))


def _after(day: date, days: int) -> date:
    """So many days later; the last day that there is for a partner who writes that for "without end"."""
    return day + timedelta(days=min(days, (date.max - day).days))


def granted(grant: Grant | None, number: str, document: Document, today: date) -> Decided:
    """What an approval says: from the day that was asked, or today on."""
    grant = grant or Grant()
    effective = _day_of(document, "effective_date") or today
    expiration = _after(effective, grant.days - 1) if grant.days else _day_of(document, "expiration_date")
    codes = _codes(document)
    left_out = tuple(LeftOut(code, grant.leave_out[code]) for code in codes if code in grant.leave_out)
    by_line = tuple(LineQuantity(code, grant.quantities[code]) for code in codes if code in grant.quantities)
    decision = Decision.CERTIFIED_PARTIAL if left_out else Decision(grant.decision)
    return Decided(
        decision, number, effective=effective, expiration=expiration, quantity=grant.quantity, unit=grant.unit,
        reason=grant.reason, left_out=left_out, by_line=by_line,
    )  # fmt: skip


def numbered(pattern: str, request: int, today: date) -> str:
    """The number of a new authorization, by the pattern of the rules."""
    return pattern.replace("{request}", str(request)).replace("{year}", f"{today.year:04}")


def follow_up(reason: PendReason, today: date) -> str:
    """The day on which somebody looks again, as ISO date; empty where none is."""
    return "" if reason.follow_up_days is None else (today + timedelta(days=reason.follow_up_days)).isoformat()


def _day_of(document: Document, key: str) -> date | None:
    places = [document, *document.get("lines", ())]
    return next((found for each in places if (found := _day(str(each.get(key) or ""))) is not None), None)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None


def _age(born: str, today: date) -> int | None:
    day = _day(born)
    if day is None:
        return None
    return today.year - day.year - ((today.month, today.day) < (day.month, day.day))
