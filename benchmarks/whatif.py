"""How fast another configuration is tried against the archive, beside the rate at which it was taken in; prints JSON.

Imports the standard library, the template beside it, and hl7auth.

    python -m benchmarks.whatif [--messages N] [--workers W]

N requests are planned and committed in batches of 64 by one process: that is `intake`, without sockets, which is more
than a listener takes. Then they are compared under a configuration that changes nothing of them (`equal`), and under
one that gives each a further finding (`all_differ`), by one process and by W. `ratio` is the rate over that of intake;
`cpu_us` is the processor's time for a message over all processes, and `peak_mb` the memory of the largest of them.
"""

import argparse
import itertools
import json
import os
import resource
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.template import TEMPLATE, message
from hl7auth.flow.channel import Channel, find_channel
from hl7auth.flow.intake import plan
from hl7auth.resources import shipped
from hl7auth.store.database import open_database, upgrade
from hl7auth.store.journal import Journal
from hl7auth.whatif.candidate import candidates
from hl7auth.whatif.run import Wanted, compare

_BATCH = 64
_START = 1_772_000_000_000_000
_NAME = "referral-intake"
_STATEMENT = "statements:\n  - {id: tried, segment: NTE, holds: NTE-3 empty, severity: warning, text: a comment}\n"


def fill(url: str, count: int) -> dict[str, float]:
    """Commits that many messages; generating them left out."""
    engine = open_database(url)
    upgrade(engine)
    channel, new_id, journal = find_channel(_NAME), itertools.count(1).__next__, Journal(engine)
    spent, wall = 0.0, 0.0
    for low in range(0, count, _BATCH):
        raws = [message(TEMPLATE, number, "TRY") for number in range(low, min(low + _BATCH, count))]
        cpu, clock = time.process_time(), time.perf_counter()
        outcomes = journal.commit([plan(raw, channel, _START + low + at, new_id) for at, raw in enumerate(raws)])
        spent, wall = spent + time.process_time() - cpu, wall + time.perf_counter() - clock
        if any(outcome.disposition != "accepted" for outcome in outcomes):
            raise RuntimeError("a message of the template was not accepted")
    journal.close()
    engine.dispose()
    return {"per_second": round(count / wall), "cpu_us": round(spent / count * 1e6)}


def tried(url: str, now: dict[str, Channel], new: dict[str, Channel], workers: int) -> dict[str, float]:
    """Compares, and says what it took."""
    before, clock = _cpu(), time.perf_counter()
    found = compare(Wanted(url, now, new), workers)
    wall, spent = time.perf_counter() - clock, _cpu() - before
    return {
        "workers": workers, "compared": found.compared, "differ": found.differ, "drifted": found.drifted,
        "per_second": round(found.compared / wall), "cpu_us": round(spent / found.compared * 1e6),
    }  # fmt: skip


def measure(count: int, workers: int, folder: Path) -> dict[str, Any]:
    """All figures."""
    url, now = f"sqlite:///{folder / 'store.db'}", {_NAME: find_channel(_NAME)}
    intake = fill(url, count)
    path = folder / f"{_NAME}.yaml"
    text = shipped(f"channels/{_NAME}.yaml").read_text(encoding="utf-8")
    path.write_text(text.replace("errors: reject", "errors: accept"), encoding="utf-8")
    profile = folder / "referral.yaml"
    text = shipped("profiles/referral.yaml").read_text(encoding="utf-8")
    profile.write_text(text.replace("statements:\n", _STATEMENT, 1), encoding="utf-8")
    kinds = {"equal": candidates(now, [path], [], {}), "all_differ": candidates(now, [], [profile], {})}
    runs = {f"{kind}_{each}": tried(url, now, new, each) for kind, new in kinds.items() for each in (1, workers)}
    for each in runs.values():
        each["ratio"] = round(each["per_second"] / intake["per_second"], 2)
    own, others = (
        resource.getrusage(who).ru_maxrss // 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return {"messages": count, "intake": intake, **runs, "peak_mb": max(own, others)}


def _cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    """The command."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--messages", type=int, default=20_000)
    arguments.add_argument("--workers", type=int, default=2)
    asked = arguments.parse_args()
    with TemporaryDirectory(prefix="hl7auth-whatif-") as folder:
        print(json.dumps(measure(asked.messages, asked.workers, Path(folder)), indent=1))


if __name__ == "__main__":
    main()
