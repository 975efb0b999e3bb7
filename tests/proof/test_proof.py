"""The proof itself: an engine that keeps its promise passes, and every way of breaking it is found."""

import itertools
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from hl7auth.errors import UserError
from hl7auth.flow.channel import find_channel
from hl7auth.flow.intake import plan
from hl7auth.flow.trial import TRIAL_TIME
from hl7auth.proof.ledger import Ledger, Sent
from hl7auth.proof.rounds import Findings, Trial, prove
from hl7auth.proof.unsynced import compiled
from hl7auth.proof.verdict import Verdict
from hl7auth.store.database import open_database
from hl7auth.store.journal import Journal
from tests.store import postgres


def proved(trial: Trial) -> Findings:
    return prove(trial, lambda _: None)


def test_what_was_told_is_there_after_kills_on_sqlite(tmp_path: Path) -> None:
    findings = proved(Trial(2, f"sqlite:///{tmp_path / 'engine.db'}", tmp_path, longest=0.4))
    assert findings.violations == []
    assert findings.rounds == 2
    assert findings.promised == findings.accepted == findings.sent
    assert findings.sent > 20
    assert findings.delivered >= findings.accepted


def test_what_was_told_is_there_after_a_kill_on_postgresql(tmp_path: Path) -> None:
    findings = proved(Trial(1, postgres.shared().database(), tmp_path, shortest=0.3, longest=0.5))
    assert findings.violations == []
    assert findings.promised == findings.accepted == findings.sent
    assert findings.sent > 20


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (cc): dropped writes are not tried")
def test_what_was_told_was_synced(tmp_path: Path) -> None:
    shim = compiled(tmp_path)
    findings = proved(Trial(1, f"sqlite:///{tmp_path / 'engine.db'}", tmp_path, longest=0.3, unsynced=shim))
    assert findings.violations == []
    assert findings.promised > 20


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (cc): dropped writes are not tried")
def test_an_engine_that_never_syncs_is_found_out(tmp_path: Path) -> None:
    shim = compiled(tmp_path, deaf=True)
    findings = proved(Trial(3, f"sqlite:///{tmp_path / 'engine.db'}", tmp_path, shortest=0.3, unsynced=shim))
    assert findings.rounds == 1
    assert [each for each in findings.violations if each.endswith("promised, and not in the store")]


def test_an_engine_that_does_not_start_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "engine.db").write_bytes(b"no database" * 100)
    with pytest.raises(UserError, match=r"the engine did not start: .*engine\.db"):
        proved(Trial(1, f"sqlite:///{tmp_path / 'engine.db'}", tmp_path))


# --- what a verdict finds ---------------------------------------------------------------------------------------------


@pytest.fixture
def ledger() -> Ledger:
    return Ledger("T", random.Random(1))


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    from hl7auth.store.database import upgrade

    made = open_database(f"sqlite:///{tmp_path / 'engine.db'}")
    upgrade(made)
    return made


def stored(ledger: Ledger, engine: Engine, count: int = 3) -> list[Sent]:
    """Messages that were sent, committed and answered as they should be."""
    channel, journal, sent = find_channel("referral-intake"), Journal(engine), [ledger.next() for _ in range(count)]
    plans = [plan(each.raw, channel, TRIAL_TIME, itertools.count(10 * at).__next__) for at, each in enumerate(sent, 1)]
    for each, outcome in zip(sent, journal.commit(plans), strict=True):
        ledger.hear(each.control_id, outcome.replies[0])
    journal.close()
    return sent


def violations(ledger: Ledger, engine: Engine) -> list[str]:
    verdict = Verdict(ledger)
    verdict.look(engine)
    return verdict.violations


def test_nothing_is_wrong_with_what_is_right(ledger: Ledger, engine: Engine) -> None:
    stored(ledger, engine)
    assert violations(ledger, engine) == []


BREAKS: dict[str, tuple[str, str]] = {
    "a message is gone": ("DELETE FROM message WHERE control_id = '{0}'", "promised, and not in the store"),
    "its effect is gone": ("DELETE FROM authorization_version WHERE key = '{1}'", "changed [], not"),
    "another reply is stored": (
        "UPDATE message SET reply = x'00' WHERE control_id = '{0}'",
        "not the one that was told",
    ),
    "it was refused": ("UPDATE message SET disposition = 'refused' WHERE control_id = '{0}'", "and yet it changed"),
    "an effect is there twice": (
        "INSERT INTO authorization_version SELECT key, 2, 0, status, referral, requester, control_id, message_id, at,"
        " rule, document FROM authorization_version WHERE key = '{1}'",
        "not ('{1}', 1)",
    ),
    "a version is missing": ("UPDATE authorization_version SET version = 3 WHERE key = '{1}'", "version 3 behind"),
    "it is there twice": (
        "INSERT INTO message (id, channel, received_at, peer, control_id, digest, message_type, trigger_event, version,"
        " sender, facility, disposition, code, raw)"
        " SELECT id + 1000000, channel, received_at, peer, control_id, digest, message_type,"
        " trigger_event, version, sender, facility, disposition, code, raw"
        " FROM message WHERE control_id = '{0}'",
        "accepted twice",
    ),
    "nobody sent it": ("UPDATE message SET control_id = 'STRANGER' WHERE control_id = '{0}'", "never sent"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_promise_is_found(name: str, ledger: Ledger, engine: Engine) -> None:
    sent = stored(ledger, engine)[1]
    sql, expected = (each.format(sent.control_id, sent.key) for each in BREAKS[name])
    with engine.begin() as connection:
        connection.exec_driver_sql(sql)
    found = violations(ledger, engine)
    assert [each for each in found if expected in each], found


def test_a_refusal_of_a_good_message_is_found(ledger: Ledger, engine: Engine) -> None:
    sent = stored(ledger, engine)[0]
    sent.told = b"MSH|^~\\&|||||||ACK\rMSA|AE|" + sent.control_id.encode()
    assert f"{sent.control_id}: a good message was refused" in violations(ledger, engine)


def test_two_replies_that_differ_are_found(ledger: Ledger, engine: Engine) -> None:
    sent = stored(ledger, engine)[0]
    ledger.hear(sent.control_id, b"another")
    assert f"{sent.control_id}: two replies that differ" in violations(ledger, engine)


DELIVERED: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "one is missing": (lambda got: got[1:], "accepted, and never delivered"),
    "one is a stranger": (lambda got: [*got, "STRANGER"], "delivered, and not accepted"),
    "all of them arrived": (lambda got: got, "its deliveries are []"),  # and the queue knows nothing of it
}


@pytest.mark.parametrize("name", DELIVERED)
def test_what_was_delivered_is_compared(name: str, ledger: Ledger, engine: Engine) -> None:
    sent = [each.control_id for each in stored(ledger, engine)]
    change, expected = DELIVERED[name]
    verdict = Verdict(ledger)
    verdict.look(engine)
    verdict.deliveries(engine, change(sent))
    assert [each for each in verdict.violations if expected in each]


def test_an_answer_ahead_of_its_request_is_out_of_order(ledger: Ledger, engine: Engine) -> None:
    request = stored(ledger, engine, 1)[0]
    verdict = Verdict(ledger)
    verdict.look(engine)
    answer = Sent("A1", b"", request.key, 2)
    ledger.sent["A1"] = answer
    verdict.accepted["A1"] = 0
    verdict.order[request.key].append("A1")
    verdict.deliveries(engine, ["A1", request.control_id])
    assert f"{request.key}: delivered out of order" in verdict.violations
