"""Reading authorizations, requests, messages, findings and the queue, by whom and by which pages."""

from typing import Any

import pytest

from hl7auth.store.tokens import READ
from tests.api.desk import Desk, is_problem
from tests.store.stored import samples

PATHS = (
    "/authorizations", "/authorizations/PA1@ACME", "/authorizations/PA1@ACME/history",
    "/authorizations/PA1@ACME/at/2026-05-11", "/authorizations/PA1@ACME/why/status", "/requests", "/messages",
    "/findings?rule=PID-3.usage", "/queue",
)  # fmt: skip


def pages_of(desk: Desk, path: str, **more: Any) -> list[list[str]]:
    found, cursor = [], ""
    while True:
        page = desk.get(f"{path}{'&' if '?' in path else '?'}limit=2{f'&cursor={cursor}' if cursor else ''}", **more)
        found.append([each.get("key") or each["id"] for each in page["items"]])
        cursor = page["next"]
        if not cursor:
            return found


def test_lists_go_page_by_page(desk: Desk) -> None:
    for number in range(1, 6):
        desk.grant(f"PA{number}", says="DE" if number == 2 else "AP", payor="OTHER" if number == 3 else "ACME")
    newest_first = [["PA5@ACME", "PA4@ACME"], ["PA3@OTHER", "PA2@ACME"], ["PA1@ACME"]]
    assert pages_of(desk, "/authorizations") == newest_first
    assert pages_of(desk, "/authorizations?member=M1") == newest_first
    assert pages_of(desk, "/authorizations?member=M2") == [[]]
    assert pages_of(desk, "/authorizations?payor=OTHER") == [["PA3@OTHER"]]
    assert pages_of(desk, "/authorizations?number=PA4&member=M1") == [["PA4@ACME"]]
    assert pages_of(desk, "/authorizations?status=denied") == [["PA2@ACME"]]
    assert pages_of(desk, "/authorizations?status=denied&payor=ACME") == [["PA2@ACME"]]
    assert sum(map(len, pages_of(desk, "/messages"))) == 5
    is_problem(desk.ask("GET", "/authorizations?cursor=nonsense"), 400)
    is_problem(desk.ask("GET", "/authorizations?limit=0"), 400)


def test_one_with_its_balance_history_and_reasons(desk: Desk) -> None:
    desk.grant("PA1", more="|3|9")
    found = desk.get("/authorizations/PA1@ACME")
    assert found["provenance"]
    balance = found["balance"]
    assert (balance["status"], balance["approved"], balance["used"], balance["remaining"]) == ("ACTIVE", "10", "3", "7")
    assert (balance["will_run_out"], balance["unit"]) == (True, "visits")
    desk.grant("PA1", "2")
    history = desk.get("/authorizations/PA1@ACME/history")["items"]
    assert [each["version"] for each in history] == [1, 2]
    assert desk.get("/authorizations/PA1@ACME/at/2026-05-09")["document"] is None
    assert desk.get("/authorizations/PA1@ACME/why/authorized_units")["value"]["quantity"] == "2"
    is_problem(desk.ask("GET", "/authorizations/PA1@ACME/at/soon"), 400)
    is_problem(desk.ask("GET", "/authorizations/PA1@ACME/why/nothing_known"), 404)
    is_problem(desk.ask("GET", "/authorizations/PA9@ACME"), 404)


def test_what_is_known_already_is_not_sent_again(desk: Desk) -> None:
    desk.grant("PA1")
    first = desk.ask("GET", "/authorizations/PA1@ACME")
    known = {"If-None-Match": first.headers["etag"]}
    again = desk.ask("GET", "/authorizations/PA1@ACME", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    desk.grant("PA1", "11")
    assert desk.ask("GET", "/authorizations/PA1@ACME", headers=known).status_code == 200


def test_requests_have_clocks_and_come_due(desk: Desk) -> None:
    desk.send(samples()[0])
    (found,) = desk.get("/requests")["items"]
    assert found["clock"]["overdue"] is False
    assert desk.get("/requests?due_within=24")["items"] == []
    desk.time += 30 * 24 * 3_600_000_000
    (late,) = desk.get("/requests?due_within=0")["items"]
    assert late["clock"]["overdue"] is True
    assert desk.get(f"/authorizations/{found['key']}")["balance"]["status"] == "PENDING"


def test_messages_and_findings(desk: Desk) -> None:
    (outcome,) = desk.send(b"MSH|^~\\&|A|B|C|D|20260101||RQA^I08|X1|P|2.5.1\rPID|1\r")
    (listed,) = desk.get("/messages?control_id=X1")["items"]
    assert listed["disposition"] == "refused"
    read = desk.get(f"/messages/{outcome.plan.message_id}")
    assert read["raw"].startswith("MSH|")
    rule = next(each["rule"] for each in read["findings"])
    (found,) = desk.get(f"/findings?rule={rule}")["items"]
    assert rule in [each["rule"] for each in found["findings"]]
    assert desk.get("/queue?state=queued")["items"] == []
    is_problem(desk.ask("GET", "/messages/77"), 404)
    is_problem(desk.ask("GET", "/messages?since=whenever"), 400)
    is_problem(desk.ask("GET", "/findings"), 400)
    is_problem(desk.ask("GET", "/queue?state=nowhere"), 400)


@pytest.mark.parametrize("path", PATHS)
def test_who_may_not(desk: Desk, path: str) -> None:
    desk.grant("PA1")
    assert is_problem(desk.client.get(path), 401)["type"] == "urn:hl7auth:no-token"
    wrong = {"Authorization": "Bearer nothing"}
    assert is_problem(desk.client.get(path, headers=wrong), 401)["type"] == "urn:hl7auth:bad-token"
    refused = is_problem(desk.client.get(path, headers=desk.token("billing", "billing.charge.read")), 403)
    assert refused["scope"] == READ
    assert READ in refused["detail"]
    assert desk.client.get(path, headers=desk.token("reader", READ)).status_code == 200


def test_a_token_is_bound_to_payors_and_channels(desk: Desk) -> None:
    desk.grant("PA1")
    desk.grant("PB1", payor="OTHER")
    bound = desk.token("acme", READ, payors=["ACME"])
    assert pages_of(desk, "/authorizations", headers=bound) == [["PA1@ACME"]]
    for path in ("", "/history", "/at/2026-06-01", "/why/status"):
        is_problem(desk.ask("GET", f"/authorizations/PB1@OTHER{path}", headers=bound), 404)
    is_problem(desk.ask("GET", "/messages", headers=bound), 403)
    elsewhere = desk.token("elsewhere", READ, channels=["another"])
    assert pages_of(desk, "/authorizations", headers=elsewhere) == [[]]
    assert desk.get("/messages", headers=elsewhere)["items"] == []
    is_problem(desk.ask("GET", "/authorizations/PA1@ACME", headers=elsewhere), 404)


def test_every_read_is_in_the_audit_log(desk: Desk) -> None:
    desk.grant("PA1")
    for path in PATHS:
        desk.get(path)
    actions = [each["action"] for each in desk.audited()]
    assert actions == [
        "authorization.list", "authorization.read", "authorization.history", "authorization.at", "authorization.why",
        "request.list", "message.list", "finding.list", "queue.list",
    ]  # fmt: skip
    assert desk.audited("PA1@ACME")[0]["who"] == "boss"
    assert desk.audited()[0]["detail"] == {"keys": ["PA1@ACME"]}
