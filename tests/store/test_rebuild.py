"""The rebuild on real stores: what was taken in comes out the same, and whatever was tampered with is found."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from hl7auth.errors import UserError
from hl7auth.flow.channel import Channel
from hl7auth.flow.intake import refuse_frame
from hl7auth.store import deciding, portions
from hl7auth.store import journal as journals
from hl7auth.store import rebuild as rebuilding
from hl7auth.store.rebuild import Report, rebuild
from tests.messages import ASKED, VISIT, answer, channel, granted, request, shipped_channel
from tests.store.stored import START, Store, samples, steps

TAMPER = {
    "a status": (
        "UPDATE authorization_version SET status = 'denied' WHERE key = 'PA1@ACME' AND version = 1",
        ("version", "PA1@ACME", 2, "version 1: differs in status denied, rebuilt: approved"),
    ),
    "a field of a document": (
        "UPDATE authorization_version SET document = json_set(document, '$.effective_date', '2026-05-01')"
        " WHERE key = 'PA1@ACME' AND version = 2",
        ("version", "PA1@ACME", 3, "version 2: differs in effective_date"),
    ),
    "a document that is none": (
        "UPDATE authorization_version SET document = '{' WHERE key = 'PA1@ACME' AND version = 2",
        ("version", "PA1@ACME", 3, "version 2: differs in document"),
    ),
    "a rule and a time": (
        "UPDATE authorization_version SET rule = 'guess', at = 1 WHERE key = '?R1@FRONT:NORTH' AND version = 1",
        ("version", "R1@FRONT:NORTH", 1, "version 1: differs in at, rule"),
    ),
    "a version that is gone": (
        "DELETE FROM authorization_version WHERE key = 'PA1@ACME' AND version = 1",
        ("version", "PA1@ACME", 2, "version 1: only the rebuild has it"),
    ),
    "a version too many": (
        "INSERT INTO authorization_version SELECT 'PA9@ACME', 1, current, status, referral, requester, control_id,"
        " message_id, at, rule, document FROM authorization_version WHERE key = 'PA1@ACME' AND version = 2",
        ("version", "PA9@ACME", 3, "version 1: only the live store has it"),
    ),
    "a version of no message": (
        "INSERT INTO authorization_version SELECT 'PA9@ACME', 1, current, status, referral, requester, control_id,"
        " 99, at, rule, document FROM authorization_version WHERE key = 'PA1@ACME' AND version = 2",
        ("version", "PA9@ACME", 99, "version 1: its message is not in the archive"),
    ),
    "a verdict": (
        "UPDATE message SET disposition = 'refused', code = 'AE' WHERE id = 3",
        ("message", "refused (AE), rebuilt: accepted (AA)", 3,
         "the message was refused (AE), rebuilt: accepted (AA)"),
    ),
    "a message": (
        "UPDATE message SET raw = CAST(replace(CAST(raw AS TEXT), '20260930', '20261031') AS BLOB) WHERE id = 2",
        ("version", "PA1@ACME", 2, "version 1: differs in expiration_date, lines"),
    ),
    "what is current": (
        "UPDATE authorization_version SET current = 1 WHERE key = 'PA1@ACME'",
        ("current", "PA1@ACME", 3, "version 2 is the newest, and 2 version(s) are marked as current"),
    ),
    "that nothing is current": (
        "UPDATE authorization_version SET current = 0 WHERE key = 'PA1@ACME'",
        ("current", "PA1@ACME", 3, "version 2 is the newest, and 0 version(s) are marked as current"),
    ),
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A request, its answer, and an answer that changes it."""
    store = Store(tmp_path)
    store.send(
        request(VISIT, ASKED, referral="R1"),
        answer(VISIT, granted("PA1"), referral="R1"),
        answer(VISIT, granted("PA1", {9: "7"}), referral="R1", control_id="D2"),
    )
    yield store
    store.close()


def rebuilt(store: Store, channels: Mapping[str, Channel] | None = None) -> Report:
    return rebuild(store.engine, {store.channel.name: store.channel} if channels is None else channels)


def found(report: Report) -> list[tuple[str, str, int, str]]:
    return [(each.what, each.subject, each.message, each.text) for each in report.differences]


def test_the_samples_come_out_as_they_went_in(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for raw in samples():
        store.send(raw)
    report = rebuilt(store)
    assert found(report) == []
    assert report.equal
    assert report.messages == len(samples())
    assert report.versions == len(store.rows("SELECT 1 FROM authorization_version")) > 30
    store.close()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.sampled_from(samples()), min_size=1, max_size=8), min_size=1, max_size=4),
    st.sampled_from(["lenient", "strict"]),
)
def test_whatever_came_in_whatever_batches_comes_out_the_same(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes]], duplicates: str
) -> None:
    store = Store(tmp_path_factory.mktemp("any"), on=channel(duplicates=duplicates))
    for batch in batches:
        store.send(*batch)
    assert found(rebuilt(store)) == []
    store.close()


@pytest.mark.parametrize(("portion", "room"), [(1, 10**9), (3, 10**9), (100, 1), (100, 2_000)])
def test_the_size_of_portions_makes_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, portion: int, room: int
) -> None:
    store = Store(tmp_path)
    store.send(*samples()[:30])
    monkeypatch.setattr(portions, "PORTION", portion)
    monkeypatch.setattr(portions, "PORTION_BYTES", room)
    moved: list[tuple[int, int]] = []
    report = rebuild(store.engine, {store.channel.name: store.channel}, lambda done, total: moved.append((done, total)))
    assert found(report) == []
    steps_done = [after - before for (before, _), (after, _) in zip([(0, 30), *moved], moved, strict=False)]
    assert max(steps_done) <= portion
    assert moved[-1] == (30, 30)
    store.close()


