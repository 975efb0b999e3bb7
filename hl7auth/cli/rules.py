"""rules check and test: the rules by which requests are decided, as people write them, and what they would decide.

Imports typer, cli.common, errors, and inside the commands the rest.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hl7auth.cli.common import DEFAULT_DATABASE, ChannelFolder, Database, Format, Output, messages_of, reading, show
from hl7auth.errors import UserError

if TYPE_CHECKING:
    from hl7auth.domain.ruling import Ask
    from hl7auth.flow.channel import Channel
    from hl7auth.whatif.ruling import Request

app = typer.Typer(no_args_is_help=True)

RuleFile = Annotated[Path, typer.Argument(metavar="FILE", help="A file of rules.")]


@app.command()
def check(file: RuleFile, output: Output = Format.TEXT) -> None:
    """Read a file of rules; a mistake is told by file, line and key, with exit status 2.

    Functions that it calls have to be there, too.
    """
    from hl7auth.domain.rule_model import load_rules
    from hl7auth.errors import ConfigError
    from hl7auth.steps.calls import PythonCall
    from hl7auth.steps.faults import StepFailed
    from hl7auth.steps_runner import StepProcess

    rules = load_rules(file)
    with StepProcess() as process:
        for each in rules.callouts:
            try:
                process.check(PythonCall(each.python, str(file.parent.resolve()), each.seconds))
            except StepFailed as fault:
                raise ConfigError(f"{file}: callout {each.callout}: {fault}") from None
    steps = [
        {"step": each.step, "callouts": len(each.callouts), "events": len(each.events),
         "validation": len(each.validation), "pend": len(each.pend)}
        for each in rules.steps
    ]  # fmt: skip
    show({"rules": rules.rules, "silence": rules.silence, "steps": steps}, output, lambda found: _text(file, found))


@app.command("test")
def try_(  # noqa: PLR0913, PLR0917 - one argument for each option
    file: RuleFile,
    messages: Annotated[
        list[Path] | None, typer.Argument(metavar="[MESSAGES...]", help="Requests of files instead of the archive.")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(envvar="HL7AUTH_AGAINST", metavar="FILE", help="Other rules, instead of what became of requests."),
    ] = None,
    since: Annotated[
        str, typer.Option(envvar="HL7AUTH_SINCE", help="Requests from this time on, as 2026-03-01T10:00.")
    ] = "",
    until: Annotated[
        str, typer.Option(envvar="HL7AUTH_UNTIL", help="Until this time, a day or a minute as a whole.")
    ] = "",
    channel: Annotated[str, typer.Option(envvar="HL7AUTH_CHANNEL", metavar="NAME", help="Of this channel alone.")] = "",
    examples: Annotated[int, typer.Option(envvar="HL7AUTH_EXAMPLES", min=0, max=100, help="Of each change.")] = 3,
    channels: ChannelFolder = None,
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """What would rules decide? Nothing is stored or sent; functions that rules call are called.

    Exit 0: as it was, 1: some would come out otherwise, or a function failed, 2: it could not be run.
    """
    from hl7auth.domain.rule_model import load_rules
    from hl7auth.flow.channel import load_channels
    from hl7auth.whatif.ruling import compare

    rules, other = load_rules(file), load_rules(against) if against is not None else None
    known = {each.name: each for each in load_channels(channels, os.environ)}
    if channel and channel not in known:
        raise UserError(f"unknown channel '{channel}' (known: {', '.join(known)})")
    with _asking(file, against or file) as asks, _requests(messages, known, channel, (since, until), database) as found:
        tally = compare(found, known, rules, other, asks, examples)
    show(tally.entry(), output, _tested)
    if tally.changed or tally.failed:
        raise typer.Exit(1)


@contextmanager
def _requests(
    messages: list[Path] | None, known: "Mapping[str, Channel]", channel: str, span: tuple[str, str], database: str
) -> "Iterator[Iterator[Request]]":
    """The requests that are looked at, of files or of the archive."""
    from hl7auth.domain.clock import beginning, moment
    from hl7auth.observe import now
    from hl7auth.whatif.ruling import archived, in_files

    since, until = span
    if messages:
        if since or until:
            raise UserError("--since and --until choose from the archive, and messages were named")
        yield in_files(messages_of(messages), known[channel or next(iter(known))], now())
        return
    first, end = beginning(since) if since else None, moment(until) + 1 if until else None
    with reading(database) as connection:
        yield archived(connection, first, end, channel)


@contextmanager
def _asking(*files: Path) -> "Iterator[tuple[Ask, Ask]]":
    """What calls the functions of rules, which stand beside their file."""
    from hl7auth.steps.calls import PythonCall
    from hl7auth.steps_runner import StepProcess

    with StepProcess() as process:

        def of(file: Path) -> "Ask":
            folder = str(file.parent.resolve())
            return lambda callout, facts: process.consult(PythonCall(callout.python, folder, callout.seconds), facts)

        yield of(files[0]), of(files[1])


def _tested(found: dict[str, Any]) -> str:
    lines = [f"{found['requests']} request(s), {found['changed']} would come out otherwise"]
    for each in found["decisions"]:
        same = each["was"] == each["would_be"]
        lines.append(f"{each['requests']} x {each['was']}" + ("" if same else f" -> {each['would_be']}"))
        for example in each["examples"]:
            was = f", was by {example['was_by']}" if example["was_by"] else ""
            lines.append(f"  {example['request']}: by {example['would_be_by']}{was}")
    lines += ["rules that fired:"] if found["fired"] else []
    return "\n".join([*lines, *(f"  {name}: {count}" for name, count in found["fired"].items())])


def _text(file: Path, found: dict[str, Any]) -> str:
    kinds = ("callouts", "events", "validation", "pend")
    lines = [f"  {each['step']}: " + ", ".join(f"{each[kind]} {kind}" for kind in kinds) for each in found["steps"]]
    return "\n".join([f"{file}: rules {found['rules']} are good; what none decides: {found['silence']}", *lines])
