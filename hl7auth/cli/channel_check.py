"""What `channel check` says: the mistakes in channel files, and what would fail or surprise at run time.

Imports cli.channel_files, observe, flow, steps, hl7auth.steps_runner and errors.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hl7auth.cli.channel_files import chosen, content, files_of, is_public, load, load_folder
from hl7auth.errors import ConfigError, UserError

if TYPE_CHECKING:
    from hl7auth.flow.channel import Channel
    from hl7auth.steps.calls import PythonCall

Entry = dict[str, Any]


def checked(name: str | None, folder: Path | None) -> list[Entry]:
    """One entry a channel: `good`, `channel`, `file` and what is `questionable`, or `good` and the `mistake`.

    Without a name, all channels of the folder. Raises UserError for a name that nobody has.
    """
    try:
        if name is not None:
            channel = chosen(name, folder)
            return [_entry(channel, _neighbours(channel))]
        return _all(folder)
    except ConfigError as error:
        return [_mistake(error)]


def as_text(entries: list[Entry]) -> str:
    """The entries for people: a line a channel, and below it a line for each doubt."""
    lines = []
    for entry in entries:
        if "mistake" in entry:
            lines.append(entry["mistake"])
            continue
        found = entry["questionable"]
        fails = sum(each["fails"] for each in found)
        said = f"would fail in {fails} place(s)" if fails else "is good"
        more = f"; {len(found) - fails} thing(s) are questionable" if len(found) > fails else ""
        what = f"channel {entry['channel']}" if "channel" in entry else f"set of {entry['alerts']} alert(s)"
        lines.append(f"{entry['file']}: {what} {said}{more}")
        lines += [
            f"  {each['place']}: {'fails: ' if each['fails'] else ''}{each['key']}: {each['text']}" for each in found
        ]
    return "\n".join(lines)


def _all(folder: Path | None) -> list[Entry]:
    """Every file by itself, so that one mistake does not hide another; then all of them together, as `serve` does."""
    mistakes, channels = [], []
    for path in files_of(folder):
        try:
            channels.append(load(path))
        except ConfigError as error:
            mistakes.append(_mistake(error))
    if not mistakes:
        channels = load_folder(folder)
        mistakes = _alerts(folder, channels)
    return [*(_entry(each, channels[:at]) for at, each in enumerate(channels)), *mistakes]


def _alerts(folder: Path | None, channels: "list[Channel]") -> list[Entry]:
    """The alerts of the folder, where there are any."""
    from hl7auth.flow.alert import alert_doubts, load_alerts
    from hl7auth.resources import shipped

    try:
        alerts = load_alerts(folder or shipped("channels"), channels, os.environ)
    except ConfigError as error:
        return [_mistake(error)]
    if alerts is None:
        return []
    found = [{"key": key, "text": text, "place": at, "fails": False} for key, text, at in alert_doubts(alerts)]
    return [{"good": True, "alerts": len(alerts.file.rules), "file": str(alerts.path), "questionable": found}]


def _neighbours(channel: "Channel") -> "list[Channel]":
    """The other channels of its folder, as far as they can be read."""
    found = []
    for path in files_of(channel.path.parent):
        if path.resolve() != channel.path.resolve():
            try:
                found.append(load(path))
            except UserError:
                continue
    return found


def _entry(channel: "Channel", others: "Sequence[Channel]") -> Entry:
    from hl7auth.flow.channel_doubts import channel_doubts
    from hl7auth.observe import now

    with importing() as fault_of:
        found = [each.entry() for each in channel_doubts(channel, others, content, now(), fault_of, is_public)]
    good = not any(each["fails"] for each in found)
    return {"good": good, "channel": channel.name, "file": str(channel.path), "questionable": found}


@contextmanager
def importing() -> "Iterator[Callable[[PythonCall], str]]":
    """Says why a function of a Python step can not be called; the process that finds out starts when it is asked."""
    from hl7auth.steps.faults import StepFailed
    from hl7auth.steps_runner import StepProcess

    with StepProcess() as process:

        def fault_of(call: "PythonCall") -> str:
            try:
                process.check(call)
            except StepFailed as fault:
                return str(fault)
            return ""

        yield fault_of


def _mistake(error: ConfigError) -> Entry:
    return {"good": False, "mistake": str(error)}
