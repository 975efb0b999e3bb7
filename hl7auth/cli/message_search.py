"""message search.

Imports typer, cli.common, and inside the command the store.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from hl7auth.cli.common import DEFAULT_DATABASE, Archive, Database, Format, Output, read_file, reading, show, table
from hl7auth.errors import UserError

_COLUMNS = ("id", "received_at", "channel", "event", "control_id", "sender", "disposition", "code")


def _text(option: str, help_: str) -> Any:
    return typer.Option(f"--{option}", envvar=f"HL7AUTH_{option.upper().replace('-', '_')}", help=help_)


ControlId = Annotated[str, _text("control-id", "MSH-10.")]
Authorization = Annotated[str, _text("authorization", "AUT-6.1, the number of an authorization.")]
Patient = Annotated[str, _text("patient", "Id of a patient or a member: PID-2, 3, 4 or 18, IN1-36 or 49.")]
Name = Annotated[str, _text("name", "Of the patient: the family name, or family^given.")]
Referral = Annotated[str, _text("referral", "RF1-6.1 or RF1-11.1.")]
Sender = Annotated[str, _text("sender", "MSH-3.1.")]
Event = Annotated[str, _text("event", "RQA^I08, RQA or I08.")]
Status = Annotated[str, _text("status", "What it made of an authorization: approved, denied, pended ...")]
Rule = Annotated[str, _text("rule", "Of a finding.")]
Since = Annotated[str, _text("since", "Received from this time on (UTC if it does not say): 2026-03-01T10:00.")]
Until = Annotated[str, _text("until", "Received until this time, a day or a minute as a whole.")]
Channel = Annotated[str, _text("channel", "Name of the channel.")]
Disposition = Annotated[str, _text("disposition", "accepted, refused, duplicate, failed, parked, ignored or filtered.")]
Words = Annotated[str, _text("words", 'Full text: words, "words in a row", or how they begin: arthro*.')]
Before = Annotated[int | None, _text("before", "The next page: what the page before named at its end.")]
Limit = Annotated[int, typer.Option("--limit", envvar="HL7AUTH_LIMIT", min=1, max=10_000, help="Of one page.")]
IdsFile = Annotated[
    Path | None,
    typer.Option("--ids-file", envvar="HL7AUTH_IDS_FILE", help="Identifiers, one a line; - is standard input."),
]
Fields = Annotated[
    list[str] | None, typer.Argument(metavar="[FIELD=VALUE]...", help="Any field: PID-3.1=A12, AUT-14=AP, AUT-6.1=PA*")
]


def search(  # noqa: PLR0913, PLR0917
    fields: Fields = None,
    control_id: ControlId = "",
    authorization: Authorization = "",
    patient: Patient = "",
    name: Name = "",
    referral: Referral = "",
    sender: Sender = "",
    event: Event = "",
    status: Status = "",
    rule: Rule = "",
    since: Since = "",
    until: Until = "",
    channel: Channel = "",
    disposition: Disposition = "",
    words: Words = "",
    ids_file: IdsFile = None,
    limit: Limit = 50,
    before: Before = None,
    archive: Archive = "",
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """Find messages, newest first: everything that is given must fit. Exit 0 where there is any, else 1."""
    from hl7auth.domain.clock import beginning, moment
    from hl7auth.store.search import Query, asks_index, find, found_for

    identifiers = identifiers_of(ids_file) if ids_file is not None else ()
    query = Query(
        control_id, authorization, patient, name, referral, sender, event, status, rule,
        beginning(since) if since else None, moment(until) + 1 if until else None, channel, disposition,
        tuple(field_of(each) for each in fields or ()), words, identifiers, limit, before,
    )  # fmt: skip
    with reading(database, archive, indexed=asks_index(query)) as connection:
        page = find(connection, query)
        each = found_for(connection, identifiers)
    result: dict[str, Any] = {
        "messages": page.messages,
        "next": str(page.next) if page.next is not None else None,
        "read": page.read,
        "notes": list(page.notes),
    }
    if ids_file is not None:
        result["identifiers"] = {name: [str(number) for number in numbers] for name, numbers in each.items()}
    if not page.messages:
        _require_words(disposition, status)
    show(result, output, _as_text)
    if not page.messages:
        raise typer.Exit(1)


def _require_words(disposition: str, status: str) -> None:
    """Raises UserError for words that nothing can be found by: looked at only then, for to know them takes time."""
    from hl7auth.domain.status import Status as States
    from hl7auth.flow.decision import Disposition as Dispositions

    for option, text, known in (("disposition", disposition, Dispositions), ("status", status, States)):
        if text and "*" not in text and text.lower() not in tuple(known):
            raise UserError(f"--{option} {text}: there is no such {option} (known: {', '.join(known)})")


def _as_text(result: dict[str, Any]) -> str:
    lines = [table(result["messages"], _COLUMNS, "no message")]
    never = [name for name, numbers in result.get("identifiers", {}).items() if not numbers]
    lines += ["", f"never seen: {', '.join(never)}"] if never else []
    lines += [f"note: {each}" for each in result["notes"]]
    lines += [f"more: --before {result['next']}"] if result["next"] else []
    return "\n".join(lines)


def field_of(text: str) -> tuple[str, str]:
    """A path and a value: `PID-3.1=A12`. Raises UserError."""
    path, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"'{text}' is no field with a value; write it like PID-3.1=A12")
    return path, value


def identifiers_of(path: Path) -> tuple[str, ...]:
    """The lines of a file, each once. Raises UserError where there are none."""
    lines = read_file(path).decode("utf-8-sig", "replace").splitlines()
    found = tuple(dict.fromkeys(line.strip().strip('"') for line in lines if line.strip()))
    if not found:
        raise UserError(f"{path}: holds no identifier")
    return found
