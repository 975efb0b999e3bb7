"""Two variants of the engine by turns: for changes that are smaller than the noise of a machine.

Imports the standard library, the template beside it, and hl7auth.

    python benchmarks/by_turns.py TREE_A TREE_B [--batches N] [--python-a P] [--python-b P]
    python benchmarks/by_turns.py TREE --index

Each tree is a checkout; a process for each plans and commits a batch of 64, one after the other, on a SQLite store of
its own. Printed are medians of CPU microseconds a message, and the median of B over A pair by pair. `--index` compares
one tree with itself without the index of fields (uncompiled modules).
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

_BATCH, _WARM = 64, 20


def work(index: bool) -> None:
    """One side: a batch for each line of standard input, its CPU for each message on standard output."""

    from benchmarks.template import TEMPLATE, message
    from hl7auth.flow import intake
    from hl7auth.flow.channel import find_channel
    from hl7auth.store import journal, rows
    from hl7auth.store.database import open_database, upgrade

    if not index:
        vars(intake)["index_entries"] = lambda _: ()
        vars(rows)["field_rows"] = lambda _: ()
    numbers, ids, at = itertools.count(), itertools.count(1), time.time_ns() // 1_000
    channel = find_channel("referral-intake")
    with TemporaryDirectory(prefix="hl7auth-turns-") as folder:
        engine = open_database(f"sqlite:///{folder}/store.db")
        upgrade(engine)
        writer = journal.Journal(engine)
        for _ in sys.stdin:
            raws = [message(TEMPLATE, next(numbers), "TURN") for _ in range(_BATCH)]
            before = time.thread_time()
            writer.commit([intake.plan(raw, channel, at, ids.__next__) for raw in raws])
            print((time.thread_time() - before) / _BATCH * 1e6, flush=True)
        writer.close()
        engine.dispose()


def side(python: str, tree: str, index: bool, native: bool) -> "subprocess.Popen[str]":
    """The process of one side."""
    environment = {**os.environ, "PYTHONPATH": tree} | ({} if native else {"HL7AUTH_NATIVE": os.devnull})
    command = [python, __file__, tree, "--work", *(["--index"] if index else [])]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment, cwd=tree)


def batch(process: "subprocess.Popen[str]") -> float:
    """CPU microseconds a message of the next batch."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("trees", nargs="+")
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--python-a", default=sys.executable)
    parser.add_argument("--python-b", default=sys.executable)
    parser.add_argument("--index", action="store_true")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.index)
        return
    first, last = str(Path(given.trees[0]).resolve()), str(Path(given.trees[-1]).resolve())
    sides = [
        side(given.python_a, first, not given.index, not given.index),
        side(given.python_b, last, True, not given.index),
    ]  # fmt: skip
    pairs = []
    for number in range(given.batches + _WARM):
        order = (0, 1) if number % 2 else (1, 0)
        found = {at: batch(sides[at]) for at in order}
        pairs.append((found[0], found[1]))
    for process in sides:
        process.communicate()
    pairs = pairs[_WARM:]
    for name, values in zip("AB", zip(*pairs, strict=True), strict=True):
        print(f"{name} {statistics.median(values):.0f} us of CPU a message")
    print(f"B over A: {statistics.median(b / a for a, b in pairs):.3f}")


if __name__ == "__main__":
    main()
