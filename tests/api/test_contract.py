"""What the description says, holds: requests made from it, and broken ones, meet no fault of ours."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.generation import GenerationMode

from hl7auth.api.app import create_app
from hl7auth.api.state import Settings
from hl7auth.store.database import open_database
from hl7auth.store.operations import open_ids
from tests.api.desk import Desk
from tests.api.desk import desk as made
from tests.messages import shipped_channel

EXAMPLES = 8
STATUSES = {200, 201, 202, 304, 400, 401, 404, 405, 406, 409, 412, 413, 415, 422}


def paths() -> list[tuple[str, str]]:
    """Every method of every path that is described."""
    channel = shipped_channel()
    app = create_app(Settings(open_database("sqlite://"), {channel.name: channel}))
    document: dict[str, Any] = app.openapi()
    app.state.api.close()
    return [(method.upper(), path) for path, methods in document["paths"].items() for method in methods]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One store for all: what one request leaves there, the next ones meet."""
    load_all_checks()
    with made(tmp_path_factory.mktemp("contract"), manual=frozenset({"0"})) as found:
        found.grant("PA1")
        found.ended(found.ask("POST", "/replays", json={"selection": {}, "again": "to be met"}))
        yield found
        for _ in range(1_000):
            with found.engine.connect() as connection:
                if not (left := open_ids(connection, "authorization.")):
                    break
            time.sleep(0.01)
        assert not left  # every operation has come to an end; replays may have been asked for at one message a year


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize(("method", "path"), paths())
def test_no_request_meets_a_fault(desk: Desk, method: str, path: str, mode: GenerationMode) -> None:
    operation = schemathesis.openapi.from_asgi("/openapi.json", desk.app)[path][method]

    def check(case: Any) -> None:
        answer = case.call(headers=desk.admin)
        assert answer.status_code in STATUSES, (answer.status_code, answer.text)
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == ["application/problem+json"]
        case.validate_response(answer, checks=[CHECKS.get_one("response_schema_conformance")])

    bounded = settings(
        max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    try:
        seed(7)(bounded(given(case=operation.as_strategy(generation_mode=mode))(check)))()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE  # nothing of it can be wrong
