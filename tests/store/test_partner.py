"""A partner with messages of its own: clocks run, places are told where AUT says it, and the rebuild is equal."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hl7auth.flow.channel import Channel, load_channel
from hl7auth.resources import shipped
from hl7auth.rules import edition
from hl7auth.rules.compiled import keep_editions
from hl7auth.rules.edition import known_editions
from hl7auth.store.authorizations import Wanted, list_authorizations
from hl7auth.store.history import read_history, read_why
from hl7auth.store.rebuild import rebuild
from tests.messages import PID, PRD, VISIT, aut, message
from tests.store.stored import HOUR, START, Store

PROFILE = """\
profile: network
title: A network that numbers by itself
extends: referral
dialect:
  events: {ZQA^Z02: RQA^I08, ZPA^Z02: RPA^I08}
  number: [AUT-6, ZAU-2]
  status: {from: ZAU-3, prefixes: {B: approved}}
"""


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Channel]:
    """A channel with that profile."""
    folder = tmp_path / "profiles"
    shutil.copytree(shipped("profiles"), folder)
    (folder / "network.yaml").write_text(PROFILE, encoding="utf-8")
    monkeypatch.setattr(edition, "shipped", lambda _: folder)
    keep_editions(known_editions())
    path = tmp_path / "network.yaml"
    path.write_text("channel: network\nlisten: tcp:0\nprofile: network\n", encoding="utf-8")
    yield load_channel(path)
    keep_editions(known_editions())


@pytest.fixture
def store(tmp_path: Path, network: Channel) -> Iterator[Store]:
    """Asked twice and answered once, by the partner's own messages."""
    store = Store(tmp_path, on=network)
    for control_id in ("C1", "C2"):
        head = {"kind": "ZQA", "event": "Z02", "version": "2.4", "control_id": control_id}
        parties = {"sender": "FRONT|NORTH", "receiver": "PAYER|SOUTH"}
        store.send(message(f"RF1||S||||R{control_id}", PRD, PID, VISIT, aut({8: "3"}), **head, **parties))  # type: ignore[arg-type]
    told = (VISIT, aut({4: "20260401", 8: "3"}), "ZAU||PA55|B000^granted")
    store.send(
        message("MSA|AA|C1", PRD, PID, *told, kind="ZPA", event="Z02", version="2.4", control_id="D1",
                sender="PAYER|SOUTH", receiver="FRONT|NORTH")
    )  # fmt: skip
    yield store
    store.close()


def test_the_clock_of_its_requests_runs(store: Store) -> None:
    with store.reading() as connection:
        (entry,) = list_authorizations(connection, Wanted(open_requests=True), 0, START + 2 * HOUR)
    assert entry["key"] == "RC2@FRONT:NORTH"
    assert (entry["clock"]["age_hours"], entry["clock"]["urgency"]) == (1, "expedited")


def test_places_are_told_where_aut_says_it_and_only_by_its_channel(store: Store, network: Channel) -> None:
    known = {network.name: network}
    with store.reading() as connection:
        found = {
            field: read_why(connection, "PA55@PAYER:SOUTH", field, known)["place"]
            for field in ("effective_date", "status", "identifier", "approval_status", "lines[0].status")
        }
        assert read_why(connection, "PA55@PAYER:SOUTH", "effective_date")["place"] is None
        (version,) = read_history(connection, "PA55@PAYER:SOUTH")
    assert found.pop("effective_date") == {"path": "AUT-4", "under": "PR1", "raw": "20260401"}
    assert set(found.values()) == {None}  # these stand in the partner's own segment
    assert "PAYER of SOUTH answered (ZPA^Z02" in version["story"][0]


def test_what_it_sent_is_rebuilt(store: Store, network: Channel) -> None:
    report = rebuild(store.engine, {network.name: network})
    assert report.differences == []
    assert (report.messages, report.versions) == (3, 4)
