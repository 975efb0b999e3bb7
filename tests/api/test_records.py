"""Each sentence about `/authorization`: create, update, delete, and the operations that tell how they stand.

Tests whose names are sentences are those of the page that describes these calls; the others are what it leaves open.
"""

import copy
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from hl7auth.api.app import create_app
from hl7auth.api.following import Rounds
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


def create(desk: Desk, **more: Any) -> dict[str, Any]:
    return desk.ended(desk.ask("POST", "/authorization", json=NEW | more))


def patch(desk: Desk, body: dict[str, Any], number: str = "A100", **more: Any) -> dict[str, Any]:
    return desk.ended(desk.ask("PATCH", f"/authorization?authnumber={number}", json=body, **more))


def record(desk: Desk, number: str = "A100") -> Any:
    return desk.get(f"/authorization?authnumber={number}")


#: the page's own sample with values in it: the two mistakes of its JSON mended, the misspelled name left as it stands
SAMPLE_UPDATE: dict[str, Any] = {
    "authtype": "INPATIENT",
    "authdecision": "DE",
    "access": [{"idtype": "NPI", "providerid": "5", "role": "reviewing", "record_action": "n"}],
    "lines": [
        {
            "authlinenumber": "1", "dosstart": "2026-06-01", "dosend": "2026-06-30", "hcpcs": "97112",
            "record_action": "m",
            "access": [{"idtype": "NPI", "providerid": "6", "role": "servicing", "action_record": "n"}],
        }
    ],
}  # fmt: skip
CALLS: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/authorization", NEW),
    ("PATCH", "/authorization?authnumber=A100", SAMPLE_UPDATE),
    ("DELETE", "/authorization?authnumber=A100", None),
)


def call(desk: Desk, method: str, path: str, body: Any, **more: Any) -> Response:
    return desk.ask(method, path, **({} if body is None else {"json": body}), **more)


def test_create_a_new_authorization_record_with_associated_lines_and_access_records(desk: Desk) -> None:
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


def test_if_there_is_an_existing_data_match_the_record_is_not_created(desk: Desk) -> None:
    create(desk)
    done = create(desk, authdecision="DE")
    assert (done["status"], done["result"]["created"]) == ("Succeeded", False)
    assert record(desk)["authdecision"] == "AP"
    desk.grant("PA1")
    assert create(desk, authnumber="PA1")["result"]["created"] is False
    assert create(desk, authnumber="PA1", assigner="ANOTHER")["result"]["created"] is True


def test_all_field_names_must_be_lowercase(desk: Desk) -> None:
    refused = is_problem(desk.ask("POST", "/authorization", json=NEW | {"AuthType": "X"}), 400)
    assert refused["errors"] == [{"path": "/AuthType", "text": "there is no such field"}]


def test_no_field_name_of_a_child_or_of_an_update_may_be_upper_case(desk: Desk) -> None:
    line = NEW["lines"][0]
    for body, path in (
        (NEW | {"lines": [line | {"DosStart": "2026-05-01"}]}, "/lines/0/DosStart"),
        (NEW | {"lines": [line | {"access": [NEW["access"][0] | {"IdType": "NPI"}]}]}, "/lines/0/access/0/IdType"),
        (NEW | {"access": [{"idtype": "NPI", "PROVIDERID": "1", "role": "x"}]}, "/access/0/PROVIDERID"),
    ):
        refused = is_problem(desk.ask("POST", "/authorization", json=body), 400)
        assert {"path": path, "text": "there is no such field"} in refused["errors"]
    refused = is_problem(desk.ask("PATCH", "/authorization?authnumber=A100", json={"AuthType": "X"}), 400)
    assert refused["errors"] == [{"path": "/AuthType", "text": "there is no such field"}]


def test_the_authorization_data_is_a_json_object_in_the_body_of_the_request(desk: Desk) -> None:
    headers = {"Content-Type": "application/json"}
    for body in ('"A100"', "[]", "null", "7", "", '{"authnumber": "A100", lines: []}'):
        is_problem(desk.ask("POST", "/authorization", content=body, headers=headers), 400)
        is_problem(desk.ask("PATCH", "/authorization?authnumber=A100", content=body, headers=headers), 400)
    refused = is_problem(desk.ask("POST", "/authorization?authnumber=A100", json=NEW), 400)
    assert [each["path"] for each in refused["errors"]] == ["query/authnumber"]


