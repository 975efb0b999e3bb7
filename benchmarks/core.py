"""What plan and decide cost without sockets and without a store: prints one JSON document.

Imports the standard library, the template beside it, and hl7auth's pure floors.

    python core.py [--messages N] [--rounds R]

CPU time per message in microseconds, for R rounds over N fresh messages each. Memory stands for the store, so that what
is measured is parsing, the full check, reading the authorizations, applying them and writing the reply.
"""

import argparse
import gc
import itertools
import json
import statistics
import time
from typing import TYPE_CHECKING

from hl7auth.flow.channel import find_channel
from hl7auth.flow.decision import Disposition, decide
from hl7auth.flow.intake import plan
from hl7auth.flow.trial import TRIAL_TIME, Memory

if TYPE_CHECKING or __package__:
    from .template import TEMPLATE, message
else:  # run by path: this folder is on sys.path, its parent need not be
    from template import TEMPLATE, message

BATCH = 64
"""Messages that live at the same time: one commit of 64 connections."""


def measure(messages: int, rounds: int) -> list[float]:
    """CPU microseconds per message, round by round; raises RuntimeError when one is not accepted."""
    channel, new_id, numbers = find_channel("referral-intake"), itertools.count(1).__next__, itertools.count()
    memory, found = Memory(), []
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)  # as the server does
    for _ in range(rounds):
        spent = 0.0
        for _ in range(messages // BATCH):
            raws = [message(TEMPLATE, next(numbers), "CORE") for _ in range(BATCH)]
            before = time.process_time()
            outcomes = [decide(plan(raw, channel, TRIAL_TIME, new_id), memory) for raw in raws]
            spent += time.process_time() - before
            if any(outcome.disposition is not Disposition.ACCEPTED for outcome in outcomes):
                raise RuntimeError("a message of the template was not accepted")
        found.append(spent / (messages // BATCH * BATCH) * 1e6)
    return found


def main() -> None:
    """The command."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--messages", type=int, default=1024)
    arguments.add_argument("--rounds", type=int, default=9)
    asked = arguments.parse_args()
    measure(128, 1)  # imports, tables and memories warm up
    found = measure(asked.messages, asked.rounds)
    print(json.dumps({"median": statistics.median(found), "low": min(found), "high": max(found), "rounds": found}))


if __name__ == "__main__":
    main()
