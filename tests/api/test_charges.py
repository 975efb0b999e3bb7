"""Attach or request an authorization: its lifecycle, its table of validation and its table of troubles."""

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hl7auth.store.tokens import CHARGE_READ, READ, REQUEST, WRITE
from tests.api.desk import Desk, is_problem
from tests.api.desk import desk as made

CHARGE = {
    "id": "CH1",
    "member": "M1",
    "payor": "ACME",
    "dos": "2026-05-10",
    "code": "97110",
    "units": "2",
    "unit": "visits",
}
PAPER = {"name": "letter.pdf", "media_type": "application/pdf", "content": base64.b64encode(b"granted").decode()}
MANUAL: dict[str, Any] = {
    "authnumber": "H1", "payor": "STATE", "member": {"id": "M1", "family": "Lantern", "given": "Ilse"}, "units": "5",
    "unit": "visits", "dosstart": "2026-05-01", "dosend": "2026-05-31", "codes": ["97110"], "documents": [PAPER],
}  # fmt: skip


def charge(desk: Desk, name: str = "CH1", **more: Any) -> Any:
    return desk.post("/charges", CHARGE | {"id": name} | more)


def attach(desk: Desk, key: str, name: str = "CH1") -> Any:
    return desk.post(f"/charges/{name}/attach", {"authorization": key})


def refused(desk: Desk, key: str, name: str = "CH1") -> dict[str, Any]:
    return is_problem(desk.ask("POST", f"/charges/{name}/attach", json={"authorization": key}), 409)


def balance(desk: Desk, key: str) -> Any:
    return desk.get(f"/authorizations/{key}")["balance"]


def candidates(desk: Desk, every: bool = False) -> list[tuple[str, list[str]]]:
    items = desk.get(f"/charges/CH1/candidates{'?all=true' if every else ''}")["items"]
    return [(each["authorization"], each["reasons"]) for each in items]


def test_candidates_are_ranked_by_remaining_units(desk: Desk) -> None:
    for number, units in (("PA1", "5"), ("PA2", "9"), ("PA3", "7")):
        desk.grant(number, units)
    charge(desk)
    assert candidates(desk) == [("PA2@ACME", []), ("PA3@ACME", []), ("PA1@ACME", [])]


def test_attach_shows_no_candidates_so_show_all_with_reasons(desk: Desk) -> None:
    desk.grant("PA1", "1")
    desk.grant("PA2", says="PE")
    desk.grant("PA3", payor="OTHER")
    charge(desk, code="97140")
    assert candidates(desk) == []
    assert dict(candidates(desk, every=True)) == {
        "PA1@ACME": ["UNITS", "CODE"], "PA2@ACME": ["NOT_ACTIVE", "CODE"], "PA3@OTHER": ["CODE", "PAYER"],
    }  # fmt: skip


def test_late_billing_is_judged_by_the_date_of_service(desk: Desk) -> None:
    desk.grant("PA1")
    desk.time += 60 * 24 * 3_600_000_000
    charge(desk)
    assert balance(desk, "PA1@ACME")["status"] == "EXPIRED"
    assert candidates(desk) == [("PA1@ACME", [])]
    assert attach(desk, "PA1@ACME")["attached"] is True


def test_attaching_clears_auth_required_after_validation(desk: Desk) -> None:
    desk.grant("PA1")
    assert charge(desk)["issues"] == ["auth_required"]
    done = attach(desk, "PA1@ACME")
    assert (done["authorization"], done["number"], done["issues"]) == ("PA1@ACME", "PA1", ["auth_required"])
    assert desk.post("/charges/CH1/validate")["issues"] == []
    assert attach(desk, "PA1@ACME")["attached"] is False
    assert balance(desk, "PA1@ACME")["used"] == "2"
    assert desk.get("/charges?issue=auth_required")["items"] == []


