"""Each sentence about `/authorization`: create, update, delete, and the operations that tell how they stand."""

import time
from typing import Any

import pytest
from httpx2 import Response

from hl7auth.api.records import perform
from hl7auth.store import operations
from hl7auth.store.tokens import READ, WRITE
from tests.api.desk import Desk, is_problem

NEW: dict[str, Any] = {
    "authnumber": "A100",
    "authtype": "OUTPATIENT",
    "authdecision": "AP",
    "access": [{"idtype": "NPI", "providerid": "1", "role": "requesting"}],
    "lines": [
        {
            "authlinenumber": "1", "dosstart": "2026-05-01", "dosend": "20260531", "hcpcs": "97110",
            "access": [{"idtype": "NPI", "providerid": "2", "role": "servicing"}],
        }
    ],
}  # fmt: skip


def ended(desk: Desk, answer: Response) -> dict[str, Any]:
    """The operation that was taken on, when it has ended."""
    assert answer.status_code == 202, answer.text
    location = answer.headers["operation-location"]
    assert location.startswith("http://testserver/operation/")
    for _ in range(2_000):
        found: dict[str, Any] = desk.get(location.removeprefix("http://testserver"))
        assert found["status"] in ("NotStarted", "Running", "Succeeded", "Failed")
        if found["finished_at"]:
            return found
        time.sleep(0.005)
    raise AssertionError("it does not end")


def create(desk: Desk, **more: Any) -> dict[str, Any]:
    return ended(desk, desk.ask("POST", "/authorization", json=NEW | more))


def patch(desk: Desk, body: dict[str, Any], number: str = "A100", **more: Any) -> dict[str, Any]:
    return ended(desk, desk.ask("PATCH", f"/authorization?authnumber={number}", json=body, **more))


def record(desk: Desk, number: str = "A100") -> Any:
    return desk.get(f"/authorization?authnumber={number}")


def test_create_with_lines_and_accesses(desk: Desk) -> None:
    done = create(desk)
    assert (done["status"], done["result"]) == ("Succeeded", {"authorization": "A100@UNKNOWN", "created": True})
    found = record(desk)
    assert (found["authtype"], found["authdecision"]) == ("OUTPATIENT", "AP")
    assert found["access"] == NEW["access"]
    (line,) = found["lines"]
    assert (line["authlinenumber"], line["hcpcs"], line["dosend"]) == ("1", "97110", "2026-05-31")
    assert line["access"] == NEW["lines"][0]["access"]
    assert desk.get("/authorizations/A100@UNKNOWN")["status"] == "approved"
    assert desk.get("/authorizations/A100@UNKNOWN/history")["items"][0]["by"]


def test_an_existing_match_is_not_created(desk: Desk) -> None:
    create(desk)
    done = create(desk, authdecision="DE")
    assert (done["status"], done["result"]["created"]) == ("Succeeded", False)
    assert record(desk)["authdecision"] == "AP"
    desk.grant("PA1")
    assert create(desk, authnumber="PA1")["result"]["created"] is False
    assert create(desk, authnumber="PA1", assigner="ANOTHER")["result"]["created"] is True


def test_all_names_are_lowercase(desk: Desk) -> None:
    refused = is_problem(desk.ask("POST", "/authorization", json=NEW | {"AuthType": "X"}), 400)
    assert refused["errors"] == [{"path": "/AuthType", "text": "there is no such field"}]


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"authnumber": ""}, "/authnumber"),
        ({"lines": [{"authlinenumber": "1", "hcpcs": "nonsense"}]}, "/lines/0/hcpcs"),
        ({"lines": [{"authlinenumber": "1", "dosstart": "2026-02-30"}]}, "/lines/0/dosstart"),
        ({"lines": [{"authlinenumber": "1", "units": "0.0001"}]}, "/lines/0/units"),
        ({"lines": [{"authlinenumber": "1", "units": -1}]}, "/lines/0/units"),
        ({"lines": [{"hcpcs": "97110"}]}, "/lines/0/authlinenumber"),
        ({"dosstart": "2026-02-02", "dosend": "2026-02-01"}, ""),
        ({"access": [{"idtype": "NPI", "providerid": "1"}]}, "/access/0/role"),
        ({"lines": [{"authlinenumber": "1"}] * 2}, ""),
    ],
)
def test_what_is_wrong_is_named_by_its_place(desk: Desk, more: dict[str, Any], path: str) -> None:
    refused = is_problem(desk.ask("POST", "/authorization", json=NEW | more), 400)
    assert path in [each["path"] for each in refused["errors"]]