def test_required_key_fields_are_required(desk: Desk) -> None:
    children = ("access/0/idtype", "access/0/providerid", "access/0/role")
    below = ("lines/0/authlinenumber", *(f"lines/0/{each}" for each in children))
    for path in ("authnumber", "authtype", "authdecision", *children, *below):
        body = copy.deepcopy(NEW)
        *way, name = [int(each) if each.isdigit() else each for each in path.split("/")]
        place: Any = body
        for each in way:
            place = place[each]
        del place[name]
        refused = is_problem(desk.ask("POST", "/authorization", json=body), 400)
        assert {"path": f"/{path}", "text": "is required"} in refused["errors"]


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_when_the_call_is_accepted_it_returns_an_operations_url_that_tracks_the_status_of_the_request(
    desk: Desk, method: str, path: str, body: Any
) -> None:
    if method != "POST":
        create(desk)
    answer = call(desk, method, path, body)
    assert answer.status_code == 202
    operation = answer.json()["operation"]
    assert answer.headers["operation-location"] == f"http://testserver/operation/{operation}"
    done = desk.ended(answer)
    assert (done["id"], done["status"]) == (operation, "Succeeded")
    assert done["kind"] == "authorization." + {"POST": "create", "PATCH": "update", "DELETE": "delete"}[method]


def test_an_operation_is_not_started_then_running_and_then_at_its_end(desk: Desk) -> None:
    desk.app.state.operator.close()  # nobody works: what is taken on waits
    answer = desk.ask("POST", "/authorization", json=NEW)
    location = answer.headers["operation-location"].removeprefix("http://testserver")
    waiting = desk.ask("GET", location)
    assert (waiting.json()["status"], waiting.headers["retry-after"]) == ("NotStarted", "1")
    with desk.engine.begin() as connection:
        operations.begin(connection, answer.json()["operation"])
    assert desk.get(location)["status"] == "Running"
    with TestClient(create_app(desk.settings)):  # the service is there again, and works on what was left
        assert desk.ended(answer)["status"] == "Succeeded"


def test_what_is_wrong_is_named_by_its_place(desk: Desk) -> None:
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"authnumber": ""}, "/authnumber"),
        ({"lines": [{"authlinenumber": "1", "hcpcs": "nonsense"}]}, "/lines/0/hcpcs"),
        ({"lines": [{"authlinenumber": "1", "dosstart": "2026-02-30"}]}, "/lines/0/dosstart"),
        ({"lines": [{"authlinenumber": "1", "units": "0.0001"}]}, "/lines/0/units"),
        ({"lines": [{"authlinenumber": "1", "units": -1}]}, "/lines/0/units"),
        ({"lines": [{"hcpcs": "97110"}]}, "/lines/0/authlinenumber"),
        ({"dosstart": "2026-02-02", "dosend": "2026-02-01"}, ""),
        ({"access": [{"idtype": "NPI", "providerid": "1"}]}, "/access/0/role"),
        ({"lines": [{"authlinenumber": "1"}] * 2}, ""),
        ({"access": NEW["access"] * 2}, ""),
        ({"lines": [{"authlinenumber": "1", "access": NEW["access"] * 2}]}, "/lines/0"),
    )
    for more, path in cases:
        refused = is_problem(desk.ask("POST", "/authorization", json=NEW | more), 400)
        assert path in [each["path"] for each in refused["errors"]]


def test_this_is_a_sparse_update_only_fields_being_changed_need_to_be_included(desk: Desk) -> None:
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


def test_update_an_authorization_record_with_associated_lines_and_access_records(desk: Desk) -> None:
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


def test_the_sample_of_an_update_does_what_it_says(desk: Desk) -> None:
    create(desk)
    done = patch(desk, SAMPLE_UPDATE)
    assert (done["status"], done["result"]["warnings"]) == (
        "Succeeded", ["/lines/0/access/0/action_record: read as record_action"],
    )  # fmt: skip
    found = record(desk)
    assert (found["authtype"], found["authdecision"]) == ("INPATIENT", "DE")
    assert [each["providerid"] for each in found["access"]] == ["1", "5"]
    (line,) = found["lines"]
    assert (line["hcpcs"], line["dosstart"], line["dosend"]) == ("97112", "2026-06-01", "2026-06-30")
    assert [each["providerid"] for each in line["access"]] == ["2", "6"]