def test_used_units_update_atomically(desk: Desk) -> None:
    desk.grant("PA1")
    for number in range(12):
        charge(desk, f"CH{number}")

    def one(number: int) -> int:
        body = {"authorization": "PA1@ACME"}
        return desk.ask("POST", f"/charges/CH{number}/attach", json=body).status_code

    with ThreadPoolExecutor(6) as pool:
        codes = list(pool.map(one, range(12)))
    assert sorted(codes) == [200] * 5 + [409] * 7
    found = balance(desk, "PA1@ACME")
    assert (found["used"], found["remaining"], found["status"]) == ("10", "0", "EXHAUSTED")


def test_too_few_units_is_409_with_the_reason(desk: Desk) -> None:
    desk.grant("PA1", "1")
    charge(desk)
    found = refused(desk, "PA1@ACME")
    assert (found["type"], found["reasons"]) == ("urn:hl7auth:insufficient-units", ["UNITS"])


def test_auth_expired_mid_bill(desk: Desk) -> None:
    desk.grant("PA1")
    charge(desk, dos="2026-06-02")
    assert refused(desk, "PA1@ACME")["reasons"] == ["NOT_ACTIVE", "DOS_OUT_OF_WINDOW"]


def test_used_exceeds_approved_reverse_the_offending_charge(desk: Desk) -> None:
    desk.grant("PA1", "4")
    for name in ("CH1", "CH2"):
        charge(desk, name)
        attach(desk, "PA1@ACME", name)
    desk.grant("PA1", "3")
    found = balance(desk, "PA1@ACME")
    assert (found["overused"], found["remaining"], found["status"]) == (True, "-1", "EXHAUSTED")
    assert desk.post("/charges/CH1/validate")["issues"] == ["authorization_overused"]
    done = desk.post("/charges/CH2/reverse")
    assert (done["reversed"], done["issues"], done["authorization"]) == (True, ["auth_required"], None)
    assert desk.post("/charges/CH2/reverse")["reversed"] is False
    assert balance(desk, "PA1@ACME")["status"] == "ACTIVE"


def test_a_charge_moves_in_one_transaction(desk: Desk) -> None:
    desk.grant("PA1")
    desk.grant("PA2", "1")
    desk.grant("PA3")
    charge(desk)
    attach(desk, "PA1@ACME")
    refused(desk, "PA2@ACME")
    assert balance(desk, "PA1@ACME")["used"] == "2"
    attach(desk, "PA3@ACME")
    assert [balance(desk, key)["used"] for key in ("PA1@ACME", "PA3@ACME")] == ["0", "2"]


def test_utilization_over_80_percent_with_the_period_open(desk: Desk) -> None:
    desk.grant("PA1", "100")
    charge(desk, "CH1", units=80)
    attach(desk, "PA1@ACME")
    assert desk.get("/utilization")["items"] == []
    charge(desk, "CH2", units="1", dos="2026-05-12")
    attach(desk, "PA1@ACME", "CH2")
    (alert,) = desk.get("/utilization")["items"]
    assert (alert["authorization"], alert["level"], alert["percent"]) == ("PA1@ACME", "warning", "81")
    series = desk.get("/authorizations/PA1@ACME/series")
    assert series["points"] == [{"dos": "2026-05-10", "used": "80"}, {"dos": "2026-05-12", "used": "81"}]
    assert series["approved"] == "100"
    desk.time += 60 * 24 * 3_600_000_000
    assert desk.get("/utilization")["items"] == []


def test_what_is_scheduled_will_run_out(desk: Desk) -> None:
    desk.grant("PA1", "10", more="|2|9")
    (alert,) = desk.get("/utilization")["items"]
    assert (alert["level"], alert["percent"]) == ("will_run_out", "20")


