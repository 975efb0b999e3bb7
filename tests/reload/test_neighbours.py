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
        time.sleep(0.02)


def ruled(live: Live, state: str) -> None:
    """The rules of the channels decide so; they are read with the next reload."""
    (live.channels / "rules").mkdir(exist_ok=True)
    (live.channels / "rules" / "r.yaml").write_text(RULES.format(end=ENDS[state]))


def states(live: Live) -> dict[str, str]:
    rows = live.rows("SELECT key, state FROM process WHERE is_last = 1")
    return {key.strip("?").partition("@")[0]: state for key, state in rows}


def answered(request: urllib.request.Request) -> int:
    """The status of what the API says."""
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


def test_the_process_that_decides_comes_and_goes_and_the_api_works_by_the_channels_of_now(tmp_path: Path) -> None:
    with Live(tmp_path, options=["--api", "0"]) as live:
        made = run("token", "create", "boss", "--scope", "admin", database=live.database)
        assert live.process.stdout is not None
        place = live.process.stdout.readline().decode().split()[-1]
        headers = {"Authorization": f"Bearer {made.out.strip()}", "Content-Type": "application/json"}

        def post(path: str, body: bytes) -> int:
            return answered(urllib.request.Request(place + path, body, headers, method="POST"))

        api = live.workers()
        ruled(live, "Approved")
        live.serve("north", DECISIONS)
        both = live.workers()
        assert len(both) == len(api) + 1
        with live.line("north") as line:
            assert line.ask(asked("R1")) == "AA R1"
            until(lambda: states(live), {"R1": "Approved"})
            cancel = "/requests/R1@EHR:NORTH/cancel"
            until(lambda: post(cancel, b"{}"), 200)  # which has to know the channel that it came by
            ruled(live, "Denied")
            assert live.reloaded("north")["channels"][0]["did"] == "changed"
            assert line.ask(asked("R2")) == "AA R2"
            until(lambda: states(live), {"R1": "Cancelled", "R2": "Denied"})
            assert live.workers() == both
            live.serve("north", "")
            until(live.workers, api)
            assert line.ask(asked("R3")) == "AA R3"
            assert "R3" not in states(live)
            live.serve("north", DECISIONS)  # what came meanwhile is decided as well
            until(lambda: states(live).get("R3"), "Denied")
        live.reloaded("north", remove=True)
        until(lambda: post("/replays", json.dumps({"selection": {}, "to_channel": "north"}).encode()), 400)
        received = live.rows("SELECT id FROM message ORDER BY received_at")
        assert received == sorted(received)
    assert live.logged("desk.ended") == live.logged("api.ended") == []
