"""The queue over the API: one delivery, and what a person decides about it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hl7auth.flow.channel import Channel
from hl7auth.flow.destination import Destination
from hl7auth.flow.outbox import Delivery
from hl7auth.store.deliveries import write_deliveries
from hl7auth.store.tokens import READ, WRITE
from tests.api.desk import Desk, is_problem
from tests.api.desk import desk as made
from tests.messages import shipped_channel
from tests.store.postgres import shared
from tests.store.stored import samples

NAME = "referral-intake"
THERE = Destination.model_validate({"mllp": {"connect": "tcp:127.0.0.1:1"}})


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    """That of a file, but where a test says otherwise."""
    return shared().database() if getattr(request, "param", "") == "postgresql" else ""


@pytest.fixture
def desk(url: str, tmp_path: Path) -> Iterator[Desk]:
    """Two deliveries to the payer, one behind the other in the order of a key."""
    shipped = shipped_channel()
    file = shipped.file.model_copy(update={"destinations": {"payer": THERE, "copy": THERE}})
    with made(tmp_path, Channel(file=file, path=shipped.path), url=url) as found:
        found.channel = shipped  # which sends nothing on by itself
        for raw in samples()[:2]:
            (outcome,) = found.send(raw)
            with found.engine.begin() as connection:
                write_deliveries(connection, [Delivery(outcome.plan.message_id, f"{NAME}/payer", ("A",), found.time)])
        yield found


def queued(desk: Desk) -> list[tuple[str, str, str]]:
    rows = desk.get("/queue")["items"][::-1]
    return [(each["id"], each["destination"], each["state"]) for each in rows]


@pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
def test_a_delivery_is_read_given_up_and_sent_once_more(desk: Desk) -> None:
    second = desk.get("/queue/2")
    assert (second["state"], second["waits_for"], second["lanes"], second["answer"]) == ("queued", ["1"], ["A"], None)
    skipped = desk.post("/queue/1/skip", {"reason": "obsolete"})
    assert (skipped["state"], skipped["record"][0] | {"at": ""}) == (
        "skipped", {"at": "", "by": "boss", "action": "skip", "reason": "obsolete"},
    )  # fmt: skip
    assert desk.get("/queue/2")["waits_for"] == []
    refused = is_problem(desk.ask("POST", "/queue/1/skip", json={}), 409)
    assert (refused["type"], refused["detail"]) == (
        "urn:hl7auth:not-now",
        "delivery 1 is skipped: there is nothing to skip",
    )
    again = desk.post("/queue/1/retry", {})
    assert (again["id"], again["state"], again["waits_for"]) == ("3", "queued", ["2"])
    assert desk.post("/queue/2/retry", {"reason": "mended"})["id"] == "2"
    assert [state for _, _, state in queued(desk)] == ["skipped", "queued", "queued"]
    told = [
        (each["action"], each["subject"]) for each in desk.audited() if not each["action"].endswith(("read", "list"))
    ]
    assert told == [("queue.skip", "1"), ("queue.retry", "1"), ("queue.retry", "2")]


def test_a_delivery_goes_to_another_destination_that_is_served(desk: Desk) -> None:
    for to in ("nowhere", f"{NAME}/none", "other/payer"):
        refused = is_problem(desk.ask("POST", "/queue/1/move", json={"to": to}), 400)
        assert refused["errors"] == [{"path": "/to", "text": "is no destination of a channel that is served"}]
    is_problem(desk.ask("POST", "/queue/1/move", json={}), 400)
    is_problem(desk.ask("POST", "/queue/1/move", json={"to": f"{NAME}/payer"}), 409)
    moved = desk.post("/queue/1/move", {"to": f"{NAME}/copy"})
    assert (moved["id"], moved["destination"]) == ("3", f"{NAME}/copy")
    assert queued(desk)[0][2] == "skipped"


def test_what_is_being_sent_or_not_there_is_left_alone(desk: Desk) -> None:
    with desk.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE delivery SET state = 'in_flight' WHERE id = 1")
    for path, body in (("retry", {}), ("skip", {}), ("move", {"to": f"{NAME}/copy"})):
        refused = is_problem(desk.ask("POST", f"/queue/1/{path}", json=body), 409)
        assert refused["detail"] == "delivery 1 is being sent right now"
        is_problem(desk.ask("POST", f"/queue/99/{path}", json=body), 404)
    is_problem(desk.ask("GET", "/queue/99"), 404)


def test_who_may_not(desk: Desk) -> None:
    tokens: dict[str, Any] = {
        "payor": desk.token("payor", READ, WRITE, payors=["ACME"]),
        "elsewhere": desk.token("elsewhere", READ, WRITE, channels=["other"]),
    }
    for name, status in (("payor", 403), ("elsewhere", 404)):
        is_problem(desk.ask("GET", "/queue/1", headers=tokens[name]), status)
        is_problem(desk.ask("POST", "/queue/1/skip", json={}, headers=tokens[name]), status)
    assert [state for _, _, state in queued(desk)] == ["queued", "queued"]
