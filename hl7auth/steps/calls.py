"""What a Python step asks for, and what may come back.

Imports the standard library only, so that the process that runs the functions starts fast.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple


class PythonCall(NamedTuple):
    """A function as `module:function`, the folder its module is looked for in first, and its limit in seconds."""

    function: str
    folder: str
    seconds: float


Entries = Sequence[int | str]
"""Segments after the call: the number of one that is as it was (from 0), or a new text."""
Runner = Callable[[PythonCall, Sequence[str]], Entries | None]
"""Runs a call with the segments of a message; None when the function says to drop it. Raises StepFailed."""


def aligned(before: Sequence[str], after: Sequence[str]) -> list[int | str]:
    """The segments of `after`, each as a number where it is one of `before` that stayed in its order.

    Equal segments at both ends stay; of what lies between, segments stay where their number did not change.
    """
    same = next(
        (at for at, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after))
    )
    most = min(len(before), len(after)) - same
    tail = next((at for at in range(most) if before[-1 - at] != after[-1 - at]), most)
    old, new = before[same : len(before) - tail], after[same : len(after) - tail]
    middle: list[int | str] = list(new)
    if len(old) == len(new):
        middle = [same + at if a == b else b for at, (a, b) in enumerate(zip(old, new, strict=True))]
    return [*range(same), *middle, *range(len(before) - tail, len(before))]
