"""The ear on a real server: what others tell is heard, what we tell ourselves is not, and a lost session comes back."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from twisted.internet.epollreactor import EPollReactor

from hl7auth.net.ear import Ear
from hl7auth.store.database import connect, open_database
from hl7auth.store.notices import Notices, notify
from tests.store import postgres

SECONDS = 20.0
TELL = "NOTIFY hl7auth, 'another process'"
LISTENS = "SELECT pid FROM pg_stat_activity WHERE query = 'LISTEN hl7auth' AND datname = current_database()"


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = open_database(postgres.shared().database())
    yield engine
    engine.dispose()


def say(engine: Engine, sql: str) -> None:
    with connect(engine) as connection, connection.begin():
        connection.exec_driver_sql(sql)


def run(reactor: EPollReactor, until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not until():
        assert time.monotonic() < deadline
        reactor.iterate(0.02)


def test_what_others_tell_is_heard_also_after_the_session_was_lost(engine: Engine) -> None:
    reactor, heard = EPollReactor(), []
    ear = Ear(reactor, Notices(engine))
    ear.calls = (lambda: heard.append(True),)
    ear.open()
    assert len(heard) == 1  # something may have been told before
    with connect(engine) as connection, connection.begin():
        notify(connection)
        connection.exec_driver_sql("NOTIFY elsewhere")
    say(engine, TELL)
    run(reactor, lambda: len(heard) == 2)
    with connect(engine) as connection:
        (first,) = connection.exec_driver_sql(LISTENS).one()
    postgres.shared().say(f"SELECT pg_terminate_backend({first}, 10000)")
    run(reactor, lambda: len(heard) == 3)  # something may have been missed
    say(engine, TELL)
    run(reactor, lambda: len(heard) == 4)
    ear.close()
    assert ear not in reactor.getReaders()


def test_a_server_that_is_not_there_is_asked_again(tmp_path: Path) -> None:
    reactor = EPollReactor()
    ear = Ear(reactor, Notices(open_database(f"postgresql://nobody@/none?host={tmp_path}")))
    ear.open()
    assert not ear.listening
    assert len(reactor.getDelayedCalls()) == 1
    ear.close()
    assert reactor.getDelayedCalls() == []


def test_a_file_tells_nothing(tmp_path: Path) -> None:
    ear = Ear(EPollReactor(), Notices(open_database(f"sqlite:///{tmp_path}/s.db")))
    ear.open()
    assert not ear.listening
    ear.close()
