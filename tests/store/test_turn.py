"""The turn on a real lock file."""

from pathlib import Path

import pytest

from hl7auth.errors import UserError
from hl7auth.store.database import open_database
from hl7auth.store.turn import Turn


def test_one_has_the_turn_until_it_is_given_back(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/s.db")
    one, other = Turn(database), Turn(database)
    assert one.take()
    assert not other.take()
    one.give_back()
    assert other.take()
    assert not one.take()
    other.close()  # as when its process dies
    assert one.take()
    one.close()
    assert (tmp_path / "s.db-turn").exists()


def test_databases_have_turns_of_their_own(tmp_path: Path) -> None:
    turns = [Turn(open_database(f"sqlite:///{tmp_path}/{name}.db")) for name in "ab"]
    assert [turn.take() for turn in turns] == [True, True]
    for turn in turns:
        turn.close()


def test_a_lock_file_that_can_not_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "s.db-turn").mkdir()
    with pytest.raises(UserError, match=r"can not open the lock file .*s\.db-turn: Is a directory"):
        Turn(open_database(f"sqlite:///{tmp_path}/s.db"))
