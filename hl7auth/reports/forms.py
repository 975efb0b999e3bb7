"""The forms that a report can have: what is drawn a file, and what stands around it.

Imports reports only; a form is imported when it is asked for, so that a check of one message starts quickly.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

from hl7auth.reports.report import Report
from hl7auth.reports.tally import Tally

NAMES = ("text", "json", "junit", "html")


def _nothing(_: Tally | Sequence[Report]) -> str:
    return ""


class Form(NamedTuple):
    """How reports are drawn: `head` + fragments joined by `separator` + `foot`.

    `tally_first`: the head needs the totals, so that it can be drawn only when all is done.
    """

    fragment: Callable[[Sequence[Report]], str]
    foot: Callable[[Tally], str]
    head: Callable[[Tally], str] = _nothing
    separator: str = ""
    tally_first: bool = False


@cache
def form(name: str, summary: bool = False) -> Form:
    """The form of that name; with `summary` of the totals alone. Raises ValueError where there is none."""
    if name == "text":
        from hl7auth.reports import text

        return Form(_nothing, text.summary) if summary else Form(text.fragment, text.totals)
    if name == "json":
        from hl7auth.reports import document

        if summary:
            return Form(_nothing, document.summary)
        return Form(document.fragment, lambda _: "\n]\n", lambda _: "[\n", ",\n")
    if name == "html":
        from hl7auth.reports import page

        return Form(_nothing if summary else page.fragment, page.foot, page.head, tally_first=True)
    if name == "junit" and not summary:
        from hl7auth.reports import junit

        return Form(junit.fragment, junit.foot, junit.head, tally_first=True)
    raise ValueError(f"there is no {'summary' if summary else 'form'} '{name}'")
