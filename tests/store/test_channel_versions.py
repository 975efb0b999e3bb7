"""Versions of channels in the store: written once, with all that they were, and what a message ran under."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hl7auth.errors import UserError
from hl7auth.flow.channel import Channel, load_channel
from hl7auth.flow.intake import Plan
from hl7auth.resources import shipped
from hl7auth.rules import edition
from hl7auth.rules.compiled import keep_editions
from hl7auth.rules.edition import known_editions
from hl7auth.store.archive import read_message
from hl7auth.store.channel_versions import list_versions, read_version, record_versions
from hl7auth.store.rebuild import planned_again, rebuild
from tests.engine import request
from tests.store.stored import START, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.close()


def channel(folder: Path, more: str = "", name: str = "north") -> Channel:
    path = folder / f"{name}.yaml"
    path.write_text(f"channel: {name}\nlisten: tcp:0\n{more}")
    return load_channel(path)


def record(store: Store, *channels: Channel, at: int = START) -> None:
    with store.engine.begin() as connection:
        record_versions(connection, channels, at)


def read(store: Store, version: str) -> dict[str, Any]:
    with store.reading() as connection:
        return read_version(connection, "north", version)


def test_a_version_is_written_when_it_is_first_seen(store: Store, tmp_path: Path) -> None:
    one = channel(tmp_path)
    record(store, one, channel(tmp_path, name="south"))
    two = channel(tmp_path, "errors: accept\n")
    record(store, two, at=START + 60_000_000)
    record(store, one, two, at=START + 90_000_000)
    with store.reading() as connection:
        assert list_versions(connection, "north") == [
            {"version": one.version, "first_seen": "2026-03-01T10:00:00.000+00:00"},
            {"version": two.version, "first_seen": "2026-03-01T10:01:00.000+00:00"},
        ]


def test_a_version_tells_what_it_was(store: Store, tmp_path: Path) -> None:
    (tmp_path / "codes.csv").write_text("from,to\nA,B\n")
    one = channel(tmp_path, "title: codes.csv  # the table\n")
    record(store, one)
    (tmp_path / "codes.csv").unlink()
    found = read(store, one.version[:6])
    assert (found["version"], found["text"]) == (one.version, one.text)
    parts = {each["file"]: each["text"] for each in found["parts"]}
    assert parts["codes.csv"] == "from,to\nA,B\n"
    assert parts["profiles/referral.yaml"] == (shipped("profiles") / "referral.yaml").read_text()
    assert "profiles/aut-framework.yaml" in parts


def test_of_modules_and_secrets_nothing_is_kept(store: Store, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("PASSWORD = 'hush'\n")
    http = "{url: 'http://127.0.0.1/', headers: {Authorization: 'Bearer hush'}}"
    one = channel(tmp_path, f"destinations: {{payer: {{http: {http}}}}}\n")
    record(store, one.model_copy(update={"beside": {"mine.py": "0" * 16}}))
    kept = store.rows("SELECT text || parts FROM channel_version UNION ALL SELECT text FROM channel_part")
    assert "hush" not in str(kept)
    assert "mine.py" in str(kept)


def test_what_is_not_known_comes_with_what_is(store: Store, tmp_path: Path) -> None:
    one, two = channel(tmp_path), channel(tmp_path, "errors: accept\n")
    record(store, one, two)
    with store.reading() as connection, pytest.raises(UserError, match=r"no channel 'x' .*\(known: north\)"):
        list_versions(connection, "x")
    with pytest.raises(UserError, match=rf"no version begins with 'x' \(known: .*{one.version}"):
        read(store, "x")
    with pytest.raises(UserError, match="several versions begin with ''"):
        read(store, "")


def test_a_message_keeps_the_version_that_it_ran_under(store: Store, tmp_path: Path) -> None:
    one, two = channel(tmp_path), channel(tmp_path, "errors: accept\n")
    store.send(request("C1"), on=one)
    store.send(request("C2"), on=two)
    with store.reading() as connection:
        found = [read_message(connection, number)["channel_version"] for number in (1, 2)]
    assert found == [one.version, two.version]


def test_a_rebuild_keeps_it_too(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = channel(tmp_path), channel(tmp_path, "duplicates: strict\n")
    store.send(request("C1"), on=one)
    store.send(request("C2"), request("C3"), on=two)
    store.change("UPDATE message SET channel_version = NULL WHERE id = 3")
    seen: list[str] = []

    def spy(*given: Any) -> Plan:
        planned = planned_again(*given)
        seen.append(planned.channel.version)
        return planned

    monkeypatch.setattr("hl7auth.store.rebuild.planned_again", spy)
    report = rebuild(store.engine, {"north": two})
    assert seen == [one.version, two.version, ""]
    assert (report.equal, report.other_version) == (True, 1)


def test_an_edited_profile_is_another_version_with_its_own_text(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "profiles"
    shutil.copytree(shipped("profiles"), folder)
    monkeypatch.setattr(edition, "shipped", lambda _: folder)
    one = channel(tmp_path)
    (folder / "referral.yaml").write_text((folder / "referral.yaml").read_text().replace("title: ", "title: New "))
    two = channel(tmp_path)
    record(store, one, two)
    titles = [str(read(store, each.version)["parts"][0]["text"]).count("title: New ") for each in (one, two)]
    keep_editions(known_editions())
    assert titles == [0, 1]
