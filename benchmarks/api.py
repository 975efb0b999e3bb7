"""How fast the API answers, and how that grows: reads by key, lists of 50, candidates, and charges attached a second.

Imports the standard library, hl7auth, api_store and load.

    python -m benchmarks.api [--sizes 10000 100000] [--postgres URL] [--rate N] [--keep FILE]

For each size the store is filled up to so many authorizations, each member having ten, and `hl7auth serve --api` runs
over it: first alone, then while messages come in by MLLP at half of the engine's own peak over 64 connections, or at
`--rate`. Reads go one after the other over one connection, beside messages at most a hundred a second, as a console
and a billing system would; times are milliseconds, median and 99th percentile, measured outside of the server. Charges
are attached by sixteen connections over HTTP as fast as answers come. What the intake pays is told beside: its times
at that rate with the API idle, with it being read, and with charges being attached.
"""

import argparse
import json
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Engine

from benchmarks.api_store import attached, enter, fill, filled, key_of, member_of
from hl7auth.resources import shipped
from hl7auth.store.database import open_database, upgrade
from hl7auth.store.tokens import Rights, create
from hl7auth.store.units import drift

_SECRET = "benchmark"
_SECONDS = 4.0
"""How long each figure is measured."""
_PACE = 0.01
"""Seconds between two reads beside messages."""
_CHARGES = 6_000
_LINES = 16
"""Connections that attach."""
_CONNECTIONS = 64
"""Connections of the intake."""