def test_a_sparse_update_changes_what_it_says(desk: Desk) -> None:
    create(desk, dosstart="2026-05-01", units="10", unittype="visits")
    patch(desk, {"units": 12.5})
    found = record(desk)
    assert (found["units"], found["dosstart"], found["authtype"]) == ("12.5", "2026-05-01", "OUTPATIENT")
    patch(desk, {"dosstart": None})
    assert record(desk)["dosstart"] is None
    patch(desk, {"authdecision": "DE", "authtype": "INPATIENT"})
    found = record(desk)
    assert (found["authdecision"], found["authtype"], found["units"]) == ("DE", "INPATIENT", "12.5")
    assert desk.get("/authorizations/A100@UNKNOWN")["status"] == "denied"


def test_children_are_new_modified_or_deleted(desk: Desk) -> None:
    create(desk)
    lines = [
        {"authlinenumber": "1", "dosend": "2026-06-30", "record_action": "m",
         "access": [{"idtype": "NPI", "providerid": "2", "role": "servicing", "record_action": "d"}]},
        {"authlinenumber": "2", "hcpcs": "j1234", "record_action": "n",
         "access": [{"idtype": "NPI", "providerid": "3", "role": "servicing", "record_action": "n"}]},
    ]  # fmt: skip
    access = [{"idtype": "NPI", "providerid": "1", "role": "requesting", "record_action": "m"}]
    done = patch(desk, {"lines": lines, "access": access})
    assert done["status"] == "Succeeded", done
    one, two = record(desk)["lines"]
    assert (one["dosend"], one["dosstart"], one["access"]) == ("2026-06-30", "2026-05-01", [])
    assert (two["hcpcs"], two["access"][0]["providerid"]) == ("J1234", "3")
    patch(desk, {"lines": [{"authlinenumber": "1", "hcpcs": "97140", "record_action": "m"}]})
    assert {line["authlinenumber"]: line["hcpcs"] for line in record(desk)["lines"]} == {"1": "97140", "2": "J1234"}
    patch(desk, {"lines": [{"authlinenumber": "2", "record_action": "d"}]})
    assert [line["authlinenumber"] for line in record(desk)["lines"]] == ["1"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"lines": [{"authlinenumber": "1", "record_action": "n"}]}, "/lines/0: there is a line '1' already"),
        ({"lines": [{"authlinenumber": "9", "record_action": "m"}]}, "/lines/0: there is no line '9'"),
        ({"lines": [{"authlinenumber": "9", "record_action": "d"}]}, "/lines/0: there is no line '9'"),
        ({"access": [NEW["access"][0] | {"record_action": "n"}]}, "/access/0: is there already"),
        ({"access": [NEW["access"][0] | {"role": "other", "record_action": "d"}]}, "/access/0: is not there"),
    ],
)
def test_all_or_nothing(desk: Desk, body: dict[str, Any], text: str) -> None:
    create(desk)
    before = record(desk)
    done = patch(desk, body | {"authdecision": "DE"})
    assert (done["status"], done["error"]["detail"]) == ("Failed", text)
    assert record(desk) == before


def test_the_misspelled_action_is_taken_with_a_warning(desk: Desk) -> None:
    create(desk)
    done = patch(desk, {"lines": [{"authlinenumber": "2", "hcpcs": "97112", "action_record": "n"}]})
    assert done["result"]["warnings"] == ["/lines/0/action_record: read as record_action"]
    assert len(record(desk)["lines"]) == 2
    for line in ({"authlinenumber": "1"}, {"authlinenumber": "1", "record_action": "m", "action_record": "m"},
                 {"authlinenumber": "1", "record_action": "x"}):  # fmt: skip
        is_problem(desk.ask("PATCH", "/authorization?authnumber=A100", json={"lines": [line]}), 400)