def test_the_lookup_keys_of_the_record_to_update_or_delete_are_in_the_query_parameters(desk: Desk) -> None:
    create(desk)
    create(desk, authnumber="A200")
    for method, path, body in (("PATCH", "/authorization", SAMPLE_UPDATE), ("DELETE", "/authorization", None)):
        refused = is_problem(call(desk, method, path, body), 400)
        assert refused["errors"] == [{"path": "query/authnumber", "text": "is required"}]
    refused = is_problem(desk.ask("PATCH", "/authorization?authnumber=A200", json={"authnumber": "A100"}), 400)
    assert refused["errors"] == [{"path": "/authnumber", "text": "there is no such field"}]
    patch(desk, {"authdecision": "DE"}, "A200")
    assert (record(desk)["authdecision"], record(desk, "A200")["authdecision"]) == ("AP", "DE")
    desk.ended(desk.ask("DELETE", "/authorization?authnumber=A200"))
    is_problem(desk.ask("GET", "/authorization?authnumber=A200"), 404)
    assert record(desk)["authdecision"] == "AP"


def test_any_child_records_being_updated_must_include_a_record_action(desk: Desk) -> None:
    bodies: tuple[Any, ...] = (
        {"lines": [{"authlinenumber": "1"}]},
        {"access": [NEW["access"][0]]},
        {"lines": [{"authlinenumber": "1", "record_action": "m", "access": [NEW["access"][0]]}]},
    )
    for body in bodies:
        refused = is_problem(desk.ask("PATCH", "/authorization?authnumber=A100", json=body), 400)
        assert "record_action is required" in refused["errors"][0]["text"]


def test_child_records_must_also_include_the_appropriate_necessary_keys(desk: Desk) -> None:
    below = {"record_action": "m", "idtype": "NPI", "providerid": "2"}
    cases: tuple[tuple[Any, str], ...] = (
        ({"lines": [{"record_action": "m", "hcpcs": "97110"}]}, "/lines/0/authlinenumber"),
        ({"access": [{"record_action": "n", "providerid": "1", "role": "x"}]}, "/access/0/idtype"),
        ({"access": [{"record_action": "d", "idtype": "NPI", "role": "x"}]}, "/access/0/providerid"),
        ({"lines": [{"authlinenumber": "1", "record_action": "m", "access": [below]}]}, "/lines/0/access/0/role"),
    )
    for body, path in cases:
        refused = is_problem(desk.ask("PATCH", "/authorization?authnumber=A100", json=body), 400)
        assert {"path": path, "text": "is required"} in refused["errors"]


def test_an_update_says_one_thing_of_each_child(desk: Desk) -> None:
    new = {"authlinenumber": "2", "record_action": "n"}
    gone = {"authlinenumber": "1", "record_action": "d", "access": [NEW["access"][0] | {"record_action": "n"}]}
    cases: tuple[tuple[Any, str], ...] = (
        ({"lines": [new, new]}, "two lines have the same authlinenumber"),
        ({"access": [NEW["access"][0] | {"record_action": each} for each in "nd"]}, "two accesses are the same"),
        ({"lines": [gone]}, "a line that is deleted takes its accesses along"),
    )
    for body, text in cases:
        refused = is_problem(desk.ask("PATCH", "/authorization?authnumber=A100", json=body), 400)
        assert refused["errors"][0]["text"] == text


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
def test_an_update_is_done_as_a_whole_or_not_at_all(desk: Desk, body: dict[str, Any], text: str) -> None:
    create(desk)
    before = record(desk)
    done = patch(desk, body | {"authdecision": "DE"})
    assert (done["status"], done["error"]["detail"]) == ("Failed", text)
    assert record(desk) == before


def test_the_action_record_of_the_sample_is_taken_for_record_action_with_a_warning(desk: Desk) -> None:
    create(desk)
    done = patch(desk, {"lines": [{"authlinenumber": "2", "hcpcs": "97112", "action_record": "n"}]})
    assert done["result"]["warnings"] == ["/lines/0/action_record: read as record_action"]
    assert len(record(desk)["lines"]) == 2
    for line in ({"authlinenumber": "1"}, {"authlinenumber": "1", "record_action": "m", "action_record": "m"},
                 {"authlinenumber": "1", "record_action": "x"}):  # fmt: skip
        is_problem(desk.ask("PATCH", "/authorization?authnumber=A100", json={"lines": [line]}), 400)


