"""The processes of the engine, put together: one that does all, or a parent with workers; and an orderly end.

Imports twisted and everything below.
"""

import logging
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from typing import Protocol as Interface

from twisted.internet import defer, error
from twisted.python.failure import Failure

from hl7auth.errors import UserError
from hl7auth.flow.channel import Channel
from hl7auth.flow.channel_folder import ChannelFolder
from hl7auth.net.alerts_again import AlertsAgain
from hl7auth.net.alone import Server
from hl7auth.net.beside import Beside, listening_socket
from hl7auth.net.collector import calm_the_collector
from hl7auth.net.control import Control, tell_failed
from hl7auth.net.entrance import check_tls
from hl7auth.net.neighbours import Neighbours
from hl7auth.net.parent import Parent
from hl7auth.net.ports import endpoint_of, plain_endpoint_of
from hl7auth.net.reload import Reloader, Wanted
from hl7auth.net.seen import NOBODY, Outside
from hl7auth.net.service import Announce
from hl7auth.net.shaping import check_steps
from hl7auth.net.worker import Worker
from hl7auth.net.workers import PAIR, Setup
from hl7auth.observe import log, log_to_stderr
from hl7auth.rules.edition import take_over

__all__ = ["Again", "Parent", "Server", "run", "run_worker"]


class Again(NamedTuple):
    """What a running engine reads anew when it is told to: the folder of its channels, and where it is asked."""

    folder: ChannelFolder
    control: Path | None = None


class Wished(NamedTuple):
    """A process beside the engine: the module that it is, its setup, one line of text, and where it listens, if it
    does."""

    module: str
    setup: str
    address: str = ""


class Ears:
    """Hears when channels are to be read again: by SIGHUP, and at the control door."""

    def __init__(self, reactor: Any, reloader: Reloader, control: Path | None) -> None:
        self._reactor = reactor
        self._reloader = reloader
        self._control = None if control is None else Control(reactor, control, reloader.reload)

    def open(self) -> None:
        """From now on."""
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self._hear))
        if self._control is not None:
            self._control.open()
        defer.Deferred.fromCoroutine(self._reloader.tell_stranded()).addErrback(tell_failed)

    async def close(self) -> None:
        """No more; a reload that is under way is waited for."""
        if self._control is not None:
            self._control.close()
        await self._reloader.close()

    def _hear(self) -> None:
        defer.Deferred.fromCoroutine(self._reloader.reload(Wanted())).addErrback(tell_failed)


_MOST_DESCRIPTORS = 262_144


def _many_descriptors() -> None:
    """As many descriptors as the system lets us have: a channel takes one, and each of its connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        if hard != resource.RLIM_INFINITY and soft < hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _MOST_DESCRIPTORS), hard))


class Program(Interface):
    """What runs on a reactor."""

    async def start(self) -> None:
        """When the reactor runs."""

    async def stop(self) -> None:
        """Before the reactor stops."""


def run(  # noqa: PLR0913 - all that a process is put together of
    channels: Sequence[Channel],
    database: str,
    announce: Announce,
    workers: int = 1,
    outside: Outside = NOBODY,
    again: Again | None = None,
    wished: Sequence[Wished] = (),
    *,
    desk: Wished | None = None,
    migrate: bool = True,
) -> None:
    """Serves until SIGINT or SIGTERM; with `again` reads its channels anew on SIGHUP; without `migrate` takes the
    schema as it is. `wished` are processes beside it, `desk` is the one that is there while a channel has requests that
    rules decide. Raises UserError when it can not start."""
    from twisted.internet import reactor

    check_steps(channels)

    def made(each: Wished) -> Beside:
        return Beside(reactor, each.module, each.setup, listening_socket(each.address) if each.address else None)

    beside = [made(each) for each in wished]
    program: Server | Parent
    if workers == 1:
        shared = bool(beside)
        program = Server(channels, database, reactor, announce, outside, migrate=migrate, writers=shared)
    else:
        program = Parent(channels, database, reactor, announce, workers, outside, migrate=migrate)
    neighbours = Neighbours(beside, None if desk is None else partial(made, desk), program.share, program.channels)
    if again is None:
        _run(reactor, program, beside=neighbours)
        return
    wanted = endpoint_of if workers == 1 else plain_endpoint_of

    def check(channel: Channel) -> None:
        wanted(reactor, channel)
        check_tls(channel)

    alerts = AlertsAgain(again.folder.path, outside.alerts, again.folder.environment)
    reloader = Reloader(reactor, again.folder, database, program, check, alerts, neighbours.serve)
    _run(reactor, program, Ears(reactor, reloader, again.control), neighbours)


def run_worker() -> None:
    """Serves what the parent gives to the descriptor PAIR, until its end. The setup is on standard input."""
    from twisted.internet import reactor

    log_to_stderr()
    setup = Setup.model_validate_json(sys.stdin.buffer.read())
    take_over(setup.editions)
    try:
        _run(reactor, Worker(setup, reactor, socket.socket(fileno=PAIR)))
    except UserError as fault:
        log("worker.failed", str(fault), level=logging.ERROR, worker=setup.number)
        sys.exit(2)


def _run(reactor: Any, program: Program, ears: Ears | None = None, beside: Neighbours | None = None) -> None:
    """Runs the reactor, which is a module that is also an object: mypy would see the module."""
    _many_descriptors()
    failures: list[BaseException] = []

    def give_up(failure: Failure) -> None:
        failures.append(failure.value or UserError(str(failure)))
        with suppress(error.ReactorNotRunning):  # it was told to stop while it started
            reactor.stop()

    async def start() -> None:
        await program.start()
        if ears is not None:
            ears.open()
        if beside is not None:
            beside.start()

    async def stop() -> None:
        if beside is not None:
            await beside.stop()
        if ears is not None:
            await ears.close()
        await program.stop()

    def begin() -> None:
        defer.Deferred.fromCoroutine(start()).addErrback(give_up)

    calm_the_collector()
    reactor.callWhenRunning(begin)
    reactor.addSystemEventTrigger("before", "shutdown", lambda: defer.Deferred.fromCoroutine(stop()))
    reactor.run()
    if failures:
        raise failures[0]


if __name__ == "__main__":
    run_worker()
