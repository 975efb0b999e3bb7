"""Who is asked whether a member is enrolled: a Python function, an HTTP server, or a listener for RQI^I01.

Imports flow, domain, wire, observe, errors and the standard library.

Nothing here has a transaction open: an answer may take as long as the settings let it.
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from hl7auth.domain.enrolling import Wanted
from hl7auth.domain.values import iso_date
from hl7auth.errors import Fault
from hl7auth.flow.enrollment import Call, Enrollment, Inquiry, Post
from hl7auth.flow.intake import timestamp
from hl7auth.flow.verdict import read_answer
from hl7auth.observe import now
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.escapes import escape
from hl7auth.wire.framing import Deframer, frame
from hl7auth.wire.message import Segment, parse

MOST_BYTES = 1024 * 1024
"""Of an answer: what is said of one member is far smaller."""
_NOBODY = 404
_READ = 65_536

Data = dict[str, Any]


class Unanswered(Exception):
    """Nobody could be asked, or what came back is no answer. Its text holds nothing of a patient."""


def ask(settings: Enrollment, folder: Path, wanted: Wanted, control_id: str) -> Data | None:
    """What the source says, None where it knows nobody of that number. `folder` is that of the channel's file.

    Raises Unanswered.
    """
    if settings.python is not None:
        return _called(settings.python, folder, wanted)
    if settings.http is not None:
        return _posted(settings.http, wanted)
    assert settings.hl7 is not None
    return _inquired(settings.hl7, wanted, control_id)


def _called(call: Call, folder: Path, wanted: Wanted) -> Data | None:
    command = [sys.executable, "-m", "hl7auth.desk.calling"]
    given = json.dumps([str(folder), call.function, wanted._asdict()]).encode()
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=call.seconds, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise Unanswered(f"{call.function} took longer than {call.seconds:g} seconds") from None
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:100]
        raise Unanswered(f"{call.function} failed: {last}")
    return _read(done.stdout, call.function)


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """A patient's number goes where it was sent, and nowhere else."""


def _posted(post: Post, wanted: Wanted) -> Data | None:
    headers = {"Content-Type": "application/json", "Accept": "application/json"} | post.headers
    request = Request(post.url, json.dumps(wanted._asdict()).encode(), headers, method="POST")  # noqa: S310 - http only
    try:
        with build_opener(_NoRedirects).open(request, timeout=post.seconds) as response:
            return _read(response.read(MOST_BYTES + 1), "the server")
    except HTTPError as error:
        if error.code == _NOBODY:
            return None
        raise Unanswered(f"the server answered {error.code}") from None
    except (URLError, OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise Unanswered(f"the server could not be asked: {type(reason).__name__}") from None


def _read(raw: bytes, who: str) -> Data | None:
    if len(raw) > MOST_BYTES:
        raise Unanswered(f"{who} answered more than {MOST_BYTES} bytes")
    try:
        found = json.loads(raw)
    except ValueError:
        raise Unanswered(f"{who} answered something else than JSON") from None
    if found is not None and not isinstance(found, dict):
        raise Unanswered(f"{who} answered something else than a JSON object")
    return found


def _inquired(inquiry: Inquiry, wanted: Wanted, control_id: str) -> Data:
    raw = inquiry_of(inquiry, wanted, control_id, timestamp(now() // 1_000_000))
    try:
        answer = _exchanged(inquiry, raw, control_id)
    except OSError as error:
        raise Unanswered(f"{inquiry.connect} could not be asked: {type(error).__name__}") from None
    return read_coverage(answer)


def inquiry_of(inquiry: Inquiry, wanted: Wanted, control_id: str, at: str) -> bytes:
    """The RQI^I01 (chapter 11, 11.3.1): who asks (PRD), the patient, and the insurance that is asked about (IN1)."""
    marks = Delimiters()

    def text(value: str) -> str:
        return escape(value, marks)

    family, _, given = wanted.name.partition(", ")
    code = "RP^Referring provider^HL70286" if inquiry.version >= "2.3.1" else "RP"
    lines = [
        f"MSH|^~\\&|HL7AUTH||{text(inquiry.receiving_application)}|{text(inquiry.receiving_facility)}|{at}||"
        f"RQI^I01|{control_id}|P|{inquiry.version}||||||UNICODE UTF-8",
        f"PRD|{code}",
        f"PID|1||{text(wanted.member)}^^^{text(wanted.assigner)}||{text(family)}^{text(given)}||"
        f"{wanted.birth_date.replace('-', '')}",
        f"IN1|1|{text(wanted.plan)}|{text(wanted.payor)}|||||||||{_day(wanted.start)}|{_day(wanted.end)}"
        f"{'|' * 23}{text(wanted.member)}",
    ]
    return ("\r".join(lines) + "\r").encode()


def _day(iso: str) -> str:
    return iso[:10].replace("-", "")


def _exchanged(inquiry: Inquiry, raw: bytes, control_id: str) -> bytes:
    """The answer to this very message. Raises OSError (TimeoutError where it takes too long), and Unanswered."""
    until, deframer = time.monotonic() + inquiry.seconds, Deframer(MOST_BYTES, lenient=True)
    with socket.create_connection(inquiry.place, inquiry.seconds) as connection:
        connection.sendall(frame(raw))
        while (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            data = connection.recv(_READ)
            if not data:
                raise ConnectionError
            for each in deframer.feed(data):
                read = None if each.refused else read_answer(each.payload)
                if read is not None and read[1] == control_id and read[0].code != "CA":
                    if read[0].code != "AA":
                        raise Unanswered(f"{inquiry.connect} answered {read[0].code} {read[0].condition}".strip())
                    return each.payload
    raise TimeoutError


def read_coverage(raw: bytes) -> Data:
    """What an RPI^I01 says: the insurances (IN1) of the member, none where it has none. Raises Unanswered."""
    try:
        message = parse(raw)
    except Fault as fault:
        raise Unanswered(f"the answer can not be read: {fault}") from None
    return {"coverage": [_coverage(each) for each in message.all("IN1")]}


def _coverage(insurance: Segment) -> Mapping[str, str]:
    found = {
        "plan": insurance.value(2), "payor": insurance.value(3), "name": insurance.value(4),
        "from": iso_date(insurance.value(12)), "until": iso_date(insurance.value(13)), "policy": insurance.value(36),
    }  # fmt: skip
    return {key: value for key, value in found.items() if value}
