"""Steps and routes that no message comes to, or that take what an earlier one takes."""

from typing import Any

import pytest

from hl7auth.flow.channel_leaves import plain, spelled
from hl7auth.flow.channel_model import ChannelFile
from hl7auth.flow.channel_reach import accepted_headers, unreached
from hl7auth.steps.model import Step

GONE = "no message that comes here gets past this step"
COMING = "no message that the channel accepts gets past this step"
IDLE = "every message that comes here gets past this step: it has no effect"
NEVER = "this never holds for a message that comes here"
ALWAYS = "the condition always holds: this is never reached"


class Shaped(ChannelFile):
    """A channel with steps."""

    shape: tuple[Step, ...] = ()


def shaped(*steps: Any, **keys: Any) -> list[tuple[str, str]]:
    given = {"channel": "north", "listen": "tcp:1", "accepts": {"messages": ["RQA", "RPA"], "versions": ["2.5"]}}
    file = Shaped.model_validate(given | keys | {"shape": steps})
    return [(spelled(each.keys), each.text) for each in unreached(file, plain(file))]


def routed(*routes: Any) -> list[tuple[str, str]]:
    destinations = {name: {"file": {"folder": name}} for name in ("a", "b")}
    return shaped(destinations=destinations, routes=routes)


def test_every_type_event_version_and_processing_id_has_a_header() -> None:
    accepts = {"messages": ["RQA", "REF"], "versions": ["2.3", "2.8"], "processing_ids": ["P", "T"]}
    file = ChannelFile.model_validate({"channel": "north", "listen": "tcp:1", "accepts": accepts})
    found = [(each.header.event, each.header.version, each.header.processing_id) for each in accepted_headers(file)]
    assert len(set(found)) == len(found) == 2 * 4 * 2 * 2
    assert ("REF^I15", "2.8", "T") in found


def test_the_events_of_a_partners_own_are_accepted_too() -> None:
    file = ChannelFile.model_validate({"channel": "north", "listen": "tcp:1", "profile": "network-zqa"})
    assert {"ZQA^Z02", "RQA^I08"} <= {each.header.event for each in accepted_headers(file)}


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ([], []),
        ([{"match": "MSH-9.1 = 'RQA'"}, {"drop": "MSH-9.2 = 'I11'"}], []),
        ([{"match": "MSH-9.1 = 'REF'"}, {"set": {"PID-8": "U"}}], [("shape.1.match", GONE)]),
        ([{"match": "MSH-9.1 = 'RQA'"}, {"drop": "MSH-9 = 'RQA'"}], [("shape.2.drop", GONE)]),
        ([{"drop": "MSH-12 = '2.3'"}], [("shape.1.drop", IDLE)]),
        ([{"match": "MSH-11 = 'P'"}], [("shape.1.match", IDLE)]),
        ([{"match": "PV1-2 = 'O'"}], []),
        ([{"match": "MSH-4 = 'NORTH'"}], []),
        ([{"match": "MSH-9.3 = 'RQA_I08'"}], []),
        ([{"drop": "PV1 present"}, {"match": "PV1  present"}], [("shape.2.match", GONE)]),
        ([{"drop": "PV1 present"}, {"remove": {"segment": "PV1"}}, {"match": "PV1 present"}], []),
        ([{"match": "PV1 present"}, {"match": "PV1 present"}], [("shape.2.match", IDLE)]),
        ([{"set": {"MSH-9.1": "REF"}}, {"match": "MSH-9.1 = 'REF'"}], []),
        ([{"python": "site:tidy"}, {"match": "MSH-9.1 = 'REF'"}], []),
        ([{"each": "AUT", "steps": [{"when": "MSH-9.1 = 'REF'", "steps": [{"set": {"AUT-1": "X"}}]}]}],
         [("shape.1.steps.1.when", NEVER)]),
    ],
)  # fmt: skip
def test_filters(steps: list[Any], found: list[tuple[str, str]]) -> None:
    assert shaped(*steps) == found


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ([{"match": "MSH-9.1 = 'ADT'"}], [("steps.1.match", COMING)]),
        ([{"drop": "MSH-9.1 = 'ADT'"}], []),  # it may come, and be refused else
        ([{"match": "MSH-9.1 in {'RQA', 'RPA', 'ADT'}"}], []),
        ([{"when": "MSH-9.1 = 'ADT'", "steps": [{"drop": "PV1 present"}]}], []),
        ([{"match": "MSH-9.1 = 'ZQA'"}, {"set": {"MSH-9.1": "RQA"}}], []),
        ([{"match": "MSH-12 = '2.2'"}, {"version": "2.5"}], []),
        ([{"drop": "PV1 present"}, {"match": "PV1 present"}], [("steps.2.match", COMING)]),
    ],
)
def test_filters_of_what_comes_in(steps: list[Any], found: list[tuple[str, str]]) -> None:
    assert shaped(steps=steps) == found