def test_manual_entry_is_active_and_its_document_in_the_audit_log(desk: Desk) -> None:
    done = desk.post("/authorizations/manual", MANUAL)
    assert (done["key"], done["status"], done["balance"]["status"]) == ("H1@STATE", "approved", "ACTIVE")
    (entry,) = desk.audited("H1@STATE")[:1]
    (paper,) = entry["detail"]["papers"]
    assert (entry["action"], paper["name"], paper["bytes"]) == ("authorization.manual", "letter.pdf", 7)
    (listed,) = desk.get("/authorizations/H1@STATE/papers")["items"]
    assert desk.ask("GET", f"/papers/{listed['digest']}").content == b"granted"
    charge(desk, payor="STATE")
    assert candidates(desk) == [("H1@STATE", [])]
    assert attach(desk, "H1@STATE")["attached"] is True
    again = is_problem(desk.ask("POST", "/authorizations/manual", json=MANUAL), 409)
    assert again["type"] == "urn:hl7auth:exists"


def test_what_was_entered_by_hand_is_approved_by_a_move_of_its_own_and_can_be_unfinalized(desk: Desk) -> None:
    desk.post("/authorizations/manual", MANUAL)
    at = "/requests/H1@STATE"
    process = desk.get(f"{at}/process")
    assert (process["state"], process["decision"], process["in_force"]) == ("Approved", "certified_total", True)
    assert [each["event"] for each in process["versions"][0]["history"]] == ["manual_save"]
    assert desk.get("/figures/2026")["all"]["standard"]["decided"] == 0
    assert desk.ask("POST", f"{at}/unfinalize", json={"reason": "fewer"}).json()["state"] == "Changed"
    assert desk.ask("POST", f"{at}/submit").json()["state"] == "In Process"
    less = {"decision": "modified", "units": "3", "unit": "visits", "reason": "fewer"}
    assert desk.ask("POST", f"{at}/approve", json=less).json()["state"] == "Approved"
    assert desk.get("/authorizations/H1@STATE")["balance"]["approved"] == "3"
    assert desk.ask("POST", f"{at}/cancel", json={}).json()["state"] == "Cancelled"
    once_more = desk.post("/authorizations/manual", MANUAL)
    assert (once_more["key"], desk.get(f"{at}/process")["version"]) == ("H1@STATE", 3)


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"documents": []}, "/documents"),
        ({"documents": [PAPER | {"content": "***"}]}, "/documents/0/content"),
        ({"codes": ["97110", "x"]}, "/codes/1"),
        ({"dosstart": "soon"}, "/dosstart"),
        ({"units": "0"}, "/units"),
        ({"memo": "x"}, "/memo"),
    ],
)
def test_a_manual_entry_is_checked(desk: Desk, more: dict[str, Any], path: str) -> None:
    found = is_problem(desk.ask("POST", "/authorizations/manual", json=MANUAL | more), 400)
    assert path in [each["path"] for each in found["errors"]]


def test_a_program_without_a_wire_waits_for_a_person(tmp_path: Path) -> None:
    asked = {name: value for name, value in MANUAL.items() if name not in ("authnumber", "documents")}
    with made(tmp_path, manual=frozenset({"STATE"})) as desk:
        waits = desk.post("/authorizations/request", asked)
        assert waits["balance"]["status"] == "PENDING"
        key = waits["key"]
        assert [each["key"] for each in desk.get("/requests")["items"]] == [key]
        done = desk.post("/authorizations/manual", MANUAL | {"request": key})
        assert done["balance"]["status"] == "ACTIVE"
        assert desk.get("/requests")["items"] == []
        again = MANUAL | {"request": key, "authnumber": "H2"}
        is_problem(desk.ask("POST", "/authorizations/manual", json=again), 409)
        other = is_problem(desk.ask("POST", "/authorizations/request", json=asked | {"payor": "ACME"}), 422)
        assert other["type"] == "urn:hl7auth:no-way-to-payor"


