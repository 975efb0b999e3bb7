"""What `channel reload` asks of the running engine, and how it says what came of it.

Imports errors, and inside the functions net.
"""

from pathlib import Path
from typing import Any

from hl7auth.errors import UserError

Entry = dict[str, Any]


def reloaded(name: str | None, remove: bool, control: Path | None, database: str) -> Entry:
    """What the engine says that it did. Raises UserError where none answers, or nothing could be done."""
    from hl7auth.net.control import ask, control_of
    from hl7auth.net.reload import Wanted

    if remove and name is None:
        raise UserError("--remove wants the name of a channel")
    path = control or control_of(database)
    if path is None:
        raise UserError(f"an engine over {database} has no control door of its own: name one with --control")
    return ask(path, Wanted(name or "", remove))


def is_good(report: Entry) -> bool:
    """Nothing was refused."""
    return all(each["did"] != "refused" for each in report["channels"])


def report_text(report: Entry) -> str:
    """A line for each channel that is not as it was, and one for all others."""
    from hl7auth.flow.change import Did, Told

    lines = [Told(**each | {"did": Did(each["did"])}).sentence for each in report["channels"]]
    count = report["unchanged"]
    if count:
        lines.append(f"{count} channel{'s are' if count > 1 else ' is'} unchanged")
    for each in report["stranded"]:
        lines.append(
            f"{each['deliveries']} deliveries to {each['destination']} stay in the queue: no channel has that"
            f" destination any more (hl7auth queue list --destination {each['destination']}, then move or skip)"
        )
    return "\n".join(lines) or "there is nothing to serve"
