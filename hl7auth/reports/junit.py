"""Reports as JUnit XML, for a partner's build: one suite a file, one case a message.

Imports reports only.
"""

import re
from collections.abc import Sequence
from html import escape

from hl7auth.reports.report import Remark, Report
from hl7auth.reports.tally import Tally

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""XML 1.0 has no place for these characters, not even escaped (section 2.2)."""


def head(tally: Tally) -> str:
    """The root with the totals."""
    counts = f'tests="{tally.messages}" failures="{tally.failed}" errors="{tally.unusable}"'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="hl7auth check" {counts}>\n'


def foot(_: Tally) -> str:
    """The end of the root."""
    return "</testsuites>\n"


def fragment(reports: Sequence[Report]) -> str:
    """The reports of one file as a suite."""
    failures, errors = (sum(report.exit == status for report in reports) for status in (1, 2))
    counts = f'tests="{len(reports)}" failures="{failures}" errors="{errors}"'
    cases = "".join(map(_case, reports))
    return f"  <testsuite name={_quoted(reports[0].file)} {counts}>\n{cases}  </testsuite>\n"


def _case(report: Report) -> str:
    name = " ".join(each for each in (f"message {report.number}", report.event, report.control_id) if each)
    of = _quoted(f"hl7auth.{report.profile or 'unread'}")
    open_tag = f"    <testcase classname={of} name={_quoted(name)}"
    if report.unusable:
        return f'{open_tag}>\n      <error type="unusable" message={_quoted(report.unusable)}/>\n    </testcase>\n'
    errors = [remark for remark in report.remarks if remark.finding.severity == "error"]
    others = [remark for remark in report.remarks if remark.finding.severity != "error"]
    inside = _failure(errors) if errors else ""
    if others:
        inside += f"      <system-out>{_plain(_lines(others))}</system-out>\n"
    return f"{open_tag}>\n{inside}    </testcase>\n" if inside else f"{open_tag}/>\n"


def _failure(errors: Sequence[Remark]) -> str:
    """All errors of a message as its one failure: readers of JUnit take no second one."""
    first = errors[0].finding
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    kind, message = _quoted(first.rule), _quoted(f"{first.path}: {first.text}{more}")
    return f"      <failure type={kind} message={message}>{_plain(_lines(errors))}</failure>\n"


def _lines(remarks: Sequence[Remark]) -> str:
    return "\n".join(_line(remark) for remark in remarks)


def _line(remark: Remark) -> str:
    finding = remark.finding
    where = f" line {finding.line}" if finding.line else ""
    found = f" (found: {remark.value or finding.shape})" if finding.length else ""
    mend = f" {finding.mend}" if finding.mend else ""
    return f"{finding.severity} {finding.path}{where}: {finding.text}{found} [{finding.rule}]{mend}"


def _plain(text: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", text), quote=False)


def _quoted(text: str) -> str:
    """An attribute's value with its quotes; line ends as references, or a reader would make blanks of them."""
    inside = escape(_NOT_XML.sub("\ufffd", text)).replace("\n", "&#10;").replace("\r", "&#13;").replace("\t", "&#9;")
    return f'"{inside}"'
