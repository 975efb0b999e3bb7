"""The API over a store of its own, asked in this process, beside a journal that takes messages of payors."""

import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from httpx2 import Response

from hl7auth.api.app import create_app
from hl7auth.api.state import Settings
from hl7auth.flow.channel import Channel
from hl7auth.flow.decision import Outcome
from hl7auth.flow.decisions import Decisions
from hl7auth.flow.enrollment import Enrollment
from hl7auth.flow.intake import plan
from hl7auth.store import (  # noqa: F401 - so that their tables are made
    audit,
    balance_table,
    desk_table,
    enrollment_table,
    process_table,
    replay_table,
    tokens,
)
from hl7auth.store.database import open_database
from hl7auth.store.journal import Journal
from hl7auth.store.schema import metadata
from tests.messages import shipped_channel

START = 1_778_407_200_000_000
"""2026-05-10T10:00:00Z in microseconds."""


class Desk:
    """A store (a file in the folder, or at `url`), its API, and an administrator who asks it."""

    def __init__(self, folder: Path, channel: Channel | None = None, url: str = "", **more: Any) -> None:
        self.url = url or f"sqlite:///{folder / 'store.db'}"
        self.engine = open_database(self.url, pooled=bool(url))
        metadata.create_all(self.engine)
        self.time = START
        ids = itertools.count(1)
        self.channel = channel = channel or shipped_channel()
        self.settings = Settings(
            self.engine, {channel.name: channel}, now=lambda: self.time, new_id=lambda: next(ids), **more
        )
        self.app = create_app(self.settings)
        self.client = TestClient(self.app, raise_server_exceptions=False)
        self._ids = ids
        self.admin = self.token("boss", "admin")

    def token(
        self, name: str, *scopes: str, payors: Sequence[str] = (), channels: Sequence[str] = ()
    ) -> dict[str, str]:
        """The header of a new token."""
        with self.engine.begin() as connection:
            tokens.create(connection, f"secret-{name}", name, tokens.Rights(scopes, payors, channels), self.time)
        return {"Authorization": f"Bearer secret-{name}"}

    def ask(self, method: str, path: str, **more: Any) -> Response:
        """As the administrator, or with the `headers` given."""
        headers = self.admin | more.pop("headers", {})
        return self.client.request(method, path, headers=headers, **more)

    def get(self, path: str, **more: Any) -> Any:
        """The JSON of what is there."""
        found = self.ask("GET", path, **more)
        assert found.status_code == 200, found.text
        return found.json()

    def post(self, path: str, body: Any = None, **more: Any) -> Any:
        """The JSON of what was done."""
        done = self.ask("POST", path, json=body, **more)
        assert done.status_code in (200, 201, 202), done.text
        return done.json()

    def send(self, *raws: bytes) -> list[Outcome]:
        """Messages that came in by the channel."""
        journal = Journal(self.engine, lambda: next(self._ids))
        try:
            return journal.commit([plan(raw, self.channel, self.time, lambda: next(self._ids)) for raw in raws])
        finally:
            journal.close()

    def grant(self, number: str, units: str = "10", says: str = "AP", more: str = "", payor: str = "ACME") -> None:
        """The payor's answer about one authorization of member M1."""
        control = f"C{next(self._ids)}"
        head = f"MSH|^~\\&|{payor}|HQ|CLINIC|HILL|20260501||RPA^I08^RPA_I08|{control}|P|2.9\rMSA|AA|Q{control}\r"
        aut = f"AUT|P|{payor}||20260501|20260531|{number}^{payor}|||||||REHAB|{says}||||{units}^VS{more}\r"
        rest = "PRD|RP|Quill^Orla\rPID|1||M1^^^HILL^MR||Lantern^Ilse\rPR1|1||97110^^C4||20260501\r"
        (outcome,) = self.send((head + aut + rest).encode())
        assert outcome.changes, outcome.findings

    def ended(self, answer: Response) -> dict[str, Any]:
        """The operation that was taken on, when it has ended."""
        assert answer.status_code == 202, answer.text
        location = answer.headers["operation-location"]
        assert location.startswith("http://testserver/operation/")
        for _ in range(4_000):
            found: dict[str, Any] = self.get(location.removeprefix("http://testserver"))
            assert found["status"] in ("NotStarted", "Running", "Succeeded", "Failed")
            if found["finished_at"]:
                return found
            time.sleep(0.005)
        raise AssertionError("it does not end")

    def audited(self, subject: str = "") -> list[dict[str, Any]]:
        """The audit log, oldest first; it is sound."""
        self.app.state.api.flush()
        with self.engine.begin() as connection:
            assert audit.verify(connection).fault == ""
            return audit.listed(connection, subject, None, 1_000)[::-1]


def channel_with(folder: Path, rules: str = "", enrollment: Enrollment | None = None) -> Channel:
    """The shipped channel, with rules in a file of that folder, or with enrollment."""
    shipped = shipped_channel()
    more: dict[str, Any] = {"enrollment": enrollment}
    if rules:
        (folder / "rules").mkdir(exist_ok=True)
        (folder / "rules" / "r.yaml").write_text(rules, encoding="utf-8")
        more["decisions"] = Decisions(rules="rules/r.yaml")
    return Channel(file=shipped.file.model_copy(update=more), path=folder / "c.yaml")


@contextmanager
def desk(folder: Path, channel: Channel | None = None, **more: Any) -> Iterator[Desk]:
    """One that is closed in the end."""
    made = Desk(folder, channel, **more)
    with made.client:
        yield made
    made.engine.dispose()


def is_problem(answer: Response, status: int) -> dict[str, Any]:
    """The problem details, which every answer of that kind is."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "errors"} <= found.keys()
    assert found["status"] == status
    return found
