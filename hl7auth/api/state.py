"""What every request works with: the store, the channels, the clock; and the record of what is read and done.

Imports fastapi, sqlalchemy, api, domain, flow, steps_runner, store and observe.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy import Engine

from hl7auth.api.following import Following
from hl7auth.api.glance import Glance
from hl7auth.api.problems import Problem
from hl7auth.api.storage import Storage
from hl7auth.api.writer import Together, Writer
from hl7auth.domain.balance import ALERT_SHARE
from hl7auth.flow.channel import Channel
from hl7auth.flow.decision import Outcome
from hl7auth.flow.intake import plan
from hl7auth.observe import ids, now
from hl7auth.steps_runner import StepProcess
from hl7auth.store import audit
from hl7auth.store.journal import Journal

_MOST_RULING = 8
"""Requests that rules decide here at a time: threads that wait for functions of people answer nobody else."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the API is told at its start. `desk` is the channel by which what is entered here goes in; the first where
    it is empty. `manual` are the payors without a wire (MANUAL_PENDING), `shares` the share of use that is worth an
    alert where it is not 80 %."""

    engine: Engine
    channels: Mapping[str, Channel]
    desk: str = ""
    manual: frozenset[str] = frozenset()
    shares: Mapping[str, Decimal] = field(default_factory=dict)
    now: Callable[[], int] = now
    new_id: Callable[[], int] = field(default_factory=ids)


class State(Storage):
    """The store as requests use it."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.engine)
        self.settings = settings
        self._journal_lock = threading.Lock()
        self._following = Following(self)
        self.journal = Journal(settings.engine, settings.new_id)
        self.writer = Writer(self.writing)
        self.glance = Glance(settings.engine)
        self.steps = StepProcess()  # which starts when a rule first asks a function
        self.ruling = threading.BoundedSemaphore(_MOST_RULING)

    @property
    def now(self) -> int:
        """Microseconds since 1970."""
        return self.settings.now()

    @property
    def today(self) -> date:
        """The day in UTC."""
        return datetime.fromtimestamp(self.now / 1_000_000, UTC).date()

    @property
    def desk(self) -> str:
        """The channel by which what is entered here goes in."""
        return self.settings.desk or next(iter(self.settings.channels))

    def share(self, payor: str) -> Decimal:
        """The share of use beyond which an authorization of that payor is worth an alert."""
        return self.settings.shares.get(payor, ALERT_SHARE)

    def submit(self, raw: bytes, peer: str = "desk") -> Outcome:
        """A message through the pipeline of the desk's channel, as one that came in; durable when this returns. Raises
        Problem (503) where that channel is gone."""
        channel = self.settings.channels.get(self.desk)
        if channel is None:
            said = f"the channel '{self.desk}', by which this goes in, is not served any more"
            raise Problem(503, said, "no-channel", headers={"Retry-After": "60"})
        planned = plan(raw, channel, self.now, self.settings.new_id, (), peer)
        with self._journal_lock, self.alone():
            (outcome,) = self.journal.commit([planned])
        return outcome

    def follow(self) -> None:
        """Has the balances follow what came since, as far as that goes in a moment; the rest follows by itself."""
        self._following.catch_up()

    def follow_about(self, word: str) -> None:
        """Has those balances follow that are of a member or under a number."""
        self._following.about(word)

    async def done(self, together: Together, asked: Any) -> Any:
        """What came of something that is done with what others ask: when it is on the disk."""
        return await asyncio.wrap_future(self.writer.ask(together, asked))

    def saw(self, who: str, action: str, subject: str, **detail: Any) -> None:
        """Notes a read for the audit log. It is written with others within a twentieth of a second."""
        self.writer.note(audit.Deed(self.now, who, action, subject, detail))

    def flush(self) -> None:
        """Writes what was noted."""
        self.writer.flush()

    def close(self) -> None:
        """Writes what was noted, and lets go of the database."""
        self.writer.close()
        self.journal.close()
        self.glance.close()
        self.steps.close()
        self._following.close()


async def state_of(request: Request) -> State:
    """The state of the application that a request is for."""
    state: State = request.app.state.api
    return state


Api = Annotated[State, Depends(state_of)]
