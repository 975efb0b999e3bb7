"""check and plan: what the engine thinks of a message, without storing anything.

Imports typer, cli.common, and inside the commands wire, rules and flow.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hl7auth.cli.common import ChannelFolder, Format, Output, messages_of, readable, show
from hl7auth.errors import Fault

if TYPE_CHECKING:
    from hl7auth.flow.decision import Outcome

Files = Annotated[
    list[Path], typer.Argument(metavar="FILE...", help="Messages, MLLP captures or batch files; - is standard input.")
]


def add(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command()(check)
    app.command()(plan)


def check(
    files: Files,
    profile: Annotated[
        str, typer.Option(envvar="HL7AUTH_PROFILE", help="Name of a profile, or its file.", metavar="NAME")
    ] = "referral",
    output: Output = Format.TEXT,
) -> None:
    """Conformance findings; exit 0 clean or warnings, 1 errors, 2 unusable input."""
    reports = [{"file": name, **_report(message, profile)} for name, message in messages_of(files)]
    show(reports, output, lambda found: "\n".join(_report_text(report) for report in found))
    raise typer.Exit(max(report["exit"] for report in reports))


def plan(
    files: Files,
    channel: Annotated[str, typer.Option(envvar="HL7AUTH_CHANNEL", help="Name of the channel.", metavar="NAME")],
    channels: ChannelFolder = None,
    output: Output = Format.TEXT,
) -> None:
    """What would happen and be answered if an empty store received the messages; stores nothing."""
    from hl7auth.flow.channel import find_channel
    from hl7auth.flow.trial import try_out

    chosen = find_channel(channel, channels)
    messages = messages_of(files)
    outcomes = try_out([message for _, message in messages], chosen)
    entries = [_outcome_entry(name, outcome) for (name, _), outcome in zip(messages, outcomes, strict=True)]
    show(entries, output, lambda found: "\n\n".join(_outcome_text(entry) for entry in found))


def _report(raw: bytes, name: str) -> dict[str, Any]:
    from hl7auth.rules.check import check as run_check
    from hl7auth.rules.check import finding_entry
    from hl7auth.rules.compiled import compile_profile, compiled
    from hl7auth.rules.profile import load_profile
    from hl7auth.rules.structure import layout
    from hl7auth.wire.message import parse

    try:
        message = parse(raw)
        version = message.header.version
        rules = (
            compile_profile(load_profile(Path(name)), version) if name.endswith(".yaml") else compiled(name, version)
        )
    except Fault as fault:
        from hl7auth.flow.intake import salvage

        return {"control_id": salvage(raw)[0].control_id, "findings": [], "unusable": str(fault), "exit": 2}
    header = message.header
    structure = rules.dictionary.structure_of(header.message_type, header.trigger_event)
    names = tuple(segment.name for segment in message.segments)
    where = layout(version, structure, names) if structure else None
    findings = [finding_entry(finding) for finding in run_check(message, rules, where)]
    if structure is None:
        findings.insert(0, _no_structure(header.event))
    errors = any(finding["severity"] == "error" for finding in findings)
    return {
        "control_id": header.control_id,
        "event": header.event,
        "hl7_version": version,
        "findings": findings,
        "exit": int(errors),
    }


def _no_structure(event: str) -> dict[str, Any]:
    text = f"{event} has no known structure: the order of segments is not checked"
    return {
        "rule": "MSH-9.structure",
        "severity": "warning",
        "path": "MSH-9",
        "text": text,
        "code": "199",
        "bytes": [0, 0],
    }


def _report_text(report: dict[str, Any]) -> str:
    head = f"{report['file']}: {report['control_id'] or '(no control id)'}"
    if "unusable" in report:
        return f"{head}: unusable: {report['unusable']}"
    errors = sum(finding["severity"] == "error" for finding in report["findings"])
    lines = [f"{head}: {errors} error(s), {len(report['findings']) - errors} warning(s)"]
    lines += [f"  {f['severity']:7}  {f['path']:12}  {f['text']}  [{f['rule']}]" for f in report["findings"]]
    return "\n".join(lines)


def _outcome_entry(name: str, outcome: "Outcome") -> dict[str, Any]:
    from hl7auth.domain.document import shown
    from hl7auth.rules.check import finding_entry

    return {
        "file": name,
        "control_id": outcome.plan.header.control_id,
        "event": outcome.plan.header.event,
        "disposition": str(outcome.disposition),
        "code": outcome.code,
        "findings": [finding_entry(finding) for finding in outcome.findings],
        "changes": [{"by": change.rule, "document": shown(change.record.document)} for change in outcome.changes],
        "replies": [
            reply.decode(outcome.plan.message.codec if outcome.plan.message else "ascii", "replace")
            for reply in outcome.replies
        ],
    }


def _outcome_text(entry: dict[str, Any]) -> str:
    what = f"{entry['event'] or 'no message'} {entry['control_id']}"
    lines = [f"{entry['file']}: {what}: {entry['disposition']} ({entry['code'] or 'no reply'})"]
    lines += [f"  {f['severity']:7}  {f['path']:12}  {f['text']}" for f in entry["findings"]]
    for change in entry["changes"]:
        document = change["document"]
        lines.append(f"  {change['by']}: {document['key']} version {document['version']} {document['status']}")
    lines += [f"  {line}" for reply in entry["replies"] for line in ["reply:", *readable(reply.encode()).split("\n")]]
    return "\n".join(lines if entry["replies"] else [*lines, "  no reply"])