def test_delete_takes_the_children_along(desk: Desk) -> None:
    create(desk)
    done = ended(desk, desk.ask("DELETE", "/authorization?authnumber=A100"))
    assert done["status"] == "Succeeded"
    is_problem(desk.ask("GET", "/authorization?authnumber=A100"), 404)
    assert len(desk.get("/authorizations/A100@UNKNOWN/history")["items"]) == 2  # what was, stays on record
    assert create(desk, access=[], lines=[])["result"]["created"] is True
    assert record(desk)["access"] == []


def test_an_unknown_number_fails_in_the_operation(desk: Desk) -> None:
    for answer in (desk.ask("DELETE", "/authorization?authnumber=NO"),
                   desk.ask("PATCH", "/authorization?authnumber=NO", json={})):  # fmt: skip
        done = ended(desk, answer)
        assert (done["status"], done["error"]["type"]) == ("Failed", "urn:hl7auth:missing")
    is_problem(desk.ask("DELETE", "/authorization"), 400)
    is_problem(desk.ask("GET", "/operation/none"), 404)


def test_the_same_call_again_is_done_once(desk: Desk) -> None:
    key = {"Idempotency-Key": "once"}
    first = desk.ask("POST", "/authorization", json=NEW, headers=key)
    again = desk.ask("POST", "/authorization", json=NEW, headers=key)
    assert again.headers["operation-location"] == first.headers["operation-location"]
    other = desk.ask("POST", "/authorization", json=NEW | {"authnumber": "B1"}, headers=key)
    assert is_problem(other, 422)["type"] == "urn:hl7auth:idempotency-key"
    assert ended(desk, again)["result"]["created"] is True


def test_what_a_process_left_undone_is_done_once(desk: Desk) -> None:
    answer = desk.ask("POST", "/authorization", json=NEW)
    done = ended(desk, answer)
    state = desk.app.state.api
    with desk.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE operation SET state = 'Running', result = NULL")
        connection.exec_driver_sql("DELETE FROM authorization_access")
        left = operations.begin(connection, done["id"])
    assert left is not None
    perform(state, left)
    assert desk.get(f"/operation/{done['id']}")["result"]["created"] is True
    assert record(desk)["access"] == NEW["access"]
    assert len(desk.get("/authorizations/A100@UNKNOWN/history")["items"]) == 1


def test_only_who_knows_the_record_changes_it(desk: Desk) -> None:
    create(desk)
    known = {"If-Match": desk.ask("GET", "/authorizations/A100@UNKNOWN").headers["etag"]}
    assert patch(desk, {"units": 3}, headers=known)["status"] == "Succeeded"
    stale = desk.ask("PATCH", "/authorization?authnumber=A100", json={"units": 4}, headers=known)
    assert is_problem(stale, 412)["type"] == "urn:hl7auth:changed"


def test_who_may_write(desk: Desk) -> None:
    reader = desk.token("reader", READ)
    for method, path in (("POST", "/authorization"), ("PATCH", "/authorization?authnumber=A100"),
                         ("DELETE", "/authorization?authnumber=A100")):  # fmt: skip
        body: dict[str, Any] = {} if method == "DELETE" else {"json": NEW if method == "POST" else {}}
        assert is_problem(desk.client.request(method, path, headers=reader, **body), 403)["scope"] == WRITE
    desk.grant("PB1", payor="OTHER")
    bound = desk.token("bound", WRITE, READ, payors=["ACME"])
    answer = desk.ask("DELETE", "/authorization?authnumber=PB1", headers=bound)
    assert ended(desk, answer)["status"] == "Failed"
    assert desk.get("/authorizations/PB1@OTHER")["status"] == "approved"
    answer = desk.ask("POST", "/authorization", json=NEW, headers=bound)
    assert ended(desk, answer)["result"]["authorization"] == "A100@ACME"


def test_every_change_is_in_the_audit_log(desk: Desk) -> None:
    create(desk)
    (entry,) = [each for each in desk.audited("A100@UNKNOWN") if each["action"] == "authorization.create"]
    assert (entry["who"], entry["detail"]["status"]) == ("boss", "Succeeded")
