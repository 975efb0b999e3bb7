"""The process of the API: uvicorn on the socket that the engine listens at, until the engine ends.

Imports uvicorn, fastapi, api, flow, store, net (the pipe, the channels, the collector), observe and errors.
"""

import asyncio
import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from hl7auth.api.app import create_app
from hl7auth.api.state import Settings, State
from hl7auth.api.wire import Wire
from hl7auth.errors import UserError
from hl7auth.flow.channel_folder import ChannelFolder
from hl7auth.net.beside import LISTENS, hear
from hl7auth.net.collector import calm_the_collector
from hl7auth.net.served import Served
from hl7auth.observe import ids, log, log_to_stderr
from hl7auth.store.database import open_database, require_current

_WORKER = 63
"""The lowest bits of the ids that are given here, as if by the last of all workers."""
_SWITCH_SECONDS = 0.0005
"""How long a thread keeps others waiting: one that works on a page or on balances would delay every other answer by the
5 ms that are usual."""
_GRACE = 5
"""Seconds for the requests that are under way when it ends."""


def settings_of(setup: Mapping[str, Any]) -> Settings:
    """The settings of a setup: database, channels (a folder or null), desk, manual, shares. Raises UserError."""
    folder = setup.get("channels")
    channels = Served(ChannelFolder(Path(folder) if folder else None, os.environ))
    desk = setup.get("desk", "") or next(iter(channels), "")
    if desk not in channels:
        raise UserError(f"there is no channel '{desk}' for the API (known: {', '.join(channels)})")
    engine = open_database(setup["database"], create=False, pooled=True)
    require_current(engine)
    shares = {payor: Decimal(share) for payor, share in setup.get("shares", {}).items()}
    manual = frozenset(setup.get("manual", ()))
    return Settings(engine, channels, desk, manual, shares, new_id=ids(worker=_WORKER))


def server_of(app: FastAPI) -> uvicorn.Server:
    """A server for the application. Nothing of a request is logged: a path may hold the number of a patient."""
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, date_header=False,
        timeout_graceful_shutdown=_GRACE, timeout_keep_alive=30, http=Wire,
    )  # fmt: skip
    return uvicorn.Server(config)


def main() -> None:
    """Serves until standard input ends. Its first line is the setup, as JSON."""
    log_to_stderr()
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    setup = json.loads(sys.stdin.buffer.readline())
    try:
        settings = settings_of(setup)
        app = create_app(settings)
    except UserError as fault:
        log("api.failed", str(fault), level=logging.ERROR)
        sys.exit(2)
    server = server_of(app)
    sys.setswitchinterval(_SWITCH_SECONDS)
    calm_the_collector()
    listens = socket.socket(fileno=LISTENS)
    threading.Thread(target=_watch, args=(server, app.state.api), name="engine", daemon=True).start()
    asyncio.run(_serve(server, listens))


async def _serve(server: uvicorn.Server, listens: socket.socket) -> None:
    told = asyncio.create_task(_tell(server, listens))
    await server.serve(sockets=[listens])
    told.cancel()


async def _tell(server: uvicorn.Server, listens: socket.socket) -> None:
    while not server.started:
        await asyncio.sleep(0.01)
    host, port = listens.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    sys.stdout.write(f"the API listens on http://{shown}:{port}\n")
    sys.stdout.flush()


def _watch(server: uvicorn.Server, state: State) -> None:
    """The engine has ended when the pipe does."""

    def served(names: list[str]) -> None:
        channels = state.settings.channels
        if isinstance(channels, Served):
            channels.look(names)
        state.steps.close()  # functions of rules may be others

    hear(sys.stdin.buffer, served)
    server.should_exit = True


if __name__ == "__main__":
    main()
