"""Which profiles, steps and routes of a channel are reached at all, as far as the header of its messages decides that.

Imports wire, rules, steps, flow.channel and flow.channel_leaves only.

Every message that the channel accepts has one of a few headers: a type, an event, a version and a processing id. A
condition that asks for nothing else is tried on all of them; of any other condition nothing is said, save that the same
condition was met before.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hl7auth.flow.channel_leaves import Keys, spelled
from hl7auth.flow.channel_model import ChannelFile, profile_keys
from hl7auth.rules.predicate import compile_condition
from hl7auth.steps.model import STEPS, verb_of
from hl7auth.steps.shape import keys_of
from hl7auth.wire.message import Message, parse

_DECIDED = {9: (0, 1, 2), 11: (0, 1), 12: (0, 1)}
"""The components of MSH that a header of the list below has; 0 is the whole field, which reads as its first."""

_WELL_KNOWN = frozenset({"accepted", "duplicate", "parked", "failed"})
"""What became of messages that have one of the accepted headers; others can have any."""
_FILTERS = ("match", "drop")
_MENDERS = ("python", "version", "MSH-")
_OUTER = len(("steps", 0, "drop"))
_CONDITIONS = ("match", "drop", "when", "where")
_SHOWN = 4
_GONE = "no message that comes here gets past this step"
_GONE_COMING = "no message that the channel accepts gets past this step"


class Unreached(NamedTuple):
    """A place that no message comes to, or that another one has taken before: its keys, and why, in words."""

    keys: Keys
    text: str


class _Way(NamedTuple):
    """What is known of the messages at a step: their headers (None: no more known), and conditions that were met."""

    headers: tuple[Message, ...] | None
    known: Mapping[str, bool]


class _Taken(NamedTuple):
    """What a route takes: at most messages with these headers, exactly those where its condition is decided by them."""

    number: int
    to: tuple[str, ...]
    events: tuple[str, ...]
    condition: str
    decided: bool
    most: tuple[Message, ...]
    became: frozenset[str]
    status: frozenset[str]

    @property
    def is_of_accepted(self) -> bool:
        """True where nothing but what the channel accepts can go this way."""
        return self.became <= _WELL_KNOWN


def unreached(file: ChannelFile, data: Any) -> list[Unreached]:
    """Profiles, steps and routes that are never reached, or overlap. `data` is the file as plain data."""
    headers = tuple(accepted_headers(file))
    found, way = _incoming(data.get("steps") or (), headers)
    rest = {key: value for key, value in data.items() if key not in ("steps", "destinations")}
    found += _look(rest, (), way)
    for name, destination in (data.get("destinations") or {}).items():
        found += _look(destination, ("destinations", name), _way_to(name, data.get("routes") or (), way))
    return [*_unchosen(file), *found]


def _incoming(steps: Sequence[Any], headers: tuple[Message, ...]) -> tuple[list[Unreached], _Way]:
    """What no accepted message gets past among the steps of the channel, and what is known of those that do.

    More comes here than is accepted, which the steps may drop or mend: only that nothing is left is worth a word.
    """
    if any(word in _written_to(step) for step in steps for word in _MENDERS):
        return [], _Way(headers, {})
    found, way = _steps(steps, ("steps",), _Way(headers, {}))
    gone = [Unreached(each.keys, _GONE_COMING) for each in found if each.text == _GONE and len(each.keys) == _OUTER]
    return gone, _Way(way.headers or headers, {})


def _written_to(step: Any) -> str:
    """A step without its conditions, as text."""
    if isinstance(step, dict):
        return " ".join(f"{key} {_written_to(each)}" for key, each in step.items() if key not in _CONDITIONS)
    return " ".join(map(_written_to, step)) if isinstance(step, list) else str(step)


def _way_to(name: str, routes: Sequence[Any], way: _Way) -> _Way:
    """What is known of the messages that go to a destination."""
    taken = [_taken(route, number, way.headers or ()) for number, route in enumerate(map(_said, routes))]
    here = [each for each in taken if name in each.to]
    if not here or any(not each.is_of_accepted for each in here):
        return way if not routes else _Way(None, {})
    most = {id(each): each for route in here for each in route.most}
    return _Way(tuple(most.values()) or None, {})


class Chosen(NamedTuple):
    """A choice of a profile: its keys, its name, its condition, and the versions of HL7 that it may be chosen for."""

    keys: Keys
    profile: str
    when: str
    versions: tuple[str, ...]


def choices(file: ChannelFile) -> Iterator[Chosen]:
    """The profiles of a channel. One that no message comes to has no versions."""
    if isinstance(file.profile, str):
        yield Chosen(("profile",), file.profile, "", file.accepts.versions)
        return
    way = _Way(tuple(accepted_headers(file)), {})
    for (keys, name), choice in zip(profile_keys(file), file.profile, strict=True):
        yes, way = _divided(choice.when, way) if choice.when else (way, way)
        yield Chosen(keys, name, choice.when, tuple(dict.fromkeys(each.header.version for each in yes.headers or ())))


def _unchosen(file: ChannelFile) -> Iterator[Unreached]:
    """Profiles that no message is checked against: earlier ones take all, or the condition never holds."""
    for each in choices(file):
        if not each.versions:
            keys = (*each.keys[:-1], "when") if each.when else each.keys
            yield Unreached(keys, f"no message that the channel accepts is checked against {each.profile} here")


def accepted_headers(file: ChannelFile) -> Iterator[Message]:
    """A message with nothing but its MSH for everything that the channel accepts."""
    accepts = file.accepts
    for kind in dict.fromkeys((*accepts.messages, *file.own_messages())):
        for event in file.events(kind):
            for version in accepts.versions:
                for processing in accepts.processing_ids:
                    yield parse(f"MSH|^~\\&|||||||{kind}^{event}|1|{processing}|{version}\r".encode("ascii", "replace"))


def _look(data: Any, keys: Keys, way: _Way) -> Iterator[Unreached]:
    """Finds lists of steps and of routes wherever they stand."""
    if isinstance(data, dict):
        for key, inner in data.items():
            yield from _look(inner, (*keys, key), way)
    elif isinstance(data, list) and data and all(isinstance(each, dict) for each in data):
        if keys and keys[-1] == "routes":
            yield from _routes(data, keys, way)
        elif all(map(_is_step, data)):
            yield from _steps(data, keys, way)[0]
            return
        for number, each in enumerate(data):
            yield from _look(each, (*keys, number), way)


def _steps(steps: Sequence[Any], keys: Keys, way: _Way) -> tuple[list[Unreached], _Way]:
    """What is never reached in a list of steps, and what is known behind it."""
    found: list[Unreached] = []
    for number, each in enumerate(steps):
        step, place = _said(each), (*keys, number)
        verb = verb_of(step)
        if way.headers == ():
            break
        if verb in _FILTERS:
            passes, stops = _divided(step[verb], way)
            if verb == "drop":
                passes, stops = stops, passes
            if passes.headers == ():
                found.append(Unreached((*place, verb), _GONE))
            elif stops.headers == ():
                found.append(
                    Unreached((*place, verb), "every message that comes here gets past this step: it has no effect")
                )
            way = passes
        elif verb in ("when", "each"):
            inner, way = _inside(step, place, way)
            found += inner
        elif verb in ("python", "version") or "MSH" in str(step):
            way = _Way(None, {})  # the header may be another one from here on
        else:
            way = way._replace(known={})
    return found, way


def _inside(step: dict[str, Any], keys: Keys, way: _Way) -> tuple[list[Unreached], _Way]:
    """The steps within `when` and `each`, and what is known behind them."""
    yes = no = way
    found: list[Unreached] = []
    if "when" in step and "each" not in step:
        yes, no = _divided(step["when"], way)
        if yes.headers == ():
            found.append(Unreached((*keys, "when"), "this never holds for a message that comes here"))
        if no.headers == () and step.get("otherwise"):
            found.append(Unreached((*keys, "otherwise"), "the condition always holds: this is never reached"))
    below, after = _steps(step.get("steps") or (), (*keys, "steps"), yes) if yes.headers != () else ([], yes)
    other, also = _steps(step.get("otherwise") or (), (*keys, "otherwise"), no) if no.headers != () else ([], no)
    if after.headers is None or also.headers is None:
        return [*found, *below, *other], _Way(None, {})
    left = {id(each): each for each in (*after.headers, *also.headers)}
    return [*found, *below, *other], _Way(tuple(left.values()), {})


def _divided(condition: str, way: _Way) -> tuple[_Way, _Way]:
    """What is known of the messages for which a condition holds, and of the others."""
    text = " ".join(condition.split())
    yes, no = way.headers, way.headers
    if text in way.known:
        yes, no = ((), no) if not way.known[text] else (yes, ())
    elif way.headers is not None and _is_decided(condition):
        holds = compile_condition(condition)
        yes = tuple(each for each in way.headers if holds(each, each.segments[0]))
        no = tuple(each for each in way.headers if each not in yes)
    return _Way(yes, {**way.known, text: True}), _Way(no, {**way.known, text: False})


def _routes(routes: Sequence[Any], keys: Keys, way: _Way) -> Iterator[Unreached]:
    """Routes that take nothing, and those that take to a destination what an earlier one takes there already."""
    earlier: list[_Taken] = []
    for number, route in enumerate(map(_said, routes)):
        taken = _taken(route, number, way.headers or ())
        for at, event in enumerate(taken.events):
            if taken.is_of_accepted and not _of_event(way.headers or (), (event,)):
                yield Unreached((*keys, number, "events", at), f"the channel accepts no {event}")
        if taken.is_of_accepted and not taken.most:
            if all(_of_event(way.headers or (), (event,)) for event in taken.events):
                yield Unreached((*keys, number), "no message that the channel accepts goes this way")
            continue
        for other in earlier:
            if text := _overlap(other, taken):
                yield Unreached((*keys, number), f"{spelled((*keys, other.number))} {text}")
        earlier.append(taken)


def _taken(route: dict[str, Any], number: int, headers: tuple[Message, ...]) -> _Taken:
    events, condition = tuple(route.get("events") or ()), " ".join((route.get("when") or "").split())
    most = _of_event(headers, events) if events else headers
    decided = not condition or _is_decided(condition)
    if condition and decided:
        holds = compile_condition(condition)
        most = tuple(each for each in most if holds(each, each.segments[0]))
    became, status = frozenset(route.get("disposition") or ()), frozenset(route.get("status") or ())
    return _Taken(number, tuple(route.get("to") or ()), events, condition, decided, most, became, status)


def _of_event(headers: tuple[Message, ...], events: Sequence[str]) -> tuple[Message, ...]:
    return tuple(each for each in headers if each.header.event in events or each.header.message_type in events)


def _overlap(one: _Taken, other: _Taken) -> str:
    """What an earlier route takes of what a later one takes to the same destinations, in words."""
    there = [name for name in other.to if name in one.to]
    both = [each for each in other.most if each in one.most]
    if not there or not both or not one.became & other.became:
        return ""
    if one.status and other.status and not one.status & other.status:
        return ""
    same = one.decided or one.condition == other.condition
    wide = not one.status or (other.status and other.status <= one.status)
    if same and wide and len(both) == len(other.most) and other.became <= one.became:
        return f"takes every message that this takes to {', '.join(there)}; each is sent there once"
    if one.decided and other.decided:
        return f"takes some of the same messages to {', '.join(there)} ({_named(both)}); each is sent there once"
    return ""


def _is_step(entry: dict[str, Any]) -> bool:
    """True for a mapping with the keys of a step and no other: a route may have a name, too."""
    said = _said(entry)
    verb = verb_of(said)
    return bool(verb) and said.keys() <= set(keys_of(STEPS[verb]))


def _is_decided(condition: str) -> bool:
    paths = compile_condition(condition).paths
    return bool(paths) and all(
        path.segment == "MSH" and path.repetition <= 1 and path.component in _DECIDED.get(path.field, ())
        for path in paths
    )


def _named(headers: Sequence[Message]) -> str:
    names = list(dict.fromkeys(each.header.event for each in headers))
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _said(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if value is not None}
