"""What many reports come to: messages by verdict, findings by rule.

Imports reports.report only.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hl7auth.reports.report import Report

SEVERITIES = ("error", "specification", "alert", "warning", "information", "affirmative")
"""The worst first: what a receiver refuses, what is wrong with the profile, what a person should see."""


@dataclass(slots=True)
class RuleTally:
    """One rule under one severity: its findings, the messages that have any, and the first place."""

    rule: str
    severity: str
    example: str
    text: str
    findings: int = 0
    messages: int = 0

    def entry(self) -> dict[str, Any]:
        """The rule as plain data."""
        names = ("rule", "severity", "findings", "messages", "example", "text")
        return {name: getattr(self, name) for name in names}


@dataclass(slots=True)
class Tally:
    """Counts over reports. It grows with the rules that are broken, not with the messages."""

    files: int = 0
    messages: int = 0
    clean: int = 0
    warned: int = 0
    failed: int = 0
    unusable: int = 0
    skipped: int = 0
    silent: int = 0
    profiles: Counter[str] = field(default_factory=Counter)
    rules: dict[tuple[str, str], RuleTally] = field(default_factory=dict)

    @property
    def exit(self) -> int:
        """The exit status of all together: the worst of any."""
        return 2 if self.unusable else int(self.failed > 0)

    def add(self, reports: Iterable[Report], begins: bool = True) -> None:
        """Counts messages of one file; `begins` is false where others of the same file were counted before."""
        self.files += begins
        for report in reports:
            self.messages += 1
            if report.unusable:
                self.unusable += 1
                continue
            self.profiles[report.profile] += 1
            if report.remarks:
                self._add_findings(report)
            else:
                self.clean += 1
                self.silent += 1

    def _add_findings(self, report: Report) -> None:
        seen: set[tuple[str, str]] = set()
        for finding in (remark.finding for remark in report.remarks):
            key = finding.rule, finding.severity
            rule = self.rules.get(key)
            if rule is None:
                rule = self.rules[key] = RuleTally(*key, f"{report.place}, {finding.path}", finding.text)
            rule.findings += 1
            rule.messages += key not in seen
            seen.add(key)
        severities = {severity for _, severity in seen}
        self.failed += "error" in severities
        self.warned += "error" not in severities and bool(severities & {"warning", "alert"})
        self.clean += not severities & {"error", "warning", "alert"}

    def merge(self, other: "Tally") -> None:
        """Adds what came after."""
        for name in ("files", "messages", "clean", "warned", "failed", "unusable", "skipped", "silent"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.profiles.update(other.profiles)
        for key, rule in other.rules.items():
            mine = self.rules.setdefault(key, rule)
            if mine is not rule:
                mine.findings += rule.findings
                mine.messages += rule.messages

    def by_rule(self) -> list[RuleTally]:
        """The rules, the worst and most frequent first."""
        return sorted(
            self.rules.values(), key=lambda each: (SEVERITIES.index(each.severity), -each.messages, each.rule)
        )

    def totals(self) -> str:
        """`3 messages in 2 files: 1 clean, 0 with warnings, 2 with errors, 0 not usable`."""
        text = f"{counted(self.messages, 'message')} in {counted(self.files, 'file')}: {self.clean} clean, "
        text += f"{self.warned} with warnings, {self.failed} with errors, {self.unusable} not usable"
        return text + (f"; {counted(self.skipped, 'file')} without any message left out" if self.skipped else "")

    def used(self) -> str:
        """`aut-standard (3), referral (79)`: the profiles and how many messages each has judged."""
        return ", ".join(f"{name} ({count})" for name, count in sorted(self.profiles.items())) or "none"

    def entry(self) -> Mapping[str, Any]:
        """The tally as plain data."""
        names = ("files", "messages", "clean", "warned", "failed", "unusable", "skipped", "exit")
        rules = [each.entry() for each in self.by_rule()]
        return {**{name: getattr(self, name) for name in names}, "profiles": dict(self.profiles), "rules": rules}


def counted(number: int, thing: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
