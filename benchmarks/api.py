"""How fast the API answers, and how that grows: reads by key, lists of 50, candidates, and charges attached a second.

Imports the standard library and hl7auth.

    python -m benchmarks.api [--sizes 10000 100000] [--database URL] [--load N]

For each size the store is filled up to so many authorizations, as many members having ten each, and `hl7auth serve
--api` runs over it. Reads go one after the other over one connection; times are milliseconds, median and 99th
percentile. With --load so many messages a second come in by MLLP meanwhile. Charges are attached by four connections
over HTTP, and by one thread through the store alone.
"""

import argparse
import json
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Engine, insert

from benchmarks.template import TEMPLATE, message
from hl7auth.resources import shipped
from hl7auth.store import audit, units
from hl7auth.store.balance_table import charge
from hl7auth.store.balances import catch_up
from hl7auth.store.database import open_database, upgrade
from hl7auth.store.schema import authorization_version
from hl7auth.store.schema import message as messages
from hl7auth.store.tokens import Rights, create
from hl7auth.wire.framing import frame

_SECRET = "benchmark"
_START = 1_772_000_000_000_000
_ROWS = 5_000
_READS = 2_000
_LISTS = 300
_CHARGES = 2_000


def fill(engine: Engine, low: int, high: int) -> None:
    """Versions of authorizations as messages make them, with short messages: what reads look at."""
    for begin in range(low, high, _ROWS):
        numbers = range(begin, min(begin + _ROWS, high))
        with engine.begin() as connection:
            connection.execute(insert(messages), [_message(number) for number in numbers])
            connection.execute(insert(authorization_version), [_version(number) for number in numbers])
    done = False
    while not done:
        with engine.begin() as connection:
            done = catch_up(connection, 10)


def _message(number: int) -> dict[str, Any]:
    return {
        "id": number + 1, "channel": "referral-intake", "received_at": _START + number, "peer": "", "digest": number,
        "control_id": f"B{number}", "message_type": "RPA", "trigger_event": "I08", "version": "2.5.1",
        "sender": "ACME", "facility": "HQ", "disposition": "accepted", "code": "AA", "raw": b"MSH|",
    }  # fmt: skip


def _version(number: int) -> dict[str, Any]:
    name = f"PA{number:08}"
    document = {
        "key": f"{name}@ACME", "identifier": name, "assigner": "ACME", "status": "approved", "version": 1,
        "patient": {"id": f"M{number // 10:08}", "assigner": "HILL", "name": "Lantern, Ilse"},
        "payor": {"code": "ACME", "text": "Acme Mutual", "system": "L"}, "effective_date": "2026-01-01",
        "expiration_date": "2027-12-31", "authorized_units": {"quantity": "1000", "unit": "VS"},
        "approval_status": {"code": "AP"}, "referral_type": {"code": "REHAB"},
        "lines": [{"procedure": {"code": "97110", "system": "C4"}}], "diagnoses": [],
        "provenance": {"*": [str(number + 1), 1], "@": ["20260101", "ACME", ""]},
    }  # fmt: skip
    return {
        "key": f"{name}@ACME", "version": 1, "current": 1, "status": "approved", "referral": "", "requester": "",
        "control_id": f"B{number}", "message_id": number + 1, "at": _START + number, "rule": "answer",
        "document": json.dumps(document),
    }  # fmt: skip


