"""serve, send and bench.

Imports typer, cli.client_tls, cli.common, and inside the commands net, server and the bench.
"""

import json
import os
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import typer

from hl7auth.cli.client_tls import Certificate, Key, Minimum, Passphrase, ServerName, Trust, tls_of
from hl7auth.cli.common import (
    DEFAULT_DATABASE,
    ChannelFolder,
    Control,
    Database,
    Format,
    Output,
    messages_of,
    read_file,
    readable,
    show,
)
from hl7auth.errors import UserError

Metrics = Annotated[
    str,
    typer.Option(
        envvar="HL7AUTH_METRICS", metavar="ENDPOINT",
        help="Where figures are shown (/metrics, /status, /healthz, /readyz): tcp:9575, on the loopback unless it has "
        "an interface. Without it nowhere.",
    ),
]  # fmt: skip

Api = Annotated[
    str,
    typer.Option(
        "--api", envvar="HL7AUTH_API", metavar="ADDRESS:PORT",
        help="Where the REST API listens: 8080 is on the loopback. Without it nowhere.",
    ),
]  # fmt: skip
ApiDesk = Annotated[
    str,
    typer.Option(
        "--api-desk", envvar="HL7AUTH_API_DESK", metavar="CHANNEL",
        help="The channel by which what is entered at the API goes in; default: the first.",
    ),
]  # fmt: skip
ApiManual = Annotated[
    list[str] | None,
    typer.Option(
        "--api-manual", envvar="HL7AUTH_API_MANUAL", metavar="PAYOR",
        help="A payor who is asked by telephone or portal (MANUAL_PENDING); may be repeated.",
    ),
]  # fmt: skip
ApiShare = Annotated[
    list[str] | None,
    typer.Option(
        "--api-share", envvar="HL7AUTH_API_SHARE", metavar="PAYOR=SHARE",
        help="The share of use that is worth an alert where it is not 0.80; may be repeated.",
    ),
]  # fmt: skip

MAX_WORKERS = 63
"""As in observe, which is too heavy to import before a command runs."""


