"""The life of a request over the API: moves, what forbids them, and what is told of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hl7auth.flow.enrollment import Enrollment
from hl7auth.store import processes
from tests.api.desk import Desk, channel_with, is_problem
from tests.api.desk import desk as made
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
    approved = post("approve", number="FG-1", effective="2026-05-01", expiration="2026-08-01", units="12")
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


def test_a_procedure_is_left_out_of_an_approval(desk: Desk) -> None:
    desk.send(samples()[0].replace(b"OBR|1", b"PR1|2||BRACE^Brace of the knee^L||20260105\rOBR|1"))
    move(desk, "submit")

    def approve(status: int, *left_out: dict[str, str]) -> Any:
        answer = desk.ask("POST", f"/requests/{KEY}/approve", json={"number": "FG-1", "left_out": list(left_out)})
        assert answer.status_code == status, answer.text
        return answer.json()

    assert "no procedure 'KNEE'" in approve(400, {"code": "KNEE", "reason": "no"})["detail"]
    assert approve(400, {"code": "BRACE"})["errors"][0]["path"] == "/left_out/0/reason"
    assert approve(200, {"code": "BRACE", "reason": "not covered"})["decision"] == "certified_partial"
    lines = desk.get("/authorizations/FG-1@FERNGATE")["lines"]
    assert {each["procedure"]["code"]: each["status"] for each in lines} == {"PHY-KNEE": "approved", "BRACE": "denied"}


def test_units_are_granted_by_procedure(desk: Desk) -> None:
    desk.send(samples()[0].replace(b"OBR|1", b"PR1|2||BRACE^Brace of the knee^L||20260105\rOBR|1"))
    move(desk, "submit")

    def approve(status: int, *lines: dict[str, Any]) -> Any:
        answer = desk.ask("POST", f"/requests/{KEY}/approve", json={"number": "FG-1", "lines": list(lines)})
        assert answer.status_code == status, answer.text
        return answer.json()

    assert "no procedure 'KNEE'" in approve(400, {"code": "KNEE", "units": 1})["detail"]
    assert approve(400, {"code": "BRACE", "units": 0})["errors"][0]["path"] == "/lines/0/units"
    said = approve(200, {"code": "PHY-KNEE", "units": "8"}, {"code": "BRACE", "units": 1})
    assert said["decision"] == "certified_partial"
    lines = desk.get("/authorizations/FG-1@FERNGATE")["lines"]
    assert [each["authorized_treatments"]["quantity"] for each in lines] == ["8", "1"]


def test_the_payor_is_to_be_called(desk: Desk) -> None:
    desk.send(samples()[0])
    move(desk, "submit")
    body = {"reason": "a nurse decides", "contact": {"name": "Case desk", "phone": "555-0100"}}
    answer = desk.ask("POST", f"/requests/{KEY}/pend", json=body)
    assert (answer.status_code, answer.json()["decision"], answer.json()["x12"]) == (200, "contact_payer", "CT")
    half = desk.ask("POST", f"/requests/{KEY}/pend", json=body | {"contact": {"name": "Case desk"}})
    assert (half.status_code, half.json()["errors"][0]["path"]) == (400, "/contact/phone")


_WITH_BODY = {"deny", "approve", "unfinalize", "cancel"}
BODIES: Mapping[str, Any] = {
    "pend": {"reason": "papers", "code": "DOC"}, "approve": {"number": "FG-1"}, "deny": {"fatal": {"text": "no"}},
    "cancel": {}, "unfinalize": {"reason": "an appeal"},
}  # fmt: skip
MOVES = ("submit", "pend", "approve", "deny", "resume", "tochange", "cancel", "unfinalize")
#: each status there is, and the moves that lead there from the entry
WAYS: Mapping[str, tuple[str, ...]] = {
    "Entry": (), "In Process": ("submit",), "Pended": ("submit", "pend"), "Changed": ("submit", "pend", "tochange"),
    "Approved": ("submit", "approve"), "Denied": ("submit", "deny"), "Cancelled": ("cancel",),
}  # fmt: skip


def move(desk: Desk, name: str, status: int = 200) -> Any:
    """What is told of a move with all that it needs."""
    answer = desk.ask("POST", f"/requests/{KEY}/{name}", **({"json": BODIES[name]} if name in BODIES else {}))
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.mark.parametrize("state", WAYS)
def test_a_request_has_one_status_at_a_time_its_links_say_what_is_allowed_and_all_else_is_409(
    desk: Desk, state: str
) -> None:
    desk.send(samples()[0])
    for each in WAYS[state]:
        move(desk, each)
    found = desk.get(f"/requests/{KEY}/status")
    assert found["state"] == state
    rels = desk.get(f"/requests/{KEY}/process")["links"]
    assert [each["rel"] for each in found["links"]] == rels
    may = [each["href"].rpartition("/")[2] for each in found["links"]]
    for each in MOVES:
        if each not in may:
            told = move(desk, each, 409)
            assert told["type"] == "urn:hl7auth:forbidden-move"
            assert [f"authorization:{name}" for name in told["allowed"]] == rels
    assert desk.get(f"/requests/{KEY}/status") == found  # what is forbidden leaves all as it was


def test_links_are_followed_to_the_move_that_they_name(desk: Desk) -> None:
    desk.send(samples()[0])
    for rel, state in (("submit", "In Process"), ("pend", "Pended"), ("resume", "In Process"), ("deny", "Denied"),
                       ("unfinalize", "Changed"), ("submit", "In Process"), ("approve", "Approved")):  # fmt: skip
        links = {each["rel"]: each for each in desk.get(f"/requests/{KEY}/status")["links"]}
        link = links[f"authorization:{rel}"]
        body = {"json": BODIES[rel]} if rel in BODIES else {}
        assert desk.ask(link["method"], link["href"], **body).json()["state"] == state
    assert (
        desk.ask("GET", f"/requests/{KEY}/status").headers["ETag"]
        == desk.ask("GET", f"/requests/{KEY}/process").headers["ETag"]
    )


def test_when_submitted_the_status_is_in_process_and_history_pend_reasons_and_messages_are_updated(desk: Desk) -> None:
    desk.send(samples()[0])
    for each in ("submit", "pend", "tochange"):
        move(desk, each)
    (before,) = desk.get(f"/requests/{KEY}/process")["versions"]
    assert [(each["code"], each["resolved_at"]) for each in before["pends"]] == [("DOC", None)]
    with desk.engine.begin() as connection:
        processes.say(connection, 1, ("warning", "W1", "few units"), "system", desk.time)
        processes.say(connection, 1, ("info", "P1", "called"), "user", desk.time)
    assert move(desk, "submit")["state"] == "In Process"
    (after,) = desk.get(f"/requests/{KEY}/process")["versions"]
    assert [each["event"] for each in after["history"]] == ["create", "submit", "pend", "tochange", "submit"]
    assert after["history"][-1] | {"at": ""} == {
        "from_state": "Changed", "event": "submit", "to_state": "In Process", "at": "", "by": "boss", "reason": "",
    }  # fmt: skip
    assert [(each["code"], each["resolved_by"]) for each in after["pends"]] == [("DOC", "boss")]
    assert [each["code"] for each in after["messages"]] == ["P1"]  # what the system had said is taken back


def test_an_approved_or_denied_authorization_can_be_unfinalized_which_creates_a_new_version(desk: Desk) -> None:
    desk.send(samples()[0])
    for each in ("submit", "approve"):
        move(desk, each)
    refused = desk.ask("POST", f"/requests/{KEY}/unfinalize", json={})
    assert (refused.status_code, refused.json()["detail"][:16]) == (400, "AUT-IP-AUTI-015:")
    changed = move(desk, "unfinalize")
    assert (changed["version"], changed["state"]) == (2, "Changed")
    assert [each["in_force"] for each in changed["versions"]] == [True, False]  # the last approved one is in force
    move(desk, "submit")
    denied = move(desk, "deny")
    assert [(each["version"], each["state"], each["in_force"]) for each in denied["versions"]] == [
        (1, "Approved", False), (2, "Denied", False),
    ]  # fmt: skip
    assert move(desk, "unfinalize")["version"] == 3


def test_the_status_of_an_answer_is_reflected_on_the_authorization_row(desk: Desk) -> None:
    desk.send(samples()[0])

    def row(key: str) -> Any:
        return desk.get(f"/authorizations/{key}")["balance"]["status"]

    assert row(KEY) == "PENDING"
    for each in ("submit", "pend"):
        move(desk, each)
    assert row(KEY) == "PENDING"
    move(desk, "resume")
    until = {"number": "FG-1", "effective": "2026-05-01", "expiration": "2026-06-30"}
    desk.post(f"/requests/{KEY}/approve", until)
    assert row("FG-1@FERNGATE") == "ACTIVE"
    for each in ("unfinalize", "submit"):
        move(desk, each)
    assert row("FG-1@FERNGATE") == "ACTIVE"  # in force until the new version is decided
    move(desk, "deny")
    assert row("FG-1@FERNGATE") == "DENIED"


def test_no_enrollment_data_and_keep_is_the_fatal_message_over_the_api_too(tmp_path: Path) -> None:
    with made(tmp_path, channel_with(tmp_path, enrollment=Enrollment(keep=True))) as desk:
        desk.send(samples()[0])
        told = move(desk, "submit")
        (message,) = told["versions"][0]["messages"]
        assert (told["state"], message["severity"], f"{message['code']}: {message['text']}") == (
            "Denied", "fatal", "AUT-FL-ENRO-001: No enrollment data found and enrollment callout is disabled",
        )  # fmt: skip


@pytest.mark.parametrize("move", ["submit", "resume", "tochange"])
def test_what_may_not_be_seen_is_not_there(desk: Desk, move: str) -> None:
    desk.send(samples()[0])
    other = desk.token("other", "clinical.authorization.write", payors=["ACME"])
    for key, who in ((KEY, other), ("NOBODY", None)):
        found = is_problem(desk.ask("POST", f"/requests/{key}/{move}", **({"headers": who} if who else {})), 404)
        assert found["detail"] == f"AUT-IP-AUTO-001: there is no authorization or request '{key}'"
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
