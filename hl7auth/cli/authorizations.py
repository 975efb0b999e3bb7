"""authorization list, show and history.

Imports typer, cli.common, and inside the commands the store.
"""

from typing import Annotated, Any

import typer

from hl7auth.cli.common import DEFAULT_DATABASE, Database, Format, Limit, Output, reading, show, table, tree

app = typer.Typer(no_args_is_help=True)

Key = Annotated[
    str, typer.Argument(metavar="KEY", help="For example PA1001@ACME, or the reference of an open request.")
]
_COLUMNS = ("key", "status", "version", "payor", "patient", "effective_date", "expiration_date", "lines")


@app.command("list")
def list_(
    status: Annotated[
        str | None, typer.Option(envvar="HL7AUTH_STATUS", help="requested, pended, approved, ...")
    ] = None,
    patient: Annotated[
        str | None, typer.Option(envvar="HL7AUTH_PATIENT", help="Identifier of the patient (PID-3.1).")
    ] = None,
    payor: Annotated[str | None, typer.Option(envvar="HL7AUTH_PAYOR", help="Code of the payor (AUT-2.1).")] = None,
    open_requests: Annotated[
        bool, typer.Option("--open", envvar="HL7AUTH_OPEN", help="Requests waiting for their answer.")
    ] = False,
    limit: Limit = 100,
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """Authorizations as they stand, last changed last."""
    from hl7auth.store.archive import list_authorizations

    asked = {"status": status, "patient": patient, "payor": payor}
    filters = {name: value for name, value in asked.items() if value is not None}
    with reading(database) as connection:
        found = list_authorizations(connection, filters, limit, open_requests=open_requests)
    show(found, output, _list_text)


@app.command("show")
def show_(key: Key, database: Database = DEFAULT_DATABASE, output: Output = Format.TEXT) -> None:
    """One authorization, whole."""
    from hl7auth.store.archive import read_authorization

    with reading(database) as connection:
        document = read_authorization(connection, key)
    show(document, output, tree)


@app.command()
def history(key: Key, database: Database = DEFAULT_DATABASE, output: Output = Format.TEXT) -> None:
    """Every version of an authorization, and the message that made it."""
    from hl7auth.store.archive import read_history

    with reading(database) as connection:
        entries = read_history(connection, key)
    show(entries, output, _history_text)


def _list_text(documents: list[dict[str, Any]]) -> str:
    rows = [{**document, "lines": len(document.get("lines", []))} for document in documents]
    return table(rows, _COLUMNS, "no authorization")


def _history_text(entries: list[dict[str, Any]]) -> str:
    lines = []
    for entry in entries:
        what = ", ".join(name.replace("_", " ") for name in entry["changed"]) or "nothing that shows"
        lines.append(
            f"version {entry['version']}: {entry['at']}: message {entry['message']} ({entry['by']}): {entry['status']}"
        )
        lines.append(f"  set {what}" if entry["version"] == 1 else f"  changed {what}")
    return "\n".join(lines)
