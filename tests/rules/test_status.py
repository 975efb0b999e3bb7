"""The tables of what a message decides: rows, what is refused, and what is said over what."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from hl7auth.errors import ConfigError
from hl7auth.resources import shipped
from hl7auth.rules.profile import load_profile
from hl7auth.rules.status import EVENTS, Counted, StatusMap, standard_status


@pytest.mark.parametrize(
    ("says", "authorized", "asked", "fits"),
    [
        ("any", "5", None, True),
        ("<= 0", "0", None, True), ("<= 0", "0.5", None, False),
        ("< 2.5", "2", "9", True), ("> -1", "0", None, True), ("= 0", "0.00", None, True), (">= 4", "3", "1", False),
        ("< AUT-8", "2", "3", True), ("< AUT-8", "3", "3", False), ("< AUT-8", "2", None, False),
        ("= AUT-8", "3.0", "3", True), ("> AUT-8", "4", "3", True),
    ],
)  # fmt: skip
def test_a_row_compares(says: str, authorized: str, asked: str | None, fits: bool) -> None:
    row = Counted(authorized=says, status="approved").compiled()
    assert row(Decimal(authorized), Decimal(asked) if asked else None) is fits


def test_the_standard_table_says_something_of_every_event() -> None:
    assert standard_status().events.keys() == EVENTS.keys()
    assert standard_status().approval_status == {}  # HL7 has no codes


def test_a_table_is_said_as_a_whole_and_events_one_by_one() -> None:
    own = StatusMap(dated="pended", events={"RPA^I11": "denied"})
    found = own.over(standard_status())
    assert (found.dated, found.treatments) == ("pended", standard_status().treatments)
    assert found.events == {**standard_status().events, "RPA^I11": "denied"}
    assert found.by_event[("RPA", "I11")] == "denied"
    none = StatusMap(treatments=()).over(standard_status())
    assert (none.rows, none.dated) == ((), "approved")


@pytest.fixture
def refused(tmp_path: Path) -> Callable[[str], str]:
    def found(status: str) -> str:
        path = tmp_path / "site.yaml"
        path.write_text(f"profile: site\ntitle: A site\nextends: referral\nstatus:\n  {status}\n", encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            load_profile(path)
        return str(caught.value)

    return found


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("treatments: [{authorized: '< AUT-9', status: denied}]", "site.yaml:5: status.treatments.0.authorized: "),
        ("treatments: [{authorized: any, status: granted}]", "site.yaml:5: status.treatments.0.status: "),
        ("treatments: [{authorised: any, status: denied}]", "unknown key 'status.treatments.0.authorised'"),
        ("dated: requested", "site.yaml:5: status.dated: "),
        ("events: {RPA^I08: denied}", "RPA^I08 decides nothing by itself; these do: RQA^I08, "),
        ("events: {RQA^I11: denied}", "RQA^I11 can not mean 'denied', but cancelled"),
        ("events: {RPA^I11: approved}", "RPA^I11 can not mean 'approved', but cancelled or denied"),
    ],
)
def test_what_can_not_be_meant_is_told_with_its_place(refused: Callable[[str], str], status: str, said: str) -> None:
    assert said in refused(status)


def test_the_profile_of_the_guide_is_one(tmp_path: Path) -> None:
    guide = shipped("docs") / "howto" / "network-dialect.md"
    path = tmp_path / "payor.yaml"
    path.write_text(guide.read_text(encoding="utf-8").split("```yaml\n")[2].split("```")[0], encoding="utf-8")
    status = load_profile(path).status
    assert status is not None
    assert [row.status for row in status.treatments] == ["pended", "partially_approved", "approved"]
    assert status.events == {"RPA^I11": "denied"}
    assert status.approval_status["AP"] == "approved"
