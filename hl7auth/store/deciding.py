"""The messages of a batch decided one after the other, each by what the store knows and those before it did.

Imports sqlalchemy, flow, observe, store.known, store.links and store.rows only.
"""

import logging
from collections.abc import Sequence
from itertools import groupby

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from hl7auth.flow.decision import Outcome, decide, failed
from hl7auth.flow.intake import Plan
from hl7auth.flow.linked_decision import decide_linked, rows
from hl7auth.observe import log
from hl7auth.store.known import KnownToBatch
from hl7auth.store.links import Links
from hl7auth.store.rows import write


def decided(plans: Sequence[Plan], known: KnownToBatch, links: Links | None = None) -> list[Outcome]:
    """The outcomes in order; nothing of them is written yet. Raises SQLAlchemyError."""
    known.load(plans)
    outcomes = []
    for plan in plans:
        outcome = _decide(plan, known) if links is None or plan.link is None else _decide_linked(plan, known, links)
        known.apply(outcome)
        outcomes.append(outcome)
    return outcomes


def decided_with_links(connection: Connection, plans: Sequence[Plan]) -> list[Outcome]:
    """What has to find everything before it in the store is decided by itself, between the others; all is written."""
    links, outcomes = Links(connection), []
    for alone, run in groupby(plans, lambda plan: plan.link is not None and plan.link.alone):
        for some in ([each] for each in run) if alone else (list(run),):
            found = decided(some, KnownToBatch(connection), links)
            write(connection, [row for outcome in found for row in rows(outcome)])
            links.write(found)
            outcomes += found
    return outcomes


def _decide_linked(plan: Plan, known: KnownToBatch, links: Links) -> Outcome:
    """As `_decide`; and what was to be written about the links of a message that failed is not."""
    waiting = links.waiting
    try:
        return decide_linked(plan, known, links)
    except SQLAlchemyError:
        raise
    except Exception:
        links.back_to(waiting)
        text = "a message could not be decided"
        log("decide.failed", text, level=logging.ERROR, error=True, message=plan.message_id)
        return failed(plan)


def _decide(plan: Plan, known: KnownToBatch) -> Outcome:
    """A fault in deciding one message is that message's alone."""
    try:
        return decide(plan, known)
    except Exception:
        log("decide.failed", "a message could not be decided", level=logging.ERROR, error=True, message=plan.message_id)
        return failed(plan)
