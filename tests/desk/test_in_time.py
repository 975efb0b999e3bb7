"""Where a decision goes that is made just when a connection stops waiting for it: to one place."""

from pathlib import Path

import pytest

from hl7auth.flow.channel import load_channel
from hl7auth.store.forwards import Forwards
from tests.desk.test_life import IN_FULL, KEY, At
from tests.store.stored import samples

SECOND = 1_000_000
CHANNEL = """channel: front
listen: tcp:0:interface=127.0.0.1
destinations: {ehr: {file: {folder: answers}}}
replies: {to: ehr, decided_within_seconds: 5}
"""


@pytest.fixture
def at(tmp_path: Path) -> At:
    path = tmp_path / "front.yaml"
    path.write_text(CHANNEL, encoding="utf-8")
    return At(tmp_path, load_channel(path))


def _decided(at: At, seconds: float, *, gives_up: bool = False) -> tuple[int, int]:
    """Decides so long after the request came; what waits for the connection then, and for the destination."""
    (outcome,) = at.store.send(samples()[0])
    message_id = outcome.plan.message_id
    forwards = Forwards(at.store.engine)
    if gives_up:
        assert forwards.give_up([message_id])[message_id] is not None
    at.store.time = outcome.plan.received_at + int(seconds * SECOND)
    at.desk.submit(KEY, "reviewer")
    at.desk.approve(KEY, "reviewer", IN_FULL)
    ((owed,),) = at.store.rows("SELECT owed FROM forward")
    ((queued,),) = at.store.rows("SELECT count(DISTINCT message_id) FROM delivery")
    (reply,) = forwards.take([message_id]).values()
    assert reply is not None
    forwards.tend(at.store.time + 60 * SECOND)
    assert at.store.rows("SELECT count(DISTINCT message_id) FROM delivery") == [
        (queued,)
    ]  # what was taken goes nowhere else
    forwards.close()
    return owed, queued


@pytest.mark.parametrize("seconds", [1, 5.5])
def test_until_the_connection_gives_up_it_is_its_own(at: At, seconds: float) -> None:
    assert _decided(at, seconds) == (1, 0)
    at.store.close()


def test_what_comes_when_it_has_given_up_goes_the_other_way(at: At) -> None:
    assert _decided(at, 5.5, gives_up=True) == (0, 1)
    at.store.close()


def test_what_comes_when_nobody_has_said_so_for_long_goes_the_other_way(at: At) -> None:
    assert _decided(at, 8) == (0, 1)
    at.store.close()
