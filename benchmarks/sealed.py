"""A sealed archive of many messages: found, shown, tried against another configuration, and run again; prints JSON.

Imports the standard library, its neighbours, and hl7auth.

    python -m benchmarks.sealed [--messages N] [--workers W] [--folder DIR]

N messages of `benchmarks.archive`, requests and their answers, are sealed. Then, all bodies being in packs: searches
and `message show` in milliseconds, what-if under a configuration that changes nothing by W processes, and a replay of
the packs into an empty store, planned and run. `of_intake` is each rate over that of the intake, which is planning and
committing without sockets, by one process; all by the clock.
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any

from sqlalchemy import Connection

from benchmarks.archive import START, fill
from benchmarks.template import NUMBER_WIDTH, identifier
from hl7auth.flow.channel import find_channel
from hl7auth.replay.judging import Judge
from hl7auth.replay.material import in_files
from hl7auth.replay.planning import make
from hl7auth.replay.running import Pace, run
from hl7auth.replay.to_channel import ToChannels
from hl7auth.replay.wish import CHANNEL, Wish
from hl7auth.reports.message_tree import message_tree
from hl7auth.resources import shipped
from hl7auth.store.archive import read_message
from hl7auth.store.database import open_database, upgrade
from hl7auth.store.indexing import index_all
from hl7auth.store.related import deliveries_of, related
from hl7auth.store.sealable import DAY
from hl7auth.store.sealing import Sealing, seal
from hl7auth.store.search import Query, find
from hl7auth.whatif.candidate import candidates
from hl7auth.whatif.run import Wanted, compare

_NAME = "referral-intake"


def _found(connection: Connection, count: int) -> dict[str, dict[str, float]]:
    """Milliseconds of five searches of each kind, and of five messages shown."""

    def own(letter: str, number: int) -> str:
        return identifier(letter, "ARC", NUMBER_WIDTH, number)

    def show(number: int) -> None:
        found = find(connection, Query(authorization=own("P", number), event="RPA^I08")).messages[0]
        entry: dict[str, Any] = read_message(connection, int(found["id"]))
        message_tree(entry["raw"])
        deliveries_of(connection, int(found["id"]))
        related(connection, int(found["id"]), entry["control_id"], "")

    kinds: dict[str, Callable[[int], object]] = {
        "authorization number": lambda at: find(connection, Query(authorization=own("P", at))),
        "patient or member id": lambda at: find(connection, Query(patient=own("H", at))),
        "name, status and event": lambda _: find(connection, Query(name="Moss*", status="approved", event="RPA^I08")),
        "words": lambda _: find(connection, Query(words="knee replacement")),
        "message show": show,
    }
    return {name: _times(kind, count) for name, kind in kinds.items()}


def _times(kind: Callable[[int], object], count: int) -> dict[str, float]:
    found = []
    for step in range(1, 6):
        begun = time.perf_counter()
        kind(count // 7 * step // 2 * 2)  # the even ones have a request and its answer
        found.append((time.perf_counter() - begun) * 1e3)
    return {"median": round(statistics.median(found), 1), "slowest": round(max(found), 1)}


def _replayed(packs: Path, url: str) -> tuple[float, float]:
    """Seconds to plan and to run all packs into an empty store."""
    engine, channel = open_database(url), find_channel(_NAME)
    upgrade(engine)
    channels, wish = {_NAME: channel}, Wish(f"{CHANNEL}{_NAME}", "", "benchmark", "{}")
    begun = time.perf_counter()
    number = make(
        engine, wish, lambda _: (in_files([packs], [], 250), lambda: 0),
        lambda connection, number: Judge(connection, number, wish, channels, {}), [], lambda _done, _total: None,
    )  # fmt: skip
    planned = time.perf_counter() - begun
    ended = run(
        engine, number, ToChannels(engine, channels, {}), Pace(), "benchmark", Event(), lambda _done, _total: None
    )
    if ended.reason:
        raise RuntimeError(ended.reason)
    engine.dispose()
    return planned, time.perf_counter() - begun - planned


def measure(count: int, workers: int, folder: Path) -> dict[str, Any]:
    """All figures."""
    url, now = f"sqlite:///{folder / 'store.db'}", {_NAME: find_channel(_NAME)}
    intake = count / fill(url, count)
    engine, begun = open_database(url), time.perf_counter()
    index_all(engine)
    words, begun = time.perf_counter() - begun, time.perf_counter()
    done = seal(engine, Sealing(START // DAY + 9, None, "", "benchmark", START + 9 * DAY))
    sealing = time.perf_counter() - begun
    if sum(each.sealed for each in done) != count:
        raise RuntimeError(f"not all was sealed: {done}")
    with engine.execution_options(reads_only=True).connect() as connection:
        found = _found(connection, count)
    engine.dispose()
    path = folder / f"{_NAME}.yaml"
    path.write_text(
        shipped(f"channels/{_NAME}.yaml").read_text(encoding="utf-8").replace("errors: reject", "errors: accept")
    )
    begun = time.perf_counter()
    compared = compare(Wanted(url, now, candidates(now, [path], [], {})), workers)
    tried = count / (time.perf_counter() - begun)
    if (compared.compared, compared.differ) != (count, 0):
        raise RuntimeError(f"{compared.compared} compared, {compared.differ} differ")
    planned, ran = (count / seconds for seconds in _replayed(folder / "archive", f"sqlite:///{folder / 'again.db'}"))
    sizes = sum(each.bytes for each in done), sum(each.body_bytes for each in done)
    own, others = (
        resource.getrusage(who).ru_maxrss // 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return {
        "messages": count, "share": round(sizes[0] / sizes[1], 4), "intake_per_second": round(intake),
        "words_seconds": round(words, 1), "sealed_per_second": round(count / sealing), "ms": found,
        "what_if": {"workers": workers, "per_second": round(tried), "of_intake": round(tried / intake, 2)},
        "replay_planned": {"per_second": round(planned), "of_intake": round(planned / intake, 2)},
        "replay_run": {"per_second": round(ran), "of_intake": round(ran / intake, 2)},
        "peak_mb": max(own, others),
    }  # fmt: skip


def main() -> None:
    """The command."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--messages", type=int, default=100_000)
    arguments.add_argument("--workers", type=int, default=2)
    arguments.add_argument("--folder", type=Path)
    asked = arguments.parse_args()
    with TemporaryDirectory(prefix="hl7auth-sealed-", dir=asked.folder) as folder:
        print(json.dumps(measure(asked.messages + asked.messages % 2, asked.workers, Path(folder)), indent=1))


if __name__ == "__main__":
    main()
