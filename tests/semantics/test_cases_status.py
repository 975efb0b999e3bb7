"""A profile's own tables of what decides: numbers of treatments, dates, and the payor's cancellation."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hl7auth.flow.channel import Channel, load_channel
from hl7auth.resources import shipped
from hl7auth.rules import edition
from hl7auth.rules.compiled import keep_editions
from hl7auth.rules.edition import known_editions
from tests.messages import ASKED, THERAPY, VISIT, Trial, answer, aut, granted, request, rules

PROFILE = """\
profile: payor
title: A payor that says 0 while it works on a request, and rejects by I11
extends: referral
segments:
  AUT:
    fields:
      14: {pre_adopted: true}
status:
  treatments:
    - {authorized: "= 0", status: pended}
    - {authorized: "< 0", status: denied}
    - {authorized: ">= AUT-8", status: approved}
  dated: pended
  events: {RPA^I11: denied}
"""

VERSIONS = pytest.mark.parametrize("version", ["2.5", "2.8.1"])


@pytest.fixture
def payor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Channel]:
    folder = tmp_path / "profiles"
    shutil.copytree(shipped("profiles"), folder)
    (folder / "payor.yaml").write_text(PROFILE, encoding="utf-8")
    monkeypatch.setattr(edition, "shipped", lambda _: folder)
    keep_editions(known_editions())
    path = tmp_path / "payor.yaml"
    path.write_text("channel: payor\nlisten: tcp:0\nprofile: payor\n", encoding="utf-8")
    yield load_channel(path)
    keep_editions(known_editions())


def says(fields: dict[int, str]) -> str:
    return aut({13: "SPEC"} | fields)


@VERSIONS
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({8: "3", 9: "0"}, "pended"),
        ({8: "3", 9: "-1"}, "denied"),
        ({8: "3", 9: "3"}, "approved"),
        ({8: "3", 9: "2"}, "pended"),  # no row fits
        ({9: "2"}, "pended"),  # nothing to compare with
        ({4: "20260401"}, "pended"),
    ],
)
def test_p47_the_profile_says_what_a_number_of_treatments_decides(
    payor: Channel, fields: dict[int, str], status: str, version: str
) -> None:
    trial = Trial(payor)
    trial.send(answer(VISIT, says({6: "PA1"} | fields), THERAPY, says({6: "PA2", 9: "0"}), version=version))
    assert trial.statuses("PA1@ACME", "PA2@ACME") == [status, "pended"]


def test_what_a_profile_does_not_say_is_as_in_what_it_extends(payor: Channel) -> None:
    trial = Trial(payor)
    trial.send(answer(VISIT, says({6: "PA1", 8: "3", 9: "0", 14: "DE"}), version="2.8.1"))
    assert trial.statuses("PA1@ACME") == ["denied"]


@VERSIONS
@pytest.mark.parametrize("numbered", [True, False])
def test_p51_a_payor_may_reject_by_a_cancellation(payor: Channel, numbered: bool, version: str) -> None:
    head = {"referral": "R1", "version": version}
    for channel, status in ((payor, "denied"), (None, "cancelled")):
        trial = Trial(channel)
        trial.send(request(VISIT, says({8: "3"}), THERAPY, **head))
        told = [VISIT, says({6: "PA1"})] if numbered else [VISIT]
        trial.send(answer(*told, event="I11", control_id="D1", **head))
        assert trial.statuses("?R1@FRONT:NORTH") == [status]
        assert {line["status"] for line in trial.document("?R1@FRONT:NORTH")["lines"]} == {status}
        assert trial.statuses("PA1@ACME") == [status if numbered else "-"]


@VERSIONS
def test_p52_what_its_requester_cancelled_is_not_rejected_as_well(payor: Channel, version: str) -> None:
    trial = Trial(payor)
    trial.send(answer(VISIT, granted("PA1", {13: "SPEC"}), to="X9", version=version))
    trial.send(request(VISIT, says({6: "PA1"}), event="I11", control_id="C2", version=version))
    trial.send(answer(VISIT, says({6: "PA1"}), event="I11", to="X8", control_id="D2", version=version))
    assert trial.statuses("PA1@ACME") == ["cancelled"]


@pytest.mark.parametrize(("modes", "status"), [(("NE", "NE"), "requested"), (("", ""), "pended")])
def test_a_request_pends_once_its_sender_has_been_told_to_wait(
    payor: Channel, modes: tuple[str, str], status: str
) -> None:
    trial = Trial(payor)
    trial.send(request(VISIT, ASKED, modes=modes))
    assert trial.statuses("?#C1@FRONT:NORTH") == [status]


@pytest.mark.parametrize("version", ["2.4", "2.5.1"])
def test_p24_a_field_that_a_version_has_not_decides_only_where_the_profile_adopts_it(
    payor: Channel, version: str
) -> None:
    raw = answer(VISIT, aut({6: "PA1", 8: "3", 9: "3", 14: "DE", 17: "not covered"}), version=version)
    for channel, status, code in ((None, "approved", None), (payor, "denied", {"code": "DE"})):
        trial = Trial(channel)
        outcome = trial.send(raw)
        document = trial.document("PA1@ACME")
        assert (document["status"], document.get("approval_status"), "reason" in document) == (status, code, False)
        assert ("AUT-14.unexpected" in rules(outcome)) == (code is None)
        assert "AUT-17.unexpected" in rules(outcome)
