"""The queue where other processes write too: a real lock, a real pipe, and a clock in the hand of the test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.testing import MemoryReactorClock

from hl7auth.flow.decision import Disposition, Outcome
from hl7auth.flow.intake import Plan, plan
from hl7auth.net import intake as queue
from hl7auth.net.intake import Intake
from hl7auth.net.turns import SharedTurn
from hl7auth.observe import ids, now
from hl7auth.store.database import open_database
from hl7auth.store.journal import Journal
from hl7auth.store.schema import metadata
from hl7auth.store.turn import Turn
from hl7auth.wire.framing import Frame
from tests.engine import channel, request


class Process:
    """The intake of one worker, and what it answered."""

    def __init__(self, folder: Path, bell: tuple[int, int]) -> None:
        engine = open_database(f"sqlite:///{folder}/store.db")
        metadata.create_all(engine)  # what migrations make, sooner
        self.clock = MemoryReactorClock()
        self.journal = Journal(engine)
        self.lock = Turn(engine)
        self.turn = SharedTurn(self.clock, self.lock, *bell)
        self.intake = Intake(self.clock, self.journal, ids(), self.turn)
        self.channel = channel(folder)
        self.answered: list[Disposition] = []

    def plan(self, received: Frame) -> Plan:
        return plan(received.payload, self.channel, now(), self.intake.new_id)

    def answer(self, outcome: Outcome) -> None:
        self.answered.append(outcome.disposition)

    def submit(self, control_id: str) -> None:
        self.intake.submit(self, Frame(request(control_id)))
        self.clock.advance(0)

    def hears(self) -> bool:
        return self.turn in self.clock.getReaders()

    def close(self) -> None:
        self.journal.close()
        self.lock.close()


@pytest.fixture
def bell() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def pair(tmp_path: Path, bell: tuple[int, int]) -> Iterator[list[Process]]:
    processes = [Process(tmp_path, bell), Process(tmp_path, bell)]
    yield processes
    for process in processes:
        process.close()


def test_a_batch_waits_for_the_turn_and_grows_meanwhile(pair: list[Process]) -> None:
    one, other = pair
    assert other.turn.take()
    one.submit("A")
    one.submit("B")
    assert (one.answered, one.intake.waiting, one.hears()) == ([], 2, True)
    other.turn.give_back()
    one.turn.doRead()  # it rings
    assert one.answered == [Disposition.ACCEPTED] * 2
    assert not one.hears()
    assert other.turn.take()  # given back
    one.clock.advance(queue.TURN_SECONDS)
    assert one.answered == [Disposition.ACCEPTED] * 2  # nothing is left to be done


def test_a_process_that_dies_does_not_ring_but_leaves_the_turn(pair: list[Process]) -> None:
    one, other = pair
    assert other.turn.take()
    one.submit("A")
    other.lock.give_back()  # as the kernel does
    one.clock.advance(queue.TURN_PAUSE)
    assert one.answered == [Disposition.ACCEPTED]
    assert not one.hears()


def test_who_waits_too_long_is_told_and_may_send_again(pair: list[Process], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "MAX_BATCH", 2)
    one, other = pair
    assert other.turn.take()
    for control_id in "ABC":
        one.submit(control_id)
    one.clock.pump([queue.TURN_PAUSE] * round(queue.TURN_SECONDS / queue.TURN_PAUSE + 2))
    one.clock.advance(0)
    assert one.answered == [Disposition.FAILED] * 3
    assert one.intake.waiting == 0
    one.submit("D")  # the next one waits anew
    assert len(one.answered) == 3
    other.turn.give_back()
    one.turn.doRead()
    one.submit("A")
    assert one.answered[3:] == [Disposition.ACCEPTED] * 2


def test_a_ring_that_came_for_nothing_does_no_harm(pair: list[Process]) -> None:
    one, other = pair
    for control_id in "ABC":
        other.submit(control_id)  # rings three times, and nobody waits
    assert other.turn.take()
    one.submit("D")
    one.turn.doRead()
    assert (one.answered, one.hears()) == ([], True)
    one.turn.doRead()  # another was faster
    other.turn.give_back()
    one.turn.doRead()
    assert one.answered == [Disposition.ACCEPTED]


class Broken(Process):
    def answer(self, outcome: Outcome) -> None:
        raise AttributeError(f"no socket for {outcome.code}")


def test_a_connection_that_can_not_be_answered_takes_no_reply_from_the_others(
    tmp_path: Path, bell: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    sound, broken = Process(tmp_path, bell), Broken(tmp_path, bell)
    broken.intake.new_id = sound.intake.new_id
    try:
        sound.intake.submit(broken, Frame(request("A")))
        sound.intake.submit(sound, Frame(request("B")))
        sound.clock.advance(0)
        assert sound.answered == [Disposition.ACCEPTED]
        assert "a reply could not be sent" in caplog.messages
    finally:
        sound.close()
        broken.close()
