"""A partner's own events, numbers and status codes: treated as what they act as, answered in their own names."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hl7auth.domain.terms import Snapshot
from hl7auth.flow import intake
from hl7auth.flow.channel import Channel, load_channel
from hl7auth.flow.decision import Disposition
from hl7auth.resources import shipped
from hl7auth.rules import edition
from hl7auth.rules.compiled import keep_editions
from hl7auth.rules.dialect import Dialect
from hl7auth.rules.edition import known_editions
from tests.messages import PID, PRD, THERAPY, VISIT, Trial, aut, changes, message, rules, texts

PROFILE = """\
profile: hub
title: A hub with messages of its own
extends: referral
dialect:
  events: {ZQA^Z02: RQA^I08, ZQA^Z04: RQA^I11, ZPA^Z02: RPA^I08, ZPA^Z04: RPA^I11}
  number: [AUT-6, ZAU-2]
  absent: {ZAU-2: ["0"], AUT-6: ["null"], PID-2: ["null"], PID-3: ["null"], PID-7: ["00000000"]}
  status:
    from: ZAU-3
    codes: {B000: approved, B001: partially_approved, M024: pended}
    prefixes: {B: approved, M: denied}
"""

VERSIONS = pytest.mark.parametrize("version", ["2.4", "2.5"])


@pytest.fixture(params=["hub", "network-zqa"])
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Channel]:
    """A channel whose profile has a dialect: one of these tests, among copies of the shipped profiles, or a shipped."""
    folder = tmp_path / "profiles"
    shutil.copytree(shipped("profiles"), folder)
    (folder / "hub.yaml").write_text(PROFILE, encoding="utf-8")
    monkeypatch.setattr(edition, "shipped", lambda _: folder)
    keep_editions(known_editions())
    path = tmp_path / "hub.yaml"
    path.write_text(f"channel: hub\nlisten: tcp:0\nprofile: {request.param}\n", encoding="utf-8")
    yield load_channel(path)
    keep_editions(known_editions())


def test_the_channel_of_the_guide_is_one(tmp_path: Path) -> None:
    guide = Path(__file__).parents[2] / "docs" / "howto" / "network-dialect.md"
    path = tmp_path / "payor-network.yaml"
    path.write_text(guide.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0], encoding="utf-8")
    trial = Trial(load_channel(path))
    (reply,) = texts(trial.send(asks(VISIT, aut({8: "3"}), zau("0"))))
    assert reply[0].split("|")[8] == "ZPA^Z02^ZPA_Z02"
    trial.send(tells(VISIT, aut(), zau("7001", "B000")))
    assert trial.statuses("7001@PAYER:SOUTH") == ["approved"]


def zau(number: str = "", code: str = "", text: str = "") -> str:
    return f"ZAU||{number}|{code}^{text}" if code else f"ZAU||{number}"


def asks(
    *segments: str, event: str = "Z02", top: str = "", pid: str = PID, version: str = "2.4", control_id: str = "C1"
) -> bytes:
    before = [top] if top else []
    return message(*before, PRD, pid, *segments, kind="ZQA", event=f"{event}^ZQA_{event}", version=version,
                   control_id=control_id, sender="FRONT|NORTH", receiver="PAYER|SOUTH")  # fmt: skip


def tells(
    *segments: str, event: str = "Z02", top: str = "", to: str = "C1", version: str = "2.4", control_id: str = "D1"
) -> bytes:
    before = ["MSA|AA|" + to, *([top] if top else [])]
    return message(*before, PRD, PID, *segments, kind="ZPA", event=f"{event}^ZPA_{event}", version=version,
                   control_id=control_id, sender="PAYER|SOUTH", receiver="FRONT|NORTH")  # fmt: skip


@VERSIONS
def test_a_request_is_answered_in_its_own_names(hub: Channel, version: str) -> None:
    trial = Trial(hub)
    outcome = trial.send(asks(VISIT, aut({8: "3"}), zau("0"), version=version))
    assert outcome.disposition is Disposition.ACCEPTED
    (reply,) = texts(outcome)
    assert reply[0].split("|")[8] == "ZPA^Z02^ZPA_Z02"
    assert "ZAU||0" in reply
    assert trial.statuses("?#C1@FRONT:NORTH") == ["pended"]


def test_a_standard_message_on_the_same_channel_keeps_its_names(hub: Channel) -> None:
    if hub.file.profile != "hub":
        return  # the shipped network has no messages but its own
    raw = asks(VISIT, aut({8: "3"})).replace(b"ZQA^Z02^ZQA_Z02", b"RQA^I08^RQA_I08")
    (reply,) = texts(Trial(hub).send(raw))
    assert reply[0].split("|")[8] == "RPA^I08^RPA_I08"


@VERSIONS
def test_p46_each_line_has_its_own_code_and_the_header_overrides_none(hub: Channel, version: str) -> None:
    trial = Trial(hub)
    trial.send(asks(VISIT, aut({8: "1"}), THERAPY, aut({8: "1"}), version=version))
    told = tells(
        VISIT, aut(), zau("", "M022"), THERAPY, aut(), zau("", "B000"), top=zau("7001", "B001"), version=version
    )
    trial.send(told)
    document = trial.document("7001@PAYER:SOUTH")
    assert [line["status"] for line in document["lines"]] == ["denied", "approved"]
    assert document["status"] == "partially_approved"
    assert document["lines"][0]["approval_status"]["code"] == "M022"


@VERSIONS
def test_p47_a_refusal_with_aa_is_a_denial(hub: Channel, version: str) -> None:
    trial = Trial(hub)
    trial.send(asks(VISIT, aut({8: "1"}), version=version))
    outcome = trial.send(tells(VISIT, aut({9: "0"}), zau("7001", "M117", "no"), version=version))
    assert (outcome.disposition, outcome.code) == (Disposition.ACCEPTED, "AA")
    assert trial.statuses("7001@PAYER:SOUTH", "?#C1@FRONT:NORTH") == ["denied", "denied"]


@VERSIONS
@pytest.mark.parametrize("number", ["7001", "7002", ""])
def test_p48_a_line_that_pends_keeps_the_whole_pending(hub: Channel, number: str, version: str) -> None:
    trial = Trial(hub)
    trial.send(asks(VISIT, aut({8: "1"}), version=version))
    trial.send(tells(VISIT, aut(), zau(number, "M024"), top=zau("7001", "M000"), version=version))
    assert trial.statuses("7001@PAYER:SOUTH", "?#C1@FRONT:NORTH") == ["pended", "pended"]


@VERSIONS
def test_p49_what_a_partner_writes_for_nothing_is_absent(hub: Channel, version: str) -> None:
    trial = Trial(hub)
    own = hub.file.profile == "hub"  # the shipped dialect knows of no null in AUT-6 and PID-3
    pid = f"PID||null|{'null' if own else '77001'}^^^NORTH||Quill^Ivo||00000000"
    trial.send(asks(VISIT, aut({6: "null" if own else "", 8: "1"}), zau("0"), pid=pid, version=version))
    trial.send(tells(VISIT, aut(), zau("0", "M000"), version=version))
    document = trial.document("?#C1@FRONT:NORTH")
    assert document["patient"].get("id") != "null"
    assert document["patient"]["birth_date"] == "1980-01-02"  # the answer's: what the request said is no date
    assert (document["status"], document.get("authorizations")) == ("denied", None)
    assert trial.statuses("0@PAYER:SOUTH", "0@ACME", "null@ACME", "null@PAYER:SOUTH") == ["-"] * 4


@VERSIONS
def test_p50_a_number_that_comes_with_a_refusal_is_no_approval(hub: Channel, version: str) -> None:
    trial = Trial(hub)
    trial.send(asks(VISIT, aut({8: "1"}), version=version))
    trial.send(tells(VISIT, aut({4: "20260401", 6: "7001", 9: "1"}), zau("", "M000"), version=version))
    assert trial.statuses("7001@PAYER:SOUTH") == ["denied"]


@VERSIONS
def test_p51_a_cancellation_without_aut_and_procedure_goes_by_the_partners_number(hub: Channel, version: str) -> None:
    trial = Trial(hub)
    trial.send(asks(VISIT, aut({8: "1"}), version=version))
    trial.send(tells(VISIT, aut(), zau("7001", "B000"), version=version))
    outcome = trial.send(asks(top=zau("7001"), event="Z04", version=version))
    assert ("7001@PAYER:SOUTH", 2, "cancelled", "cancellation") in changes(outcome)
    (reply,) = texts(outcome)
    assert reply[0].split("|")[8] == "ZPA^Z04^ZPA_Z04"
    unknown = trial.send(asks(top=zau("7009"), event="Z04", version=version, control_id="C2"))
    assert unknown.code == "AE"
    assert "204" in [finding.code for finding in unknown.findings if finding.severity == "error"]
    assert unknown.replies


@VERSIONS
def test_p61_a_constant_control_id_for_several_events(hub: Channel, version: str) -> None:
    trial = Trial(hub)
    trial.send(asks(VISIT, aut({8: "1"}), version=version, control_id="1"))
    trial.send(tells(VISIT, aut(), zau("7001", "B000"), to="1", version=version))
    outcome = trial.send(asks(top=zau("7001"), event="Z04", version=version, control_id="1"))
    assert outcome.disposition is Disposition.ACCEPTED


def test_another_code_decides_by_its_longest_prefix_and_an_unknown_one_pends() -> None:
    dialect = Dialect.model_validate(
        {"status": {"from": "ZAU-3", "codes": {"M024": "pended"}, "prefixes": {"M": "denied", "MX": "modified"}}}
    )
    assert dialect.status is not None
    said = {code: dialect.status.meaning(code) for code in ("M024", "M999", "MX01", "Q1")}
    assert said == {"M024": "pended", "M999": "denied", "MX01": "modified", "Q1": "pended"}


def test_a_status_request_of_an_event_that_nobody_named_is_refused(hub: Channel) -> None:
    outcome = Trial(hub).send(asks(VISIT, event="Z09"))
    assert outcome.code == "AR"
    assert rules(outcome) == {"protocol.201"}


@VERSIONS
def test_p51_what_is_unknown_is_told_where_the_partner_writes_it(hub: Channel, version: str) -> None:
    unknown = Trial(hub).send(asks(top=zau("7009"), event="Z04", version=version))
    assert [finding.path for finding in unknown.findings if finding.code == "204"] == ["ZAU-2"]
    nothing = Trial(hub).send(asks(top=zau("0"), event="Z04", version=version))
    assert [finding.location.segment for finding in nothing.findings if finding.code == "204"] == ["ZAU"]


@VERSIONS
def test_p34_a_partners_own_segment_deletes_no_set(hub: Channel, version: str) -> None:
    trial = Trial(hub)
    trial.send(asks(VISIT, aut({8: "1"}), version=version))
    trial.send(tells(VISIT, aut(), zau("7001", "B000"), version=version))
    outcome = trial.send(tells(VISIT, top='ZAU|""|""|""', version=version, control_id="D2"))
    assert "AUT.delete-set" not in {finding.rule for finding in outcome.findings}
    assert trial.statuses("7001@PAYER:SOUTH") == ["approved"]


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"|P|2.4", b"|T|2.4"), (b"||NE|AL", b"|7|NE|AL"), (b"AUT||ACME", b"AUT||ACME"), (b"||ACME", b"||ACME||soon")],
)
def test_a_refused_answer_is_not_answered_like_a_request(
    hub: Channel, old: bytes, new: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    if old == new:  # nothing is wrong with it but its size
        monkeypatch.setattr(intake, "MAX_COPIED", 10)
    told = tells(VISIT, aut(), zau("7001", "B000")).replace(b"|P|2.4", b"|P|2.4|||NE|AL")
    outcome = Trial(hub).send(told.replace(old, new))
    assert (outcome.disposition, outcome.plan.acts_as) == (Disposition.REFUSED, ("RPA", "I08"))
    assert outcome.replies == []


@VERSIONS
def test_p44_two_payors_behind_one_application_give_out_the_same_number(hub: Channel, version: str) -> None:
    trial = Trial(hub)
    ask, tell = b"|PAYER|SOUTH|", b"|PAYER|SOUTH|FRONT|"
    trial.send(asks(VISIT, aut({8: "1"}), version=version))
    trial.send(tells(VISIT, aut(), zau("7001", "B000"), version=version))
    other = asks(THERAPY, aut({8: "1"}), version=version, control_id="C2").replace(ask, b"|PAYER|EAST|")
    told = tells(THERAPY, aut(), zau("7001", "B000"), version=version, to="C2", control_id="D2")
    trial.send(other, told.replace(tell, b"|PAYER|EAST|FRONT|"))
    cancel = asks(top=zau("7001"), event="Z04", version=version, control_id="C3").replace(ask, b"|PAYER|EAST|")
    trial.send(cancel)
    assert trial.statuses("7001@PAYER:SOUTH", "7001@PAYER:EAST") == ["approved", "cancelled"]


@VERSIONS
def test_p44_a_payor_with_a_universal_id_is_named_by_that_alone(hub: Channel, version: str) -> None:
    trial = Trial(hub)
    trial.send(asks(VISIT, aut({8: "1"}), version=version).replace(b"|PAYER|SOUTH|", b"|PAYER|SOUTH^112233^IIN|"))
    told = tells(VISIT, aut(), zau("7001", "B000"), version=version)
    trial.send(told.replace(b"|PAYER|SOUTH|", b"|PAYER|^112233^IIN|"))
    assert trial.statuses("7001@112233") == ["approved"]
    cancel = asks(top=zau("7001"), event="Z04", version=version, control_id="C2")
    trial.send(cancel.replace(b"|PAYER|SOUTH|", b"|PAYER|SOUTH^112233^IIN|"))
    assert trial.statuses("7001@112233") == ["cancelled"]


@VERSIONS
def test_p44_the_assigner_of_a_partners_number_decides_before_who_sent_it(hub: Channel, version: str) -> None:
    trial = Trial(hub)
    trial.send(asks(VISIT, aut({8: "1"}), version=version))
    trial.send(tells(VISIT, aut(), zau("7001^UM", "B000"), version=version))
    assert trial.statuses("7001@UM") == ["approved"]
    trial.send(asks(top=zau("7001^^UM"), event="Z04", version=version, control_id="C2"))
    assert trial.statuses("7001@UM") == ["cancelled"]


def line_statuses(trial: Trial, key: str) -> list[str]:
    return [line.get("status", "-") for line in trial.document(key)["lines"]]


@VERSIONS
@pytest.mark.parametrize(
    ("header", "first", "second", "lines", "whole"),
    [
        ("B000", "M022", "B000", ["denied", "approved"], "partially_approved"),
        ("M000", "B000", "B000", ["approved", "approved"], "approved"),
        ("B001", "M022", "", ["denied", "partially_approved"], "partially_approved"),
        ("M000", "", "", ["denied", "denied"], "denied"),
        ("B000", "", "M024", ["approved", "pended"], "pended"),
        ("", "M022", "B000", ["denied", "approved"], "partially_approved"),
        ("", "B000", "", ["approved", "pended"], "pended"),
    ],
)
def test_p46_and_p48_the_header_decides_for_the_lines_without_a_code_alone(
    hub: Channel, header: str, first: str, second: str, lines: list[str], whole: str, version: str
) -> None:
    trial = Trial(hub)
    trial.send(asks(VISIT, aut({8: "1"}), THERAPY, aut({8: "1"}), version=version))
    told = (VISIT, aut(), zau("", first), THERAPY, aut(), zau("", second))
    trial.send(tells(*told, top=zau("7001", header), version=version))
    assert (line_statuses(trial, "7001@PAYER:SOUTH"), trial.statuses("7001@PAYER:SOUTH")) == (lines, [whole])


@VERSIONS
def test_p46_a_line_that_counts_for_itself_is_not_decided_by_the_header(hub: Channel, version: str) -> None:
    trial = Trial(hub)
    trial.send(asks(VISIT, aut({8: "1"}), THERAPY, aut({8: "1"}), version=version))
    lines = (VISIT, aut({8: "1", 9: "0"}), THERAPY, aut({8: "1", 9: "1"}), zau("", "B000"))
    trial.send(tells(*lines, top=zau("7001", "B000"), version=version))
    assert line_statuses(trial, "7001@PAYER:SOUTH") == ["denied", "approved"]
    assert trial.statuses("7001@PAYER:SOUTH") == ["partially_approved"]


@VERSIONS
def test_p46_a_line_without_any_aut_is_what_the_header_says(hub: Channel, version: str) -> None:
    trial = Trial(hub)
    trial.send(asks(VISIT, aut({8: "1"}), THERAPY, aut({8: "1"}), version=version))
    trial.send(tells(VISIT, aut(), zau("", "M022"), THERAPY, top=zau("7001", "B001"), version=version))
    assert trial.statuses("7001@PAYER:SOUTH") == ["partially_approved"]


@VERSIONS
@pytest.mark.parametrize("empty", ["ZAU", "ZAU||0", "ZAU|P1||", 'ZAU|""|""|""'])
def test_an_empty_segment_of_the_partner_says_nothing_and_reopens_nothing(
    hub: Channel, empty: str, version: str
) -> None:
    trial = Trial(hub)
    trial.send(asks(VISIT, aut({8: "1"}), version=version))
    trial.send(tells(VISIT, aut(), zau("7001", "B000"), version=version))
    before = trial.document("?#C1@FRONT:NORTH")
    for number, told in enumerate([tells(VISIT, top=empty), tells(VISIT, empty), tells(VISIT, THERAPY)]):
        outcome = trial.send(told.replace(b"|D1|", f"|E{number}|".encode()))
        assert changes(outcome) == []
    assert (before["status"], trial.document("?#C1@FRONT:NORTH")) == ("approved", before)


@VERSIONS
def test_what_an_empty_field_keeps_is_the_partners_code_with_what_it_decided(hub: Channel, version: str) -> None:
    keeping = hub.model_copy(update={"file": hub.file.model_copy(update={"snapshot": Snapshot(empty="keep")})})
    trial = Trial(keeping)
    trial.send(asks(VISIT, aut({8: "1"}), THERAPY, aut({8: "1"}), version=version))
    first = (VISIT, aut({9: "1"}), zau("", "B000"), THERAPY, aut(), zau("", "M022"))
    trial.send(tells(*first, top=zau("7001", "B001"), version=version))
    key = "7001@PAYER:SOUTH"
    trial.send(tells(VISIT, aut({5: "20261231"}), THERAPY, aut(), top=zau("7001"), version=version, control_id="D2"))
    assert line_statuses(trial, key) == ["approved", "denied"]
    assert trial.statuses(key) == ["partially_approved"]
    assert trial.document(key)["lines"][0]["expiration_date"] == "2026-12-31"
    header = tells(VISIT, aut(), THERAPY, aut(), top=zau("7001", "M000"), version=version, control_id="D3")
    trial.send(header)  # the header overrides no line, not even one whose code was kept
    assert (line_statuses(trial, key), trial.statuses(key)) == (["approved", "denied"], ["partially_approved"])
    other = tells(VISIT, aut(), zau("", "M022"), THERAPY, aut(), top=zau("7001"), version=version, control_id="D4")
    trial.send(other)
    assert (line_statuses(trial, key), trial.statuses(key)) == (["denied", "denied"], ["denied"])


@VERSIONS
def test_what_an_empty_field_clears_is_the_partners_code_too(hub: Channel, version: str) -> None:
    trial = Trial(hub)
    trial.send(asks(VISIT, aut({8: "1"}), version=version))
    trial.send(tells(VISIT, aut(), zau("7001", "B000"), version=version))
    trial.send(tells(VISIT, aut(), zau("7001"), version=version, control_id="D2"))
    assert trial.statuses("7001@PAYER:SOUTH") == ["pended"]
    assert "approval_status" not in trial.document("7001@PAYER:SOUTH")


@VERSIONS
def test_p51_a_cancellation_line_by_line_leaves_the_lines_that_have_other_numbers(hub: Channel, version: str) -> None:
    trial = Trial(hub)
    trial.send(asks(VISIT, aut({8: "1"}), THERAPY, aut({8: "1"}), version=version))
    trial.send(tells(VISIT, aut(), zau("7001", "B000"), THERAPY, aut(), zau("7002", "B000"), version=version))
    trial.send(asks(VISIT, zau("7001"), event="Z04", version=version, control_id="C2"))
    assert trial.statuses("7001@PAYER:SOUTH", "7002@PAYER:SOUTH") == ["cancelled", "approved"]


@VERSIONS
def test_p27_an_aut_behind_an_obx_belongs_to_the_procedure_before_it(hub: Channel, version: str) -> None:
    if hub.file.profile == "hub":
        return  # HL7's own structures have no OBX there
    trial = Trial(hub)
    trial.send(asks(VISIT, "OBX|1||||||||||F", aut({8: "1"}), version=version))
    trial.send(tells(VISIT, "OBX|1||||||||||F", aut({9: "1"}), zau("7001", "B000"), version=version))
    (line,) = trial.document("7001@PAYER:SOUTH")["lines"]
    assert (line["status"], line["authorized_treatments"]) == ("approved", {"quantity": "1"})


@VERSIONS
def test_p22_an_answer_without_the_payor_is_taken_with_a_warning(hub: Channel, version: str) -> None:
    if hub.file.profile == "hub":
        return  # the standard requires AUT-2
    trial = Trial(hub)
    trial.send(asks(VISIT, aut({8: "1"}), version=version))
    outcome = trial.send(tells(VISIT, aut({2: "", 9: "1"}), zau("7001", "B000"), version=version))
    assert ("AUT-2", "warning") in [(finding.path, finding.severity) for finding in outcome.findings]
    assert trial.statuses("7001@PAYER:SOUTH") == ["approved"]
