"""Decisions about requests that are not as simple as most: what is said is what stands, and nothing else changes."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hl7auth.domain.crosswalk import Decision
from hl7auth.domain.decided import LeftOut, LineQuantity
from hl7auth.domain.process import Missing, Process
from tests.desk.test_life import ASKED, IN_FULL, KEY, PLAIN, TWO, WHY, At
from tests.desk.test_own_words import _ZQA, NETWORK, YES
from tests.desk.test_own_words import KEY as ZQA_KEY
from tests.store.stored import HOUR, samples


@pytest.fixture
def at(tmp_path: Path) -> Iterator[At]:
    found = At(tmp_path)
    yield found
    found.store.close()


def _named(number: bytes, raw: bytes = ASKED) -> bytes:
    """The request with a number of its own in its first AUT."""
    return raw.replace(b"||||||12\r", b"||||" + number + b"||12\r")


def _approved(at: At, raw: bytes, said: Any = IN_FULL, key: str = KEY) -> Any:
    at.store.send(raw)
    at.desk.submit(key, "reviewer")
    return at.desk.approve(key, "reviewer", said)


def _codes(at: At, key: str = "FG-1@FERNGATE") -> list[str]:
    return [line["procedure"]["code"] for line in at.documents(key)[0]["lines"]]


def test_a_number_of_the_requesters_own_gives_way_and_the_request_stays_approved(at: At) -> None:
    _approved(at, _named(b"X1"), key="X1@FERNGATE")
    assert at.statuses() == {"FG-1@FERNGATE": "approved", "X1@FERNGATE": "cancelled"}
    shown = at.desk.show("X1@FERNGATE")
    assert (shown["state"], shown["in_force"]) == ("Approved", True)


def test_of_two_numbers_each_is_decided_by_itself(at: At) -> None:
    at.store.send(_named(b"X1", TWO).replace(b"FERNGATE||||||1|", b"FERNGATE||||X2||1|"))
    at.desk.submit("X1@FERNGATE", "reviewer")
    at.desk.deny("X1@FERNGATE", "reviewer", WHY)
    assert at.statuses() == {"X1@FERNGATE": "denied", "X2@FERNGATE": "pended"}
    assert [each["key"] for each in at.desk.work()] == ["X2@FERNGATE"]


def test_what_is_in_force_stays_so_while_a_later_version_pends(at: At) -> None:
    at.store.send(ASKED)
    at.state(Process.APPROVED)
    at.desk.unfinalize(KEY, "reviewer", "an appeal")
    at.desk.submit(KEY, "reviewer")
    at.desk.pend(KEY, "reviewer", WHY)
    assert at.statuses()["FG-1@FERNGATE"] == "approved"
    assert [each["in_force"] for each in at.desk.show(KEY)["versions"]] == [True, False]
    at.desk.resume(KEY, "reviewer")
    at.desk.deny(KEY, "reviewer", WHY)
    assert at.statuses()["FG-1@FERNGATE"] == "denied"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (ASKED, {"quantity": Decimal(5)}),
        (ASKED, {"decision": Decision.CERTIFIED_PARTIAL, "quantity": Decimal(20)}),
        (ASKED, {"decision": Decision.CERTIFIED_PARTIAL}),
    ],
    ids=["all, and fewer", "a part, and more", "a part, and nothing fewer"],
)
def test_what_a_version_says_otherwise_is_told_and_changes_nothing(at: At, raw: bytes, said: dict[str, Any]) -> None:
    with pytest.raises(Missing, match=r"in version 2\.5\.1 this says '.*approved' and not 'certified_"):
        _approved(at, raw, IN_FULL._replace(**said))
    assert (at.answers(), at.desk.show(KEY)["state"]) == ([], "In Process")


def test_a_number_alone_approves_from_the_day_of_the_decision_on(at: At) -> None:
    _approved(at, ASKED.replace(b"||||||12\r", b"\r"), IN_FULL._replace(effective=None, expiration=None))
    assert at.statuses()["FG-1@FERNGATE"] == "approved"
    assert at.documents("FG-1@FERNGATE")[0]["effective_date"] == "2026-03-01"


def test_a_quantity_is_not_granted_by_several_auts_at_once(at: At) -> None:
    with pytest.raises(Missing, match="2 AUTs, and this quantity would be granted by each"):
        _approved(at, TWO, IN_FULL._replace(decision=Decision.CERTIFIED_PARTIAL, quantity=Decimal(5)))
    assert at.answers() == []


def _each(**said: Any) -> Any:
    by_line = tuple(LineQuantity(code, Decimal(quantity)) for code, quantity in said.pop("lines").items())
    return IN_FULL._replace(by_line=by_line, **said)


V28 = TWO.replace(b"|2.5.1", b"|2.8").replace(b"||||||12\r", b"||||||12|||||RP\r")
PLAIN_28 = PLAIN.replace(b"|2.5.1", b"|2.8").replace(b"||||||12\r", b"||||||12|||||RP\r")


@pytest.mark.parametrize("raw", [TWO, V28], ids=["2.5.1", "2.8"])
@pytest.mark.parametrize(
    ("lines", "decision", "statuses"),
    [
        ({"PHY-KNEE": "8", "BRACE": "1"}, "certified_partial", ["partially_approved", "approved"]),
        ({"PHY-KNEE": "8"}, "certified_partial", ["partially_approved", "approved"]),
        ({"PHY-KNEE": "12", "BRACE": "1"}, "certified_total", ["approved", "approved"]),
    ],
)
def test_each_procedure_can_be_granted_its_own_quantity(
    at: At, raw: bytes, lines: dict[str, str], decision: str, statuses: list[str]
) -> None:
    _approved(at, raw, _each(lines=lines))
    (document,) = at.documents("FG-1@FERNGATE")
    granted = [each["authorized_treatments"]["quantity"] for each in document["lines"]]
    assert granted == [lines.get("PHY-KNEE"), "1"]
    assert [each["status"] for each in document["lines"]] == statuses
    assert at.desk.show(KEY)["decision"] == decision
    assert document["status"] == ("approved" if decision == "certified_total" else "partially_approved")


def test_more_than_was_asked_of_a_procedure_is_a_modification(at: At) -> None:
    _approved(at, V28, _each(lines={"PHY-KNEE": "15"}))
    (document,) = at.documents("FG-1@FERNGATE")
    assert [each["status"] for each in document["lines"]] == ["modified", "approved"]
    assert (document["status"], at.desk.show(KEY)["decision"]) == ("modified", "modified")


def test_a_procedure_without_an_aut_of_its_own_gets_one_with_its_quantity(at: At) -> None:
    _approved(at, PLAIN_28, _each(lines={"PHY-KNEE": "12", "BRACE": "2"}))
    (document,) = at.documents("FG-1@FERNGATE")
    assert [each["authorized_treatments"]["quantity"] for each in document["lines"]] == ["12", "2"]
    assert document["status"] == "approved"


def test_quantities_go_with_procedures_that_are_left_out(at: At) -> None:
    out = (LeftOut("BRACE", "not covered"),)
    _approved(at, V28, _each(lines={"PHY-KNEE": "8"}, left_out=out, decision=Decision.CERTIFIED_PARTIAL))
    (document,) = at.documents("FG-1@FERNGATE")
    assert [each["status"] for each in document["lines"]] == ["partially_approved", "denied"]
    assert document["lines"][0]["authorized_treatments"] == {"quantity": "8"}


def test_the_aut_above_the_procedures_says_what_they_are_together(at: At) -> None:
    above = b"\rAUT|FG-SILVER^Ferngate Silver^L|FERNGATE||||||13|||||RP\rPRD|RP"
    raw = V28.replace(b"\rPRD|RP", above, 1)
    _approved(at, raw, _each(lines={"PHY-KNEE": "8"}))
    (document,) = at.documents("FG-1@FERNGATE")
    assert (document["authorized_treatments"], document["status"]) == ({"quantity": "9"}, "partially_approved")


def test_units_of_each_procedure_are_in_its_aut_18(at: At) -> None:
    _approved(at, V28, _each(lines={"PHY-KNEE": "32", "BRACE": "1"}, unit="15M", decision=Decision.MODIFIED))
    (document,) = at.documents("FG-1@FERNGATE")
    assert document["lines"][0]["authorized_units"]["quantity"] == "32"
    assert "authorized_treatments" not in document["lines"][0]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"lines": {"97110": "1"}}, "no procedure '97110' .*BRACE, PHY-KNEE"),
        ({"lines": {"BRACE": "1"}, "quantity": Decimal(2)}, "one quantity for all, or one for each"),
        ({"lines": {"BRACE": "0"}}, "above 0"),
        ({"lines": {"BRACE": "1"}, "decision": Decision.NOT_REQUIRED}, "in no quantity"),
        ({"lines": {"BRACE": "1"}, "left_out": (LeftOut("BRACE", "no"),)}, "is left out"),
    ],
)
def test_quantities_that_can_not_be_meant_are_told(at: At, said: dict[str, Any], why: str) -> None:
    with pytest.raises(Missing, match=why):
        _approved(at, TWO, _each(**said))
    assert (at.answers(), at.desk.show(KEY)["state"]) == ([], "In Process")


def test_of_a_procedure_that_is_asked_for_twice_somebody_has_to_say_which(at: At) -> None:
    with pytest.raises(Missing, match="'PHY-KNEE' 2 times"):
        _approved(at, TWO.replace(b"BRACE^Brace of the knee", b"PHY-KNEE^Knee"), _each(lines={"PHY-KNEE": "3"}))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (ASKED, IN_FULL),
        (V28, _each(lines={"PHY-KNEE": "8"})),
        (PLAIN_28, _each(lines={"PHY-KNEE": "12", "BRACE": "2"})),
        (V28.replace(b"\rPRD|RP", b"\rAUT|FG-SILVER^Ferngate Silver^L|FERNGATE||||||13|||||RP\rPRD|RP", 1), IN_FULL),
    ],
    ids=["one AUT", "by line", "no AUT of its own", "one above the procedures"],
)
def test_what_was_granted_stays_on_record_when_it_is_cancelled(at: At, raw: bytes, said: Any) -> None:
    keys = ("effective_date", "expiration_date", "authorized_treatments")

    def granted() -> list[Any]:
        (document,) = at.documents("FG-1@FERNGATE")
        return [[each.get(key) for key in keys] for each in (document, *document["lines"])]

    _approved(at, raw, said)
    before = granted()
    at.desk.cancel(KEY, "reviewer", "double")
    assert granted() == before
    assert any(each[2] for each in before)
    assert set(at.statuses().values()) == {"cancelled"}


def test_units_that_a_version_can_not_say_are_in_no_approval(at: At) -> None:
    said = IN_FULL._replace(effective=None, expiration=None, quantity=Decimal("7.5"), unit="HR")
    with pytest.raises(Missing, match="unit"):
        _approved(at, ASKED, said)


def test_an_older_quantity_of_the_other_kind_does_not_stay(at: At) -> None:
    raw = ASKED.replace(b"|2.5.1", b"|2.8").replace(b"||||||12\r", b"||||||12|||||RP|||||5^VS\r")
    said = IN_FULL._replace(decision=Decision.MODIFIED, quantity=Decimal(3))
    _approved(at, raw, said)
    (document,) = at.documents("FG-1@FERNGATE")
    line = document["lines"][0]
    assert [line.get("authorized_treatments"), line.get("authorized_units")] == [{"quantity": "3"}, None]


def test_a_full_approval_names_procedures_without_an_aut_too(at: At) -> None:
    _approved(at, PLAIN)
    assert _codes(at) == ["PHY-KNEE", "BRACE"]
    at.desk.unfinalize(KEY, "reviewer", "less")
    at.desk.submit(KEY, "reviewer")
    part = IN_FULL._replace(decision=Decision.CERTIFIED_PARTIAL, left_out=(LeftOut("BRACE", "not covered"),))
    at.desk.approve(KEY, "reviewer", part)
    assert at.statuses()["FG-1@FERNGATE"] == "partially_approved"


def test_the_number_of_a_payors_own_answer_is_the_one_that_it_gave(at: At) -> None:
    at.store.send(ASKED)
    at.state(Process.APPROVED)
    at.desk.unfinalize(KEY, "reviewer", "an appeal")
    at.store.time += HOUR
    at.store.send(samples()[1])
    assert at.desk.show(KEY)["number"] == "FG-77120"


def test_what_a_payor_says_after_the_decision_counts(at: At) -> None:
    _approved(at, ASKED)
    at.store.time += HOUR
    at.store.send(samples()[1].replace(b"FG-77120", b"FG-1").replace(b"|12|12|", b"|12|0|"))
    assert at.statuses()["FG-1@FERNGATE"] == "denied"
    shown = at.desk.show(KEY)
    assert (shown["state"], shown["in_force"]) == ("Denied", False)


def test_a_code_that_ends_in_a_separator_is_left_out_as_its_document_has_it(at: At) -> None:
    raw = ASKED.replace(b"OBR|1", b"PR1|2||CAST&^Cast^L||20260106\rOBR|1")
    part = IN_FULL._replace(decision=Decision.CERTIFIED_PARTIAL, left_out=(LeftOut("CAST", "not covered"),))
    _approved(at, raw, part)
    assert at.statuses()["FG-1@FERNGATE"] == "partially_approved"


def test_leaving_out_all_that_has_a_code_is_no_denial_of_what_has_none(at: At) -> None:
    raw = ASKED.replace(b"OBR|1", b"PR1|2||^Something^L||20260106\rOBR|1")
    part = IN_FULL._replace(decision=Decision.CERTIFIED_PARTIAL, left_out=(LeftOut("PHY-KNEE", "not covered"),))
    _approved(at, raw, part)
    assert at.statuses()["FG-1@FERNGATE"] == "partially_approved"


def test_observations_between_a_procedure_and_its_aut_are_no_hindrance(tmp_path: Path) -> None:
    from hl7auth.flow.channel import load_channel

    path = tmp_path / "payor-network.yaml"
    path.write_text(NETWORK.format(profile="network-zqa"), encoding="utf-8")
    at = At(tmp_path, load_channel(path))
    at.store.send(_ZQA.read_bytes().replace(b"\rAUT", b"\rOBX|1|ST|x^y^L||a\rAUT", 1))
    at.desk.submit(ZQA_KEY, "reviewer")
    part = YES._replace(decision=Decision.CERTIFIED_PARTIAL, left_out=(LeftOut("420101", "no cubierta"),))
    at.desk.approve(ZQA_KEY, "reviewer", part)
    assert at.statuses()["884001@PREPAGA:FERNSUR"] == "partially_approved"
    at.store.close()


def test_a_request_without_an_aut_is_decided_for_the_insurer_that_it_names(at: At) -> None:
    raw = b"\r".join(line for line in ASKED.split(b"\r") if not line.startswith(b"AUT"))
    _approved(at, raw)
    assert at.statuses()["FG-1@FERNGATE"] == "approved"


@pytest.mark.parametrize("version", [b"2.5.1", b"2.8"])
@pytest.mark.parametrize("with_aut", [True, False])
def test_a_request_without_any_procedure_is_decided_as_a_whole(at: At, version: bytes, with_aut: bool) -> None:
    lines = [line for line in ASKED.split(b"\r") if not line.startswith((b"PR1", b"AUT", b"OBR", b"OBX"))]
    if with_aut:
        lines.insert(2, b"AUT|FG-SILVER^Ferngate Silver^L|FERNGATE||||||12|||||RP")
    _approved(at, b"\r".join(lines).replace(b"|2.5.1", b"|" + version))
    assert at.statuses()["FG-1@FERNGATE"] == "approved"
    (answer,) = at.answers()
    assert [each.components(6)[0] for each in answer.segments if each.name == "AUT"] == ["FG-1"]
    assert at.desk.show(KEY)["state"] == "Approved"
    at.desk.cancel(KEY, "reviewer", "double")
    assert set(at.statuses().values()) == {"cancelled"}


def test_an_approval_that_ends_before_it_begins_is_none(at: At) -> None:
    raw = ASKED.replace(b"FERNGATE^Ferngate Mutual^L||||||12", b"FERNGATE^Ferngate Mutual^L|||20260110|||12")
    with pytest.raises(Missing, match="before it begins"):
        _approved(at, raw, IN_FULL._replace(expiration=None))
    at.desk.approve(KEY, "reviewer", IN_FULL._replace(expiration=date(2026, 5, 1)))


def test_the_number_of_none_is_no_number(at: At) -> None:
    with pytest.raises(Missing, match="HL7 for none"):
        _approved(at, ASKED, IN_FULL._replace(number='""'))


def test_one_line_that_is_asked_for_by_itself_is_granted_by_itself(at: At) -> None:
    version = TWO.replace(b"|2.5.1", b"|2.8").replace(b"||||||12\r", b"||||||12|||||RP\r")
    _approved(at, version)
    assert _codes(at) == ["PHY-KNEE", "BRACE"]
    more = samples()[0].replace(b"CH-0001", b"CH-0002").replace(b"^I08^RQA_I08", b"^I09^RQA_I08")
    more = more.replace(b"|2.5.1", b"|2.8").replace(b"||||||12\r", b"||||FG-1^FERNGATE||20|||||RP" + b"|" * 16 + b"U\r")
    at.store.time += HOUR
    (outcome,) = at.store.send(more)
    assert outcome.disposition == "accepted", outcome.findings
    (key,) = (each["key"] for each in at.desk.work())
    at.desk.submit(key, "reviewer")
    at.desk.approve(key, "reviewer", IN_FULL)
    assert sorted(_codes(at)) == ["BRACE", "PHY-KNEE"]


def test_a_change_that_says_nothing_of_units_keeps_those_that_were_asked(at: At) -> None:
    _approved(at, ASKED)
    more = b"\r".join(line for line in ASKED.split(b"\r") if not line.startswith((b"AUT", b"PR1", b"OB")))
    more = more.replace(b"CH-0001", b"CH-0002").replace(b"^I08^RQA_I08", b"^I09^RQA_I08")
    at.store.time += HOUR
    (outcome,) = at.store.send(more)
    assert outcome.disposition == "accepted", outcome.findings
    at.desk.submit(KEY, "reviewer")
    at.desk.approve(KEY, "reviewer", IN_FULL)
    (line,) = at.documents("FG-1@FERNGATE")[0]["lines"]
    assert (at.documents("FG-1@FERNGATE")[0] | line)["authorized_treatments"] == {"quantity": "12"}


def test_who_takes_it_back_is_told_and_a_number_keeps_its_assigner(at: At) -> None:
    _approved(at, ASKED, IN_FULL._replace(assigner="OTHER"))
    at.desk.unfinalize(KEY, "reviewer", "an appeal")
    at.desk.submit(KEY, "reviewer")
    at.desk.approve(KEY, "reviewer", IN_FULL)
    assert at.statuses() == {"FG-1@OTHER": "approved", f"?{KEY}": "approved"}
    at.store.time += HOUR
    back = samples()[1].replace(b"RPA^I08^RPA_I08", b"RPA^I11^RPA_I08").replace(b"FG-77120^FERNGATE", b"FG-1^OTHER")
    at.store.send(back)
    shown = at.desk.show(KEY)
    assert (shown["state"], shown["versions"][-1]["history"][-1]["reason"]) == ("Cancelled", "taken back by its payor")
