"""Steps in the engine: a sender behind steps, and the way of frames through a thread."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock

from hl7auth.errors import ConfigError
from hl7auth.flow.channel import load_channel
from hl7auth.flow.outbox import Claimed
from hl7auth.flow.verdict import Answer
from hl7auth.net.intake import Intake
from hl7auth.net.parcel import Done, Parcel
from hl7auth.net.shaping import Preparing, Shaping, Worker, check_steps
from hl7auth.steps.draft import Remark, Unmapped
from hl7auth.steps.faults import StepRefused
from hl7auth.steps.run import Shaped
from hl7auth.wire.framing import TRUNCATED, Frame
from tests.engine import request


class Kept:
    """A sender that takes what it has room for, and answers when it is told."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.alive = True
        self.connections = 0
        self.ended = False
        self.sent: list[Parcel] = []
        self.ready: Callable[[], None] = lambda: None
        self.done: Done = lambda _, __: None

    def start(self, ready: Callable[[], None]) -> None:
        self.ready = ready

    def send(self, parcels: list[Parcel], done: Done) -> None:
        assert len(parcels) <= self.room
        self.room -= len(parcels)
        self.sent += parcels
        self.done = done

    def stop(self) -> None:
        self.ended = True


class Reactor(MemoryReactorClock):
    """A reactor in memory whose calls from threads wait until somebody looks."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._calls: list[Callable[[], Any]] = []
        self._more = threading.Condition()

    def callFromThread(self, call: Callable[..., Any], *values: Any) -> None:  # noqa: N802
        with self._more:
            self._calls.append(lambda: call(*values))
            self._more.notify_all()

    def take(self, count: int) -> None:
        """Waits for so many calls, and makes them."""
        with self._more:
            assert self._more.wait_for(lambda: len(self._calls) >= count, 20)
            calls, self._calls = self._calls, []
        for call in calls:
            call()


def parcel(number: int, raw: bytes = b"MSH") -> Parcel:
    return Parcel(Claimed(number, number, "*", 1, False, raw), raw)


def shape(raw: bytes) -> Shaped:
    remarks = (Remark("2", "drop", "dropped: PID-8 = 'U'"),)
    lacking = (Unmapped("t.csv", "AUT-2.1", "X"),)
    return {
        b"drop": Shaped(raw, True, remarks),
        b"fail": Shaped(raw, False, (), lacking, StepRefused("no such code", location="AUT-2.1")),
        b"lack": Shaped(b"LACK", False, (), lacking),
    }.get(raw, Shaped(raw.upper()))


def shaping(sender: Kept, worker: Worker | None = None) -> tuple[Shaping, list[int]]:
    made, woken = Shaping(sender, shape, worker), list[int]()
    made.start(lambda: woken.append(made.room))
    return made, woken


def test_what_is_dropped_or_fails_never_reaches_the_sender() -> None:
    sender, found = Kept(5), list[tuple[Parcel, Answer]]()
    made, _ = shaping(sender)
    raws = (b"a", b"drop", b"fail", b"lack")
    made.send([parcel(at, raw) for at, raw in enumerate(raws)], lambda each, answer: found.append((each, answer)))
    assert [(each.claimed.id, each.raw, len(each.unmapped)) for each in sender.sent] == [(0, b"A", 0), (3, b"LACK", 1)]
    assert [(each.claimed.id, len(each.unmapped), answer) for each, answer in found] == [
        (1, 0, Answer("filtered", text="step 2: dropped: PID-8 = 'U'")),
        (2, 1, Answer("unshaped", text="no such code (AUT-2.1)")),
    ]


def test_what_is_shaped_waits_for_a_connection_that_was_lost_meanwhile() -> None:
    reactor, sender = Reactor(), Kept(3)
    worker = Worker(reactor, "steps of a test")
    made, woken = shaping(sender, worker)
    made.send([parcel(1, b"a"), parcel(2, b"b")], lambda _, __: None)
    assert made.room == 1
    sender.room, sender.alive = 0, False
    reactor.take(1)
    assert (sender.sent, made.room, made.alive) == ([], 0, False)
    sender.room = 1
    sender.ready()
    assert [each.raw for each in sender.sent] == [b"A"]
    sender.room = 5
    sender.ready()
    assert [each.raw for each in sender.sent] == [b"A", b"B"]
    assert woken[-1] == 4
    made.stop()
    assert made.ended


def test_what_comes_back_after_the_end_is_dropped() -> None:
    reactor, sender = Reactor(), Kept(3)
    made, _ = shaping(sender, Worker(reactor, "steps of a test"))
    made.send([parcel(1)], lambda _, __: None)
    with reactor._more:
        assert reactor._more.wait_for(lambda: bool(reactor._calls), 20)
    made.stop()
    reactor.take(1)
    assert sender.sent == []


class Connection:
    """A connection, as the intake sees it."""

    def __init__(self) -> None:
        self.planned: list[tuple[bytes, bool]] = []

    def plan(self, received: Frame, shaped: Shaped | None = None) -> Any:
        self.planned.append((received.payload, shaped is not None and shaped.fault is not None))
        return None

    def answer(self, outcome: object) -> None:
        """Nobody listens."""


class Nothing:
    """A store that keeps nothing."""

    def commit(self, plans: Any) -> list[Any]:
        return list(plans)

    def decide_ahead(self, plans: object) -> None:
        """Nobody else has the turn."""


def test_frames_come_to_the_intake_in_their_order_and_count_until_then(tmp_path: Path) -> None:
    path = tmp_path / "north.yaml"
    path.write_text("channel: north\nlisten: tcp:0\nsteps: [{python: 'gone:tidy'}]\n", encoding="utf-8")
    reactor = Reactor()
    intake = Intake(reactor, Nothing(), iter(range(100)).__next__)
    preparing, connection = Preparing(intake, load_channel(path)), Connection()
    frames = [Frame(request("C1")), Frame(b"PID|1\r"), Frame(b"MSH|", (TRUNCATED,)), Frame(request("C2"))]
    for each in frames:
        preparing.submit(connection, each)
    assert (preparing.waiting, intake.waiting_bytes) == (4, sum(len(each.payload) for each in frames))
    for _ in range(4):
        if preparing.waiting:
            reactor.take(1)
    assert (preparing.waiting, intake.waiting_bytes) == (0, 0)
    reactor.advance(0)
    assert connection.planned == [(each.payload, at in (0, 3)) for at, each in enumerate(frames)]
    preparing.close()


def test_steps_that_can_not_be_used_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "site.py").write_text("def tidy(message): ...\n", encoding="utf-8")
    path = tmp_path / "north.yaml"
    out = "destinations: {a: {file: {folder: out}, steps: [{python: 'site:gone'}]}}\n"
    path.write_text(f"channel: north\nlisten: tcp:0\nsteps: [{{python: 'site:tidy'}}]\n{out}", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"north\.yaml: python: site:gone raised AttributeError"):
        check_steps([load_channel(path)])
    path.write_text("channel: north\nlisten: tcp:0\nsteps: [{python: 'site:tidy'}]\n", encoding="utf-8")
    check_steps([load_channel(path)])
