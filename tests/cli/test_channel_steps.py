"""Steps of a channel as an analyst sees them: tried without a network or a store, and what tables lack."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import insert

from hl7auth.store.database import open_database, upgrade
from hl7auth.store.schema import unmapped_value
from tests.cli.test_channels import channel, document, hl7auth, keep
from tests.engine import request

STEPS = """\
channel: north
listen: tcp:4001:interface=127.0.0.1
accepts: {versions: ["2.5"]}
steps:
- drop: PID-8 = 'U'
- translate: {field: AUT-2, table: payors.csv, unmapped: refuse}
- python: site_steps:tidy
destinations:
  payer:
    file: {folder: out}
    steps: [{set: {MSH-5: {text: EAST}}}]
  some:
    file: {folder: some}
    steps: [{match: "PID-8 = 'F'"}]
  odd:
    file: {folder: odd}
    steps: [{python: site_steps:broken}]
  plain:
    file: {folder: plain}
"""
SITE = """\
def tidy(message):
    message.assign_field("M", "PID", 1, 8)


def broken(message):
    raise ValueError
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "north.yaml").write_text(STEPS, encoding="utf-8")
    (tmp_path / "site_steps.py").write_text(SITE, encoding="utf-8")
    (tmp_path / "payors.csv").write_text("from,to\nACME,NOVA\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_plan_shows_what_steps_make_of_a_message_and_of_its_copies(folder: Path) -> None:
    keep(folder, "asked.hl7", request())
    ran = hl7auth("plan", "--channel", "north", "--channels", ".", "--format", "json")
    (entry,) = ran.document
    shaped = request().decode().replace("ACME", "NOVA").replace("19800102", "19800102|M").replace("\r", "\n")
    assert (entry["disposition"], entry["shaped"]) == ("accepted", shaped)
    assert entry["sent"] == {
        "payer": shaped.replace("|PAYER|", "|EAST|"),
        "some": "skipped: step 1: dropped, for not: PID-8 = 'F'",
        "odd": "parked: site_steps:broken raised ValueError at site_steps.py:6",
    }
    text = hl7auth("plan", "--channel", "north", "--channels", ".").out
    assert "\n  shaped:\n  MSH|^~\\&|" in text
    assert "\n  to some:\n  skipped: step 1" in text
    assert sorted(path.name for path in folder.iterdir()) == ["north", "north.yaml", "payors.csv", "site_steps.py"]


def test_a_test_expects_what_is_made_and_sent(folder: Path) -> None:
    keep(folder, "asked.hl7", request())
    keep(folder, "dropped.hl7", request().replace(b"19800102", b"19800102|U"))
    keep(folder, "lacking.hl7", request().replace(b"|ACME|", b"|MOON|"))
    assert channel("test", "north.yaml", "--update").code == 0
    found: Any = {
        path.name.partition(".")[0]: yaml.safe_load(path.read_text(encoding="utf-8"))["messages"][0]
        for path in (folder / "north" / "tests").glob("*.yaml")
    }
    assert {name: (each["disposition"], each["code"]) for name, each in found.items()} == {
        "asked": ("accepted", "AA"),
        "dropped": ("filtered", "AA"),
        "lacking": ("refused", "AE"),
    }
    assert sorted(found["asked"]["sent"]) == ["odd", "payer", "some"]
    assert "shaped" not in found["dropped"]
    assert found["dropped"]["findings"] == ["information message (steps.1): drop: dropped: PID-8 = 'U'"]
    assert channel("test", "north.yaml").code == 0
    (folder / "payors.csv").write_text("from,to\nACME,LUNA\n", encoding="utf-8")
    ran = channel("test", "north.yaml")
    assert ran.code == 1
    assert "NOVA" in ran.out
    assert "LUNA" in ran.out
    assert "north/dropped: as expected" in ran.out


def test_a_table_that_is_not_there_is_one_sentence(folder: Path) -> None:
    keep(folder, "asked.hl7", request())
    (folder / "payors.csv").unlink()
    ran = channel("test", "north.yaml")
    assert (ran.code, ran.err) == (
        2,
        "hl7auth: north.yaml:6: steps.1.translate.table: payors.csv: No such file or directory\n",
    )


@pytest.fixture
def inbox(folder: Path) -> str:
    url = f"sqlite:///{folder / 'engine.db'}"
    engine = open_database(url)
    upgrade(engine)
    row = {"location": "AUT-2.1", "count": 3, "first_at": 1_000_000, "last_at": 2_000_000, "message_id": 77}
    with engine.begin() as connection:
        for place, table, value in (
            ("north", "payors.csv", "MOON"),
            ("north", "payors.csv", "ACME"),
            ("x/y", "t", "A"),
        ):
            values = row | {"place": place, "code_table": table, "value": value}
            connection.execute(insert(unmapped_value).values(values))
    engine.dispose()
    return url


def test_the_inbox_of_codes(inbox: str) -> None:
    def values(*words: str) -> list[str]:
        return [each["value"] for each in document("unmapped", *words, "--channels", ".", "--database", inbox)]

    assert values() == ["MOON", "A"], "the table has ACME by now"
    assert values("north") == ["MOON"]
    assert values("--all") == ["MOON", "ACME", "A"]
    (entry,) = document("unmapped", "north", "--channels", ".", "--database", inbox)
    assert (entry["table"], entry["count"], entry["message"], entry["done"]) == ("payors.csv", 3, "77", None)
    assert entry["first_seen"] < entry["last_seen"]
    ran = channel("unmapped", "--done", entry["id"], "--by", "ada", "--database", inbox)
    assert (ran.code, ran.out) == (0, "1 done\n")
    assert values("north") == []
    assert "north (done by ada)" in channel("unmapped", "--all", "--channels", ".", "--database", inbox).out
    ran = channel("unmapped", "--done", entry["id"], "--database", inbox)
    assert (ran.code, ran.err) == (2, f"hl7auth: there is no unmapped value {entry['id']} that is not done\n")


def test_nothing_is_done_where_one_number_is_wrong(inbox: str) -> None:
    (entry, *_) = document("unmapped", "--channels", ".", "--database", inbox)
    assert channel("unmapped", "--done", entry["id"], "--done", "4711", "--database", inbox).code == 2
    assert entry in document("unmapped", "--channels", ".", "--database", inbox)


def test_channels_that_can_not_be_read_do_not_hide_the_inbox(folder: Path, inbox: str) -> None:
    (folder / "broken.yaml").write_text("no: channel\n", encoding="utf-8")
    ran = channel("unmapped", "--channels", ".", "--database", inbox)
    assert ran.code == 0
    assert "MOON" in ran.out
    assert "ACME" not in ran.out
