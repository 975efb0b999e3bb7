"""Reports as JSON: one array of messages, or one object with the summary.

Imports rules, orjson and reports only.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from hl7auth.reports.report import Remark, Report
from hl7auth.reports.tally import Tally
from hl7auth.rules.finding import finding_entry


def fragment(reports: Sequence[Report]) -> str:
    """The reports of one file as elements of an array, without its brackets."""
    return ",\n".join(_json(entry(report)) for report in reports)


def summary(tally: Tally) -> str:
    """The totals and the rules as one object."""
    return _json(tally.entry()) + "\n"


def entry(report: Report) -> dict[str, Any]:
    """One message as plain data."""
    whole: dict[str, Any] = {"file": report.file, "number": report.number, "control_id": report.control_id}
    if report.unusable:
        return {**whole, "findings": [], "unusable": report.unusable, "exit": report.exit}
    about = {"event": report.event, "hl7_version": report.version, "profile": report.profile}
    return {**whole, **about, "findings": [_finding(remark) for remark in report.remarks], "exit": report.exit}


def _finding(remark: Remark) -> dict[str, object]:
    plain = finding_entry(remark.finding)
    return {**plain, "value": remark.value} if remark.value else plain


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
