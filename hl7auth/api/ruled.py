"""What follows when a request is submitted: enrollment is seen to and rules decide, as for one that has just come.

Imports api.state, desk, domain.process and observe.

Nobody else waits for those who are asked: no turn to write is held meanwhile. What can not be gone through here and now
is left to the process that decides by rules, which looks for it all the time.
"""

import logging

from hl7auth.api.state import State
from hl7auth.desk.enrolling import Enrolling
from hl7auth.desk.life import Desk
from hl7auth.desk.working import StepFailed, Working
from hl7auth.domain.process import Forbidden
from hl7auth.observe import log


def go_through(state: State, key: str, by: str) -> None:
    """Sees to the enrollment of a request that is In Process, and has its rules decide it, if its channel has any."""
    settings = state.settings
    place = (settings.engine, settings.channels, settings.new_id, settings.now)
    enrolling = Enrolling(*place)
    try:
        enrolling.go_on(key, by)
        _decided(state, Working(Desk(*place), enrolling, state.steps), key)
    except Forbidden:  # the engine was faster
        return


def _decided(state: State, working: Working, key: str) -> None:
    if not state.ruling.acquire(blocking=False):
        return
    try:
        working.decide(key)
    except StepFailed as fault:
        log("rules.late", "a request could not be decided yet, and is tried again", level=logging.WARNING,
            why=str(fault))  # fmt: skip
    finally:
        state.ruling.release()