def test_a_destination_gets_what_is_routed_to_it(tmp_path: Any) -> None:
    drop, match = [{"drop": "MSH-9.1 = 'RPA'"}], [{"match": "MSH-9.1 = 'RPA'"}]
    at = {"destinations": {"a": {"file": {"folder": "a"}, "steps": match}}}
    gone = [("destinations.a.steps.1.match", GONE)]
    assert shaped(**at) == []
    assert shaped(steps=drop, **at) == gone
    assert shaped(routes=[{"to": ["a"], "events": ["RQA"]}], **at) == gone
    assert shaped(routes=[{"to": ["a"], "events": ["RQA"]}, {"to": ["a"], "when": "PID-8 = 'F'"}], **at) == []
    assert shaped(routes=[{"to": ["a"], "events": ["RQA"]}, {"to": ["a"], "disposition": ["refused"]}], **at) == []


def test_another_version_is_another_header() -> None:
    assert shaped({"version": "2.4"}, {"match": "MSH-12 = '2.4'"}) == []


def test_within_when_only_what_fits_is_left() -> None:
    inner = [{"drop": "MSH-9.1 = 'RPA'"}]
    assert shaped({"when": "MSH-9.1 = 'RQA'", "steps": inner}) == [("shape.1.steps.1.drop", IDLE)]
    assert shaped({"when": "MSH-9.1 = 'RQA'", "steps": [{"set": {"PID-8": "U"}}], "otherwise": inner}) == [
        ("shape.1.otherwise.1.drop", GONE)
    ]


def test_a_branch_that_is_never_taken() -> None:
    steps, other = [{"set": {"PID-8": "U"}}], [{"set": {"PID-8": "F"}}]
    assert shaped({"when": "MSH-9.1 = 'REF'", "steps": steps, "otherwise": other}) == [("shape.1.when", NEVER)]
    assert shaped({"when": "MSH-12 = '2.5'", "steps": steps, "otherwise": other}) == [("shape.1.otherwise", ALWAYS)]
    assert shaped({"when": "MSH-12 = '2.5'", "steps": steps}) == []


def test_behind_when_comes_what_either_branch_lets_through() -> None:
    drop = {"when": "MSH-9.1 = 'RQA'", "steps": [{"drop": "MSH-12 = '2.5'"}]}
    assert shaped(drop, {"match": "MSH-9.1 = 'RQA'"})[-1] == ("shape.2.match", GONE)
    assert shaped(drop, {"match": "MSH-9.1 = 'RPA'"})[-1] == ("shape.2.match", IDLE)
    changed = {"when": "MSH-9.1 = 'RQA'", "steps": [{"set": {"MSH-12": "2.4"}}]}
    assert shaped(changed, {"match": "MSH-12 = '2.4'"}) == []


def test_steps_are_found_wherever_they_stand() -> None:
    file = Shaped.model_validate({"channel": "north", "listen": "tcp:1"})
    data = {"ways": [{"name": "a", "steps": [{"match": "MSH-9.1 = 'ADT'"}]}]}
    assert [(spelled(each.keys), each.text) for each in unreached(file, data)] == [("ways.1.steps.1.match", GONE)]


def test_routes_that_take_nothing() -> None:
    assert routed({"to": ["a"], "events": ["REF", "RQA^I08"]}) == [
        ("routes.1.events.1", "the channel accepts no REF"),
    ]
    assert routed({"to": ["a"], "events": ["REF"]}) == [("routes.1.events.1", "the channel accepts no REF")]
    assert routed({"to": ["a"], "when": "MSH-12 = '2.3'"}) == [
        ("routes.1", "no message that the channel accepts goes this way")
    ]
    assert routed({"to": ["a"], "events": ["RQA"], "when": "MSH-9.1 = 'RPA'"}) == [
        ("routes.1", "no message that the channel accepts goes this way")
    ]


def test_a_route_of_refused_messages_can_take_what_the_channel_does_not_accept() -> None:
    assert routed({"to": ["a"], "events": ["REF"], "disposition": ["refused"]}) == []


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({}, {"events": ["RQA"]}, "takes every message that this takes to a"),
        ({"when": "PV1 present"}, {"when": "PV1  present"}, "takes every message that this takes to a"),
        ({"events": ["RQA^I08"]}, {"events": ["RQA"]}, "takes some of the same messages to a (RQA^I08)"),
        ({"status": ["denied", "approved"]}, {"status": ["denied"]}, "takes every message that this takes to a"),
        ({"status": ["denied"]}, {}, "takes some of the same messages to a"),
        ({"disposition": ["accepted", "refused"]}, {}, "takes every message that this takes to a"),
        ({"to": ["b"]}, {}, ""),
        ({"events": ["RQA"]}, {"events": ["RPA"]}, ""),
        ({"status": ["denied"]}, {"status": ["approved"]}, ""),
        ({"disposition": ["refused"]}, {}, ""),
        ({"when": "PV1 present"}, {}, ""),
        ({"when": "PV1 present"}, {"when": "PV1 absent"}, ""),
    ],
)  # fmt: skip
def test_two_routes_to_one_destination(first: dict[str, Any], second: dict[str, Any], said: str) -> None:
    found = routed({"to": ["a"]} | first, {"to": ["a"]} | second)
    if not said:
        assert found == []
        return
    ((key, text),) = found
    assert key == "routes.2"
    assert text.startswith(f"routes.1 {said}")
    assert text.endswith("; each is sent there once")


def test_many_events_are_counted() -> None:
    (_, text), = routed({"to": ["a"], "status": ["denied"]}, {"to": ["a"]})  # fmt: skip
    assert "(RQA^I08, RQA^I09, RQA^I10, RQA^I11 and 4 more)" in text
