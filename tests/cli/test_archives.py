"""The commands of the archive: sealing, verifying, holding, and exports that other programs read."""

import json
import zipfile
from pathlib import Path

import pytest
from pyarrow import parquet

from hl7auth.resources import shipped
from hl7auth.store import bodies
from hl7auth.store.database import HEAD
from hl7auth.wire.batch import split
from tests.cli.inline import run
from tests.store.sealed import FIRST, asked, busy, packs, sealed
from tests.store.stored import Store


@pytest.fixture(autouse=True)
def nothing_is_kept_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command looks at packs as a process of its own does."""
    monkeypatch.setattr(bodies, "_PACKS_OPEN", 0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three days; the first of them sealed."""
    store = busy(tmp_path, 20)
    store.change("CREATE TABLE alembic_version (version_num TEXT)")
    store.change(f"INSERT INTO alembic_version VALUES ('{HEAD}')")
    sealed(store, before=FIRST + 1)
    store.close()
    return store


def raws() -> list[bytes]:
    return [raw for number in range(20) for raw in asked(f"C{number}", f"PA{number}")]


def test_seal_list_and_verify(store: Store, tmp_path: Path) -> None:
    done = run("archive", "seal", "--format", "json", database=store.url)
    assert [(each["day"], each["sealed"]) for each in done.document] == [("2026-03-02", 24), ("2026-03-03", 2)]
    assert run("archive", "seal", database=store.url).out == "nothing to seal\n"
    assert "3 of 3 pack(s) good, 40 message(s)" in run("archive", "verify", database=store.url).out
    path = tmp_path / "archive" / packs(tmp_path)[1]
    path.write_bytes(path.read_bytes()[:-9])
    bad = run("archive", "verify", database=store.url)
    assert (bad.code, "is no whole pack" in bad.out, "2 of 3 pack(s) good" in bad.out) == (1, True, True)
    late = run("archive", "seal", "--before", "2999-01-01", database=store.url)
    assert (late.code, late.err) == (2, "hl7auth: --before 2999-01-01: the days before it are not over\n")
    odd = run("archive", "seal", "--before", "tomorrow", database=store.url)
    assert (odd.code, odd.err) == (2, "hl7auth: 'tomorrow' is no date: write it as 2026-03-01\n")


def test_a_lost_body_is_told_beside_what_is_known(store: Store, tmp_path: Path) -> None:
    for name in packs(tmp_path):
        (tmp_path / "archive" / name).unlink()
    shown = run("message", "show", "1", database=store.url)
    assert shown.code == 1
    assert "message 1  RQA^I08  C0" in shown.out
    assert "can not be had" in shown.out
    ended = run("archive", "export", "--to", str(tmp_path / "out.hl7"), "--as", "batch", database=store.url)
    assert (ended.code, "can not be had" in ended.err) == (2, True)
    assert not (tmp_path / "out.hl7").exists()


def test_holds_are_placed_released_and_on_the_record(store: Store) -> None:
    words = ("referral-intake", "--from", "2026-03-01", "--reason", "audit", "--by", "ada")
    assert run("archive", "hold", *words, database=store.url).out == "hold 1 on referral-intake\n"
    assert [each["held"] for each in run("archive", "list", "--format", "json", database=store.url).document] == [True]
    assert run("archive", "release", "1", "--reason", "over", database=store.url).out == "hold 1 is released\n"
    again = run("archive", "release", "1", "--reason", "over", database=store.url)
    assert (again.code, again.err) == (2, "hl7auth: hold 1 was released already\n")
    record = run("archive", "list", "--record", "--format", "json", database=store.url).document
    assert [(each["action"], each["by"]) for each in record[:2]] == [("seal", "ada"), ("hold", "ada")]
    (held,) = run("archive", "list", "--holds", "--format", "json", database=store.url).document
    assert (held["from"], held["to"], held["release_reason"]) == ("2026-03-01", None, "over")
    assert run("archive", "hold", "x", "--reason", " ", database=store.url).code == 2
    odd = run("archive", "hold", "referal-intake", "--reason", "audit", database=store.url)
    known = "no message came on a channel 'referal-intake' (known: referral-intake)"
    assert (odd.code, odd.err) == (2, f"hl7auth: {known}\n")
    days = ("--from", "2026-02-02", "--to", "2026-02-01")
    assert run("archive", "hold", "x", "--reason", "y", *days, database=store.url).code == 2


