"""Reports as text for a person: the segment with a caret under the place, and a summary by rule.

Imports reports only.
"""

from collections.abc import Sequence

from hl7auth.reports.excerpt import harmless
from hl7auth.reports.report import Remark, Report
from hl7auth.reports.tally import Tally

_INDENT = " " * 11


def fragment(reports: Sequence[Report]) -> str:
    """The reports of one file."""
    return "".join(map(_report, reports))


def totals(tally: Tally) -> str:
    """One line, and only where there is something to count."""
    return f"\n{tally.totals()}\n" if tally.messages > 1 or tally.skipped else ""


def summary(tally: Tally) -> str:
    """The totals, the profiles that were used, and one line a rule."""
    lines = [tally.totals(), f"profiles: {tally.used()}"]
    if tally.rules:
        lines += ["", f"{'severity':13}  {'messages':>8}  {'findings':>8}  rule"]
    for rule in tally.by_rule():
        lines.append(f"{rule.severity:13}  {rule.messages:8}  {rule.findings:8}  {rule.rule}: {harmless(rule.text)}")
        lines.append(f"{'':33}first: {harmless(rule.example)}")
    return "\n".join(lines) + "\n"


def _report(report: Report) -> str:
    head = f"{harmless(report.place)}: {harmless(report.control_id) or '(no control id)'}"
    if report.unusable:
        return f"{head}: unusable: {harmless(report.unusable)}\n"
    about = f"{harmless(report.event)} {report.version}, profile {report.profile}"
    return f"{head}: {report.counts} ({about})\n" + "".join(map(_remark, report.remarks))


def _remark(remark: Remark) -> str:
    finding, shown = remark.finding, remark.excerpt
    lines = [f"  {finding.severity:7}  {finding.path:12}  {harmless(finding.text)}  [{finding.rule}]"]
    if shown is not None:
        label = f"line {finding.line}: "
        lines += [f"{_INDENT}{label}{shown.text}", f"{_INDENT}{' ' * len(label)}{shown.caret}"]
    if finding.length:
        form = remark.value or finding.shape
        lines.append(f"{_INDENT}found: {harmless(form)} ({finding.length} characters)")
    said = ", ".join(each for each in (finding.source, finding.standard) if each)
    lines += [f"{_INDENT}says: {said}"] if said else []
    lines += [f"{_INDENT}mend: {harmless(finding.mend)}"] if finding.mend else []
    return "\n".join(lines) + "\n"
