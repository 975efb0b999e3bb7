"""What `hl7auth bench` measures: the programs, one load on one of them, and the machine.

Imports errors, native, resources and proof.processes; every program, the load generator too, runs as its own process.
"""

import dataclasses
import json
import os
import platform
import re
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from hl7auth.errors import UserError
from hl7auth.native import in_use
from hl7auth.proof.processes import children, cpu_seconds, memory_mb, together
from hl7auth.resources import shipped

#: seconds
START_TIMEOUT, STOP_TIMEOUT, LOAD_GRACE, WARMUP = 30.0, 10.0, 40.0, 1.0
#: how often, and how many bytes, the disk is tried with
SYNCS, SYNC_BYTES = 200, 2400


@dataclass(frozen=True, slots=True)
class Program:
    """A server to measure: its command line for a fresh folder, and the line of output that holds its port."""

    name: str
    command: Callable[[Path], list[str]]
    ready: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """One load on one freshly started server. Latencies are of the measured time, the counts of all messages sent."""

    program: str
    connections: int
    offered: float | None
    rate: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    messages: int
    message_bytes: int
    sent: int
    positive: int
    negative: int
    mismatched: int
    unanswered: int
    ready_s: float
    cpu_us: float | None
    resident_mb: float | None
    peak_mb: float | None


ON_SERVER = "postgresql"
"""The engine on a server, in one process; in several it is `postgresql x 2`."""


def programs(database: str | None, workers: int = 1, server: str | None = None) -> list[Program]:
    """The canned server, the limit program, the engine in one process and, where asked for, in several.

    `database` is the engine's, else SQLite in its folder. With `server`, the URL of a database of PostgreSQL, also the
    engine there, in one process and in two.
    """
    scripts = shipped("benchmarks")

    def engine(folder: Path, workers: int = 1, database: str | None = database) -> list[str]:
        (folder / "channels").mkdir()
        (folder / "channels" / "bench.yaml").write_text(_channel(), encoding="utf-8")
        url = database or f"sqlite:///{folder / 'engine.db'}"
        several = ["--workers", str(workers)] if workers > 1 else []
        return ["-m", "hl7auth", "serve", "--database", url, "--channels", str(folder / "channels"), *several]

    listening = r"listening on tcp:(\d+).*\n"
    several = Program(f"engine x {workers}", lambda folder: engine(folder, workers), listening)
    elsewhere = [
        Program(ON_SERVER, lambda folder: engine(folder, 1, server), listening),
        Program(f"{ON_SERVER} x 2", lambda folder: engine(folder, 2, server), listening),
    ]
    return [
        Program("canned", lambda _: [str(scripts / "canned.py")], r"^ready (\d+)\n"),
        Program(
            "limit",
            lambda folder: [str(scripts / "limit.py"), "--database", f"{folder / 'limit.db'}"],
            r"^ready (\d+)\n",
        ),
        Program("engine", engine, listening),
        *([several] if workers > 1 else []),
        *(elsewhere if server is not None else []),
    ]


def _channel() -> str:
    """The shipped referral channel, moved to a free port."""
    path = shipped("channels") / "referral-intake.yaml"
    text, changed = re.subn(
        r"(?m)^( *listen:).*$", r"\1 tcp:0:interface=127.0.0.1", path.read_text(encoding="utf-8"), count=1
    )
    if not changed:
        raise UserError(f"{path} has no line `listen:`, so it can not be moved to a free port")
    return text


@dataclass(frozen=True, slots=True)
class _Server:
    process: subprocess.Popen[bytes]
    port: int
    ready_s: float


@contextmanager
def _running(program: Program) -> Iterator[_Server]:
    """The program in a fresh folder, ready; it is stopped and the folder removed in any case."""
    with tempfile.TemporaryDirectory(prefix="hl7auth-bench-", ignore_cleanup_errors=True) as folder:
        output = Path(folder) / "output"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HL7AUTH_")}
        command = [sys.executable, *program.command(Path(folder))]
        # A file, not a pipe: what the server says later must not block it.
        with output.open("wb") as sink:
            begun = monotonic()
            process = subprocess.Popen(  # noqa: S603 - our own programs
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=environment | {"PYTHONUNBUFFERED": "1"},
            )
        try:
            port = _port(program, process, output, begun + START_TIMEOUT)
            yield _Server(process, port, monotonic() - begun)
        finally:
            _stop(process)


