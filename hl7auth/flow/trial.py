"""Trying messages out: plan and decide against a memory instead of a store.

Imports domain, flow, rules and steps only.
"""

import itertools
from collections.abc import Sequence

from hl7auth.domain.intent import Record
from hl7auth.flow.channel import Channel
from hl7auth.flow.decision import Disposition, Outcome, Stored, decide
from hl7auth.flow.intake import Plan, plan
from hl7auth.flow.shaping import shape_frame
from hl7auth.steps.calls import Runner

TRIAL_TIME = 1_767_225_600_000_000
"""2026-01-01: what is tried twice must look the same twice."""


class Memory:
    """What a trial knows: the effects of the messages before."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._stored: dict[tuple[str, int], Stored] = {}
        self._used: set[tuple[str, ...]] = set()

    def apply(self, outcome: Outcome) -> None:
        """Takes over what a message did."""
        if outcome.disposition is Disposition.ACCEPTED:
            header, digest = outcome.plan.header, outcome.plan.digest
            self._stored[(header.control_id, digest)] = Stored(
                outcome.plan.message_id, outcome.accept_ack, outcome.reply
            )
            self._used.add(_identity(outcome.plan))
        self._records |= {change.record.key: change.record for change in outcome.changes}

    def same_message(self, control_id: str, digest: int) -> Stored | None:
        """The accepted message with this control id and content."""
        return self._stored.get((control_id, digest))

    def control_id_used(self, planned: Plan) -> bool:
        """True when the sender used this control id before for the same event."""
        return _identity(planned) in self._used

    def record(self, key: str) -> Record | None:
        """The current record of a key."""
        return self._records.get(key)

    def in_referral(self, referral: str, *, requests: bool = False) -> list[Record]:
        """The current authorizations of a referral (or another set), or the requests."""
        return [each for each in self._records.values() if each.referral == referral and each.is_request is requests]

    def asked_by(self, control_id: str) -> list[Record]:
        """The current requests that a message with this control id made."""
        return [each for each in self._records.values() if each.is_request and each.control_id == control_id]


def _identity(planned: Plan) -> tuple[str, ...]:
    header = planned.header
    return (header.control_id, header.sending_application, header.sending_facility, header.trigger_event)


def try_out(messages: Sequence[bytes], channel: Channel, runner: Runner | None = None) -> list[Outcome]:
    """The outcomes of messages sent one after another to an empty store; `runner` runs steps in Python."""
    memory, new_id = Memory(), itertools.count(1).__next__
    outcomes = []
    for raw in messages:
        shaped = shape_frame(raw, channel, runner) if channel.file.steps else None
        outcome = decide(plan(raw, channel, TRIAL_TIME, new_id, shaped=shaped), memory)
        memory.apply(outcome)
        outcomes.append(outcome)
    return outcomes
