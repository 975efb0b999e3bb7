"""token create, list and revoke; audit verify and list.

Imports typer, cli.common, cli.queue (who it is), and inside the commands the store.
"""

import secrets
from typing import Annotated, Any

import typer

from hl7auth.cli.common import (
    DEFAULT_DATABASE,
    Database,
    Format,
    Limit,
    Output,
    reading,
    show,
    table,
    who,
    writing,
)
from hl7auth.cli.queue import By

app = typer.Typer(no_args_is_help=True)
audit_app = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME")]


@app.command()
def create(
    name: Name,
    scope: Annotated[
        list[str], typer.Option("--scope", envvar="HL7AUTH_SCOPE", help="What it is for; may be repeated.")
    ],
    payor: Annotated[
        list[str] | None, typer.Option("--payor", envvar="HL7AUTH_PAYOR", help="Only what is of this payor (AUT-2.1).")
    ] = None,
    channel: Annotated[
        list[str] | None, typer.Option("--channel", envvar="HL7AUTH_CHANNEL", help="Only what came by this channel.")
    ] = None,
    by: By = None,
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """Make a token for the API and print it: once, for only its hash is kept."""
    from hl7auth.observe import now
    from hl7auth.store import audit, tokens

    token = secrets.token_urlsafe(32)
    with writing(database) as connection:
        tokens.create(connection, token, name, tokens.Rights(scope, payor or (), channel or ()), now())
        audit.write(connection, who(by), "token.create", name, {"scopes": scope}, now())
    show({"name": name, "token": token}, output, lambda made: made["token"])


@app.command("list")
def list_(database: Database = DEFAULT_DATABASE, output: Output = Format.TEXT) -> None:
    """All tokens, also those that are revoked."""
    from hl7auth.store import tokens

    with reading(database) as connection:
        found = tokens.tokens(connection)
    show(found, output, lambda rows: table([_row(each) for each in rows], _COLUMNS, "no token"))


@app.command()
def revoke(name: Name, by: By = None, database: Database = DEFAULT_DATABASE, output: Output = Format.TEXT) -> None:
    """A token opens nothing any more."""
    from hl7auth.observe import now
    from hl7auth.store import audit, tokens

    with writing(database) as connection:
        tokens.revoke(connection, name, now())
        audit.write(connection, who(by), "token.revoke", name, {}, now())
    show({"name": name, "revoked": True}, output, lambda made: f"{made['name']} is revoked")


@audit_app.command()
def verify(database: Database = DEFAULT_DATABASE, output: Output = Format.TEXT) -> None:
    """Is every row of the audit log as it was written, and none missing? Exit 1 where not."""
    from hl7auth.store import audit

    with reading(database) as connection:
        found = audit.verify(connection)
    result = {"rows": found.rows, "sound": not found.fault, "fault": found.fault or None}
    show(result, output, lambda _: f"{found.rows} rows are sound" + (f"; {found.fault}" if found.fault else ""))
    if found.fault:
        raise typer.Exit(1)


@audit_app.command("list")
def list_audit(
    subject: Annotated[
        str, typer.Option("--subject", envvar="HL7AUTH_SUBJECT", help="The key of an authorization, a charge ...")
    ] = "",
    limit: Limit = 100,
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """Who read or changed what, newest last."""
    from hl7auth.store import audit

    with reading(database) as connection:
        found = audit.listed(connection, subject, None, limit or 2**62)[::-1]
    show(found, output, lambda rows: table(rows, ("id", "at", "who", "action", "subject"), "nothing"))


_COLUMNS = ("name", "scopes", "payors", "channels", "created_at", "revoked_at")


def _row(token: dict[str, Any]) -> dict[str, Any]:
    return {key: ", ".join(value) if isinstance(value, list) else value for key, value in token.items()}