def add(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command()(serve)
    app.command()(send)
    app.command()(bench)


def serve(  # noqa: PLR0913, PLR0917 - each is an option
    channels: ChannelFolder = None,
    database: Database = DEFAULT_DATABASE,
    workers: Annotated[
        int, typer.Option(envvar="HL7AUTH_WORKERS", min=1, max=MAX_WORKERS, help="Processes that share the work.")
    ] = 1,
    metrics: Metrics = "",
    control: Control = None,
    upgrade: Annotated[
        bool, typer.Option(envvar="HL7AUTH_UPGRADE", help="Bring the schema of the database up to date at the start.")
    ] = True,
    api: Api = "",
    api_desk: ApiDesk = "",
    api_manual: ApiManual = None,
    api_share: ApiShare = None,
) -> None:
    """Listen on all channels until stopped; prints a line per listener when ready.

    SIGHUP, or `hl7auth channel reload`, has the channels read again while it runs.
    """
    from hl7auth.flow.alert import load_alerts
    from hl7auth.flow.channel_folder import ChannelFolder as Folder
    from hl7auth.net.control import control_of
    from hl7auth.net.seen import Outside
    from hl7auth.observe import log_to_stderr
    from hl7auth.resources import shipped
    from hl7auth.server import Again, Wished, run

    log_to_stderr()
    folder = Folder(channels, os.environ)
    found = folder.load()
    alerts = load_alerts(channels or shipped("channels"), found, os.environ)
    again = Again(folder, control or control_of(database))
    beside = []
    if api:
        names = [channel.name for channel in found]
        if api_desk and api_desk not in names:
            raise UserError(f"--api-desk: there is no channel '{api_desk}' (known: {', '.join(names)})")
        setup: dict[str, Any] = {"database": database, "channels": str(channels) if channels else None}
        setup["desk"] = api_desk
        setup |= {"manual": api_manual or [], "shares": _shares(api_share or [])}
        beside.append(Wished("hl7auth.api.process", json.dumps(setup), api))
        beside.append(Wished("hl7auth.api.following", json.dumps({"database": database})))
    setup = {"database": database, "channels": str(channels) if channels else None}
    desk = Wished("hl7auth.desk.process", json.dumps(setup))
    run(found, database, typer.echo, workers, Outside(metrics, alerts), again, beside, desk=desk, migrate=upgrade)


def _shares(texts: list[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        payor, _, share = text.partition("=")
        try:
            fits = 0 < Decimal(share) <= 1
        except InvalidOperation:
            fits = False
        if not payor or not fits:
            raise UserError(f"--api-share: '{text}' is no PAYOR=SHARE with a share between 0 and 1")
        found[payor] = share
    return found


def send(  # noqa: PLR0913, PLR0917 - each is an option
    address: Annotated[str, typer.Argument(metavar="HOST:PORT")],
    files: Annotated[list[Path], typer.Argument(metavar="FILE...")],
    timeout: Annotated[
        float, typer.Option(envvar="HL7AUTH_TIMEOUT", min=0.1, help="Seconds to wait for a reply.")
    ] = 10.0,
    whole: Annotated[
        bool, typer.Option("--whole", envvar="HL7AUTH_WHOLE", help="Each file is one frame, also a batch file.")
    ] = False,
    tls: Annotated[bool, typer.Option("--tls", envvar="HL7AUTH_TLS", help="Encrypted, to a server with TLS.")] = False,
    trust: Trust = None,
    certificate: Certificate = None,
    key: Key = None,
    passphrase: Passphrase = "",
    server_name: ServerName = "",
    minimum: Minimum = "1.2",
    output: Output = Format.TEXT,
) -> None:
    """Send the messages of files over MLLP and print each reply; exit 1 if one is negative or missing."""
    from hl7auth.flow.tls import ClientTls
    from hl7auth.net.sender import send_all

    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise UserError(f"'{address}' is no HOST:PORT")
    frames = [(str(path), read_file(path).strip(b"\n")) for path in files] if whole else messages_of(files)
    around = tls_of(trust, certificate, key, passphrase, server_name, minimum)
    if around is not None and not tls:
        raise UserError("--trust, --certificate, --key, --passphrase, --server-name and --minimum go with --tls")
    around = around or ClientTls() if tls else None
    sent = send_all(host.strip("[]"), int(port), frames, timeout, around)

    def as_text(_: object) -> str:
        return "\n\n".join(_sent_text(each) for each in sent)

    show([each.entry() for each in sent], output, as_text)
    bad = [each for each in sent if not each.good]
    if bad:
        raise typer.Exit(1)


def bench(
    connections: Annotated[
        list[int] | None, typer.Option(envvar="HL7AUTH_CONNECTIONS", min=1, help="Default: 1, 8 and 64.")
    ] = None,
    seconds: Annotated[float, typer.Option(envvar="HL7AUTH_SECONDS", min=0.2, help="Length of one measurement.")] = 5.0,
    workers: Annotated[
        int,
        typer.Option(envvar="HL7AUTH_WORKERS", min=1, max=64, help="Above 1: the engine in so many processes, too."),
    ] = 1,
    rounds: Annotated[int, typer.Option(envvar="HL7AUTH_BENCH_ROUNDS", min=1, help="How often each is measured.")] = 3,
    postgres: Annotated[
        str | None,
        typer.Option(envvar="HL7AUTH_BENCH_POSTGRES", metavar="URL", help="The engine there too; its messages stay."),
    ] = None,
    output: Output = Format.TEXT,
) -> None:
    """Measure the engine and the limit program on this machine, in one run."""
    from hl7auth.cli.bench import bench as measure

    raise typer.Exit(
        measure(connections or [1, 8, 64], seconds, output is Format.JSON, None, rounds, workers, postgres)
    )


def _sent_text(sent: object) -> str:
    from hl7auth.net.sender import Sent

    assert isinstance(sent, Sent)
    head = f"{sent.source}: {sent.control_id or '(no control id)'}: {sent.verdict}"
    return "\n".join([head, *[readable(reply) for reply in sent.replies]])
