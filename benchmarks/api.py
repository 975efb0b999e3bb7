"""How fast the API answers, and how that grows: reads by key, lists of 50, candidates, and charges attached a second.

Imports the standard library, hl7auth, api_store and load.

    python -m benchmarks.api [--sizes 10000 100000] [--postgres URL] [--rate N] [--keep FILE]

For each size the store is filled up to so many authorizations, as many members having ten each, and `hl7auth serve
--api` runs over it: first alone, then while messages come in by MLLP at half of the engine's own peak over 64
connections, or at `--rate`. Reads go one after the other over one connection, and again beside seven others that
attach; times are milliseconds, median and 99th percentile, measured outside of the server. Charges are attached by
eight connections over HTTP. What the intake pays is told beside: its own times at that rate with the API idle, with it
being read, and with charges being attached.
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
_READS = 2_000
_LISTS = 300
_CHARGES = 2_000
_LINES = 8
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


def timed(count: int, call: Callable[[], object]) -> str:
    """Median and 99th percentile in milliseconds."""
    taken = []
    for _ in range(count):
        before = time.perf_counter()
        call()
        taken.append((time.perf_counter() - before) * 1_000)
    return f"{statistics.median(taken):7.2f} {statistics.quantiles(taken, n=100)[98]:7.2f}"


class Measured:
    """One store of one size, served."""

    def __init__(self, port: int, engine: Engine, size: int) -> None:
        self._port = port
        self._engine = engine
        self._size = size
        self._line = Line(port)

    def reads(self) -> dict[str, str]:
        """One connection, one after the other."""
        random.seed(self._size)
        timed(100, self._read)  # warms up
        return {
            "read by key, ms": timed(_READS, self._read),
            "list of 50, ms": timed(_LISTS, lambda: self._line.ask("GET", "/authorizations?limit=50")),
            "list of a member, ms": timed(_LISTS, self._member),
            "requests that wait, ms": timed(_LISTS, lambda: self._line.ask("GET", "/requests?limit=50")),
        }

    def attaches(self) -> dict[str, str]:
        """Eight connections over HTTP; and reads by key beside them."""
        wanted = enter(self._engine, self._size, _CHARGES)
        asked = wanted[0][0]
        figures = {"candidates, ms": timed(_LISTS, lambda: self._line.ask("GET", f"/charges/{asked}/candidates"))}
        before = time.perf_counter()
        with ThreadPoolExecutor(_LINES) as pool:
            list(pool.map(self._attach, [wanted[at::_LINES] for at in range(_LINES)]))
        figures["attached a second"] = f"{_CHARGES / (time.perf_counter() - before):7.0f}"
        beside = enter(self._engine, self._size, _CHARGES)
        with ThreadPoolExecutor(_LINES) as pool:
            going = [pool.submit(self._attach, beside[at :: _LINES - 1]) for at in range(_LINES - 1)]
            figures["read by key beside them, ms"] = timed(_READS // 4, self._read)
            for each in going:
                each.result()
        if attached(self._engine, wanted + beside) != 2 * _CHARGES:
            raise RuntimeError("not all that was attached is there")
        return figures

    def _read(self) -> None:
        self._line.ask("GET", f"/authorizations/{key_of(random.randrange(self._size))}")

    def _member(self) -> None:
        self._line.ask("GET", f"/authorizations?member={member_of(random.randrange(self._size))}")

    def _attach(self, some: Sequence[tuple[str, str]]) -> None:
        own = Line(self._port)
        for name, chosen in some:
            own.ask("POST", f"/charges/{name}/attach", {"authorization": chosen})


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
        for name, work in (("idle", lambda: {}), ("read", measured.reads), ("attached", measured.attaches)):
            tell(half, beside(intake, half, name, work))
    with engine.execution_options(reads_only=True).connect() as connection:
        if wrong := drift(connection):
            raise RuntimeError(f"balances that do not add up: {wrong}")


def beside(intake: int, rate: float, name: str, work: Callable[[], dict[str, str]]) -> dict[str, str]:
    """The figures of some work while messages come in, and what those took: as long as the work lasts, then again."""
    load = Load(intake, rate, 6)
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
