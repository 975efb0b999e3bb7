"""Standing as of a date, validity for a date of service, ranking, and the use that is worth an alert."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from hl7auth.domain.balance import Account, Asked, Holding, Reason, Standing, plain_code, ranked, reasons, use
from hl7auth.domain.grant import held
from hl7auth.domain.status import Status
from hl7auth.domain.units import MOST_UNITS, from_thousandths, number, said, thousandths, unit_kind

MAY = date(2026, 5, 10)


def account(approved: str | None = "10", used: str = "0", external: str = "0", **more: Any) -> Account:
    granted = None if approved is None else Decimal(approved)
    window: dict[str, Any] = {"effective": date(2026, 5, 1), "expiration": date(2026, 5, 31), "status": Status.APPROVED}
    return Account(granted, Decimal(used), Decimal(external), **(window | more))


def holding(whole: Account, number: str = "PA1", codes: tuple[str, ...] = ("97110",)) -> Holding:
    return Holding(f"{number}@ACME", number, "M1", "ACME", whole, frozenset(codes))


ASKED = Asked(MAY, "97110", Decimal(2), "visits", "M1", "ACME")


@pytest.mark.parametrize(
    ("of", "day", "standing"),
    [
        (account(), MAY, Standing.ACTIVE),
        (account(), date(2026, 4, 1), Standing.ACTIVE),
        (account(used="10"), MAY, Standing.EXHAUSTED),
        (account(used="9.999"), MAY, Standing.ACTIVE),
        (account(external="10"), MAY, Standing.EXHAUSTED),
        (account(used="10"), date(2026, 6, 1), Standing.EXPIRED),
        (account(used="10"), date(2026, 5, 31), Standing.EXHAUSTED),
        (account(None, used="99"), MAY, Standing.ACTIVE),
        (account(expiration=None), date(2036, 6, 1), Standing.ACTIVE),
        (account(status=Status.PENDED), date(2026, 6, 1), Standing.PENDING),
        (account(status=Status.REQUESTED), MAY, Standing.PENDING),
        (account(status=Status.DENIED), MAY, Standing.DENIED),
        (account(status=Status.CANCELLED), MAY, Standing.CANCELLED),
        (account(status=Status.MODIFIED), MAY, Standing.ACTIVE),
    ],
)
def test_the_standing_is_derived_and_expired_comes_before_exhausted(of: Account, day: date, standing: Standing) -> None:
    assert of.standing(day) is standing


@pytest.mark.parametrize(
    ("of", "asked", "why"),
    [
        (account(), ASKED, []),
        (account(used="8"), ASKED, []),
        (account(used="8.001"), ASKED, [Reason.UNITS]),
        (account(used="10"), ASKED, [Reason.NOT_ACTIVE, Reason.UNITS]),
        (account(), ASKED._replace(dos=date(2026, 5, 1)), []),
        (account(), ASKED._replace(dos=date(2026, 5, 31)), []),
        (account(), ASKED._replace(dos=date(2026, 4, 30)), [Reason.DOS_OUT_OF_WINDOW]),
        (account(), ASKED._replace(dos=date(2026, 6, 1)), [Reason.NOT_ACTIVE, Reason.DOS_OUT_OF_WINDOW]),
        (account(status=Status.PENDED), ASKED, [Reason.NOT_ACTIVE]),
        (account(), ASKED._replace(code="97 140"), [Reason.CODE]),
        (account(kind="hours"), ASKED, [Reason.UNIT_KIND]),
        (account(kind="hours"), ASKED._replace(kind=""), []),
        (account(), ASKED._replace(member="M2", payor="OTHER"), [Reason.PAYER, Reason.MEMBER]),
    ],
)
def test_valid_for_a_date_of_service_by_all_four_rules(of: Account, asked: Asked, why: list[Reason]) -> None:
    assert reasons(holding(of), asked) == why


def test_without_codes_an_authorization_is_bound_to_none() -> None:
    assert reasons(holding(account(), codes=()), ASKED._replace(code="12345")) == []
    assert plain_code("97.1 10a") == "97110A"


def test_more_remaining_first_then_sooner_end_then_codes_then_number() -> None:
    ends = date(2026, 5, 20)
    order = [
        holding(account(None), "Z"), holding(account("9"), "Y"), holding(account("5", expiration=ends), "X"),
        holding(account("5"), "B"), holding(account("5"), "W"), holding(account("5"), "A", ()),
        holding(account("5", expiration=None), "C"), holding(account("5", used="6"), "D"),
    ]  # fmt: skip
    assert ranked(reversed(order)) == order


@pytest.mark.parametrize(
    ("of", "level", "runs_out"),
    [
        (account("100", "80"), "", False),
        (account("100", "81"), "warning", False),
        (account("100", "80.001"), "warning", False),
        (account("100", "100"), "exhausted", False),
        (account("100", "90", "11"), "overused", True),
        (account("100", "50", scheduled=Decimal(51)), "", True),
        (account("100", "50", scheduled=Decimal(50)), "", False),
        (account("100", "99", expiration=date(2026, 5, 9)), "", False),
        (account("100", "99", status=Status.CANCELLED), "", False),
        (account("0", "0"), "", False),
        (account("0", external="1"), "overused", False),
        (account(None, "5"), "", False),
    ],
)
def test_more_than_80_percent_with_the_period_open_is_worth_an_alert(of: Account, level: str, runs_out: bool) -> None:
    found = use(of, MAY)
    assert (found.level, found.will_run_out) == (level, runs_out)


def test_the_share_is_a_setting() -> None:
    assert use(account("100", "60"), MAY, Decimal("0.5")).level == "warning"


def document(**more: Any) -> dict[str, Any]:
    return {"key": "PA1@ACME", "identifier": "PA1", "status": "approved", "patient": {"id": "M1"}} | more


def test_authorized_units_count_before_treatments_and_the_limit() -> None:
    units, treatments = {"quantity": "12.5", "unit": "VS"}, {"quantity": "7"}
    limit = {"amount": "250.00", "currency": "USD"}
    both = held(document(authorized_units=units, authorized_treatments=treatments, reimbursement_limit=limit)).whole
    assert (both.approved, both.kind) == (Decimal("12.5"), "visits")
    assert held(document(authorized_treatments=treatments, reimbursement_limit=limit)).whole.approved == 7
    money = held(document(reimbursement_limit=limit)).whole
    assert (money.approved, money.kind) == (Decimal(250), "dollars")
    assert held(document()).whole.approved is None


def test_used_and_scheduled_units_of_the_payor_count() -> None:
    said_by_payor = {"used_units": {"quantity": "3"}, "scheduled_units": {"quantity": "4"}}
    whole = held(document(authorized_units={"quantity": "10"}, **said_by_payor)).whole
    assert (whole.external, whole.scheduled, whole.remaining) == (Decimal(3), Decimal(4), Decimal(7))
    assert use(whole, MAY).will_run_out is False


def test_a_line_with_its_own_amount_is_charged_too() -> None:
    lines = [
        {"procedure": {"code": "97110"}, "authorized_units": {"quantity": "4"}, "identifier": "L1"},
        {"procedure": {"code": "97140"}, "status": "denied"},
        {"procedure": {"code": "97112"}},
    ]
    found = held(document(authorized_units={"quantity": "10", "unit": "visits"}, lines=lines))
    assert found.codes == {"97110", "97112"}
    assert found.line_for("97110") == "L1"
    assert found.lines["L1"].account.kind == "visits"
    assert reasons(found, ASKED._replace(units=Decimal(5), payor="")) == [Reason.UNITS]
    assert reasons(found, ASKED._replace(code="97112", units=Decimal(5))) == []
    assert reasons(found, ASKED._replace(code="97140")) == [Reason.NOT_ACTIVE, Reason.CODE]


def test_units_are_exact_to_the_thousandth_and_bounded() -> None:
    assert number("0.1") == Decimal("0.1")
    assert number("0.0019") == Decimal("0.001")
    assert number("1e3") is None
    assert number("9" * 40) == MOST_UNITS
    assert from_thousandths(thousandths(Decimal("12.345"))) == Decimal("12.345")
    assert [said(each) for each in (Decimal("10.000"), Decimal("10"), Decimal("0.250"), None)] == [
        "10", "10", "0.25", None,
    ]  # fmt: skip
    assert [unit_kind(each) for each in ("vs", "Hours", "USD", "", "Furlong")] == [
        "visits", "hours", "dollars", "", "furlong",
    ]  # fmt: skip
