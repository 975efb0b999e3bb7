"""Destinations, routes and lanes as a channel file says them."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from hl7auth.errors import ConfigError
from hl7auth.flow.channel import Channel, load_channel
from hl7auth.flow.destination import Destination
from hl7auth.flow.outbox import Delivery, deliveries, lanes
from hl7auth.flow.route import Route, addressed
from hl7auth.flow.verdict import Act
from hl7auth.resources import shipped
from hl7auth.wire.message import parse
from tests.messages import ASKED, THERAPY, VISIT, Trial, answer, aut, channel, granted, message, planned, request

MLLP = {"mllp": {"connect": "tcp:127.0.0.1:2576"}}


def loaded(folder: Path, *lines: str) -> Channel:
    text = (shipped("channels") / "referral-intake.yaml").read_text(encoding="utf-8")
    path = folder / "referral-intake.yaml"
    path.write_text("\n".join((text, *lines)), encoding="utf-8")
    return load_channel(path)


def test_a_channel_file_with_all_ways_and_routes(tmp_path: Path) -> None:
    file = loaded(
        tmp_path,
        "order_by: patient",
        "destinations:",
        "  payer: {mllp: {connect: 'tcp:payer.example:2575', connections: 2}, answers: {AE 205: sent, AR: stop}}",
        "  archive: {file: {folder: /var/spool/hl7, name: '{event}-{id}.hl7', batch: 50}, order_by: none}",
        "  cloud: {http: {url: 'https://api.example/hl7', headers: {X-Key: k}}}",
        "routes:",
        "  - {when: \"MSH-5 = 'PAYER'\", to: [payer, archive]}",
        "  - {events: [RPA], status: [approved], disposition: [accepted, duplicate], to: [cloud]}",
    ).file
    assert list(file.destinations) == ["payer", "archive", "cloud"]
    policy = file.destinations["payer"].policy
    assert (policy.table["AE 205"], policy.table["AR"], policy.table["AE"]) == (Act.SENT, Act.STOP, Act.PARK)
    assert file.order_by == "patient"
    assert file.routes[1].status == ("approved",)


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (["routes: [{to: [nowhere]}]"], "routes.0.to: unknown destination 'nowhere'"),
        (["routes: [{to: []}]"], "routes.0.to"),
        (["routes: [{to: [x], when: 'AUT-6 =='}]"], "routes.0.when"),
        (["routes: [{to: [x], when: 'this.1 valued'}]"], "mean nothing in the condition of a channel"),
        (["routes: [{to: [x], when: 'group.AUT-6 valued'}]"], "mean nothing in the condition of a channel"),
        (["destinations: {payer: {}}"], "exactly one of mllp, file and http"),
        (["destinations: {Payer: {file: {folder: /x}}}"], "destinations.Payer"),
        (["destinations: {p: {file: {folder: /x, nam: y}}}"], "did you mean 'name'"),
        (["order_by: sender"], "order_by"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, lines: list[str], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        loaded(tmp_path, *lines)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"mllp": {"connect": "payer:2575"}}, "no endpoint"),
        ({"mllp": {"connect": "tcp"}}, "no endpoint"),
        ({"http": {"url": "ftp://x"}}, "no http"),
        ({"http": {"url": "https://"}}, "no http"),
        ({"http": {"url": "http://x/a b"}}, "no http"),
        ({"http": {"url": "http://x", "headers": {"A": "b\r\nC: d"}}}, "line ends"),
        ({"file": {"folder": "/x", "name": "{control_id}.hl7"}}, "must hold"),
        ({"file": {"folder": "/x", "name": "a/{id}"}}, "neither a /"),
        ({"file": {"folder": "/x", "name": ".{id}"}}, "nor a dot"),
        ({"file": {"folder": "/x", "name": "{id}-{patient}"}}, "only {id}"),
        (MLLP | {"file": {"folder": "/x"}}, "exactly one"),
        (MLLP | {"answers": {"XX": "park"}}, "no answer"),
        (MLLP | {"answers": {"AE": "forget"}}, "answers.AE"),
    ],
)
def test_mistakes_in_a_destination(values: dict[str, object], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        Destination.model_validate(values)


@pytest.mark.parametrize(
    ("route", "goes"),
    [
        ({}, True),
        ({"events": ["RQA^I08"]}, True),
        ({"events": ["RQA"]}, True),
        ({"events": ["RQA^I09", "RPA"]}, False),
        ({"status": ["approved", "denied"]}, True),
        ({"status": ["cancelled"]}, False),
        ({"disposition": ["refused"]}, False),
        ({"when": "PID-3.1 = '77001' and MSH-5 = 'PAYER'"}, True),
        ({"when": "any AUT-6.1 valued"}, False),
        ({"when": "AUT-2 = 'ACME'"}, True),
    ],
)
def test_a_route_takes_what_fits_all_that_it_says(route: dict[str, object], goes: bool) -> None:
    found = Route.model_validate(route | {"to": ["b", "a"]})
    read = parse(request(VISIT, ASKED))
    assert addressed([found], read, "RQA^I08", "accepted", ["denied"]) == (("b", "a") if goes else ())


def test_each_destination_once_and_nothing_is_asked_of_what_is_no_message() -> None:
    routes = [Route(to=("a", "b")), Route(to=("b", "c"), when="MSH-10 valued")]
    assert addressed(routes, parse(request(VISIT, ASKED)), "RQA^I08", "accepted", []) == ("a", "b", "c")
    assert addressed(routes, None, "", "accepted", []) == ("a", "b")


DESTINATIONS = {
    "payer": Destination.model_validate(MLLP),
    "archive": Destination.model_validate(MLLP | {"order_by": "none"}),
}


def test_an_accepted_message_goes_everywhere_and_others_nowhere_without_routes() -> None:
    trial = Trial(channel())
    outcome = trial.send(request(VISIT, ASKED))
    plan = outcome.plan
    at, number = plan.received_at, plan.message_id
    assert deliveries(outcome, DESTINATIONS, (), "patient") == [
        Delivery(number, "referral-intake/payer", ("77001@NORTH",), at),
        Delivery(number, "referral-intake/archive", (f"#{number}",), at),
    ]
    assert deliveries(trial.send(request(VISIT, ASKED)), DESTINATIONS, (), "patient") == []
    assert deliveries(outcome, {}, (), "patient") == []


def test_a_request_and_its_answer_and_what_follows_share_a_lane() -> None:
    trial = Trial()
    asked = lanes(trial.send(request(VISIT, ASKED)), "authorization")
    told = lanes(trial.send(answer(VISIT, granted("PA1"))), "authorization")
    later = lanes(trial.send(answer(VISIT, granted("PA1", {9: "5"}), to="C7", control_id="D2")), "authorization")
    assert len(asked) == 1
    assert set(asked) < set(told)
    assert set(told) & set(later) == {"PA1@ACME"}


def test_a_message_about_several_authorizations_has_all_their_lanes() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, THERAPY, ASKED))
    both = lanes(trial.send(answer(VISIT, granted("PA1"), THERAPY, granted("PA2"))), "authorization")
    assert {"PA1@ACME", "PA2@ACME"} < set(both)
    assert both == tuple(sorted(both))


def test_lanes_of_what_names_nothing() -> None:
    trial = Trial()
    refused = trial.send(message("PID|1", version="9.9"))
    number = refused.plan.message_id
    assert lanes(refused, "authorization") == lanes(refused, "none") == (f"#{number}",)
    assert lanes(refused, "patient") == ("@",)
    assert lanes(refused, "channel") == ("*",)
    assert lanes(trial.send(request(VISIT, aut(number="PA9"), control_id="C8")), "channel") == ("*",)
    assert planned(b"x").intent is None