def test_delete_an_authorization_record_and_all_associated_child_records(desk: Desk) -> None:
    create(desk)
    done = desk.ended(desk.ask("DELETE", "/authorization?authnumber=A100"))
    assert done["status"] == "Succeeded"
    is_problem(desk.ask("GET", "/authorization?authnumber=A100"), 404)
    assert len(desk.get("/authorizations/A100@UNKNOWN/history")["items"]) == 2  # what was, stays on record
    assert create(desk, access=[], lines=[])["result"]["created"] is True
    assert record(desk)["access"] == []


def test_an_unknown_number_fails_in_the_operation_and_not_in_the_call(desk: Desk) -> None:
    for answer in (desk.ask("DELETE", "/authorization?authnumber=NO"),
                   desk.ask("PATCH", "/authorization?authnumber=NO", json={})):  # fmt: skip
        done = desk.ended(answer)
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
    assert desk.ended(again)["result"]["created"] is True


def test_what_a_process_left_undone_is_done_once(desk: Desk) -> None:
    answer = desk.ask("POST", "/authorization", json=NEW)
    done = desk.ended(answer)
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
    is_problem(desk.ask("DELETE", "/authorization?authnumber=A100", headers=known), 412)
    known = {"If-Match": desk.ask("GET", "/authorizations/A100@UNKNOWN").headers["etag"]}
    assert desk.ended(desk.ask("DELETE", "/authorization?authnumber=A100", headers=known))["status"] == "Succeeded"


def test_who_may_write(desk: Desk) -> None:
    reader = desk.token("reader", READ)
    for method, path in (("POST", "/authorization"), ("PATCH", "/authorization?authnumber=A100"),
                         ("DELETE", "/authorization?authnumber=A100")):  # fmt: skip
        body: dict[str, Any] = {} if method == "DELETE" else {"json": NEW if method == "POST" else {}}
        assert is_problem(desk.client.request(method, path, headers=reader, **body), 403)["scope"] == WRITE
    desk.grant("PB1", payor="OTHER")
    bound = desk.token("bound", WRITE, READ, payors=["ACME"])
    answer = desk.ask("DELETE", "/authorization?authnumber=PB1", headers=bound)
    assert desk.ended(answer)["status"] == "Failed"
    assert desk.get("/authorizations/PB1@OTHER")["status"] == "approved"
    answer = desk.ask("POST", "/authorization", json=NEW, headers=bound)
    assert desk.ended(answer)["result"]["authorization"] == "A100@ACME"


def test_who_only_writes_can_follow_its_own_operations_and_no_others(desk: Desk) -> None:
    writer, other = desk.token("writer", WRITE), desk.token("other", READ)
    answer = desk.ask("POST", "/authorization", json=NEW, headers=writer)
    location = answer.headers["operation-location"].removeprefix("http://testserver")
    assert desk.ended(answer)["status"] == "Succeeded"  # for an administrator
    assert desk.client.get(location, headers=writer).json()["status"] == "Succeeded"
    is_problem(desk.client.get(location, headers=other), 404)
    reads = [each["who"] for each in desk.audited() if each["action"] == "operation.read"]
    assert {"boss", "writer"} == set(reads)


def test_every_change_is_in_the_audit_log(desk: Desk) -> None:
    create(desk)
    (entry,) = [each for each in desk.audited("A100@UNKNOWN") if each["action"] == "authorization.create"]
    assert (entry["who"], entry["detail"]["status"]) == ("boss", "Succeeded")


def test_an_operation_is_forgotten_long_after_its_end(desk: Desk) -> None:
    key, day = {"Idempotency-Key": "once"}, 86_400_000_000
    rounds = Rounds(desk.app.state.api, lambda: desk.time)
    answer = desk.ask("POST", "/authorization", json=NEW, headers=key)
    done, at = desk.ended(answer), answer.headers["operation-location"]
    desk.time += 29 * day
    rounds.forget()
    assert desk.get(at)["id"] == done["id"]
    desk.time += 2 * day
    rounds.forget()
    is_problem(desk.ask("GET", at), 404)
    again = desk.ended(desk.ask("POST", "/authorization", json=NEW, headers=key))
    assert (again["id"] != done["id"], again["result"]["created"]) == (True, False)
