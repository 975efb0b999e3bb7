"""The processes beside an engine whose channels change: the one that decides by rules comes and goes, the API hears."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cli.inline import run
from tests.reload.live import Live
from tests.serving import SECONDS

DECISIONS = "decisions: {rules: rules/r.yaml}"
RULES = "rules: r\nnumber: FG-{{request}}\nsteps: [{{step: a, validation: [{{rule: all, {end}}}]}}]\n"
ENDS = {"Approved": "approve: {days: 30}", "Denied": "deny: {text: not covered}"}


def asked(referral: str) -> bytes:
    """A request, known by the number of its referral."""
    lines = (
        f"MSH|^~\\&|EHR|NORTH|ACME|HQ|20260510||RQA^I08^RQA_I08|{referral}|P|2.8",
        f"RF1||||||{referral}",
        "AUT|GOLD|ACME||||||3|||||REHAB",
        "PRD|RP|Quill^Orla",
        "PID|1||M1^^^HILL^MR||Lantern^Ilse",
        "PR1|1||97110^^C4||20260510",
    )
    return ("\r".join(lines) + "\r").encode()


def until(found: Callable[[], Any], wanted: Any) -> None:
    """Looks until it finds that."""
    end = time.monotonic() + SECONDS
    while (last := found()) != wanted:
        assert time.monotonic() < end, last


def ruled(live: Live, state: str) -> None:
    """The rules of the channels decide so; they are read with the next reload."""
    (live.channels / "rules").mkdir(exist_ok=True)
    (live.channels / "rules" / "r.yaml").write_text(RULES.format(end=ENDS[state]))


def states(live: Live) -> dict[str, str]:
    rows = live.rows("SELECT key, state FROM process WHERE is_last = 1")
    return {key.strip("?").partition("@")[0]: state for key, state in rows}


def answered(request: urllib.request.Request) -> tuple[int, Any]:
    """What the API says."""
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def test_the_process_that_decides_comes_and_goes_with_the_channels_that_want_it(tmp_path: Path) -> None:
    with Live(tmp_path) as live:
        assert live.workers() == []
        ruled(live, "Approved")
        live.serve("north", DECISIONS)
        (first,) = live.workers()
        with live.line("north") as line:
            assert line.ask(asked("R1")) == "AA R1"
            until(lambda: states(live), {"R1": "Approved"})
            ruled(live, "Denied")
            assert live.reloaded("north")["channels"][0]["did"] == "changed"
            assert line.ask(asked("R2")) == "AA R2"
            until(lambda: states(live), {"R1": "Approved", "R2": "Denied"})
            assert live.workers() == [first]
            live.serve("north", "")
            until(live.workers, [])
            assert line.ask(asked("R3")) == "AA R3"
            assert "R3" not in states(live)
            live.serve("north", DECISIONS)  # what came meanwhile is decided as well
            until(lambda: states(live).get("R3"), "Denied")
        received = live.rows("SELECT id FROM message ORDER BY received_at")
        assert received == sorted(received)
    assert live.logged("desk.ended") == []


def test_the_api_works_by_the_channels_of_now(tmp_path: Path) -> None:
    with Live(tmp_path, options=["--api", "0"]) as live:
        made = run("token", "create", "boss", "--scope", "admin", database=live.database)
        assert live.process.stdout is not None
        place = live.process.stdout.readline().decode().split()[-1]
        headers = {"Authorization": f"Bearer {made.out.strip()}", "Content-Type": "application/json"}

        def post(path: str, body: bytes | None = None) -> tuple[int, Any]:
            return answered(urllib.request.Request(place + path, body, headers, method="POST"))

        live.serve("north")
        with live.line("north") as line:
            line.ask(asked("R1"))
        key = "/requests/R1@EHR:NORTH"
        until(lambda: post(f"{key}/cancel", b"{}")[0], 200)  # which has to know the channel that it came by
        live.reloaded("north", remove=True)
        body = json.dumps({"selection": {}, "to_channel": "north"}).encode()
        until(lambda: post("/replays", body)[0], 400)