@contextmanager
def serving(folder: Path, url: str) -> Iterator[tuple[int, int]]:
    """The engine and its API over the store; the ports of both."""
    channels = folder / "channels"
    channels.mkdir(exist_ok=True)
    text = (shipped("channels") / "referral-intake.yaml").read_text()
    (channels / "referral-intake.yaml").write_text(text.replace("tcp:2575:", "tcp:0:"))
    command = [sys.executable, "-m", "hl7auth", "serve", "--channels", str(channels), "--database", url, "--api", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        intake = int(process.stdout.readline().split(":")[1])
        yield intake, int(process.stdout.readline().strip().rpartition(":")[2])
    finally:
        process.terminate()
        process.wait()


@contextmanager
def coming_in(port: int, rate: float, first: int) -> Iterator[None]:
    """So many messages a second over one connection, each answered before the next."""
    stop = threading.Event()

    def send() -> None:
        with socket.create_connection(("127.0.0.1", port)) as line:
            began, number = time.monotonic(), 0
            while not stop.is_set():
                time.sleep(max(0.0, began + number / rate - time.monotonic()))
                line.sendall(frame(message(TEMPLATE, first + number, "LOAD")))
                line.recv(65_536)
                number += 1

    thread = threading.Thread(target=send, daemon=True)
    if rate:
        thread.start()
    yield
    stop.set()
    if rate:
        thread.join(5)


class Line:
    """One connection to the API."""

    def __init__(self, port: int) -> None:
        self._line = HTTPConnection("127.0.0.1", port, timeout=30)

    def ask(self, method: str, path: str, body: Any = None) -> bytes:
        """The body of a good answer."""
        headers = {"Authorization": f"Bearer {_SECRET}", "Content-Type": "application/json"}
        self._line.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self._line.getresponse()
        read = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {read!r}")
        return read


def timed(count: int, call: Callable[[], object]) -> str:
    """Median and 99th percentile in milliseconds."""
    taken = []
    for _ in range(count):
        before = time.perf_counter()
        call()
        taken.append((time.perf_counter() - before) * 1_000)
    return f"{statistics.median(taken):7.2f} {statistics.quantiles(taken, n=100)[98]:7.2f}"


def enter(engine: Engine, prefix: str, size: int) -> list[tuple[str, str]]:
    """Charges, each with an authorization that covers it."""
    chosen = [random.randrange(size) for _ in range(_CHARGES)]
    rows = [
        {
            "id": f"{prefix}-{size}-{at}", "member": f"M{number // 10:08}", "payor": "ACME", "dos": "2026-05-10",
            "code": "97110", "modifiers": "[]", "units": 1000, "kind": "visits", "amount": "",
            "issues": '["auth_required"]', "key": "", "line": "", "number": "", "at": at, "row_version": 1,
        }
        for at, number in enumerate(chosen)
    ]  # fmt: skip
    with engine.begin() as connection:
        connection.execute(insert(charge), rows)
    return [(row["id"], f"PA{number:08}@ACME") for row, number in zip(rows, chosen, strict=True)]  # type: ignore[misc]


def rate(count: int, work: Callable[[], None]) -> float:
    """How many a second."""
    before = time.perf_counter()
    work()
    return count / (time.perf_counter() - before)


def attached_by_store(engine: Engine, wanted: Sequence[tuple[str, str]]) -> None:
    """Each in a transaction of its own, with its row of the audit log, as the API does it."""
    with engine.connect() as connection:
        for name, key in wanted:
            with connection.begin():
                units.attach(connection, name, key, "bench", 1)
                audit.write(connection, "bench", "charge.attach", name, {"authorization": key}, 1)


def measured(folder: Path, url: str, engine: Engine, size: int, load: float) -> None:
    """One size: fills the store that far, and prints a line for each figure."""
    with engine.begin() as connection:
        low = connection.exec_driver_sql(
            "SELECT count(*) FROM authorization_version WHERE control_id LIKE 'B%%'"
        ).scalar()
    fill(engine, low or 0, size)
    by_http, by_store = enter(engine, f"H{load:.0f}", size), enter(engine, f"S{load:.0f}", size)
    with serving(folder, url) as (intake, port), coming_in(intake, load, size):
        line = Line(port)

        def key() -> str:
            return f"PA{random.randrange(size):08}@ACME"

        def member() -> str:
            return f"M{random.randrange(size) // 10:08}"

        timed(50, lambda: line.ask("GET", f"/authorizations/{key()}"))
        figures = {
            "read by key, ms": timed(_READS, lambda: line.ask("GET", f"/authorizations/{key()}")),
            "list of 50, ms": timed(_LISTS, lambda: line.ask("GET", "/authorizations?limit=50")),
            "list of a member, ms": timed(_LISTS, lambda: line.ask("GET", f"/authorizations?member={member()}")),
            "candidates, ms": timed(_LISTS, lambda: line.ask("GET", f"/charges/{by_http[0][0]}/candidates")),
        }

        def attach(some: Sequence[tuple[str, str]]) -> None:
            own = Line(port)
            for name, chosen in some:
                own.ask("POST", f"/charges/{name}/attach", {"authorization": chosen})

        def by_four() -> None:
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(attach, [by_http[at::4] for at in range(4)]))

        figures["attach by HTTP, a second"] = f"{rate(_CHARGES, by_four):7.0f}"
        figures["attach by the store, a second"] = f"{rate(_CHARGES, lambda: attached_by_store(engine, by_store)):7.0f}"
    for name, said in figures.items():
        print(f"{size:9,}  {load:5.0f}/s in  {name:32} {said}", flush=True)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="How fast the API answers.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--database", default="")
    parser.add_argument("--load", type=float, default=0.0)
    asked = parser.parse_args()
    random.seed(1)
    with TemporaryDirectory(prefix="hl7auth-bench-") as name:
        folder = Path(name)
        url = asked.database or f"sqlite:///{folder / 'bench.db'}"
        engine = open_database(url, pooled=True)
        upgrade(engine)
        with engine.begin() as connection:
            create(connection, _SECRET, "bench", Rights(["admin"]), 1)
        for size in asked.sizes:
            measured(folder, url, engine, size, asked.load)
        engine.dispose()


if __name__ == "__main__":
    main()
