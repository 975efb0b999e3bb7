"""Which replies MSH-15 and MSH-16 ask for, written out for every pair."""

import pytest

from hl7auth.flow.handshake import ORIGINAL, handshake
from tests.messages import message, parsed

#: MSH-15, MSH-16, mode, accept acknowledgement due when good and when not, application's answer due when good and not
TABLE = """
    --  --  original  no  no   yes yes
    --  AL  enhanced  no  no   yes yes
    --  NE  enhanced  no  no   no  no
    --  ER  enhanced  no  no   no  yes
    --  SU  enhanced  no  no   yes no
    AL  --  enhanced  yes yes  no  no
    AL  AL  enhanced  yes yes  yes yes
    AL  NE  enhanced  yes yes  no  no
    AL  ER  enhanced  yes yes  no  yes
    AL  SU  enhanced  yes yes  yes no
    NE  --  enhanced  no  no   no  no
    NE  AL  enhanced  no  no   yes yes
    NE  NE  enhanced  no  no   no  no
    NE  ER  enhanced  no  no   no  yes
    NE  SU  enhanced  no  no   yes no
    ER  --  enhanced  no  yes  no  no
    ER  AL  enhanced  no  yes  yes yes
    ER  NE  enhanced  no  yes  no  no
    ER  ER  enhanced  no  yes  no  yes
    ER  SU  enhanced  no  yes  yes no
    SU  --  enhanced  yes no   no  no
    SU  AL  enhanced  yes no   yes yes
    SU  NE  enhanced  yes no   no  no
    SU  ER  enhanced  yes no   no  yes
    SU  SU  enhanced  yes no   yes no
"""
ROWS = [line.replace("--", "-").split() for line in TABLE.strip().splitlines()]


def test_the_table_is_complete() -> None:
    conditions = ("-", "AL", "NE", "ER", "SU")
    assert [row[:2] for row in ROWS] == [[accept, application] for accept in conditions for application in conditions]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}/{row[1]}")
def test_every_pair_of_conditions(row: list[str]) -> None:
    accept, application = (text.replace("-", "") for text in row[:2])
    asked = handshake(parsed(message(modes=(accept, application))).header)
    assert asked.enhanced is (row[2] == "enhanced")
    due = [asked.accept_due(True), asked.accept_due(False), asked.application_due(True), asked.application_due(False)]
    assert due == [text == "yes" for text in row[3:]]


@pytest.mark.parametrize(
    "modes",
    [("2.3.1", ""), ("", "YES"), ("AL", "2.3.1"), ("al", "NE"), ("XX", "XX"), ("AL", '""')],
)
def test_p54_a_value_outside_of_table_0155_counts_as_original_mode(modes: tuple[str, str]) -> None:
    assert handshake(parsed(message(modes=modes)).header) is ORIGINAL


def test_an_answer_asks_for_nothing_in_the_mode_it_was_asked_in() -> None:
    assert ORIGINAL.modes == ("", "")
    assert handshake(parsed(message(modes=("AL", "AL"))).header).modes == ("NE", "NE")
    assert handshake(parsed(message(modes=("", "AL"))).header).modes == ("NE", "NE")
