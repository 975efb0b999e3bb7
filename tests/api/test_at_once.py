"""Reads by key are answered before the framework, exactly as it answers them; all else is left to it."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from starlette.types import Receive, Scope, Send

from hl7auth.api.app import create_app
from hl7auth.api.at_once import AtOnce
from hl7auth.api.problems import Problem
from hl7auth.store.tokens import READ, revoke
from tests.api.desk import Desk

LONG = "K" * 301


async def left(scope: Scope, receive: Receive, send: Send) -> None:
    """What comes by here was left to the framework."""
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def before(desk: Desk) -> TestClient:
    """The short cut, with nothing behind it."""
    desk.grant("PA1")
    return TestClient(AtOnce(left, desk.app.state.api))


@pytest.fixture
def plain(desk: Desk) -> Iterator[TestClient]:
    """The API without it."""
    app = create_app(desk.settings)
    app.user_middleware = [each for each in app.user_middleware if getattr(each.cls, "__name__", "") != AtOnce.__name__]
    yield TestClient(app, raise_server_exceptions=False)
    app.state.api.close()


@pytest.mark.parametrize("path", ["PA1@ACME", "PA1%40ACME"])
def test_a_plain_read_is_answered_at_once(desk: Desk, before: TestClient, plain: TestClient, path: str) -> None:
    expected = plain.get(f"/authorizations/{path}", headers=desk.admin)
    found = before.get(f"/authorizations/{path}", headers=desk.admin)
    assert found.status_code == expected.status_code == 200
    assert (found.content, found.headers) == (expected.content, expected.headers)
    assert [(each["who"], each["action"]) for each in desk.audited("PA1@ACME")] == [("boss", "authorization.read")]


@pytest.mark.parametrize(
    "path",
    ["PA9@ACME", "PA1@ACME/history", "PA1@ACME?at=now", "", "PA1%00", LONG, "manual"],
)
def test_other_paths_are_left(desk: Desk, before: TestClient, path: str) -> None:
    assert before.get(f"/authorizations/{path}", headers=desk.admin).status_code == 418


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer nothing"},
        {"Authorization": "Basic secret-boss"},
        {"If-None-Match": '"1"'},
        {"Content-Length": "0"},
    ],
)
def test_other_headers_are_left(desk: Desk, before: TestClient, headers: dict[str, str]) -> None:
    assert before.get("/authorizations/PA1@ACME", headers=desk.admin | headers).status_code == 418


def test_other_methods_are_left(desk: Desk, before: TestClient) -> None:
    for method in ("HEAD", "POST", "DELETE", "PUT"):
        assert before.request(method, "/authorizations/PA1@ACME", headers=desk.admin).status_code == 418


def test_who_may_not_is_left(desk: Desk, before: TestClient) -> None:
    for headers in (
        desk.token("billing", "billing.charge.read"),
        desk.token("elsewhere", READ, channels=["another"]),
        desk.token("other", READ, payors=["OTHER"]),
    ):
        assert before.get("/authorizations/PA1@ACME", headers=headers).status_code == 418
    reader = desk.token("reader", READ)
    assert before.get("/authorizations/PA1@ACME", headers=reader).status_code == 200
    with desk.engine.begin() as connection:
        revoke(connection, "reader", desk.time)
    assert before.get("/authorizations/PA1@ACME", headers=reader).status_code == 418


def test_what_can_not_be_recorded_is_left(desk: Desk, before: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object, **__: object) -> None:
        raise Problem(503, "what is read can not be recorded just now", "busy")

    monkeypatch.setattr(desk.app.state.api, "saw", busy)
    assert before.get("/authorizations/PA1@ACME", headers=desk.admin).status_code == 418
    assert desk.ask("GET", "/authorizations/PA1@ACME").status_code == 503


@pytest.mark.parametrize("path", ["PA1@ACME", "PA9@ACME", "PA1@ACME/history", "PA1@ACME?limit=3", LONG])
@pytest.mark.parametrize("token", ["boss", "billing", "nobody"])
def test_the_api_answers_as_without_it(desk: Desk, plain: TestClient, path: str, token: str) -> None:
    desk.grant("PA1")
    desk.token("billing", "billing.charge.read")
    headers = {"Authorization": f"Bearer secret-{token}"}
    expected = plain.get(f"/authorizations/{path}", headers=headers)
    found = desk.client.get(f"/authorizations/{path}", headers=headers)
    assert (found.status_code, found.content, found.headers) == (
        expected.status_code, expected.content, expected.headers
    )  # fmt: skip
