"""Requests decided by rules: submitted, looked at by all steps, and approved, denied or pended as a person would.

Imports sqlalchemy, domain, flow, steps, store, observe and desk.

Each request is taken in two transactions: it is submitted, and it is decided. Between them rules look at it, which
writes nothing. Whoever dies there leaves it In Process with nothing but its submission, which another takes up; of two
who decide at once one is refused by the table of moves. A decision is about what was looked at: where the request has
changed since, it is looked at again.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from hl7auth.desk.enrolling import Enrolling
from hl7auth.desk.life import Desk
from hl7auth.domain.crosswalk import Decision
from hl7auth.domain.decided import Contact, Decided, pending
from hl7auth.domain.process import Event, Forbidden, Missing, Overtaken, Process
from hl7auth.domain.rule_condition import Facts
from hl7auth.domain.rule_model import Callout, RulesFile
from hl7auth.domain.ruling import Before, Ruled, Verdict, follow_up, granted, numbered, rule
from hl7auth.flow.channel import Channel
from hl7auth.observe import log
from hl7auth.steps.calls import PythonCall
from hl7auth.steps.faults import StepFailed
from hl7auth.steps_runner import StepProcess
from hl7auth.store import processes
from hl7auth.store.processes import Stored, current_document
from hl7auth.store.undecided import read_before, waits_for_rules

BY = "rules"
"""Who decides, in history and audit log."""
RULED = "rules"
"""The event of a look that decided nothing by itself."""
_LOOKS = 3
_MOST_REASON = 200

Document = Mapping[str, Any]


class Working:
    """Decides by the rules of channels, when enrollment is seen to. `steps` runs the functions of callouts."""

    def __init__(self, desk: Desk, enrolling: Enrolling, steps: StepProcess) -> None:
        self._desk = desk
        self._enrolling = enrolling
        self._channels = desk.channels
        self._steps = steps

    def take(self, key: str, by: str = BY) -> Process:
        """Submits a request that is new or Changed, and decides it by the rules of its channel, if it has any.

        Raises Forbidden where it can not be submitted, and StepFailed where a callout failed: it then stays In Process,
        and may be taken again.
        """
        state = self._enrolling.submit(key, by)
        return self.decide(key) or state

    def go_on(self, key: str) -> Process | None:
        """Sees to the enrollment of a request that was submitted, and decides it. Raises StepFailed."""
        self._enrolling.go_on(key, BY)
        return self.decide(key)

    def decide(self, key: str) -> Process | None:
        """Decides a request that was submitted; None where it is not waiting for rules. Raises StepFailed."""
        for _ in range(_LOOKS):
            looked = self._desk.read(key, BY, self._look)
            if looked is None:
                return None
            rules, process, document, before = looked
            today = datetime.fromtimestamp(self._desk.now / 1_000_000, UTC).date()
            ruled = rule(rules, document, before, today, self._asks(self._channels[process.channel]))
            try:
                return self._done(rules, process, document, ruled)
            except Overtaken:
                continue
        return None

    def _look(
        self, connection: Connection, process: Stored
    ) -> tuple[RulesFile, Stored, Document, Before] | None:  # fmt: skip
        channel = self._channels.get(process.channel)
        rules = None if channel is None else channel.rules
        waits = rules is not None and waits_for_rules(connection, process)
        if rules is None or not waits or not self._enrolling.is_known(connection, process.key):
            return None
        return rules, process, current_document(connection, process.key), read_before(connection, process)

    def _asks(self, channel: Channel) -> Callable[[Callout, Facts], Mapping[str, Any]]:
        folder = str(channel.rules_path.parent.resolve())

        def ask(callout: Callout, facts: Facts) -> Mapping[str, Any]:
            return self._steps.consult(PythonCall(callout.python, folder, callout.seconds), facts)

        return ask

    def _done(self, rules: RulesFile, seen: Stored, document: Document, ruled: Ruled) -> Process | None:
        """What the rules came to, as a move of the request. Raises Overtaken where it has changed since."""
        today = datetime.fromtimestamp(self._desk.now / 1_000_000, UTC).date()

        def work(connection: Connection, process: Stored) -> None:
            is_other = process.row_version != seen.row_version or process.request_message_id != seen.request_message_id
            if is_other or not waits_for_rules(connection, process):
                raise Overtaken("the request has changed since the rules looked at it")
            now = self._desk.now
            for each in ruled.messages:
                processes.say(connection, process.id, (each.severity, each.code, each.text), "system", now)
            for event in (*ruled.events, RULED):
                step = (process.state, event, process.state)
                reason = ", ".join(ruled.fired) if event == RULED else ""
                processes.record(connection, process.id, step, now, BY, reason)
            for pend in ruled.pends:
                day = follow_up(pend, today)
                processes.pend(connection, process.id, pend.code, pend.text, day, now)

        decided = _said(rules, seen, document, ruled, today)
        try:
            if decided is None:
                return self._desk.noted(seen.key, BY, work)
            return self._desk.decide(seen.key, _EVENTS[ruled.verdict], BY, decided, work)
        except (Overtaken, Forbidden):
            raise
        except Missing as fault:  # the decision can not be said on this channel: a person sees it, and why
            log("rules.refused", "what the rules decided could not be said", level=logging.ERROR, process=seen.id)
            return self._left(seen, str(fault))

    def _left(self, seen: Stored, why: str) -> Process:
        def work(connection: Connection, process: Stored) -> None:
            now = self._desk.now
            processes.say(connection, process.id, ("warning", "RULES", why[:_MOST_REASON]), "system", now)
            processes.record(connection, process.id, (process.state, RULED, process.state), now, BY, "not decided")

        return self._desk.noted(seen.key, BY, work)


_EVENTS = {Verdict.APPROVE: Event.APPROVE, Verdict.DENY: Event.REFUSE, Verdict.PEND: Event.PEND}


def _said(rules: RulesFile, seen: Stored, document: Document, ruled: Ruled, today: Any) -> Decided | None:
    if ruled.verdict is Verdict.WAIT:
        return None
    if ruled.verdict is Verdict.PEND:
        contact = next((Contact(each.contact.name, each.contact.phone) for each in ruled.pends if each.contact), None)
        return pending("; ".join(each.text for each in ruled.pends)[:_MOST_REASON], contact)
    if ruled.verdict is Verdict.DENY:
        return Decided(Decision.NOT_CERTIFIED, reason=ruled.fatal[0].text)
    number = "" if seen.auth_number else numbered(rules.number, seen.request_message_id, today)
    return granted(ruled.grant, number, document, today)


__all__ = ["BY", "StepFailed", "Working"]
