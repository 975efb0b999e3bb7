"""Every call that is described, and the scope that it asks for: 401 without a token, 403 naming what is lacking."""

from typing import Any

from hl7auth.flow.outbox import Delivery
from hl7auth.store.deliveries import write_deliveries
from hl7auth.store.tokens import ADMIN, CHARGE_READ, READ, REQUEST, SCOPES, WRITE
from tests.api.desk import Desk, is_problem
from tests.api.test_charges import CHARGE
from tests.api.test_papers import letter
from tests.store.stored import samples

ANY = ""
"""Any token will do."""
MOVES = (
    "submit", "retry", "resume", "tochange", "pend", "approve", "deny", "cancel", "unfinalize", "extend",
)  # fmt: skip
WANTED: dict[str, str] = {
    "GET /authorization": READ, "POST /authorization": WRITE, "PATCH /authorization": WRITE,
    "DELETE /authorization": WRITE, "GET /operation/{operation_id}": ANY,
    "GET /authorizations": READ, "GET /authorizations/{key}": READ, "GET /authorizations/{key}/history": READ,
    "GET /authorizations/{key}/at/{time}": READ, "GET /authorizations/{key}/why/{field}": READ,
    "GET /authorizations/{key}/series": READ, "GET /authorizations/{key}/papers": READ,
    "POST /authorizations/manual": WRITE, "POST /authorizations/request": REQUEST, "GET /utilization": READ,
    "GET /requests": READ, "GET /requests/{key}/process": READ, "GET /requests/{key}/status": READ,
    "GET /requests/{key}/papers": READ, "POST /requests/{key}/papers": WRITE, "GET /papers/{digest}": READ,
    **{f"POST /requests/{{key}}/{move}": WRITE for move in MOVES},
    "GET /charges": CHARGE_READ, "GET /charges/{charge_id}": CHARGE_READ, "POST /charges": ADMIN,
    "GET /charges/{charge_id}/candidates": READ,
    **{f"POST /charges/{{charge_id}}/{move}": WRITE for move in ("attach", "reverse", "validate")},
    "GET /messages": READ, "GET /messages/{message_id}": READ, "GET /findings": READ, "GET /queue": READ,
    "GET /queue/{delivery_id}": READ,
    **{f"POST /queue/{{delivery_id}}/{move}": WRITE for move in ("retry", "skip", "move")},
    "GET /replays": READ, "GET /replays/{number}": READ, "GET /replays/{number}/messages": READ,
    "POST /replays": ADMIN, "POST /replays/{number}/run": ADMIN, "POST /replays/{number}/pause": WRITE,
    "GET /figures/{year}": READ,
}  # fmt: skip
PLACES = {"{number}": "1", "{message_id}": "1", "{delivery_id}": "1", "{year}": "2026", "{time}": "2026-05-10"}


def calls(desk: Desk) -> list[tuple[str, str, str]]:
    """Each call, with its method and a path."""
    document: dict[str, Any] = desk.app.openapi()
    found = []
    for described, methods in document["paths"].items():
        path = described
        for name, value in PLACES.items():
            path = path.replace(name, value)
        while "{" in path:
            path = path[: path.index("{")] + "x" + path[path.index("}") + 1 :]
        found += [(f"{method.upper()} {described}", method.upper(), path) for method in methods]
    return found


def test_every_call_but_that_for_health_is_in_the_table(desk: Desk) -> None:
    assert {call for call, _, _ in calls(desk)} - {"GET /health"} == WANTED.keys()


def test_without_a_token_in_force_every_call_is_401(desk: Desk) -> None:
    for call, method, path in calls(desk):
        if call != "GET /health":
            refused = desk.client.request(method, path)
            assert is_problem(refused, 401)["type"] == "urn:hl7auth:no-token", call
            assert refused.headers["www-authenticate"] == "Bearer"


def test_a_403_names_the_scope_that_is_missing(desk: Desk) -> None:
    alone = {scope: desk.token(f"t{at}", scope) for at, scope in enumerate(SCOPES)}
    for call, method, path in calls(desk):
        wanted = WANTED.get(call, ANY)
        for scope, headers in alone.items():
            answer = desk.client.request(method, path, headers=headers)
            lacks = answer.status_code == 403 and answer.json()["type"] == "urn:hl7auth:missing-scope"
            assert lacks == (wanted not in (ANY, scope) and scope != ADMIN), (call, scope, answer.text)
            if lacks:
                assert is_problem(answer, 403)["scope"] == wanted, call


def test_every_read_of_what_is_there_is_in_the_audit_log(desk: Desk) -> None:
    """But the yearly figures, which are of nobody."""
    desk.grant("PA1")
    (outcome,) = desk.send(samples()[0])
    with desk.engine.begin() as connection:
        write_deliveries(connection, [Delivery(outcome.plan.message_id, "feed/payer", ("A",), desk.time)])
    desk.post("/charges", CHARGE)
    request = "/requests/CH-24011@CEDARHILL"
    (paper,) = desk.post(f"{request}/papers", {"documents": [letter()]})["items"]
    replay = desk.ask("POST", "/replays", json={"selection": {}})
    desk.ended(replay)
    operation = replay.headers["operation-location"].removeprefix("http://testserver")
    desk.ended(desk.ask("POST", "/authorization", json={"authnumber": "A1", "authtype": "X", "authdecision": "AP"}))
    one = "/authorizations/PA1@ACME"
    reads = [
        "/authorization?authnumber=A1", operation, "/authorizations", one, f"{one}/history", f"{one}/at/2026-06-01",
        f"{one}/why/status", f"{one}/series", f"{one}/papers", "/utilization", "/requests", f"{request}/process",
        f"{request}/status", f"{request}/papers", f"/papers/{paper['digest']}", "/charges", "/charges/CH1",
        "/charges/CH1/candidates", "/messages", f"/messages/{outcome.plan.message_id}", "/findings?rule=PID*", "/queue",
        "/queue/1",
        "/replays", "/replays/1", "/replays/1/messages",
    ]  # fmt: skip
    assert len(reads) == len([call for call in WANTED if call.startswith("GET")]) - 1
    for path in reads:
        before = len(desk.audited())
        assert desk.ask("GET", path).status_code == 200, path
        (*_, last) = told = desk.audited()
        assert (len(told), last["who"]) == (before + 1, "boss"), path
