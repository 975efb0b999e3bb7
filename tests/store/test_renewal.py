"""Every version written anew from the archive, on real stores: all of it or nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hl7auth.errors import UserError
from hl7auth.flow.intake import plan
from hl7auth.store.database import open_database, upgrade
from hl7auth.store.journal import Journal
from hl7auth.store.rebuild import rebuild
from hl7auth.store.renewal import Renewed, renew
from tests.messages import ASKED, VISIT, answer, aut, channel, granted, request, shipped_channel
from tests.store import postgres
from tests.store.stored import START, Store, samples

_OLDER = (
    "UPDATE authorization_version SET key = replace(key, ':NORTH', ''), referral = replace(referral, ':NORTH', '')",
    "UPDATE authorization_version SET document = replace(document, ':NORTH', '')",
)
_ALL = "SELECT * FROM authorization_version ORDER BY key, version"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A referral with its answer, one that was refused, and one that came twice."""
    store = Store(tmp_path)
    raw = request(VISIT, ASKED, referral="R1")
    refused = answer(VISIT, aut({2: "", 6: "PA9", 9: "1"}), referral="R1", control_id="D0")
    for each in (raw, refused, raw, answer(VISIT, granted("PA1"), referral="R1")):
        store.send(each)
    yield store
    store.close()


def test_keys_of_an_older_version_become_those_of_this_one(store: Store) -> None:
    made = store.rows(_ALL)
    store.change(*_OLDER)
    assert store.rows("SELECT key FROM authorization_version WHERE key LIKE '%R1%' AND current = 1") == [("?R1@FRONT",)]
    assert renew(store.engine, {store.channel.name: store.channel}) == Renewed(2, 3, 3)
    assert store.rows(_ALL) == made
    assert rebuild(store.engine, {store.channel.name: store.channel}).equal


def test_the_samples_come_out_as_they_went_in(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for raw in samples():
        store.send(raw)
    made = store.rows(_ALL)
    renewed = renew(store.engine, {store.channel.name: store.channel})
    assert (renewed.versions, store.rows(_ALL)) == (len(made), made)
    store.close()


def test_what_would_be_refused_now_leaves_all_as_it_was(store: Store) -> None:
    store.change(*_OLDER)
    made = store.rows(_ALL)
    stricter = channel(accepts=store.channel.file.accepts.model_copy(update={"versions": ("2.8",)}))
    with pytest.raises(
        UserError, match=r"message 1 was accepted, and would be refused now \(protocol.203\); nothing was changed"
    ):
        renew(store.engine, {stricter.name: stricter})
    with pytest.raises(UserError, match=r"the channel 'referral-intake', which is not there any more; nothing was"):
        renew(store.engine, {})
    assert store.rows(_ALL) == made


def test_what_came_in_meanwhile_leaves_all_as_it_was(store: Store) -> None:
    def comes(_done: int, _total: int) -> None:
        store.send(request(VISIT, ASKED, control_id="C7", referral="R7"))

    with pytest.raises(UserError, match="messages came in meanwhile; nothing was changed"):
        renew(store.engine, {store.channel.name: store.channel}, comes)
    assert len(store.rows(_ALL)) == 4


def test_an_empty_store_stays_empty(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert renew(store.engine, {}) == Renewed(0, 0, 0)
    store.close()


def test_a_server_is_written_anew_as_a_file_is() -> None:
    engine = open_database(postgres.shared().database())
    upgrade(engine)
    journal = Journal(engine)
    raws = (request(VISIT, ASKED, referral="R1"), answer(VISIT, granted("PA1"), referral="R1"))
    journal.commit([plan(raw, shipped_channel(), START, lambda at=at: at) for at, raw in enumerate(raws, start=1)])  # type: ignore[misc]
    journal.close()
    with engine.begin() as connection:
        made = connection.exec_driver_sql(_ALL).all()
        for sql in _OLDER:
            connection.exec_driver_sql(sql)
    assert renew(engine, {"referral-intake": shipped_channel()}) == Renewed(2, 3, 3)
    with engine.connect() as connection:
        assert connection.exec_driver_sql(_ALL).all() == made
    engine.dispose()
