"""Sending on: how fast messages reach MLLP destinations beside the rate at which they are taken in.

Run as `python -m benchmarks.forwarding [--seconds S] [--connections N]`; with four seconds it takes less than a minute.
With `--postgres URL`, a database that may be written to, the engine is on that one.

One engine in a process of its own, the benchmark's message, and a peer that answers at once, in a process of
its own. All share the cores with the load generator. `sent on` counts what was settled while messages came in;
`drained` is the rate afterwards, until nothing was left.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from hl7auth.resources import shipped
from hl7auth.store.database import connect, open_database

from .load import LINE, run
from .template import PATIENT, TEMPLATE

#: one patient for each connection, so that there are as many keys as connections
KEYED = TEMPLATE.replace(PATIENT, f"H{LINE.decode()}")
MOST_SECONDS = 120.0
SHARE, ONE_KEY = 0.5, 300.0
HALF = "half of the intake"


@dataclass(frozen=True, slots=True)
class Case:
    """What was measured; messages a second."""

    taken: float
    sent: float
    drained: float


def main() -> int:
    """Prints the figures; 1 where a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="how long messages are taken in, for each case")
    parser.add_argument("--connections", type=int, default=64, help="senders, and keys")
    parser.add_argument("--postgres", help="the URL of a database of PostgreSQL instead of a new file of SQLite")
    parser.add_argument("--workers", type=int, default=1, help="processes that take in; the parent of several sends")
    given = parser.parse_args()
    with ExitStack() as stack:
        healthy = f"tcp:127.0.0.1:{stack.enter_context(_peer())}"
        dead = f"tcp:127.0.0.1:{stack.enter_context(_dead())}"
        cases: dict[str, tuple[str, dict[str, str]]] = {
            "no destination": ("patient", {}),
            "one destination": ("patient", {"one": healthy}),
            HALF: ("patient", {"one": healthy}),
            "one key": ("channel", {"one": healthy}),
            "one dead, one healthy": ("patient", {"one": healthy, "two": dead}),
            "no destination again": ("patient", {}),
        }
        print(f"{'case':24}{'taken/s':>10}{'sent on/s':>11}{'share':>7}{'drained/s':>11}")
        found: dict[str, Case] = {}
        for name, (order, destinations) in cases.items():
            rate = found["no destination"].taken / 2 if name == HALF else None
            case = found[name] = measure(
                order, destinations, given.seconds, given.connections, rate, given.postgres, given.workers
            )
            share = f"{case.sent / case.taken:.2f}" if destinations else "-"
            print(f"{name:24}{case.taken:>10,.0f}{case.sent:>11,.0f}{share:>7}{case.drained:>11,.0f}", flush=True)
    return judged(found)


def judged(found: dict[str, Case]) -> int:
    """Prints how the figures stand to their bounds."""
    share = found[HALF].sent / found["no destination"].taken
    busy = found["one destination"].sent / found["one destination"].taken
    key = found["one key"].drained
    beside = found["one dead, one healthy"].taken / found["no destination"].taken
    print(f"sent on at half of the intake, of its peak, {SHARE} asked: {share:.2f}; at its peak: {busy:.2f}")
    print(f"one key, {ONE_KEY:.0f} asked: {key:,.0f} a second")
    print(f"intake with a dead and a healthy destination, of that with none: {beside:.2f}")
    return int(min(share * 1.03, busy) < SHARE or key < ONE_KEY)


def measure(
    order: str,
    destinations: dict[str, str],
    seconds: float,
    connections: int,
    rate: float | None = None,
    database: str | None = None,
    workers: int = 1,
) -> Case:
    """One engine, loaded for so long; then until all is sent. On a new file, unless a database is named."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hl7auth-forwarding-")))
        url = database or f"sqlite:///{folder / 'engine.db'}"
        port = stack.enter_context(_engine(folder, url, order, destinations, workers))
        store = open_database(url)
        stack.callback(store.dispose)
        before = _sent(store)
        begun = time.monotonic()
        result = run("127.0.0.1", port, connections, seconds, 0.5, KEYED, rate)
        ended = time.monotonic()
        if result.positive != result.sent:
            raise SystemExit(f"{result.sent - result.positive} messages were not accepted")
        sent, drained = _sent(store) - before, 0.0
        if "one" in destinations:
            drained = (_until_drained(store, before + result.sent) - before - sent) / (time.monotonic() - ended)
        return Case(result.sent / (ended - begun), sent / (ended - begun), drained)


def _sent(store: Engine) -> int:
    with connect(store.execution_options(reads_only=True)) as connection:
        sql = "SELECT count(*) FROM delivery WHERE state = 'sent' AND destination = 'referral-intake/one'"
        return int(connection.exec_driver_sql(sql).scalar_one())


def _until_drained(store: Engine, wanted: int) -> int:
    deadline = time.monotonic() + MOST_SECONDS
    while (found := _sent(store)) < wanted:
        if time.monotonic() > deadline:
            raise SystemExit(f"only {found} of {wanted} messages were sent on")
        time.sleep(0.05)
    return found


@contextmanager
def _engine(folder: Path, database: str, order: str, destinations: dict[str, str], workers: int) -> Iterator[int]:
    """An engine with the shipped channel and these destinations; gives its port."""
    text = (shipped("channels") / "referral-intake.yaml").read_text(encoding="utf-8").replace("tcp:2575:", "tcp:0:")
    lines = [f"order_by: {order}"] + ["destinations:"] * bool(destinations)
    lines += [f"  {name}: {{mllp: {{connect: '{place}'}}}}" for name, place in destinations.items()]
    (folder / "channels").mkdir()
    (folder / "channels" / "referral-intake.yaml").write_text(text + "\n".join([*lines, ""]), encoding="utf-8")
    command = ["-m", "hl7auth", "serve", "--channels", "channels", "--database", database]
    command += ["--workers", str(workers)] if workers > 1 else []
    with _process(folder, command, ":", 1) as port:
        yield port


@contextmanager
def _peer() -> Iterator[int]:
    """A listener that answers at once; gives its port."""
    with tempfile.TemporaryDirectory() as name, _process(Path(name), ["-m", "benchmarks.canned"], " ", 1) as port:
        yield port


@contextmanager
def _dead() -> Iterator[int]:
    """A port that refuses connections, and that nobody else gets meanwhile."""
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextmanager
def _process(folder: Path, command: list[str], before: str, at: int) -> Iterator[int]:
    """A program of ours that says its port in its first line."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)]),
    }
    with (folder / "log").open("wb") as log, subprocess.Popen(
        [sys.executable, *command], cwd=folder, stdout=subprocess.PIPE, stderr=log, env=environment
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            line = process.stdout.readline().decode()
            if not line:
                raise SystemExit((folder / "log").read_text())
            yield int(line.split(before)[at])
        finally:
            process.terminate()


if __name__ == "__main__":
    sys.exit(main())
