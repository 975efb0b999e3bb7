"""Requests over real sockets: one from its entry to its cancellation, decided by a rule and by a person, and used; and
one whose sender waits for what a rule decides."""

import base64
import json
import shutil
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hl7auth.observe import now
from hl7auth.resources import shipped
from hl7auth.wire.message import Segment, parse
from tests.cli.inline import run
from tests.outbox import Listener
from tests.serving import Line, Serving

PLAN_OF_CARE = b"Twelve weeks of therapy, twice a week."
RULES = shipped("channels") / "referral-intake" / "rules" / "therapy.yaml"


def _rqa(control_id: str, event: str, aut: str) -> bytes:
    at = _now()
    lines = (
        f"MSH|^~\\&|EHR|NORTH|ACME|HQ|{at:%Y%m%d%H%M%S}||RQA^{event}^RQA_I08|{control_id}|P|2.8",
        "RF1||||||R1",
        aut,
        "PRD|RP|Quill^Orla",
        "PID|1||M1^^^HILL^MR||Lantern^Ilse",
        f"PR1|1||97110^^C4||{at:%Y%m%d}",
    )
    return ("\r".join(lines) + "\r").encode()


def _now() -> datetime:
    return datetime.fromtimestamp(now() / 1_000_000, UTC)


class _Api:
    """The API as one token asks it."""

    def __init__(self, said: str, token: str) -> None:
        self._place = said.rpartition(" ")[2].strip()
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def get(self, path: str) -> Any:
        return self._asked(urllib.request.Request(self._place + path, headers=self._headers))

    def post(self, path: str, **body: Any) -> Any:
        data = json.dumps(body).encode() if body else None
        return self._asked(urllib.request.Request(self._place + path, data, self._headers, method="POST"))

    def content(self, path: str) -> bytes:
        """The bytes of what is there."""
        request = urllib.request.Request(self._place + path, headers=self._headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            found: bytes = answer.read()
        return found

    def _asked(self, request: urllib.request.Request) -> Any:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)


def _told(ehr: Listener, count: int) -> tuple[str, Segment]:
    """Event and AUT of the last of so many messages that came to the requester."""
    assert ehr.changed(lambda: len(ehr.payloads) >= count), ehr.payloads
    message = parse(ehr.payloads[count - 1])
    aut = message.first("AUT")
    assert aut is not None
    return message.header.event, aut


def test_pended_by_a_rule_approved_by_a_person_used_and_cancelled(tmp_path: Path) -> None:
    (tmp_path / "channels" / "rules").mkdir(parents=True)
    shutil.copy(RULES, tmp_path / "channels" / "rules")
    today = _now().date()
    with Listener() as ehr:
        lines = (
            f"Story\ndecisions: {{rules: rules/therapy.yaml}}\nreplies: {{to: ehr}}\n"
            f"destinations: {{ehr: {{mllp: {{connect: 'tcp:127.0.0.1:{ehr.port}'}}}}}}"
        )
        with Serving(tmp_path, 1, options=["--api", "0"], title=lines) as engine:
            scopes = [f"--scope={each}" for each in ("admin",)]
            made = run("token", "create", "desk", *scopes, database=f"sqlite:///{engine.database}")
            api = _Api(engine.said(), made.out.strip())
            with Line(engine.port) as line:
                assert line.ask(_rqa("C1", "I08", "AUT|GOLD|ACME||||||100|||||REHAB")) == "AA C1"
                event, aut = _told(ehr, 1)
                assert (event, aut.value(14)) == ("RPA^I08", "PE")
                process = api.get("/requests/R1@EHR:NORTH/process")
                assert (process["state"], process["versions"][0]["pends"][0]["code"]) == ("Pended", "DOC")
                plan = base64.b64encode(PLAN_OF_CARE).decode()
                given = {"name": "plan.txt", "media_type": "text/plain", "content": plan}
                (paper,) = api.post("/requests/R1@EHR:NORTH/papers", documents=[given])["items"]
                assert api.content(f"/papers/{paper['digest']}") == PLAN_OF_CARE
                api.post("/requests/R1@EHR:NORTH/resume")
                until = (today + timedelta(days=60)).isoformat()
                api.post(
                    "/requests/R1@EHR:NORTH/approve", number="PA1", effective=today.isoformat(), expiration=until,
                    units="100", unit="VS",
                )  # fmt: skip
                _, aut = _told(ehr, 2)
                assert (aut.value(6), aut.value(14), aut.field(18)) == ("PA1", "AP", "100^VS")
                engine.until_rows(
                    "SELECT count(*) FROM delivery WHERE state = 'sent' AND part = 0", 2
                )  # the EHR has said AA
                charge = {"payor": "ACME", "member": "M1", "code": "97110", "unit": "visits", "dos": today.isoformat()}
                api.post("/charges", id="CH1", units="81", **charge)
                api.post("/charges/CH1/attach", authorization="PA1@ACME")
                (alert,) = api.get("/utilization")["items"]
                assert (alert["authorization"], alert["percent"]) == ("PA1@ACME", "81")
                assert line.ask(_rqa("C2", "I11", "AUT||ACME||||PA1^ACME|||||||REHAB")) == "AA C2"
                assert api.get("/authorizations/PA1@ACME")["status"] == "cancelled"
                assert api.get("/requests/R1@EHR:NORTH/process")["state"] == "Cancelled"


def test_what_a_rule_decides_in_time_is_the_reply_on_the_connection_that_asked(tmp_path: Path) -> None:
    (tmp_path / "channels" / "rules").mkdir(parents=True)
    shutil.copy(RULES, tmp_path / "channels" / "rules")
    lines = "Story\ndecisions: {rules: rules/therapy.yaml}\nreplies: {decided_within_seconds: 20}"
    with Serving(tmp_path, 1, title=lines) as engine, Line(engine.port) as line:
        line.send(_rqa("C1", "I08", "AUT|GOLD|ACME||||||3|||||REHAB"))
        message = parse(line.text().encode())
        aut = message.first("AUT")
        assert aut is not None
        assert (message.header.event, aut.value(14)) == ("RPA^I08", "AP")
        assert engine.rows("SELECT state, owed FROM forward") == [("answered", 0)]