def test_prune_tells_first_and_what_is_dropped_is_no_error(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "channels"
    folder.mkdir()
    text = shipped("channels/referral-intake.yaml").read_text(encoding="utf-8")
    (folder / "intake.yaml").write_text(text + "\nretention: {bodies_days: 30}\n", encoding="utf-8")
    words = ("archive", "prune", "--channels", str(folder))
    looked = run(*words, "--preview", "--format", "json", database=store.url).document
    assert [(each["day"], each["state"]) for each in looked] == [
        ("2026-03-01", "due"),
        ("2026-03-02", "unsealed"),
        ("2026-03-03", "unsealed"),
    ]
    assert packs(tmp_path) == ["referral-intake/2026-03-01.hl7pack"]
    assert run("archive", "prune", database=store.url).out == "nothing to drop\n"
    done = run(*words, database=store.url)
    assert (done.code, "dropped" in done.out, "archive seal" in done.out, packs(tmp_path)) == (0, True, True, [])
    shown = run("message", "show", "1", database=store.url)
    assert (shown.code, "were dropped by retention" in shown.out, "RQA^I08" in shown.out) == (0, True, True)
    raw = run("message", "show", "1", "--raw", database=store.url)
    assert (raw.code, "were dropped by retention" in raw.out) == (0, True)
    gone = run("archive", "export", "--to", str(tmp_path / "out"), database=store.url)
    assert gone.out.splitlines()[0] == f"26 of 40 message(s) written to {tmp_path / 'out'}"
    assert "14 message(s) were dropped by retention" in gone.out
    odd = run(*words, "--channel", "other", database=store.url)
    assert (odd.code, "unknown channel 'other'" in odd.err) == (2, True)


def test_an_archive_of_another_installation_is_read_and_taken_in(store: Store, tmp_path: Path) -> None:
    theirs = ("--archive", str(tmp_path / "archive"))
    nowhere = "sqlite:////nowhere/none.db"
    listed = run("message", "list", "--limit", "2", "--format", "json", *theirs, database=nowhere)
    assert [each["id"] for each in listed.document] == ["13", "14"]
    found = run("message", "search", "--authorization", "PA3", *theirs, "--format", "json", database=nowhere)
    assert [each["id"] for each in found.document["messages"]] == ["8", "7"]
    shown = run("message", "show", "7", *theirs, database=nowhere)
    assert (shown.code, "message 7  RQA^I08  C3" in shown.out) == (0, True)
    written = run("message", "export", "--to", str(tmp_path / "out"), *theirs, database=nowhere)
    assert written.out == f"14 of 14 message(s) written to {tmp_path / 'out'}\n"
    assert "1 of 1 pack(s) good, 14 message(s)" in run("archive", "verify", *theirs, database=nowhere).out
    assert "2026-03-01" in run("archive", "list", *theirs, database=nowhere).out
    for option, text in (("disposition", "refusd"), ("status", "aproved")):
        odd = run("message", "search", f"--{option}", text, *theirs, database=nowhere)
        assert (odd.code, f"there is no such {option} (known: " in odd.err) == (2, True)
    assert run("message", "search", "--status", "denied", *theirs, database=nowhere).code == 1
    (tmp_path / "here").mkdir()
    here = Store(tmp_path / "here")
    here.change("CREATE TABLE alembic_version (version_num TEXT)")
    here.change(f"INSERT INTO alembic_version VALUES ('{HEAD}')")
    here.close()
    taken = run("archive", "import", theirs[1], "--from", "north", "--format", "json", database=here.url)
    assert taken.document == [{"channel": "north.referral-intake", "day": "2026-03-01", "messages": 14, "added": 14}], (
        taken.err
    )
    zipped = tmp_path / "all.zip"
    assert run("archive", "export", "--to", str(zipped), "--as", "zip", database=store.url).code == 0
    into = ("archive", "import", str(zipped), "--from", "east", "--format", "json")
    clash = run(*into, database=here.url)
    assert (clash.code, "14 of its 14 messages have ids that other messages have here" in clash.err) == (2, True)
    (tmp_path / "there").mkdir()
    there = Store(tmp_path / "there")
    there.change("CREATE TABLE alembic_version (version_num TEXT)")
    there.change(f"INSERT INTO alembic_version VALUES ('{HEAD}')")
    assert [each["added"] for each in run(*into, database=there.url).document] == [14, 24, 2]
    assert [each["added"] for each in run(*into, database=there.url).document] == [0, 0, 0]
    assert f"24 message(s) from {zipped}, SHA-256" in run("archive", "list", "--record", database=there.url).out
    found = run("message", "search", "--authorization", "PA7", "--format", "json", database=there.url).document
    assert [(each["id"], each["event"]) for each in found["messages"]] == [("16", "RPA^I08"), ("15", "RQA^I08")]
    assert there.rows("SELECT facility, sender FROM message WHERE id = 15") == store.rows(
        "SELECT facility, sender FROM message WHERE id = 15"
    )
    zipped.write_bytes(zipped.read_bytes()[:-40])
    broken = run(*into, database=there.url)
    assert (broken.code, "is no whole export as zip" in broken.err) == (2, True)
    there.close()
    again = run("archive", "import", str(tmp_path / "none"), "--from", "north", database=here.url)
    assert (again.code, "there are no packs" in again.err) == (2, True)
    path = tmp_path / "archive" / "referral-intake" / "2026-03-01.hl7pack"
    path.write_bytes(path.read_bytes()[:-9])
    bad = run("message", "list", *theirs, database=nowhere)
    assert (bad.code, "is no whole pack" in bad.err, "none of 1 pack(s)" in bad.err) == (2, True, True)


def test_exports_hold_every_message_as_it_came(store: Store, tmp_path: Path) -> None:
    for form, name in (("folder", "out"), ("batch", "out.hl7"), ("zip", "out.zip"), ("parquet", "out.parquet")):
        done = run(
            "archive", "export", "--to", str(tmp_path / name), "--as", form, "--format", "json", database=store.url
        )
        assert (done.code, done.document["written"]) == (0, 40), done.err
    assert [(tmp_path / "out" / f"{number}.hl7").read_bytes() for number in range(1, 41)] == raws()
    batch = split((tmp_path / "out.hl7").read_bytes())
    assert (batch.messages, batch.notes) == (raws(), ())
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert [archive.read(f"{number}.hl7") for number in range(1, 41)] == raws()
        lines = archive.read("messages.jsonl").decode().splitlines()
        assert [json.loads(line)["id"] for line in lines] == [str(number) for number in range(1, 41)]
    rows = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["raw"] for row in rows] == raws()
    assert rows[0]["received_at"].isoformat() == "2026-03-01T10:00:00+00:00"
    again = run("archive", "export", "--to", str(tmp_path / "out.zip"), "--as", "zip", database=store.url)
    assert (again.code, "is there already" in again.err) == (2, True)
    some = run("archive", "export", "--to", str(tmp_path / "few"), "--control-id", "C3", database=store.url)
    assert some.out == f"1 of 1 message(s) written to {tmp_path / 'few'}\n"
