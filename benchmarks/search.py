"""How fast messages are found: fills a store through the journal and prints the time of each kind of search.

Imports the standard library, the template beside it, and hl7auth.

    python -m benchmarks.search [--messages N] [--database URL] [--batch B]

Every message has a control id, a referral, a patient and two authorizations' number of its own; one in a hundred speaks
of something else. Each search is run five times with other values; the median and the slowest are printed, in
milliseconds, each with a fresh plan but a warm file. Without --database the store is in a folder that is then removed.
"""

import argparse
import gc
import itertools
import json
import statistics
import time
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Connection, Engine

from benchmarks.template import NUMBER_WIDTH, TEMPLATE, identifier, message
from hl7auth.flow.channel import find_channel
from hl7auth.flow.intake import plan
from hl7auth.reports.message_tree import message_tree
from hl7auth.store.archive import read_message
from hl7auth.store.database import open_database, upgrade
from hl7auth.store.indexing import index_all
from hl7auth.store.journal import Journal
from hl7auth.store.related import deliveries_of, related
from hl7auth.store.search import Query, find

_BATCH = 64
_START = 1_772_000_000_000_000
_APART = 50_000
"""Microseconds between two messages: 20 a second."""
_PREFIX = "FIND"
_RARE = TEMPLATE.replace("Right side only", "Lefthanded zebrafish only").replace("Vandermeer^Joost", "Ostrander^Wim")


def fill(engine: Engine, count: int, batch: int = _BATCH) -> float:
    """Commits that many messages; CPU microseconds for each, generating left out."""
    channel, new_id, journal = find_channel("referral-intake"), itertools.count(1).__next__, Journal(engine)
    spent = 0.0
    for low in range(0, count, batch):
        numbers = range(low, min(low + batch, count))
        raws = [message(TEMPLATE if number % 100 else _RARE, number, _PREFIX) for number in numbers]
        before = time.process_time()
        outcomes = journal.commit(
            [plan(raw, channel, _START + _APART * at, new_id) for at, raw in zip(numbers, raws, strict=True)]
        )
        spent += time.process_time() - before
        if any(outcome.disposition != "accepted" for outcome in outcomes):
            raise RuntimeError("a message of the template was not accepted")
    journal.close()
    return spent / count * 1e6


def searches(count: int) -> dict[str, Callable[[int], Query]]:
    """Kinds of search by name, each for the message of a number."""

    def own(letter: str, number: int) -> str:
        return identifier(letter, _PREFIX, NUMBER_WIDTH, number)

    hour, last = 3_600_000_000, _START + _APART * count
    return {
        "newest": lambda _: Query(),
        "control id": lambda at: Query(control_id=identifier("", _PREFIX, 20, at)),
        "authorization number": lambda at: Query(authorization=own("P", at)),
        "patient or member id": lambda at: Query(patient=own("H", at)),
        "how an id begins": lambda at: Query(patient=own("H", at)[:-2] + "*"),
        "referral id": lambda at: Query(referral=own("R", at)),
        "name that all have": lambda _: Query(name="Vandermeer"),
        "name of one in a hundred": lambda _: Query(name="Ostrander^Wim"),
        "status that all have": lambda _: Query(status="pended"),
        "AUT-14 that nobody has": lambda _: Query(fields=(("AUT-14", "NEVER"),)),
        "sender and event": lambda _: Query(sender="HILLCREST", event="RQA^I08"),
        "disposition that none has": lambda _: Query(disposition="failed"),
        "an hour": lambda at: Query(since=_START + _APART * at, until=_START + _APART * at + hour),
        "patient in the last hour": lambda at: Query(patient=own("H", at), since=last - hour),
        "all have it, and one": lambda at: Query(name="Vandermeer", status="pended", patient=own("H", at)),
        "100 identifiers": lambda at: Query(any_of=tuple(own("P", (at + 97 * step) % count) for step in range(100))),
        "words: one in a hundred": lambda _: Query(words="zebrafish"),
        "words: all have them": lambda _: Query(words="knee replacement"),
        "words in a row": lambda _: Query(words='"lefthanded zebrafish"'),
        "words of one patient": lambda at: Query(words="knee", patient=own("H", at)),
        "field without an index": lambda _: Query(fields=(("NTE-3", "NEVER"),)),
    }


def timed(connection: Connection, count: int) -> dict[str, dict[str, float]]:
    """Median and slowest of five runs of each kind, in milliseconds, and how many messages the last page had."""
    found = {}
    for name, query_of in searches(count).items():
        times, page = [], None
        for at in (count // 7 * step + 3 for step in range(1, 6)):
            query = query_of(at)
            before = time.perf_counter()
            page = find(connection, query)
            times.append((time.perf_counter() - before) * 1e3)
        found[name] = _figures(times, len(page.messages) if page else 0)
    times = []
    for at in (count // 7 * step + 3 for step in range(1, 6)):
        before = time.perf_counter()
        entry: dict[str, Any] = read_message(connection, at * 3 + 1)
        message_tree(entry["raw"])
        deliveries_of(connection, at * 3 + 1)
        related(connection, at * 3 + 1, entry["control_id"], "")
        times.append((time.perf_counter() - before) * 1e3)
    return found | {"message show": _figures(times, 1)}


def _figures(times: list[float], messages: int) -> dict[str, float]:
    return {"median": round(statistics.median(times), 2), "slowest": round(max(times), 2), "found": messages}


def run(url: str, count: int, batch: int = _BATCH) -> dict[str, Any]:
    """Fills, indexes, and searches."""
    engine = open_database(url)
    upgrade(engine)
    gc.freeze()
    cost = fill(engine, count, batch)
    before = time.perf_counter()
    index_all(engine)
    indexed = time.perf_counter() - before
    with engine.execution_options(reads_only=True).connect() as connection:
        found = timed(connection, count)
    engine.dispose()
    return {"messages": count, "cpu_us_per_message": round(cost), "text_index_seconds": round(indexed, 1), "ms": found}


def main() -> None:
    """The command."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--messages", type=int, default=100_000)
    arguments.add_argument("--database", default="")
    arguments.add_argument("--batch", type=int, default=_BATCH, help="messages of one commit")
    asked = arguments.parse_args()
    with TemporaryDirectory(prefix="hl7auth-search-") as folder:
        print(json.dumps(run(asked.database or f"sqlite:///{folder}/store.db", asked.messages, asked.batch), indent=1))


if __name__ == "__main__":
    main()
