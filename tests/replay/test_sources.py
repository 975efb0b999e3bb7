"""What can be replayed: captures, batch files, folders and packs; and what can not, which is told and does no harm."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hl7auth.wire.framing import FS, VT, frame
from tests.cli.inline import run
from tests.engine import request
from tests.replay.made import planned, replayed, reported, snapshot, states, went, written
from tests.store.sealed import asked, packs, sealed
from tests.store.stored import Store

TO = ("--to-channel", "referral-intake")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    made = Store(tmp_path, name="there.db", migrate=True)
    yield made
    made.close()


def test_a_capture_that_breaks_off_gives_its_whole_messages(tmp_path: Path, store: Store) -> None:
    capture = tmp_path / "feed.mllp"
    capture.write_bytes(frame(request("C1")) + b"noise" + frame(request("C2")) + VT + request("C3")[:90])
    plan = planned(store, "--from", str(capture), *TO)
    assert plan["expected"] == {"left_out": 1, "new": 2}
    assert any("truncated" in each for each in plan["notes"])
    assert went(store, plan["replay"]).document["states"] == {"done": 2, "failed": 1}
    assert [each["reason"] for each in reported(store, plan["replay"])["items"]] == [
        "",
        "",
        "its frame did not come whole",
    ]
    assert store.rows("SELECT control_id FROM message") == [("C1",), ("C2",)]


def test_a_batch_file_and_a_folder_with_something_else_in_it(tmp_path: Path, store: Store) -> None:
    folder = tmp_path / "day"
    (folder / "below").mkdir(parents=True)
    batch = b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + request("B1") + request("B2") + b"BTS|2\rFTS|1\r"
    (folder / "a.hl7").write_bytes(batch)
    (folder / "below" / "b.hl7").write_bytes(request("B3").replace(b"\r", b"\r\n"))
    (folder / "below" / "c.txt").write_bytes(request("B4").replace(b"\rPRD", b"\nPRD").replace(b"\rPID", b"\r\nPID"))
    (folder / "picture.png").write_bytes(bytes(range(256)))
    (folder / "empty.hl7").write_bytes(b"")
    (folder / ".hidden.hl7").write_bytes(request("B9"))
    report = replayed(store, "--from", str(folder), *TO)
    assert [(each["control_id"], each["state"]) for each in report["items"]] == [
        ("B1", "done"),
        ("B2", "done"),
        ("", "failed"),
        ("B3", "done"),
        ("B4", "done"),
    ]
    assert report["items"][2]["reason"] == "holds no HL7 message"
    stored = [row[0] for row in store.rows("SELECT raw FROM message ORDER BY id")]
    assert stored[2] == request("B3").replace(b"\r", b"\r\n")  # as it stands in the file


def test_packs_of_another_installation_make_the_same_store(tmp_path: Path, store: Store) -> None:
    here = Store(tmp_path, name="store.db", migrate=True)
    for number in range(12):
        here.send(*asked(f"C{number}", f"PA{number}"))
    sealed(here)
    assert packs(tmp_path)
    report = replayed(store, "--from", str(tmp_path / "archive"))  # each pack knows its channel
    assert states(report) == {"done": 24}
    sql = "SELECT key, version, current, status, control_id FROM authorization_version ORDER BY 1, 2"
    assert store.rows(sql) == here.rows(sql)
    assert states(replayed(store, "--from", str(tmp_path / "archive"))) == {"skipped": 24}
    # the archive of the first one is read from its packs as well
    assert states(replayed(here)) == {"skipped": 24}
    here.close()


def test_a_damaged_pack_is_told(tmp_path: Path, store: Store) -> None:
    here = Store(tmp_path, name="store.db", migrate=True)
    here.send(*asked("C1", "PA1"))
    sealed(here)
    here.close()
    (name,) = packs(tmp_path)
    file = tmp_path / "archive" / name
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    done = run("replay", "plan", "--from", str(file), database=store.url)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert file.name in done.err
    assert store.rows("SELECT state FROM replay_plan") == []


def test_a_file_that_changed_since_it_was_planned_is_not_taken_for_it(tmp_path: Path, store: Store) -> None:
    file = written(tmp_path / "some.hl7", request("C1"), request("C2"), request("C3"))
    number = planned(store, "--from", str(file), *TO)["replay"]
    written(file, request("C1"), request("X2"))
    assert went(store, number).document["states"] == {"done": 1, "failed": 2}
    assert {each["reason"] for each in reported(store, number)["items"][1:]} == {
        "the file holds something else than when this was planned: plan it again"
    }
    file.unlink()
    other = planned(store, "--from", str(written(tmp_path / "other.hl7", request("C4"))), *TO)["replay"]
    (tmp_path / "other.hl7").unlink()
    assert went(store, other).document["states"] == {"failed": 1}
    assert len(snapshot(store)) == 1


def test_huge_and_nameless_messages_and_other_things(tmp_path: Path, store: Store) -> None:
    huge = request("C1") + b"NTE|1||" + b"x" * (20 * 1024 * 1024) + b"\r"
    file = written(tmp_path / "huge.hl7", huge, request(""), request("C2"))
    report = replayed(store, "--from", str(file), *TO)
    assert [each["state"] for each in report["items"]] == ["failed", "refused", "done"]
    assert "larger than its channel takes" in report["items"][0]["reason"]
    assert "MSH-10" in report["items"][1]["reason"]
    garbage = tmp_path / "garbage.hl7"
    garbage.write_bytes(bytes(range(256)) * 40 + VT + b"\x00" * 100 + FS + b"\r")
    assert "done" not in states(replayed(store, "--from", str(garbage), *TO))


def test_files_need_a_channel(tmp_path: Path, store: Store) -> None:
    file = written(tmp_path / "some.hl7", request("C1"))
    plan = planned(store, "--from", str(file))
    assert plan["states"] == {"failed": 1}
    assert reported(store, plan["replay"])["items"][0]["reason"] == "it has no channel: say --to-channel"
