"""What a process counts, and others read while it does."""

import subprocess
import sys

from hl7auth.flow.decision import Disposition
from hl7auth.flow.figures import Ending
from hl7auth.net.board import ENDING, LAST, SLOT, Board, batch_figures, channel_figures, shared_file
from tests.serving import ENVIRONMENT

COUNTS = """
from hl7auth.net.board import Board, SLOT
from hl7auth.flow.decision import Disposition
board = Board(2, {file})
board.channel(1)[SLOT[Disposition.ACCEPTED]] += 5
board.committed(3)
"""


def test_what_another_process_counts_is_seen_and_outlives_it() -> None:
    with shared_file(2) as file:
        here = Board(2, file.fileno())
        command = [sys.executable, "-c", COUNTS.format(file=file.fileno())]
        for total in (5, 10):
            subprocess.run(command, pass_fds=[file.fileno()], env=ENVIRONMENT, check=True)
            assert here.channel(1)[SLOT[Disposition.ACCEPTED]] == total
        assert here.channel(0)[SLOT[Disposition.ACCEPTED]] == 0
        assert batch_figures([here]) == (0, 0, 2, *[0] * 8, 6)


def test_figures_are_summed_over_all_boards() -> None:
    one, other = Board(2), Board(2)
    for board, at in ((one, 70), (other, 50)):
        slots = board.channel(1)
        slots[SLOT[Disposition.REFUSED]] += 1
        slots[SLOT[Disposition.FAILED]] += 2
        slots[ENDING[Ending.IDLE]] += 1
        slots[LAST] = at
    quiet, busy = channel_figures(enumerate("ab"), [one, other], lambda number: number == 1, lambda number: number * 4)
    assert (quiet.name, quiet.listening, quiet.connections, quiet.received, quiet.last_at) == ("a", False, 0, 0, 0)
    assert (busy.name, busy.listening, busy.connections, busy.received, busy.last_at) == ("b", True, 4, 6, 70)
    assert (busy.errors, busy.endings[Ending.IDLE]) == (6, 2)


def test_commits_are_counted_by_their_size() -> None:
    board = Board(0)
    for messages in (1, 1, 2, 3, 512, 513):
        board.committed(messages)
    assert batch_figures([board, Board(0)]) == (2, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1032)
