"""One shape for all that goes wrong; who may ask; what anybody may send is bounded."""

import re
from pathlib import Path

import pytest

from hl7auth.api.bounds import MAX_BODY
from hl7auth.api.paging import cursor_of
from tests.api.desk import Desk, is_problem
from tests.api.desk import desk as made
from tests.store.postgres import shared

NUL_CURSOR = cursor_of(1, "\0")


def test_the_service_is_there(desk: Desk) -> None:
    assert desk.client.get("/health").json()["status"] == "ok"


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("DELETE", "/health", 405), ("GET", "/health?x=1", 400)]
)
def test_one_shape_of_errors(desk: Desk, method: str, path: str, status: int) -> None:
    found = is_problem(desk.client.request(method, path), status)
    assert found["title"]
    assert "type" in found


def test_an_unknown_parameter_is_named(desk: Desk) -> None:
    found = is_problem(desk.client.get("/health?verbose=1"), 400)
    assert found["errors"] == [{"path": "query/verbose", "text": "there is no such parameter (there are: none)"}]


def test_a_body_is_bounded(desk: Desk) -> None:
    is_problem(desk.client.post("/health", content=b"x" * (MAX_BODY + 1)), 413)
    pieces = (b"x" * 1_000_000 for _ in range(9))
    is_problem(desk.client.post("/health", content=pieces), 413)


def test_a_nul_is_refused_wherever_it_stands_for_no_server_takes_it(tmp_path: Path) -> None:
    """Asked of PostgreSQL, where it would be a fault of ours."""
    with made(tmp_path, url=shared().database()) as desk:
        document = desk.app.openapi()
        for described, methods in document["paths"].items():
            path = re.sub(r"{\w+}", "x%00y", described)
            for method, operation in list(methods.items())[:1]:
                if "{" in described:
                    refused = is_problem(desk.ask(method.upper(), path), 400)
                    assert refused["errors"][0]["path"] == "path", path
                asked = [each["name"] for each in operation.get("parameters", []) if each["in"] == "query"]
                for name in asked:
                    value = NUL_CURSOR if name == "cursor" else "%00"
                    answer = desk.ask(method.upper(), f"{described.replace('{', '').replace('}', '')}?{name}={value}")
                    assert is_problem(answer, 400)["errors"], (described, name)
        assert desk.ask("POST", "/charges/x/attach", json={"authorization": "\0"}).status_code == 400
        assert desk.ask("POST", "/replays", json={"selection": {"words": "\0"}}).status_code == 400


def test_the_description_tells_our_errors(desk: Desk) -> None:
    document = desk.client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for path in document["paths"].values():
        for operation in path.values():
            assert "422" not in operation["responses"]
            assert list(operation["responses"]["default"]["content"]) == ["application/problem+json"]