@pytest.mark.parametrize("name", TAMPER)
def test_what_was_tampered_with_is_found_with_its_message(store: Store, name: str) -> None:
    sql, expected = TAMPER[name]
    store.change(sql)
    report = rebuilt(store)
    assert not report.equal
    assert expected in found(report), found(report)


def test_a_key_is_told_once_with_the_message_that_began_it(store: Store) -> None:
    store.change("UPDATE authorization_version SET rule = 'x' WHERE key = '?R1@FRONT:NORTH'")
    (difference,) = rebuilt(store).differences
    assert (difference.message, difference.count) == (1, 3)
    assert difference.entry()["message"] == "1"


def test_differences_without_end_are_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "MOST_REPORTED", 1)
    store.change("UPDATE authorization_version SET rule = 'x'")
    report = rebuilt(store)
    assert (len(report.differences), report.further) == (1, 2)
    assert not report.equal


def test_the_live_store_is_never_written(store: Store) -> None:
    store.change("UPDATE authorization_version SET rule = 'x' WHERE version = 1")
    before = [store.rows(f"SELECT * FROM {table}") for table in ("message", "authorization_version")]
    assert not rebuilt(store).equal
    assert [store.rows(f"SELECT * FROM {table}") for table in ("message", "authorization_version")] == before
    with rebuilding.reader(store.engine) as connection, pytest.raises(OperationalError, match="readonly"):
        connection.exec_driver_sql("DELETE FROM message")
    store.send(request(VISIT, ASKED, control_id="C9"))  # and it can be written again
    assert len(store.rows("SELECT 1 FROM message")) == 4


def test_a_channel_that_is_gone_is_told_once_and_its_versions_are_not_held_against_it(store: Store) -> None:
    other = channel(channel="other-intake")
    store.send(request(VISIT, ASKED, referral="R7", control_id="C7"), request(VISIT, ASKED, control_id="C8"), on=other)
    report = rebuilt(store)
    assert found(report) == [
        ("channel", "other-intake", 4, "the channel is not there any more: its messages are not replayed")
    ]
    assert report.differences[0].count == 2
    assert rebuilt(store, {each.name: each for each in (store.channel, other)}).equal


def test_a_channel_that_judges_otherwise_now_shows(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.send(*(request(VISIT, ASKED, control_id="C1", referral=f"R{number}") for number in range(3)))
    strict = channel(duplicates="strict")
    report = rebuilt(store, {strict.name: strict})
    verdicts = [each for each in report.differences if each.what == "message"]
    assert [(each.subject, each.message, each.count) for each in verdicts] == [
        ("accepted (AA), rebuilt: refused (AE)", 2, 2)
    ]
    store.close()


def test_what_failed_is_not_applied_now(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> object:
        raise RuntimeError

    raw = request(VISIT, ASKED, referral="R5", control_id="C5")
    with monkeypatch.context() as patched:
        patched.setattr(deciding, "decide", broken)
        assert store.send(raw)[0].disposition == "failed"
    assert store.send(raw)[0].disposition == "accepted"
    report = rebuilt(store)
    assert found(report) == []
    assert report.failed == 1


@pytest.mark.parametrize("reason", ["the message was broken off", "the message is too large"])
def test_a_frame_that_did_not_come_whole_is_not_taken_for_a_message(store: Store, reason: str) -> None:
    raw = request(VISIT, ASKED, referral="R5", control_id="C5")
    assert store.send(raw)[0].disposition == "accepted"
    store.journal.commit([refuse_frame(raw + b"NTE|1|", reason, shipped_channel(), START, lambda: 50)])
    report = rebuilt(store)
    assert found(report) == []
    assert (report.broken_off, report.messages) == (1, 5)


def test_what_can_not_be_planned_is_refused_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> object:
        raise RuntimeError

    refusal = refuse_frame(b"MSH|", "the message could not be processed", shipped_channel(), START, lambda: 50)
    store.change("DELETE FROM message", "DELETE FROM authorization_version")
    store.journal.commit([refusal])
    monkeypatch.setattr(rebuilding, "plan_linked", broken)
    assert rebuilt(store).equal


def test_an_empty_store_is_equal(tmp_path: Path) -> None:
    store = Store(tmp_path)
    report = rebuilt(store)
    assert (report.equal, report.messages, report.versions) == (True, 0, 0)
    store.close()


def test_no_room_for_the_rebuild_is_a_sentence(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OperationalError("INSERT", None, Exception("database or disk is full"))

    monkeypatch.setattr(journals, "write", full)
    with pytest.raises(UserError, match="is there room in the folder for temporary files"):
        rebuilt(store)


def test_no_portion_reads_a_whole_table(store: Store) -> None:
    queries = [
        portions._sizes_query(1, 9), rebuilding._verdicts_query(1, 9), rebuilding._versions_query(1, 9),
    ]  # fmt: skip
    with store.reading() as connection:
        for query in queries:
            assert all(step.startswith("SEARCH") for step in steps(connection, query)), steps(connection, query)
        grouped = steps(connection, rebuilding._not_current_query())
    assert not [step for step in grouped if "TEMP B-TREE" in step], grouped
