"""Reloading: what the folder says now is checked, and then put in the place of what is served, channel by channel.

Imports twisted, flow, rules, store, net, observe and errors only.

Reading and checking is done in a thread, so that nobody waits for it; what is served changes on the reactor.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from typing import Protocol as Interface

from twisted.internet import defer, endpoints, threads

from hl7auth.errors import ConfigError, Fault, UserError
from hl7auth.flow.alert import Alerts
from hl7auth.flow.change import Change, Did, Told, refused, told_of
from hl7auth.flow.channel import Channel, together
from hl7auth.flow.channel_doubts import channel_doubts
from hl7auth.flow.channel_folder import ChannelFolder, Found
from hl7auth.flow.channel_leaves import leaves, plain
from hl7auth.flow.channel_reach import choices
from hl7auth.flow.destination import full_name
from hl7auth.flow.endpoint import endpoint
from hl7auth.net.alerts_again import AlertsAgain
from hl7auth.net.shaping import check_steps
from hl7auth.observe import log, now
from hl7auth.rules.compiled import keep_editions
from hl7auth.store.channel_versions import keep_versions
from hl7auth.store.database import open_database
from hl7auth.store.deliveries import stranded


class Serving(Interface):
    """What serves channels, and can change them."""

    @property
    def channels(self) -> Mapping[str, Channel]:
        """The channels that are served, by their names."""

    async def change(self, changes: Sequence[Change]) -> Mapping[str, str]:
        """Makes the changes; returns those that could not be made, by channel, with the reason."""

    async def renew_certificates(self) -> bool:
        """Reads all certificates anew, for connections from now on; False where some are wrong: those stay."""

    async def watch(self, alerts: Alerts | None) -> None:
        """These are the alerts from now on; None for no alerts."""


class Wanted(NamedTuple):
    """What is asked for: all channels, or one by its name; `remove` to serve it no more."""

    name: str = ""
    remove: bool = False


class Report(NamedTuple):
    """What became of the channels that are not as they were, how many are, and the deliveries that nobody sends."""

    told: tuple[Told, ...]
    unchanged: int
    stranded: Mapping[str, int]

    @property
    def good(self) -> bool:
        """Nothing was refused."""
        return all(each.did is not Did.REFUSED for each in self.told)

    def entry(self) -> dict[str, Any]:
        """As plain data."""
        waits = [{"destination": name, "deliveries": count} for name, count in self.stranded.items()]
        return {"channels": [each.entry() for each in self.told], "unchanged": self.unchanged, "stranded": waits}


class _Plan(NamedTuple):
    """What is to change, and what is refused already."""

    changes: tuple[Change, ...]
    told: tuple[Told, ...]
    unchanged: int


class Reloader:
    """Reloads, one time after the other. `check` says what is wrong with a channel beside what all have in common;
    `neighbours` hears what is served then."""

    def __init__(
        self,
        reactor: Any,
        folder: ChannelFolder,
        database: str,
        serving: Serving,
        check: Callable[[Channel], object],
        alerts: AlertsAgain | None = None,
        neighbours: Callable[[Mapping[str, Channel]], None] = lambda _: None,
    ) -> None:
        self._reactor = reactor
        self._folder = folder
        self._database = database
        self._serving = serving
        self._check = check
        self._alerts = alerts
        self._neighbours = neighbours
        self._lock = defer.DeferredLock()
        self._closed = False
        self._editions: frozenset[str] = frozenset()

    async def reload(self, wanted: Wanted) -> Report:
        """What became of it. Raises UserError where nothing could be done at all."""
        await self._lock.acquire()
        try:
            if self._closed:
                raise UserError("the engine is stopping")
            return await self._reload(wanted)
        finally:
            self._lock.release()

    async def tell_stranded(self) -> None:
        """Logs the deliveries that nobody sends, as after a reload."""
        _log_stranded(await self._in_thread(self._stranded, dict(self._serving.channels)))

    async def close(self) -> None:
        """Waits for what is under way, and begins nothing more."""
        self._closed = True
        await self._lock.acquire()
        self._lock.release()

    async def _reload(self, wanted: Wanted) -> Report:
        served = dict(self._serving.channels)
        plan = await self._in_thread(self._planned, wanted, served)
        refusals = await self._serving.change(plan.changes) if plan.changes else {}
        told = [*plan.told]
        for change in plan.changes:
            why = refusals.get(change.name)
            if why is not None:
                told.append(refused(change.name, change.before, why))
            elif change.is_own:
                told.append(told_of(change))
        if not wanted.name:
            told += await self._watch()
        await self._serving.renew_certificates()
        self._neighbours(self._serving.channels)
        self._forget()
        waits = await self._in_thread(self._stranded, dict(self._serving.channels))
        report = Report(tuple(sorted(told)), plan.unchanged, waits)
        _log(report)
        return report

    async def _watch(self) -> list[Told]:
        """Alerts are about channels: they are looked at when those are what they shall be."""
        if self._alerts is None:
            return []
        told = await self._in_thread(self._alerts.look, list(self._serving.channels.values()))
        if told is not None and told.did is not Did.REFUSED:
            await self._serving.watch(self._alerts.alerts)
        return [] if told is None else [told]

    def _in_thread(self, call: Callable[..., Any], *values: Any) -> "defer.Deferred[Any]":
        return threads.deferToThreadPool(self._reactor, self._reactor.getThreadPool(), call, *values)

    def _forget(self) -> None:
        """Profiles of two reloads ago: what was planned under the last may still be decided."""
        used = frozenset(digest for each in self._serving.channels.values() for digest in each.editions.values())
        keep_editions(used | self._editions)
        self._editions = used

    # in the thread

    def _planned(self, wanted: Wanted, served: Mapping[str, Channel]) -> _Plan:
        found = self._folder.look()
        if wanted.remove:
            return _Plan(_removal(wanted.name, served), (), len(served) - 1)
        changes = _changes(found, served)
        told = _mistakes(found, served)
        if wanted.name:
            changes = [each for each in changes if each.name == wanted.name]
            told = _told_by_name(wanted.name, found, served, told)
        kept, refusals = self._checked(changes, served)
        kept = _complete(kept, served)
        told += refusals
        if wanted.name and not told and not kept:
            told = [Told(wanted.name, Did.UNCHANGED, served[wanted.name].version)]
        self._record([each.after for each in kept if each.after is not None])
        touched = {each.name for each in kept if each.is_own} | {each.channel for each in told}
        return _Plan(tuple(kept), tuple(told), 0 if wanted.name else len(served.keys() - touched))

    def _record(self, channels: Sequence[Channel]) -> None:
        """Messages name the version that they run under: it is stored before the first of them."""
        engine = open_database(self._database, create=False)
        try:
            keep_versions(engine, channels, now())
        finally:
            engine.dispose()

    def _checked(self, changes: Sequence[Change], served: Mapping[str, Channel]) -> tuple[list[Change], list[Told]]:
        """The changes that can be made together, and the others. What one has to give up may keep another from it."""
        kept, told = list(changes), list[Told]()
        while True:
            wrong = {each.name: why for each in kept if (why := self._wrong(each, _after(served, kept)))}
            if not wrong:
                break
            told += [refused(each.name, each.before, wrong[each.name]) for each in kept if each.name in wrong]
            kept = [each for each in kept if each.name not in wrong]
        return _linked(kept, served, told)

    def _wrong(self, change: Change, others: Mapping[str, Channel]) -> str:
        """Why a channel can not be served; empty where it can."""
        channel = change.after
        if channel is None:
            return ""
        try:
            self._check(channel)
            check_steps([channel])
            _check_destinations(self._reactor, channel)
            for choice in choices(channel.file):
                for version in choice.versions:
                    channel.compiled(choice.profile, version)
            near = [each for each in others.values() if each.name != channel.name and _meet(channel, each)]
            doubts = channel_doubts(channel, near, _content, now())
        except (UserError, Fault) as fault:
            return str(fault)
        return "; ".join(f"{each.place}: {each.key}: {each.text}" for each in doubts if each.fails)

    def _stranded(self, served: Mapping[str, Channel]) -> Mapping[str, int]:
        engine = open_database(self._database, create=False)
        try:
            known = {full_name(each.name, name) for each in served.values() for name in each.file.destinations}
            with engine.execution_options(reads_only=True).connect() as connection:
                return stranded(connection, known)
        finally:
            engine.dispose()


def _changes(found: Found, served: Mapping[str, Channel]) -> list[Change]:
    """What is new, different or gone. A channel whose file is wrong is not gone."""
    wrong = {path.resolve() for path in found.wrong}
    changes = [
        Change(served.get(name), channel)
        for name, channel in found.channels.items()
        if name not in served or _differ(served[name], channel)
    ]
    gone = [each for name, each in served.items() if name not in found.channels and each.path.resolve() not in wrong]
    return changes + [Change(each, None) for each in gone]


def _differ(one: Channel, other: Channel) -> bool:
    """The version leaves out secrets, and what variables hold."""
    return Change(one, other).is_own or one.path != other.path


def _mistakes(found: Found, served: Mapping[str, Channel]) -> list[Told]:
    """Files that hold no channel as they are, each with the channel that goes on as it was read from it."""
    by_path = {each.path.resolve(): each for each in served.values()}
    told = []
    for path, why in found.wrong.items():
        stays = by_path.get(path.resolve())
        told.append(refused(stays.name if stays else path.name, stays, why))
    return told


def _told_by_name(name: str, found: Found, served: Mapping[str, Channel], told: list[Told]) -> list[Told]:
    """What is wrong with the file of a channel that is asked for by name. Raises UserError where it has none."""
    stays = served.get(name)
    about = [each for each in told if each.channel in (name, f"{name}.yaml")]
    if about or name in found.channels:
        return about
    if stays:
        raise UserError(f"channel {name} has no file any more ({stays.path}): to serve it no more, say --remove")
    raise UserError(f"unknown channel '{name}' (known: {', '.join(sorted({*found.channels, *served}))})")


def _removal(name: str, served: Mapping[str, Channel]) -> tuple[Change, ...]:
    if name not in served:
        raise UserError(f"channel {name} is not served (served are: {', '.join(sorted(served))})")
    return (Change(served[name], None),)


def _after(served: Mapping[str, Channel], changes: Sequence[Change]) -> dict[str, Channel]:
    """What would be served."""
    found = dict(served)
    for each in changes:
        found.pop(each.name, None)
        if each.after is not None:
            found[each.name] = each.after
    return found


def _complete(changes: list[Change], served: Mapping[str, Channel]) -> list[Change]:
    """With the channels that change only because others do."""
    after = together(list(_after(served, changes).values())) if changes else []
    after = [_returning(served.get(each.name), each) for each in after]
    gone = [each for each in changes if each.after is None]
    return [Change(served.get(each.name), each) for each in after if _is_other(served.get(each.name), each)] + gone


def _returning(before: Channel | None, after: Channel) -> Channel:
    """With the channels whose requests may be answered there as before: what was forwarded may be answered later."""
    returns = tuple(dict.fromkeys((*after.returns, *before.returns))) if before else after.returns
    return after if set(returns) == set(after.returns) else after.model_copy(update={"returns": returns})


def _is_other(before: Channel | None, after: Channel) -> bool:
    """Comments alone make no other channel."""
    return before is None or before.model_copy(update={"text": after.text}) != after


def _linked(changes: list[Change], served: Mapping[str, Channel], told: list[Told]) -> tuple[list[Change], list[Told]]:
    """Channels may need each other: what would break that is refused, one change after the other."""
    try:
        together(list(_after(served, changes).values()))
    except ConfigError:
        kept: list[Change] = []
        for each in changes:
            try:
                together(list(_after(served, [*kept, each]).values()))
                kept.append(each)
            except ConfigError as fault:
                told.append(refused(each.name, each.before, str(fault)))
        return kept, told
    return changes, told


def _check_destinations(reactor: Any, channel: Channel) -> None:
    """Raises ConfigError for an address that is none."""
    for name, destination in channel.file.destinations.items():
        if destination.mllp is not None:
            try:
                endpoints.clientFromString(reactor, destination.mllp.address)
            except Exception as fault:
                text = f"'{destination.mllp.connect}' is no endpoint: {fault}"
                raise ConfigError(f"{channel.path}: destinations.{name}: {text}") from None


def _meet(one: Channel, other: Channel) -> bool:
    """They want the same port."""
    mine = [endpoint(value) for keys, value in leaves(plain(one.file)) if keys[-1] == "listen"]
    return any(each.meets(endpoint(other.file.listen)) for each in mine)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _log(report: Report) -> None:
    for each in report.told:
        level = logging.ERROR if each.did is Did.REFUSED else logging.INFO
        log(f"channel.{each.did}", each.sentence, level=level, channel=each.channel, version=each.version)
    _log_stranded(report.stranded)
    log("channels.reloaded", "the channels were read again", unchanged=report.unchanged)


def _log_stranded(stranded: Mapping[str, int]) -> None:
    for name, count in stranded.items():
        sentence = "deliveries stay in the queue: no channel has their destination"
        log("queue.stranded", sentence, level=logging.WARNING, destination=name, deliveries=count)