@pytest.mark.parametrize(
    ("method", "path", "body", "scope"),
    [
        ("GET", "/charges", None, CHARGE_READ),
        ("GET", "/charges/CH1", None, CHARGE_READ),
        ("GET", "/charges/CH1/candidates", None, READ),
        ("GET", "/utilization", None, READ),
        ("POST", "/charges/CH1/attach", {"authorization": "PA1@ACME"}, WRITE),
        ("POST", "/charges/CH1/reverse", None, WRITE),
        ("POST", "/charges/CH1/validate", None, WRITE),
        ("POST", "/authorizations/manual", MANUAL, WRITE),
        ("POST", "/authorizations/request", MANUAL, REQUEST),
        ("POST", "/charges", CHARGE, "admin"),
    ],
)
def test_each_scope_is_asked_for(desk: Desk, method: str, path: str, body: Any, scope: str) -> None:
    others = [each for each in (CHARGE_READ, READ, WRITE, REQUEST) if each != scope]
    headers = desk.token("others", *others)
    if path.endswith("request"):
        body = {name: value for name, value in body.items() if name not in ("authnumber", "documents")}
    found = is_problem(desk.client.request(method, path, headers=headers, json=body), 403)
    assert found["scope"] == scope


def test_charges_are_read_and_bound_to_payors(desk: Desk) -> None:
    charge(desk)
    charge(desk, "CH2", payor="OTHER", amount="12.50")
    assert charge(desk)["id"] == "CH1"  # the same again
    is_problem(desk.ask("POST", "/charges", json=CHARGE | {"units": "3"}), 409)
    assert [each["id"] for each in desk.get("/charges?member=M1&limit=1")["items"]] == ["CH2"]
    bound = desk.token("bound", CHARGE_READ, WRITE, payors=["ACME"])
    assert [each["id"] for each in desk.get("/charges", headers=bound)["items"]] == ["CH1"]
    is_problem(desk.ask("GET", "/charges/CH2", headers=bound), 404)
    is_problem(desk.ask("POST", "/charges/CH2/reverse", headers=bound), 404)
    first = desk.ask("GET", "/charges/CH1")
    again = desk.ask("GET", "/charges/CH1", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    for path in ("/charges/NO", "/charges/NO/candidates"):
        is_problem(desk.ask("GET", path), 404)
    actions = {each["action"] for each in desk.audited()}
    assert {"charge.enter", "charge.list", "charge.read"} <= actions


def test_a_token_for_other_channels_meets_neither_balances_nor_charges_of_this_one(desk: Desk) -> None:
    """A charge has no channel; put to an authorization it is of that one's."""
    desk.grant("PA1", "2")
    charge(desk)
    charge(desk, "CH2")
    here = desk.token("here", CHARGE_READ, READ, WRITE, REQUEST, channels=["referral-intake"])
    other = desk.token("other", CHARGE_READ, READ, WRITE, REQUEST, channels=["another"])
    for headers, count in ((here, 1), (other, 0)):
        found = desk.get("/charges/CH1/candidates?all=true", headers=headers)["items"]
        assert [each["authorization"] for each in found] == ["PA1@ACME"][:count]
    attach(desk, "PA1@ACME")
    for headers, count in ((here, 1), (other, 0)):
        assert len(desk.get("/utilization", headers=headers)["items"]) == count
        assert len(desk.get("/charges", headers=headers)["items"]) == 1 + count
    for method, path, body in (
        ("GET", "/charges/CH1", None),
        ("POST", "/charges/CH1/reverse", None),
        ("POST", "/charges/CH1/validate", None),
        ("POST", "/charges/CH1/attach", {"authorization": "PA1@ACME"}),
        ("POST", "/charges/CH2/attach", {"authorization": "PA1@ACME"}),
    ):
        is_problem(desk.ask(method, path, json=body, headers=other), 404)
    assert desk.post("/charges/CH1/reverse", headers=here)["reversed"] is True
    record = {"authnumber": "A1", "authtype": "OUTPATIENT", "authdecision": "AP"}
    for path, body in (("/authorizations/manual", MANUAL), ("/authorization", record)):
        found = is_problem(desk.ask("POST", path, json=body, headers=other), 403)
        assert found["type"] == "urn:hl7auth:other-channel"