def _port(program: Program, process: subprocess.Popen[bytes], output: Path, deadline: float) -> int:
    while monotonic() < deadline:
        ended = process.poll() is not None
        said = output.read_text(encoding="utf-8", errors="replace")
        if found := re.search(program.ready, said, re.MULTILINE):
            return int(found[1])
        if ended:
            raise UserError(f"{program.name} ended instead of listening: {_last_words(said)}")
        sleep(0.005)
    raise UserError(f"{program.name} was not ready within {START_TIMEOUT:.0f} s: {_last_words(said)}")


def _last_words(said: str) -> str:
    return said.strip().rpartition("\n")[2] or "it said nothing"


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def measure(program: Program, connections: int, seconds: float, offered: float | None = None) -> Measurement:
    """Start the program, load it for `seconds` (as fast as it answers, or `offered` messages a second), stop it.

    Raises UserError when it does not get ready or hangs up.
    """
    warmup = min(WARMUP, seconds)
    knobs = {"connections": connections, "seconds": seconds, "warmup": warmup, "rate": offered}
    with _running(program) as server:
        knobs["port"] = server.port
        arguments = [part for knob, value in knobs.items() if value is not None for part in (f"--{knob}", str(value))]
        family = [server.process.pid, *children(server.process.pid)]
        before = together(cpu_seconds, family)
        load = _load(program.name, *arguments, timeout=warmup + seconds + LOAD_GRACE)
        after = together(cpu_seconds, family)
        answered = load["sent"] - load["unanswered"]
        spent = None if before is None or after is None or not answered else (after - before) / answered
        wanted = {field.name for field in dataclasses.fields(Measurement)}
        return Measurement(
            **{name: value for name, value in load.items() if name in wanted},
            program=program.name,
            offered=offered,
            ready_s=round(server.ready_s, 3),
            cpu_us=None if spent is None else round(spent * 1e6, 1),
            resident_mb=together(lambda process: memory_mb(process, "VmRSS"), family),
            peak_mb=together(lambda process: memory_mb(process, "VmHWM"), family),
        )


def core_cpu_us() -> list[float]:
    """CPU microseconds of plan and decide per message, for several rounds without sockets and store."""
    rounds: list[float] = _run("core.py", "plan and decide", timeout=120)["rounds"]
    return rounds


def _load(name: str, *arguments: str, timeout: float) -> dict[str, Any]:
    """The JSON document of load.py, which runs apart so that it does not share the server's or our interpreter."""
    return _run("load.py", name, *arguments, timeout=timeout)


def _run(script: str, name: str, *arguments: str, timeout: float) -> dict[str, Any]:
    command = [sys.executable, str(shipped("benchmarks") / script), *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            command, capture_output=True, text=True, check=False, timeout=timeout
        )
    except subprocess.TimeoutExpired as late:
        raise UserError(f"the load on {name} did not end in {timeout:.0f} s") from late
    if not done.stdout:
        raise UserError(f"the load on {name} failed: {_last_words(done.stderr)}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the figures were taken; `syncs` are appends of a message with fdatasync, per second, in the same folder.

    `native`: the engine runs compiled modules."""

    cpu: str
    cores: int
    python: str
    sqlite: str
    system: str
    folder: str
    file_system: str
    syncs: float
    native: bool


def machine() -> Machine:
    """Look at this machine; takes 200 synced appends in the temporary folder."""
    folder = Path(tempfile.gettempdir()).resolve()
    return Machine(
        cpu=_first(r"model name\s*: (.*)", "/proc/cpuinfo") or platform.processor() or platform.machine(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        python=platform.python_version(),
        sqlite=sqlite3.sqlite_version,
        system=f"{platform.system()} {platform.release()}",
        folder=str(folder),
        file_system=_file_system(folder),
        syncs=_syncs(folder),
        native=in_use(),
    )


def _first(pattern: str, path: str) -> str:
    try:
        found = re.search(pattern, Path(path).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ""
    return found[1].strip() if found else ""


def _file_system(folder: Path) -> str:
    """Its type; a folder in memory makes every figure of durability worthless, so it is shown."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return "unknown"
    holding = [(len(mount[1]), mount[2]) for mount in mounts if folder.is_relative_to(mount[1])]
    return max(holding)[1] if holding else "unknown"


def _syncs(folder: Path) -> float:
    sync = getattr(os, "fdatasync", os.fsync)
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        begun = monotonic()
        for _ in range(SYNCS):
            file.write(b"\r" * SYNC_BYTES)
            sync(file.fileno())
        return round(SYNCS / (monotonic() - begun), 1)
