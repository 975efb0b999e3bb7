"""The options of TLS of commands that connect: the keys of `tls` of a destination.

Imports typer, errors, and inside functions flow.tls.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hl7auth.errors import UserError

if TYPE_CHECKING:
    from hl7auth.flow.tls import ClientTls

Trust = Annotated[
    Path | None,
    typer.Option(
        envvar="HL7AUTH_TRUST", metavar="FILE",
        help="With --tls: the authorities whose certificates are good (PEM); else those of this machine.",
    ),
]  # fmt: skip
Certificate = Annotated[
    Path | None,
    typer.Option(envvar="HL7AUTH_CERTIFICATE", metavar="FILE", help="With --tls: our own certificate (PEM)."),
]
Key = Annotated[
    Path | None,
    typer.Option(envvar="HL7AUTH_KEY", metavar="FILE", help="With --certificate: its key, where it is not in there."),
]
Passphrase = Annotated[
    str,
    typer.Option(
        envvar="HL7AUTH_PASSPHRASE", metavar="file:PATH", help="With --certificate: the file of what opens its key."
    ),
]
ServerName = Annotated[
    str, typer.Option(envvar="HL7AUTH_SERVER_NAME", metavar="NAME", help="With --tls: the server's name, if not HOST.")
]
Minimum = Annotated[
    str, typer.Option(envvar="HL7AUTH_MINIMUM", metavar="VERSION", help="With --tls: the least version, 1.2 or 1.3.")
]


def tls_of(
    trust: Path | None, certificate: Path | None, key: Path | None, passphrase: str, server_name: str, minimum: str
) -> "ClientTls | None":
    """What the options say; None where they say nothing. Raises UserError."""
    said = {
        "trust": trust, "certificate": certificate, "key": key, "passphrase": passphrase, "server_name": server_name,
    }  # fmt: skip
    if not any(said.values()) and minimum == "1.2":
        return None
    from pydantic import ValidationError

    from hl7auth.flow.tls import ClientTls

    try:
        return ClientTls(**{name: value for name, value in said.items() if value}, minimum=minimum)
    except ValidationError as error:
        (first, *_) = error.errors()
        where = "".join(f"--{each}: ".replace("_", "-") for each in first["loc"]) or "--key: "
        raise UserError(f"{where}{first['msg'].removeprefix('Value error, ')}") from None
