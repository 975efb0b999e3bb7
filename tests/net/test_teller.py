"""Who is told of alerts: a file, a hook that hears, one that refuses at first, and one that is dead."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from hl7auth.flow.alert import Target
from hl7auth.flow.incident import Event, Incident
from hl7auth.net import teller
from hl7auth.net.teller import GIVEN_UP_AFTER, Teller, Told
from tests.net.hooks import HookServer

EVENT = Event("opened", Incident("deep", "north/payer", "warning", 5, "it is deep"), 5, "it is deep")
SECONDS = 20


class Desk:
    """Tellers, and what they have done."""

    def __init__(self) -> None:
        self.done: SimpleQueue[Told] = SimpleQueue()
        self.now = 5
        self._tellers: list[Teller] = []

    def teller(self, **target: object) -> Teller:
        found = Teller("desk", Target.model_validate(target), lambda: self.now, self.done.put)
        self._tellers.append(found)
        return found

    def close(self) -> None:
        for each in self._tellers:
            each.stop()


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(teller, "FIRST_PAUSE", 0.01)
    found = Desk()
    yield found
    found.close()


def test_a_file_gets_a_document_a_line(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "new" / "alerts.jsonl"
    tells = desk.teller(file=path)
    for number in (1, 2):
        tells.tell(number, EVENT)
        assert desk.done.get(timeout=SECONDS) == Told(number, 1)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(each["event"], each["rule"], each["subject"]) for each in lines] == [("opened", "deep", "north/payer")] * 2


def test_a_hook_is_told_until_it_hears_and_in_order(desk: Desk) -> None:
    with HookServer(lambda number: 503 if number < 3 else 200) as hook:
        tells = desk.teller(http={"url": hook.url, "headers": {"Authorization": "Bearer x"}})
        tells.tell(1, EVENT)
        tells.tell(2, EVENT._replace(what="resolved"))
        assert [desk.done.get(timeout=SECONDS) for _ in range(2)] == [Told(1, 3), Told(2, 1)]
        assert [each["event"] for each in hook.got] == ["opened"] * 3 + ["resolved"]
        assert hook.headers[0]["Authorization"] == "Bearer x"
        assert hook.headers[0]["Content-Type"] == "application/json"


def test_a_hook_that_hangs_delays_no_other(desk: Desk, tmp_path: Path) -> None:
    go_on = threading.Event()

    def hang(_: int) -> int:
        go_on.wait(SECONDS)
        return 200

    with HookServer(hang) as hook:
        slow, quick = desk.teller(http={"url": hook.url}), desk.teller(file=tmp_path / "alerts")
        slow.tell(1, EVENT)
        hook.until(1)
        quick.tell(2, EVENT)
        assert desk.done.get(timeout=SECONDS) == Told(2, 1)
        go_on.set()
        assert desk.done.get(timeout=SECONDS) == Told(1, 1)


def test_who_never_hears_is_given_up_after_a_day(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    tells = desk.teller(http={"url": "http://127.0.0.1:1/"})
    desk.now = 6 + GIVEN_UP_AFTER
    tells.tell(1, EVENT)
    assert desk.done.get(timeout=SECONDS) == Told(1, 1)
    assert [getattr(each, "action", "") for each in caplog.records] == ["alert.lost"]


def test_a_folder_that_is_none_is_tried_again(desk: Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    tells = desk.teller(file=tmp_path / "file" / "alerts")
    tells.tell(1, EVENT)
    (tmp_path / "file").unlink()
    assert desk.done.get(timeout=SECONDS).notice_id == 1
    assert (tmp_path / "file" / "alerts").exists()
