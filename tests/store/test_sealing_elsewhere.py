"""Sealing on PostgreSQL, and to a bucket: a real server of either kind, on the loopback."""

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from sqlalchemy import Engine

from hl7auth.errors import UserError
from hl7auth.flow.decision import Disposition
from hl7auth.flow.intake import plan
from hl7auth.packs.buckets import Bucket
from hl7auth.packs.format import Absent, PackFault
from hl7auth.packs.places import Taken
from hl7auth.store import bodies
from hl7auth.store.archive_lock import only_one
from hl7auth.store.bodies import BodyFault, read_bodies, try_bodies
from hl7auth.store.database import connect, open_database, upgrade
from hl7auth.store.journal import Journal
from hl7auth.store.pack_list import verify_packs
from hl7auth.store.sealing import Sealing, seal
from tests.engine import answer, request
from tests.messages import shipped_channel
from tests.store import postgres
from tests.store.sealed import FIRST, LATER, asked, busy, sealed
from tests.store.stored import HOUR, START, Store

BUCKET = "referrals"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """An object store that speaks S3, on a free port."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty bucket, and a user who may use it."""
    said = {"AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    for name, value in (said | {"AWS_DEFAULT_REGION": "us-east-1"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(bodies, "_PACKS_OPEN", 0)
    client = boto3.session.Session().client("s3")
    client.create_bucket(Bucket=BUCKET)
    for each in client.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
        client.delete_object(Bucket=BUCKET, Key=each["Key"])
    return f"s3://{BUCKET}/east"


def faults(engine: Engine) -> list[str]:
    with connect(engine) as connection:
        return [fault for each in verify_packs(connection, None) for fault in each["faults"]]


def test_a_bucket_keeps_packs_and_gives_back_single_messages(tmp_path: Path, bucket: str) -> None:
    store = busy(tmp_path, 8)
    with store.reading() as connection:
        before = read_bodies(connection, range(1, 17))
    assert sum(each.sealed for each in sealed(store, place=bucket)) == 16
    assert Bucket(bucket).names() == [f"referral-intake/2026-03-0{day}.hl7pack" for day in (1, 2)]
    with store.reading() as connection:
        assert read_bodies(connection, range(1, 17)) == before
    (again,) = store.send(request("C1", number="PA1"))
    assert again.disposition is Disposition.DUPLICATE
    assert faults(store.engine) == []
    store.close()


def test_an_open_request_joins_the_pack_in_the_bucket_later(tmp_path: Path, bucket: str) -> None:
    store = Store(tmp_path)
    store.send(*asked("C1", "PA1"), request("C2", number="PA2"))
    sealed(store, place=bucket)
    store.send(answer("A2", "C2", number="PA2"))
    assert [each.generation for each in sealed(store, place=bucket)] == [2]
    assert Bucket(bucket).names() == ["referral-intake/2026-03-01.2.hl7pack"]
    assert faults(store.engine) == []
    store.close()


def test_a_bucket_that_is_gone_or_says_no_is_a_sentence(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = busy(tmp_path, 2)
    with pytest.raises(UserError, match=r"the store answers NoSuchBucket|there is no such pack"):
        sealed(store, place="s3://nowhere/x")
    sealed(store, place=bucket)
    there = Bucket(bucket)
    draft = tmp_path / "draft"
    draft.write_bytes(b"another")
    with pytest.raises(Taken, match="is there already"):
        there.put(draft, "referral-intake/2026-03-01.hl7pack")
    there.remove("referral-intake/2026-03-01.hl7pack")
    with pytest.raises(Absent, match="there is no such pack"):
        there.open("referral-intake/2026-03-01.hl7pack")
    assert "there is no such pack" in faults(store.engine)[0]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with store.reading() as connection:
        lost = try_bodies(connection, [1])[1]
    assert isinstance(lost, BodyFault)
    assert "the store can not be reached" in str(lost)
    with pytest.raises(UserError, match="names no bucket"):
        Bucket("s3://")
    with pytest.raises(PackFault, match="can not be reached"):
        Bucket(bucket).names()
    store.close()


def test_postgresql_is_sealed_like_sqlite(tmp_path: Path) -> None:
    engine = open_database(postgres.shared().database())
    upgrade(engine)
    journal, new_id = Journal(engine), itertools.count(1).__next__
    raws = [raw for number in range(6) for raw in asked(f"C{number}", f"PA{number}")]
    plans = [plan(raw, shipped_channel(), START + at * HOUR, new_id) for at, raw in enumerate(raws)]
    first = journal.commit(plans)
    ids = [outcome.plan.message_id for outcome in first]
    with connect(engine) as connection:
        before = read_bodies(connection, ids)
    sealing = Sealing(FIRST + 30, None, str(tmp_path / "packs"), "ada", LATER)
    assert [each.sealed for each in seal(engine, sealing)] == [12]
    assert seal(engine, sealing) == []
    with connect(engine) as connection:
        assert read_bodies(connection, ids) == before
        assert connection.exec_driver_sql("SELECT count(*) FROM message WHERE length(raw) > 0").scalar() == 0
    (again,) = journal.commit([plan(raws[0], shipped_channel(), LATER, new_id)])
    assert (again.disposition, again.reply) == (Disposition.DUPLICATE, first[0].reply)
    assert faults(engine) == []
    with only_one(engine), pytest.raises(UserError, match="another seal, prune or import"):
        seal(engine, sealing)
    journal.close()
    engine.dispose()
