"""What would fail or surprise at run time in a channel that is right as YAML, each as a sentence with its place.

Imports rules, steps, errors, yaml and the other modules of flow that are about channels only.

What a file beside the channel holds is asked of a function, and the time is a parameter.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from hl7auth.errors import ConfigError, Fault, UserError
from hl7auth.flow.channel import Channel
from hl7auth.flow.channel_leaves import Keys, is_secret, leaves, plain, spelled
from hl7auth.flow.channel_places import unknown_segments
from hl7auth.flow.channel_protocol import JOINED_IN_PYTHON
from hl7auth.flow.channel_reach import choices, unreached
from hl7auth.flow.channel_values import variables
from hl7auth.flow.endpoint import Endpoint, endpoint, is_local
from hl7auth.flow.replies_doubts import doubtful
from hl7auth.flow.tls import FILE
from hl7auth.flow.tls_doubts import Files, Said, tls_doubts, tls_of
from hl7auth.rules.strict_yaml import place
from hl7auth.rules.tables import shipped_tables
from hl7auth.steps.calls import PythonCall
from hl7auth.steps.table import read_table
from hl7auth.wire import charset

_FILE = re.compile(r"[^\s:*?<>|]+\.(csv|pem|crt|cer|key|pfx|p12|der|txt|yaml|yml|json)", re.IGNORECASE)
_RANKS = frozenset({"0", "1", "2"})
_FREE_TEXT = frozenset({"set", "add", "title", "description", "profile", "headers"})
_PYTHON = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)", re.ASCII)
_CLEAR = re.compile(r"http://(\[[^\]]*\]|[^/?#:]*)", re.IGNORECASE)
Read = Callable[[Path], bytes | None]
FaultOf = Callable[[PythonCall], str]


class Doubt(NamedTuple):
    """One thing: the key, what about it, `file:line`, and whether it fails at run time or is merely questionable."""

    key: str
    text: str
    place: str
    fails: bool

    def entry(self) -> dict[str, Any]:
        """The doubt as plain data."""
        return self._asdict()


class _Looked(NamedTuple):
    """A channel, its values as plain data and as they stand in the file, and what lies around it."""

    channel: Channel
    data: dict[str, Any]
    written: Any
    others: Sequence[Channel]
    files: Files
    now: int
    fault_of: FaultOf | None

    def read(self, path: Path) -> bytes | None:
        """The bytes of a file."""
        return self.files.read(path)


def channel_doubts(
    channel: Channel,
    others: Sequence[Channel],
    read: Read,
    now: int,
    fault_of: FaultOf | None = None,
    is_public: Callable[[Path], bool] = lambda _: False,
) -> list[Doubt]:
    """What is doubtful in a channel, in the order of its file.

    `others` are served by the same process; `read` gives the bytes of a file, or None where there is none; `now` is in
    microseconds since 1970. `fault_of` says why a function can not be called, or nothing; without it is only looked
    whether its module is there. `is_public` says whether everybody may read a file. What others
    have in common with a channel is told of the later one alone.
    """
    written = yaml.load(channel.path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    looked = _Looked(
        channel, plain(channel.file), written, others, Files(channel.path.parent, read, is_public), now, fault_of
    )
    found = []
    for look in (
        _ports,
        _profile,
        _files,
        _tls,
        _places,
        _reach,
        _destinations,
        _replies,
        _decisions,
        _secrets,
        _values,
    ):
        for said in look(looked):
            found.append(Doubt(spelled(said.keys), said.text, place(channel.path, *said.keys), said.fails))
    return sorted(found, key=lambda each: int(each.place.rpartition(":")[2]))


def _ports(looked: _Looked) -> Iterator[Said]:
    """Two channels can not have the same port of the same address, however it is written."""
    taken = [(other, keys, mine) for other in looked.others for keys, mine in _endpoints(plain(other.file))]
    for keys, mine in _endpoints(looked.data):
        if mine.fault:
            yield Said(keys, mine.fault)
            continue
        for other, at, theirs in taken:
            if mine.meets(theirs):
                where = f"{other.path.name}:{place(other.path, *at).rpartition(':')[2]}"
                yield Said(keys, f"{mine.named} is already listened on by channel {other.name} ({where})")
        taken.append((looked.channel, keys, mine))
        if mine.kind == "tcp" and not mine.is_local and looked.channel.file.tls is None:
            text = f"{mine.named} can be reached from the network, and what comes there is not encrypted"
            yield Said(keys, text, fails=False)


def _endpoints(data: dict[str, Any]) -> Iterator[tuple[Keys, Endpoint]]:
    for keys, value in leaves(data):
        if isinstance(value, str) and _last(keys) == "listen":
            yield keys, endpoint(value)


def _profile(looked: _Looked) -> Iterator[Said]:
    """A profile must compile for every version that it is chosen for, or the start would fail."""
    for choice in choices(looked.channel.file):
        for version in choice.versions:
            try:
                looked.channel.compiled(choice.profile, version)
            except (UserError, Fault) as error:
                yield Said(choice.keys, f"profile {choice.profile} can not be used for {version}: {error}")


def _files(looked: _Looked) -> Iterator[Said]:
    """Files that the channel names: tables, and modules of Python steps."""
    folder = looked.channel.path.parent
    for keys, value in leaves(looked.data):
        if not isinstance(value, str) or _FREE_TEXT.intersection(map(str, keys)) or "tls" in keys:
            continue
        if _last(keys) == "python" and (match := _PYTHON.fullmatch(value)):
            yield from _function(looked, keys, value, match[1].replace(".", "/") + ".py")
        elif _FILE.fullmatch(value):
            yield from _file(looked, keys, folder / value)


def _function(looked: _Looked, keys: Keys, function: str, module: str) -> Iterator[Said]:
    folder = looked.channel.path.parent
    if looked.fault_of is None:
        if looked.read(folder / module) is None:
            yield Said(keys, f"there is no file {module} beside the channel for {function}")
    elif fault := looked.fault_of(PythonCall(function, str(folder.resolve()), 1)):
        yield Said(keys, fault)


def _decisions(looked: _Looked) -> Iterator[Said]:
    """The functions that rules call, and answers that nobody would get."""
    channel = looked.channel
    if channel.rules is None:
        return
    for each in channel.rules.callouts:
        call = PythonCall(each.python, str(channel.rules_path.parent.resolve()), each.seconds)
        if looked.fault_of is not None and (fault := looked.fault_of(call)):
            yield Said(("decisions", "rules"), f"callout {each.callout}: {fault}")
    replies = channel.file.replies
    if replies is None or not replies.destinations:
        text = "no replies.to names a destination: what is decided stays in the store, and no requester is told"
        yield Said(("decisions",), text, fails=False)
    elif replies.forwards:
        text = "requests are forwarded (replies), and the rules decide what another system is asked for"
        yield Said(("decisions",), text, fails=False)


def _places(looked: _Looked) -> Iterator[Said]:
    for keys, text in unknown_segments(looked.channel.file, looked.data):
        yield Said(keys, text, fails=False)


def _file(looked: _Looked, keys: Keys, path: Path) -> Iterator[Said]:
    content = looked.read(path)
    if content is None:
        yield Said(keys, f"there is no file {path}, or it can not be read")
    elif keys[-2:] == ("translate", "table"):
        try:
            read_table(path, _beside(looked.data, keys, "column") or "to")
        except ConfigError as error:
            yield Said(keys, str(error))


def _tls(looked: _Looked) -> Iterator[Said]:
    for keys, tls in tls_of(looked.channel.file):
        yield from tls_doubts(tls, keys, looked.files, looked.now)


def _reach(looked: _Looked) -> Iterator[Said]:
    for each in unreached(looked.channel.file, looked.data):
        yield Said(each.keys, each.text, fails=False)


def _destinations(looked: _Looked) -> Iterator[Said]:
    """Where messages go: to a place that a route names, not back to where they came from, and not in the clear."""
    file = looked.channel.file
    routed = {name for route in file.routes for name in route.to} if file.routes else set(file.destinations)
    routed |= looked.channel.taken
    listened = [mine for _, mine in _endpoints(looked.data)]
    for name in file.destinations:
        keys: Keys = ("destinations", name)
        if name not in routed:
            yield Said(keys, f"no route goes to {name}", fails=False)
        for inner, value in leaves(looked.data["destinations"][name], keys):
            if _last(inner) == "connect":
                mllp = file.destinations[name].mllp
                secured = mllp is not None and mllp.secured is not None
                yield from _connection(inner, endpoint(value), listened, secured=secured)
            elif _last(inner) == "url" and (match := _CLEAR.match(value)) and not is_local(match[1].strip("[]")):
                yield Said(inner, "what is sent there goes through the network and is not encrypted", fails=False)


def _replies(looked: _Looked) -> Iterator[Said]:
    for each in doubtful(looked.channel, looked.others):
        yield Said(each.keys, each.text, fails=False)


def _connection(keys: Keys, target: Endpoint, listened: Sequence[Endpoint], *, secured: bool) -> Iterator[Said]:
    if target.kind not in ("tcp", "tls"):
        return
    host, port = target.host, target.options.get("port", target.second)
    if not port.isdecimal() or not 0 < int(port) < 65_536:
        yield Said(keys, f"'{port}' is no port to connect to (1 to 65535)")
    elif not is_local(host) and not secured:
        yield Said(keys, "what is sent there goes through the network and is not encrypted", fails=False)
    elif is_local(host) and any(int(port) == mine.port for mine in listened):
        yield Said(keys, f"port {port} is where this channel listens: it would send to itself", fails=False)


def _secrets(looked: _Looked) -> Iterator[Said]:
    """A secret in a file is read by everybody who reads the file, and kept for ever by version control."""
    for keys, value in leaves(looked.written):
        by_file = keys[-1] == "passphrase" and isinstance(value, str) and value.startswith(FILE)
        if is_secret(keys) and isinstance(value, str) and value and not variables(value) and not by_file:
            text = f"a secret does not belong into the file: name a variable, as ${{{str(keys[-1]).upper()}}}"
            text += ", or a file, as file:PATH" if keys[-1] == "passphrase" else ""
            yield Said(keys, text, fails=False)


def _values(looked: _Looked) -> Iterator[Said]:
    """Values that are allowed each by itself, and do not go together."""
    file = looked.channel.file
    if file.clocks.expedited_hours > file.clocks.standard_hours:
        text = "an expedited decision may take longer than any other"
        yield Said(("clocks", "expedited_hours"), text, fails=False)
    codes = shipped_tables()["0280"].values
    for number, code in enumerate(file.clocks.expedited):
        if codes and code not in codes and "clocks" in looked.written:
            text = f"table 0280 has no code '{code}' ({', '.join(codes)})"
            yield Said(("clocks", "expedited", number), text, fails=False)
    for number, code in enumerate(file.clocks.expedited_procedures):
        if code.strip() in _RANKS:
            text = f"'{code}' ranks a procedure (table 0418) and says nothing of haste: with it, most requests hurry"
            yield Said(("clocks", "expedited_procedures", number), text, fails=False)
    if file.limits.message_seconds > file.limits.idle_seconds:
        text = "a message may take longer than a connection may be silent"
        yield Said(("limits", "message_seconds"), text, fails=False)
    in_python = (keys for keys, _ in leaves(looked.data) if keys[0] == "steps" and _last(keys) == "python")
    if file.protocol.joins and next(in_python, None):
        yield Said(("protocol", "continuation"), JOINED_IN_PYTHON)
    if charset.CODECS[file.fallback_charset] in ("utf_16", "utf_32"):
        text = f"{file.fallback_charset} never reads a message: its MSH must begin in ASCII"
        yield Said(("fallback_charset",), text, fails=False)


def _last(keys: Keys) -> str:
    """The name of the key, also of an entry of a list under it."""
    return next((key for key in reversed(keys) if isinstance(key, str)), "")


def _beside(data: Any, keys: Keys, name: str) -> Any:
    """The value of another key of the same mapping."""
    for key in keys[:-1]:
        data = data[key]
    return data.get(name)
