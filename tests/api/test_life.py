"""The life of a request over the API: moves, what forbids them, and what is told of them."""

import pytest

from tests.api.desk import Desk
from tests.store.stored import samples

KEY = "CH-24011@CEDARHILL"


def test_a_request_from_entry_to_a_second_decision(desk: Desk) -> None:
    desk.send(samples()[0])

    def post(move: str, status: int = 200, **body: object) -> dict[str, object]:
        answer = desk.ask("POST", f"/requests/{KEY}/{move}", **({"json": body} if body or move in _WITH_BODY else {}))
        assert answer.status_code == status, answer.text
        found: dict[str, object] = answer.json()
        return found

    assert desk.get(f"/requests/{KEY}/process")["links"] == ["authorization:submit", "authorization:cancel"]
    refused = post("deny", 409, fatal={"text": "too early"})
    assert (refused["type"], refused["allowed"]) == ("urn:hl7auth:forbidden-move", ["submit", "cancel"])
    post("submit")
    assert post("pend", reason="papers", follow_up="2026-05-20")["state"] == "Pended"
    assert post("deny", 400)["type"] == "urn:hl7auth:needed"
    post("extend", days=2, reason="post")
    post("tochange")
    post("submit")
    assert post("approve", 400)["type"] == "urn:hl7auth:needed"
    approved = post("approve", number="FG-1", effective="2026-05-01", expiration="2026-08-01", units="7.5", unit="HR")
    assert (approved["state"], approved["number"], approved["in_force"]) == ("Approved", "FG-1", True)
    assert desk.get("/authorizations/FG-1@FERNGATE")["expiration_date"] == "2026-08-01"
    assert post("unfinalize", 400)["type"] == "urn:hl7auth:needed"
    assert post("unfinalize", reason="an appeal")["version"] == 2
    post("cancel")
    year = desk.get("/figures/2026")["all"]["standard"]
    assert (year["approved"]["count"], year["extended_and_approved"]["count"], year["cancelled"]) == (1, 1, 1)
    assert post("submit", 409)["allowed"] == []
    actions = [each["action"] for each in desk.audited(f"?{KEY}")]
    moves = ("submit", "pend", "extend", "tochange", "submit", "approve", "unfinalize", "cancel")
    assert actions == [f"request.{move}" for move in moves]


_WITH_BODY = {"deny", "approve", "unfinalize", "cancel"}


@pytest.mark.parametrize("move", ["submit", "resume", "tochange"])
def test_what_may_not_be_seen_is_not_there(desk: Desk, move: str) -> None:
    desk.send(samples()[0])
    other = desk.token("other", "clinical.authorization.write", payors=["ACME"])
    assert desk.ask("POST", f"/requests/{KEY}/{move}", headers=other).status_code == 404
    reader = desk.token("reader", "clinical.authorization.read")
    assert desk.ask("POST", f"/requests/{KEY}/{move}", headers=reader).status_code == 403


def test_what_another_has_changed_meanwhile_is_left_alone(desk: Desk) -> None:
    desk.send(samples()[0])
    seen = desk.ask("GET", f"/requests/{KEY}/process")
    known = seen.headers["ETag"]
    assert desk.ask("GET", f"/requests/{KEY}/process", headers={"If-None-Match": known}).status_code == 304
    moved = desk.ask("POST", f"/requests/{KEY}/submit", headers={"If-Match": known})
    assert (moved.status_code, moved.headers["ETag"] == known) == (200, False)
    late = desk.ask("POST", f"/requests/{KEY}/pend", json={"reason": "papers"}, headers={"If-Match": known})
    assert (late.status_code, late.json()["type"]) == (412, "urn:hl7auth:changed")
    assert desk.get(f"/requests/{KEY}/process")["state"] == "In Process"
    now = desk.ask(
        "POST", f"/requests/{KEY}/pend", json={"reason": "papers"}, headers={"If-Match": moved.headers["ETag"]}
    )
    assert (now.status_code, now.json()["state"]) == (200, "Pended")
    known = now.headers["ETag"]
    for move, body in (
        ("resume", None),
        ("tochange", None),
        ("deny", {"fatal": {"text": "no"}}),
        ("extend", {"days": 1, "reason": "x"}),
    ):
        stale = desk.ask(
            "POST", f"/requests/{KEY}/{move}", headers={"If-Match": '"0.0"'}, **({"json": body} if body else {})
        )
        assert stale.status_code == 412, move
    assert desk.ask("GET", f"/requests/{KEY}/process").headers["ETag"] == known