@contextmanager
def serving(folder: Path, url: str) -> Iterator[tuple[int, int]]:
    """The engine and its API over the store; the ports of both."""
    channels = folder / "channels"
    channels.mkdir(exist_ok=True)
    text = (shipped("channels") / "referral-intake.yaml").read_text()
    (channels / "referral-intake.yaml").write_text(text.replace("tcp:2575:", "tcp:0:"))
    command = [sys.executable, "-m", "hl7auth", "serve", "--channels", str(channels), "--database", url, "--api", "0"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    try:
        intake = int(process.stdout.readline().split(":")[1])
        yield intake, int(process.stdout.readline().strip().rpartition(":")[2])
    finally:
        process.terminate()
        process.wait()


class Load:
    """Messages that come in meanwhile: the load generator in a process of its own."""

    def __init__(self, port: int, rate: float, seconds: float) -> None:
        command = [sys.executable, "-m", "benchmarks.load", "--port", str(port), "--connections", str(_CONNECTIONS)]
        command += ["--seconds", str(seconds), *(["--rate", str(rate)] if rate else [])]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def result(self) -> dict[str, Any]:
        """What it saw, when it has ended."""
        said, _ = self._process.communicate()
        found: dict[str, Any] = json.loads(said)
        if found["positive"] != found["sent"]:
            raise RuntimeError(f"the intake refused messages: {found}")
        return found


class Line:
    """One connection to the API, which costs less than what it measures."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = f"Host: x\r\nAuthorization: Bearer {_SECRET}\r\n"

    def ask(self, method: str, path: str, body: Any = None) -> bytes:
        """The body of a good answer."""
        sent = b"" if body is None else json.dumps(body).encode()
        kind = f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n" if sent else ""
        self._socket.sendall(f"{method} {path} HTTP/1.1\r\n{self._head}{kind}\r\n".encode() + sent)
        data = self._socket.recv(262_144)
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._socket.recv(262_144)
        length = int(data[:end].lower().split(b"content-length:")[1].split(b"\r\n")[0])
        while len(data) < end + 4 + length:
            data += self._socket.recv(262_144)
        if not data.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
            raise RuntimeError(f"{method} {path}: {data!r}")
        return data[end + 4 :]


def timed(call: Callable[[], object], pace: float = 0.0) -> str:
    """Median and 99th percentile in milliseconds; no call begins sooner than so many seconds after the one before."""
    taken = []
    ends = time.perf_counter() + _SECONDS
    while (before := time.perf_counter()) < ends:
        call()
        took = time.perf_counter() - before
        taken.append(took * 1_000)
        if took < pace:
            time.sleep(pace - took)
    return f"{statistics.median(taken):7.2f} {statistics.quantiles(taken, n=100)[98]:7.2f}"


class Measured:
    """One store of one size, served."""

    def __init__(self, port: int, engine: Engine, size: int) -> None:
        self._port = port
        self._engine = engine
        self._size = size
        self._line = Line(port)

    def reads(self, pace: float = 0.0) -> dict[str, str]:
        """One connection, one after the other."""
        for _ in range(100):  # warms up
            self._read()
        return {
            "read by key, ms": timed(self._read, pace),
            "list of 50, ms": timed(lambda: self._line.ask("GET", "/authorizations?limit=50"), pace * 5),
            "list of a member, ms": timed(self._member, pace * 5),
            "requests that wait, ms": timed(lambda: self._line.ask("GET", "/requests?limit=50"), pace * 5),
        }

    def attaches(self, pace: float = 0.0) -> dict[str, str]:
        """Many connections over HTTP; and reads by key beside them."""
        wanted = enter(self._engine, self._size, _CHARGES)
        asked = wanted[0][0]
        figures = {"candidates, ms": timed(lambda: self._line.ask("GET", f"/charges/{asked}/candidates"), pace * 5)}
        done, seconds = self._attach_all(wanted)
        figures["attached a second"] = f"{done / seconds:7.0f}"
        with ThreadPoolExecutor(1) as pool:
            beside = pool.submit(self._attach_all, enter(self._engine, self._size, _CHARGES))
            figures["read by key beside them, ms"] = timed(self._read, _PACE)
            meanwhile, took = beside.result()
            figures["attached meanwhile, a second"] = f"{meanwhile / took:7.0f}"
        if attached(self._engine, wanted) != done:
            raise RuntimeError("not all that was attached is there")
        return figures

    def _read(self) -> None:
        self._line.ask("GET", f"/authorizations/{key_of(random.randrange(self._size))}")

    def _member(self) -> None:
        self._line.ask("GET", f"/authorizations?member={member_of(random.randrange(self._size))}")

    def _attach_all(self, wanted: Sequence[tuple[str, str]]) -> tuple[int, float]:
        """How many, and in how many seconds."""
        before = time.perf_counter()
        ends = before + _SECONDS
        with ThreadPoolExecutor(_LINES) as pool:
            done = sum(pool.map(lambda at: self._attach(wanted[at::_LINES], ends), range(_LINES)))
        return done, time.perf_counter() - before

    def _attach(self, some: Sequence[tuple[str, str]], ends: float) -> int:
        own = Line(self._port)
        for at, (name, chosen) in enumerate(some):
            if time.perf_counter() > ends:
                return at
            own.ask("POST", f"/charges/{name}/attach", {"authorization": chosen})
        return len(some)


def measure(folder: Path, url: str, engine: Engine, size: int, rate: float | None) -> None:
    """One size: fills the store that far, and prints a line for each figure."""

    def tell(load: float, figures: dict[str, str]) -> None:
        for name, said in figures.items():
            print(f"{engine.dialect.name:11} {size:9,} {load:5.0f}/s in  {name:36} {said}", flush=True)

    low = filled(engine)
    before = time.perf_counter()
    fill(engine, low, size)
    tell(0, {"filled in, s": f"{time.perf_counter() - before:7.0f}"})
    with serving(folder, url) as (intake, port):
        measured = Measured(port, engine, size)
        tell(0, measured.reads())
        tell(0, measured.attaches())
        half = rate or Load(intake, 0, 3).result()["rate"] / 2
        works: tuple[tuple[str, float, Callable[[], dict[str, str]]], ...] = (
            ("idle", 0, dict),
            ("read", 5 * _SECONDS, lambda: measured.reads(_PACE)),
            ("attached", 4 * _SECONDS, lambda: measured.attaches(_PACE)),
        )
        for name, seconds, work in works:
            tell(half, beside(Load(intake, half, seconds + 4), name, work))
    with engine.execution_options(reads_only=True).connect() as connection:
        if wrong := drift(connection):
            raise RuntimeError(f"balances that do not add up: {wrong}")


def beside(load: Load, name: str, work: Callable[[], dict[str, str]]) -> dict[str, str]:
    """The figures of some work while messages come in, and what those took."""
    time.sleep(2)
    figures = work()
    found = load.result()
    return figures | {f"intake, API {name}, ms": f"{found['p50_ms']:7.2f} {found['p99_ms']:7.2f}"}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="How fast the API answers.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--postgres", default="", metavar="URL", help="an empty database there instead of SQLite")
    parser.add_argument("--rate", type=float, help="messages a second (default: half of the engine's peak)")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="the SQLite file, used again where it is there")
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="hl7auth-bench-") as name:
        folder = Path(name)
        url = asked.postgres or f"sqlite:///{asked.keep or folder / 'bench.db'}"
        engine = open_database(url, pooled=True)
        if upgrade(engine)[0] is None:
            with engine.begin() as connection:
                create(connection, _SECRET, "bench", Rights(["admin"]), 1)
        for size in asked.sizes:
            measure(folder, url, engine, size, asked.rate)
        engine.dispose()


if __name__ == "__main__":
    main()
