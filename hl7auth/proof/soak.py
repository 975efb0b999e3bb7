"""A soak: hours under an even load of all kinds of messages, and what becomes of memory, files, latency and disk.

Imports resources, wire and proof only.
"""

import random
import selectors
import socket
from array import array
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from hl7auth.proof.mixture import Mixture
from hl7auth.proof.processes import children, cpu_seconds, memory_mb, open_files, together
from hl7auth.proof.serving import serving, write_channel
from hl7auth.proof.sink import Sink
from hl7auth.wire.framing import Deframer

QUIET_SECONDS = 0.25
"""How long a sender waits where no reply need come."""

PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What one interval showed, `minutes` after the start. Latencies are of messages that were answered."""

    minutes: float
    rate: float
    p50_ms: float
    p99_ms: float
    resident_mb: float | None
    files: float | None
    database_mb: float
    cpu_percent: float | None
    missing: int


@dataclass(slots=True)
class Soaked:
    """A whole run. `missing` counts replies that were due and did not come in time."""

    rate: float
    connections: int
    sent: int = 0
    answered: int = 0
    negative: int = 0
    missing: int = 0
    readings: list[Reading] = field(default_factory=list)

    def entry(self) -> dict[str, Any]:
        """As JSON shows it."""
        return asdict(self)


@dataclass(slots=True)
class _Line:
    socket: socket.socket
    deframer: Deframer
    begun: float = 0.0
    until: float = 0.0
    expects: bool = False
    ends: bool = False


class _Load:
    """Connections that send at an even pace; one that was broken off on purpose is opened anew."""

    def __init__(self, port: int, soaked: Soaked, mixture: Mixture) -> None:
        self._port, self._soaked, self._mixture = port, soaked, mixture
        self._selector = selectors.DefaultSelector()
        self._idle: deque[_Line] = deque(self._open() for _ in range(soaked.connections))
        self._busy: list[_Line] = []
        self._due = perf_counter()
        self.latencies = array("d")
        self.done = 0

    def go_on(self, until: float) -> None:
        """Sends and hears until then."""
        step = 1 / self._soaked.rate
        while (now := perf_counter()) < until:
            while self._due <= now and self._idle:
                self._send(self._idle.popleft(), now)
                self._due += step
            self._due = max(self._due, now - 1.0)  # what an engine could not take for a second is not owed to it
            for key, _ in self._selector.select(min(max(self._due - now, 0.0), 0.02) if self._idle else 0.02):
                self._hear(key.data)
            for line in [each for each in self._busy if each.until <= perf_counter()]:
                self._give_up(line)

    def close(self) -> None:
        for line in (*self._idle, *self._busy):
            line.socket.close()
        self._selector.close()

    def _open(self) -> _Line:
        line = _Line(socket.create_connection(("127.0.0.1", self._port), PATIENCE), Deframer())
        line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(line.socket, selectors.EVENT_READ, line)
        return line

    def _send(self, line: _Line, now: float) -> None:
        parcel = self._mixture.next()
        self._soaked.sent += 1
        line.begun, line.expects, line.ends = now, parcel.expects, parcel.ends
        line.until = now + (PATIENCE if parcel.expects else QUIET_SECONDS)
        self._busy.append(line)
        with suppress(OSError):  # it is noticed when its reply does not come
            line.socket.sendall(parcel.data)

    def _hear(self, line: _Line) -> None:
        try:
            data = line.socket.recv(262_144)
        except OSError:
            data = b""
        if not data:
            self._renew(line)
            return
        for received in line.deframer.feed(data):
            self._soaked.answered += 1
            self._soaked.negative += b"\rMSA|AA|" not in received.payload and b"\rMSA|CA|" not in received.payload
            if line in self._busy and not line.ends:
                if line.expects:
                    self.latencies.append(perf_counter() - line.begun)
                self._rest(line)

    def _give_up(self, line: _Line) -> None:
        if line.ends:
            self._renew(line)
            return
        self._soaked.missing += line.expects
        self._rest(line)

    def _rest(self, line: _Line) -> None:
        self._busy.remove(line)
        self._idle.append(line)
        self.done += 1

    def _renew(self, line: _Line) -> None:
        """A connection that has ended, or was only good for one thing, makes room for a new one."""
        if line in self._busy:
            self._soaked.missing += line.expects
            self._busy.remove(line)
        else:
            self._idle.remove(line)
        self._selector.unregister(line.socket)
        line.socket.close()
        self._idle.append(self._open())
        self.done += 1


def soak(folder: Path, minutes: float, rate: float, connections: int, tell: Callable[[Reading], None]) -> Soaked:
    """Runs an engine in a folder under that many messages a second, and reads it sixty times in all, or each second.

    Everything accepted is also sent on. Raises UserError when the engine does not start.
    """
    chance, sink = random.Random(1), Sink()  # noqa: S311 - a mixture that can be had again
    write_channel(folder, sink.port)
    soaked = Soaked(rate, connections)
    try:
        with serving(folder, f"sqlite:///{folder / 'engine.db'}") as (process, port):
            load = _Load(port, soaked, Mixture("SOAK", chance))
            begun = perf_counter()
            interval = max(minutes, 1.0)
            end, at = begun + minutes * 60, begun
            while at < end:
                before, spent = at, _cpu(process.pid)
                load.go_on(min(at + interval, end))
                sink.forget()
                at = perf_counter()
                soaked.readings.append(_reading(folder, process.pid, load, soaked, (begun, before, at), spent))
                tell(soaked.readings[-1])
            load.close()
            process.terminate()
            process.wait(PATIENCE)
    finally:
        sink.close()
    return soaked


def _reading(
    folder: Path, process: int, load: _Load, soaked: Soaked, times: tuple[float, float, float], spent: float | None
) -> Reading:
    begun, before, at = times
    family = [process, *children(process)]
    taken, now = sorted(load.latencies), _cpu(process)
    done = load.done
    load.latencies, load.done = array("d"), 0
    return Reading(
        minutes=round((at - begun) / 60, 3),
        rate=round(done / (at - before), 1),
        p50_ms=_share(taken, 0.5),
        p99_ms=_share(taken, 0.99),
        resident_mb=together(lambda each: memory_mb(each, "VmRSS"), family),
        files=together(open_files, family),
        database_mb=round(sum(path.stat().st_size for path in folder.glob("engine.db*")) / 1e6, 1),
        cpu_percent=None if now is None or spent is None else round(100 * (now - spent) / (at - before), 1),
        missing=soaked.missing,
    )


def _cpu(process: int) -> float | None:
    return together(cpu_seconds, [process, *children(process)])


def _share(ordered: list[float], share: float) -> float:
    return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000, 2) if ordered else 0.0
