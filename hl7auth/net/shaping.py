"""Steps in the running engine: copies are shaped before they are sent, and frames before they are planned.

Imports sqlalchemy, rules, steps, wire, flow, store, net.parcel, net.intake, hl7auth.steps_runner, observe and errors.

Steps that are data are a matter of microseconds and run where they are needed. A list with a Python step has a thread
and a process of its own (docs/why/steps.md): nothing else waits for it, however slow the function is.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from hl7auth.errors import ConfigError
from hl7auth.flow.channel import Channel
from hl7auth.flow.channel_protocol import JOINED_IN_PYTHON
from hl7auth.flow.decision import Outcome
from hl7auth.flow.destination import full_name
from hl7auth.flow.intake import Plan
from hl7auth.flow.outbox import Shape
from hl7auth.flow.shaping import mapped_by, shape_copy, shape_frame, why_dropped, why_failed
from hl7auth.flow.verdict import Answer
from hl7auth.net.intake import Intake
from hl7auth.net.parcel import Done, Parcel, Sender
from hl7auth.observe import log
from hl7auth.rules.strict_yaml import place
from hl7auth.steps.faults import StepFailed
from hl7auth.steps.run import Shaped
from hl7auth.steps_runner import StepProcess
from hl7auth.store.unmapped import forget_mapped
from hl7auth.wire.framing import Frame


class Worker:
    """One thread for work of one kind, done in the order in which it was given; results come back on the reactor.

    It starts with the first work, and does not keep the process from ending.
    """

    def __init__(self, reactor: Any, name: str) -> None:
        self._reactor = reactor
        self._name = name
        self._waiting: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._stopped = False

    def do(self, work: Callable[[], Any], over: Callable[[Any], None]) -> None:
        """Has the thread do `work`, which never raises, and the reactor call `over` with what it gave."""
        if self._thread is None:
            self._thread = Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._waiting.put(lambda: self._reactor.callFromThread(over, work()))

    def stop(self) -> None:
        """Begins nothing more; what waits is dropped."""
        self._stopped = True
        self._waiting.put(None)

    def _run(self) -> None:
        while (each := self._waiting.get()) is not None and not self._stopped:
            each()


# what goes out


class Shaping:
    """A sender that sends what steps make of a copy. With a `worker` they run there."""

    def __init__(
        self,
        sender: Sender,
        shape: Shape,
        worker: Worker | None = None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._sender = sender
        self._shape = shape
        self._worker = worker
        self._close = close
        self._under_way = 0
        self._shaped: deque[tuple[Parcel, Done]] = deque()
        self._ready: Callable[[], None] = lambda: None
        self._stopped = False

    def start(self, ready: Callable[[], None]) -> None:
        """Begins."""
        self._ready = ready
        self._sender.start(self._on_room)

    @property
    def room(self) -> int:
        """What the sender takes beside what is being shaped for it."""
        return max(self._sender.room - self._under_way - len(self._shaped), 0)

    @property
    def alive(self) -> bool:
        """As the sender is."""
        return self._sender.alive

    @property
    def connections(self) -> int:
        """Those of the sender."""
        return self._sender.connections

    @property
    def ended(self) -> bool:
        """As the sender has."""
        return self._sender.ended

    def send(self, parcels: list[Parcel], done: Done) -> None:
        """Shapes and sends."""
        if self._worker is None:
            self._over((parcels, [self._attempt(each) for each in parcels], done))
            return
        self._under_way += len(parcels)
        self._worker.do(lambda: (parcels, [self._attempt(each) for each in parcels], done), self._from_worker)

    def stop(self) -> None:
        """Ends; what is being shaped is lost with its lease."""
        self._stopped = True
        if self._worker is not None:
            self._worker.stop()
        self._close()
        self._sender.stop()

    def _attempt(self, parcel: Parcel) -> Shaped:
        try:
            return self._shape(parcel.claimed.raw)
        except Exception:
            log("delivery.unshaped", "a message could not be shaped", level=logging.ERROR, error=True,
                delivery=parcel.claimed.id)  # fmt: skip
            return Shaped(b"", fault=StepFailed("the steps could not be run"))

    def _from_worker(self, found: tuple[list[Parcel], list[Shaped], Done]) -> None:
        self._under_way -= len(found[0])
        if not self._stopped:
            self._over(found)
            self._ready()

    def _over(self, found: tuple[list[Parcel], list[Shaped], Done]) -> None:
        parcels, shaped, done = found
        for parcel, made in zip(parcels, shaped, strict=True):
            ready = Parcel(parcel.claimed, made.raw, made.unmapped)
            if made.fault is not None:
                done(ready, Answer("unshaped", text=why_failed(made.fault)))
            elif made.dropped:
                done(ready, Answer("filtered", text=why_dropped(made)))
            else:
                self._shaped.append((ready, done))
        self._flush()

    def _on_room(self) -> None:
        self._flush()
        self._ready()

    def _flush(self) -> None:
        """What is shaped goes on as soon as there is room: the sender may have lost its connection meanwhile."""
        count = min(self._sender.room, len(self._shaped))
        if count > 0:
            some = [self._shaped.popleft() for _ in range(count)]
            self._sender.send([parcel for parcel, _ in some], some[0][1])


def shaping_sender(reactor: Any, channel: Channel, name: str, sender: Sender) -> Sender:
    """The sender of a destination, behind its steps if it has any. Raises ConfigError where these can not be used."""
    steps = channel.steps_out.get(name)
    if steps is None:
        return sender
    if not steps.calls:
        return Shaping(sender, lambda raw: shape_copy(raw, steps, channel))
    runner = StepProcess()
    worker = Worker(reactor, f"steps of {full_name(channel.name, name)}")
    return Shaping(sender, lambda raw: shape_copy(raw, steps, channel, runner), worker, runner.close)


# what comes in


class Preparable(Protocol):
    """A connection whose frames are shaped before they are planned."""

    def plan(self, received: Frame, shaped: Shaped | None = None, /) -> Plan:
        """What a frame of it wants, as the steps of its channel made it."""

    def answer(self, outcome: Outcome, /) -> None:
        """Sends the replies of one message."""


class _Prepared:
    """A connection with one frame that is shaped, as the intake sees it."""

    __slots__ = ("_sender", "_shaped")

    def __init__(self, sender: Preparable, shaped: Shaped | None) -> None:
        self._sender = sender
        self._shaped = shaped

    def plan(self, received: Frame) -> Plan:
        """The plan of the connection."""
        return self._sender.plan(received, self._shaped)

    def answer(self, outcome: Outcome) -> None:
        """Told to the connection."""
        self._sender.answer(outcome)


class Preparing:
    """The way of a channel's frames to the intake through its Python steps, in the order in which they came."""

    def __init__(self, intake: Intake, channel: Channel) -> None:
        self._intake = intake
        self._channel = channel
        self._runner = StepProcess()
        self._worker = Worker(intake.reactor, f"steps of {channel.name}")
        self._closed = False
        self.waiting = 0

    def submit(self, sender: Preparable, received: Frame) -> None:
        """Has a frame shaped, and puts it into the next batch then. Its bytes count as waiting until then."""
        self.waiting += 1
        self._intake.waiting_bytes += len(received.payload)
        self._worker.do(lambda: self._shaped(received), lambda shaped: self._over(sender, received, shaped))

    def close(self) -> None:
        """Ends thread and process. What was not shaped was never answered, and is sent again."""
        self._closed = True
        self._worker.stop()
        self._runner.close()

    def _shaped(self, received: Frame) -> Shaped | None:
        if received.refused:
            return None
        try:
            return shape_frame(received.payload, self._channel, self._runner)
        except Exception:
            log("steps.failed", "steps could not be run", level=logging.ERROR, error=True, channel=self._channel.name)
            return Shaped(received.payload, fault=StepFailed("the steps could not be run"))

    def _over(self, sender: Preparable, received: Frame, shaped: Shaped | None) -> None:
        self.waiting -= 1
        self._intake.waiting_bytes -= len(received.payload)
        if not self._closed:
            self._intake.submit(_Prepared(sender, shaped), received)


