"""Continued messages that are never completed: given up by the clock, told to who still listens; over a real store."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from hl7auth.flow.decision import Disposition
from hl7auth.net import overdue as watching
from hl7auth.net.board import SLOT
from hl7auth.net.overdue import Watch
from hl7auth.observe import now
from hl7auth.store.links import overdue
from hl7auth.wire.framing import frame
from tests.flow.test_continuation import parts
from tests.net.test_batches import makers
from tests.net.test_listener import Bench, MakeBench, codes


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeBench]:
    yield from makers(tmp_path)


def watched(bench: Bench, ahead: list[float]) -> Watch:
    """A watch whose clock is so many seconds ahead."""

    def clock() -> int:
        return now() + int(ahead[0] * 1_000_000)

    watch = Watch(bench.factory, bench.intake, partial(overdue, bench.journal._engine), clock)
    watch.start()
    return watch


@pytest.mark.parametrize(("modes", "told"), [(("AL", "AL"), ["CA C1", "AE C1"]), (("", ""), ["AA C1"])])
def test_the_sender_is_told_where_it_waits_for_an_application(
    make: MakeBench, modes: tuple[str, str], told: list[str]
) -> None:
    bench = make(continuation="join")
    connection, transport = bench.open()
    connection.dataReceived(frame(parts(modes=modes)[0]))
    bench.settle()
    watch = watched(bench, [301])
    bench.settle()
    assert codes(transport) == told
    assert bench.factory.slots[SLOT[Disposition.REFUSED]] == 1
    watch.stop()


def test_what_is_not_overdue_waits_and_is_looked_at_again(make: MakeBench) -> None:
    bench = make(continuation="join")
    connection, transport = bench.open()
    first, second, third = parts()
    connection.dataReceived(frame(first))
    bench.settle()
    ahead = [299.0]
    watch = watched(bench, ahead)
    bench.settle()
    assert bench.intake.waiting == 0
    connection.dataReceived(frame(second) + frame(third))
    bench.settle()
    assert codes(transport) == ["AA C1", "AA C2", "AA C1"]
    connection.dataReceived(frame(first.replace(b"|C1|", b"|C9|")))
    bench.settle()
    bench.settle(watching.MOST_SECONDS)
    assert bench.factory.slots[SLOT[Disposition.REFUSED]] == 0
    ahead[0] = 301
    bench.settle(watching.MOST_SECONDS)
    assert bench.factory.slots[SLOT[Disposition.REFUSED]] == 1
    watch.stop()
    bench.settle(10 * watching.MOST_SECONDS)


def test_a_store_that_is_away_is_asked_again(make: MakeBench, caplog: pytest.LogCaptureFixture) -> None:
    bench = make(continuation="join")

    def gone(*_: object) -> list[int]:
        raise OSError

    watch = Watch(bench.factory, bench.intake, gone)
    watch.start()
    assert [record.getMessage() for record in caplog.records] == ["overdue messages could not be looked for"]
    bench.settle(watching.MOST_SECONDS)
    assert len(caplog.records) == 2
    watch.stop()
