"""Documents of a request over the API: kept as they are, told in its history, and read by who may see it."""

import base64
from typing import Any

from sqlalchemy import text

from hl7auth.api.papers import MOST_PAPERS
from tests.api.desk import Desk
from tests.store.stored import samples

KEY = "CH-24011@CEDARHILL"


def letter(content: bytes = b"%PDF plan of care", name: str = "plan.pdf") -> dict[str, Any]:
    return {"name": name, "media_type": "application/pdf", "content": base64.b64encode(content).decode()}


def test_documents_of_a_pended_request_are_kept_and_told(desk: Desk) -> None:
    desk.send(samples()[0])
    desk.ask("POST", f"/requests/{KEY}/submit")
    pended = desk.ask("POST", f"/requests/{KEY}/pend", json={"reason": "the plan of care is missing"})
    made = desk.ask("POST", f"/requests/{KEY}/papers", json={"documents": [letter(), letter(b"x-ray", "knee.dcm")]})
    assert made.status_code == 201, made.text
    listed = desk.get(f"/requests/{KEY}/papers")["items"]
    assert [each["name"] for each in listed] == [each["name"] for each in made.json()["items"]]
    assert {each["name"]: each["bytes"] for each in listed} == {"plan.pdf": 17, "knee.dcm": 5}
    digest = next(each["digest"] for each in listed if each["name"] == "plan.pdf")
    read = desk.ask("GET", f"/papers/{digest}")
    assert (read.content, read.headers["Content-Disposition"]) == (b"%PDF plan of care", "attachment")
    process = desk.get(f"/requests/{KEY}/process")
    assert (process["state"], process["revision"]) == ("Pended", pended.json()["revision"])
    told = [each for each in process["versions"][0]["history"] if each["event"] == "papers"]
    assert [each["reason"] for each in told] == ["plan.pdf, knee.dcm"]
    (audited,) = [each for each in desk.audited(f"?{KEY}") if each["action"] == "request.papers"]
    assert {each["digest"] for each in audited["detail"]["papers"]} == {each["digest"] for each in listed}
    again = desk.ask("POST", f"/requests/{KEY}/papers", json={"documents": [letter()]})
    assert len(again.json()["items"]) == 2  # the same is kept once


def test_what_is_no_document_or_too_much_is_refused(desk: Desk) -> None:
    desk.send(samples()[0])
    for body, place in (
        ({"documents": []}, "/documents"),
        ({"documents": [letter() | {"content": "?"}]}, "/documents/0/content"),
        ({"documents": [letter() | {"media_type": "pdf"}]}, "/documents/0/media_type"),
        ({"papers": []}, "/papers"),
    ):
        refused = desk.ask("POST", f"/requests/{KEY}/papers", json=body)
        assert refused.status_code == 400, refused.text
        assert place in [each["path"] for each in refused.json()["errors"]]
    for at in range(0, MOST_PAPERS, 10):
        some = [letter(b"%d" % number) for number in range(at, at + 10)]
        assert desk.ask("POST", f"/requests/{KEY}/papers", json={"documents": some}).status_code == 201
    more = desk.ask("POST", f"/requests/{KEY}/papers", json={"documents": [letter(b"one more")]})
    assert (more.status_code, more.json()["type"]) == (409, "urn:hl7auth:too-many")
    stale = desk.ask("POST", f"/requests/{KEY}/papers", json={"documents": [letter()]}, headers={"If-Match": '"9.9"'})
    assert stale.status_code == 412


def test_who_may_not_see_the_request_neither_adds_nor_reads(desk: Desk) -> None:
    desk.send(samples()[0])
    made = desk.ask("POST", f"/requests/{KEY}/papers", json={"documents": [letter()]}).json()
    other = desk.token("other", "clinical.authorization.write", "clinical.authorization.read", payors=["ACME"])
    reader = desk.token("reader", "clinical.authorization.read")
    assert desk.ask("POST", f"/requests/{KEY}/papers", json={"documents": [letter()]}, headers=other).status_code == 404
    assert desk.ask("GET", f"/requests/{KEY}/papers", headers=other).status_code == 404
    assert desk.ask("GET", f"/papers/{made['items'][0]['digest']}", headers=other).status_code == 404
    assert (
        desk.ask("POST", f"/requests/{KEY}/papers", json={"documents": [letter()]}, headers=reader).status_code == 403
    )
    assert desk.ask("GET", f"/requests/{KEY}/papers", headers=reader).status_code == 200


def test_a_damaged_paper_is_said_to_be_and_never_served(desk: Desk) -> None:
    desk.send(samples()[0])
    made = desk.ask("POST", f"/requests/{KEY}/papers", json={"documents": [letter()]}).json()
    with desk.engine.begin() as connection:
        connection.execute(text("UPDATE paper SET content = x'00'"))
    read = desk.ask("GET", f"/papers/{made['items'][0]['digest']}")
    assert (read.status_code, read.json()["type"]) == (410, "urn:hl7auth:damaged")
