"""Reports as one HTML page that can be sent to a partner: it needs nothing from elsewhere and, unless values were asked
for, holds no value of any message.

Imports reports and rules.finding only.
"""

import re
from collections.abc import Sequence
from html import escape

from hl7auth.reports.excerpt import Excerpt
from hl7auth.reports.report import Remark, Report
from hl7auth.reports.tally import Tally
from hl7auth.rules.finding import shape_of

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #1c2024; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #d8dce0; }
td.number { text-align: right; } code, pre { font: 13px/1.4 ui-monospace, monospace; }
pre { margin: .3rem 0; padding: .4rem .6rem; background: #f3f5f7; overflow-x: auto; }
mark { background: #ffd54d; } mark:empty { border-left: 3px solid #d33; background: none; }
details { margin: .4rem 0; border-left: 4px solid #bbb; padding-left: .8rem; }
details.error { border-color: #c62828; } details.warning { border-color: #e0a100; }
summary { cursor: pointer; } .error b, .unusable b { color: #c62828; } .warning b { color: #8a6300; }
.quiet { color: #5a6370; }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_EVENT = re.compile(r"[A-Z]{3}(?:\^[A-Z0-9]{3})?", re.ASCII)


def head(tally: Tally) -> str:
    """The top of the page, with the summary by rule."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>HL7 conformance report</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>HL7 conformance report</h1>\n<p>{escape(tally.totals())}.</p>\n"
        f"<p>Checked against: {escape(tally.used())}.</p>\n{_rules(tally)}<h2>Messages</h2>\n"
    )


def foot(tally: Tally) -> str:
    """The end of the page; messages without findings are counted and not listed."""
    return f'<p class="quiet">Without findings: {tally.silent} of {tally.messages}.</p>\n</body>\n</html>\n'


def fragment(reports: Sequence[Report]) -> str:
    """The messages of one file that there is something to say about."""
    return "".join(_report(report) for report in reports if report.remarks or report.unusable)


def _rules(tally: Tally) -> str:
    if not tally.rules:
        return ""
    rows = "".join(
        f'<tr class="{each.severity}"><td><b>{each.severity}</b></td><td><code>{escape(each.rule)}</code></td>'
        f'<td>{escape(each.text)}</td><td class="number">{each.messages}</td>'
        f'<td class="number">{each.findings}</td></tr>\n'
        for each in tally.by_rule()
    )
    names = ("Severity", "Rule", "What is wrong, first", "Messages", "Findings")
    titles = "".join(f"<th>{name}</th>" for name in names)
    return f"<h2>By rule</h2>\n<table>\n<tr>{titles}</tr>\n{rows}</table>\n"


def _report(report: Report) -> str:
    place = escape(report.place)
    if report.unusable:
        said = f"{place}: <b>not usable</b>: {escape(report.reason)}"
        return f'<details class="error unusable"><summary>{said}</summary></details>\n'
    # MSH-9 is what the sender wrote: only what can be an event is shown as it is
    event = report.event if _EVENT.fullmatch(report.event) else shape_of(report.event)
    kind = "error" if report.exit else "warning"
    about = f"{event}, HL7 {report.version}, profile {report.profile}: {report.counts}"
    return (
        f'<details class="{kind}"><summary>{place}: {escape(about)}</summary>\n'
        f"{''.join(map(_remark, report.remarks))}</details>\n"
    )


def _remark(remark: Remark) -> str:
    finding = remark.finding
    parts = [
        f'<div class="{finding.severity}"><p><b>{finding.severity}</b> <code>{escape(finding.path)}</code> '
        f'{escape(finding.text)} <code class="quiet">{escape(finding.rule)}</code></p>'
    ]
    if remark.excerpt is not None:
        parts.append(f'<pre><span class="quiet">line {finding.line}: </span>{_marked(remark.excerpt)}</pre>')
    if finding.length:
        form = remark.value or finding.shape
        parts.append(f"<p>Found: <code>{escape(form)}</code> ({finding.length} characters)</p>")
    said = ", ".join(each for each in (finding.source, finding.standard) if each)
    parts += [f"<p>{escape(finding.mend)}</p>"] if finding.mend else []
    parts += [f'<p class="quiet">{escape(said)}</p>'] if said else []
    return "\n".join(parts) + "</div>\n"


def _marked(shown: Excerpt) -> str:
    before, place, after = shown.text[: shown.start], shown.text[shown.start : shown.end], shown.text[shown.end :]
    return f"{escape(before)}<mark>{escape(place)}</mark>{escape(after)}"