class Held:
    """Frames of a channel that wait until it has become another version of itself, in the order in which they came."""

    def __init__(self) -> None:
        self._frames: list[tuple[Preparable, Frame]] = []

    @property
    def waiting(self) -> int:
        """Frames that are held."""
        return len(self._frames)

    def submit(self, sender: Preparable, received: Frame) -> None:
        """Keeps a frame. Each connection has a bounded number under way."""
        self._frames.append((sender, received))

    def release(self, queue: "Intake | Preparing") -> None:
        """Gives all of them on."""
        for sender, received in self._frames:
            queue.submit(sender, received)
        self._frames.clear()


def check_steps(channels: Sequence[Channel]) -> None:
    """Reads the tables, and imports what Python steps need. Raises ConfigError naming the channel and the step."""
    for channel in channels:
        if channel.file.protocol.joins and channel.steps.calls:
            where = place(channel.path, "protocol", "continuation")
            raise ConfigError(f"{where}: protocol.continuation: {JOINED_IN_PYTHON}")
        calls = [*channel.steps.calls, *(call for steps in channel.steps_out.values() for call in steps.calls)]
        if not calls:
            continue
        with StepProcess() as process:
            for call in dict.fromkeys(calls):
                try:
                    process.check(call)
                except StepFailed as fault:
                    raise ConfigError(f"{channel.path}: python: {fault}") from None


def forget_in_tables(engine: Engine, channels: Sequence[Channel]) -> None:
    """What the tables of today have is unmapped no more. A database that is busy just now keeps it until next time."""
    try:
        with engine.begin() as connection:
            forget_mapped(connection, mapped_by(channels))
    except OperationalError:
        log("unmapped.kept", "the database is busy; mapped values stay in the inbox", level=logging.WARNING)
