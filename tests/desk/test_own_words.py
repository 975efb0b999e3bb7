"""Decisions about requests of a partner's own messages, and about requests that steps have shaped."""

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from hl7auth.desk.life import Desk, Reason
from hl7auth.domain.crosswalk import Decision
from hl7auth.domain.decided import LeftOut
from hl7auth.domain.process import Needed, Process
from hl7auth.flow.channel import load_channel
from hl7auth.resources import shipped
from hl7auth.rules.dialect import StatusCodes
from tests.desk.test_life import IN_FULL, At
from tests.store.stored import samples

NETWORK = """channel: payor-network
listen: tcp:0:interface=127.0.0.1
profile: {profile}
accepts: {{versions: ["2.4"]}}
"""
KEY, NUMBER = "?#SUR-1@CONSULTORIO:CEDARSUR", "884001@PREPAGA:FERNSUR"
YES = IN_FULL._replace(number="884001")
_ZQA = next((Path(__file__).parents[2] / "sample_messages").glob("102-*.hl7"))


def network(folder: Path, profile: str = "network-zqa") -> At:
    """A desk in a network that asks by ZQA, with one request."""
    path = folder / "payor-network.yaml"
    path.write_text(NETWORK.format(profile=profile), encoding="utf-8")
    at = At(folder, load_channel(path))
    at.store.send(_ZQA.read_bytes())
    at.desk.submit(KEY, "reviewer")
    return at


def told(at: At) -> tuple[str, list[str]]:
    """MSH-9 of the last answer, and its ZAU-2 and ZAU-3 in order."""
    answer = at.answers()[-1]
    zaus = ["|".join(each.field(number) for number in (2, 3)) for each in answer.segments if each.name == "ZAU"]
    return answer.segments[0].field(9), zaus


PART = YES._replace(decision=Decision.CERTIFIED_PARTIAL, left_out=(LeftOut("420101", "no cubierta"),))


@pytest.mark.parametrize(
    ("decide", "name", "said", "stands"),
    [
        (lambda desk: desk.approve(KEY, "reviewer", YES), "ZPA^Z02^ZPA_Z02",
         ["884001|B000^Autorizada", "|B000^Autorizada", "|B000^Autorizada"], {NUMBER: "approved", KEY: "approved"}),
        (lambda desk: desk.approve(KEY, "reviewer", PART), "ZPA^Z02^ZPA_Z02",
         ["884001|B001^Parcial", "|M000^no cubierta", "|B000^Autorizada"],
         {NUMBER: "partially_approved", KEY: "partially_approved"}),
        (lambda desk: desk.deny(KEY, "reviewer", Reason("0M", "no|cubierta")), "ZPA^Z02^ZPA_Z02",
         ["|M000^no\\F\\cubierta"] * 3, {KEY: "denied"}),
        (lambda desk: desk.pend(KEY, "reviewer", Reason("DOC", "faltan papeles")), "ZPA^Z02^ZPA_Z02",
         ["|M024^faltan papeles"] * 3, {KEY: "pended"}),
    ],
    ids=["approved", "in part", "denied", "pended"],
)  # fmt: skip
def test_a_decision_is_said_in_the_networks_own_words(
    tmp_path: Path, decide: Callable[[Any], Process], name: str, said: list[str], stands: dict[str, str]
) -> None:
    at = network(tmp_path)
    decide(at.desk)
    assert (told(at), at.statuses()) == ((name, said), stands)
    at.store.close()


def test_a_cancellation_says_itself_by_its_event(tmp_path: Path) -> None:
    at = network(tmp_path)
    at.desk.approve(KEY, "reviewer", YES._replace(assigner="OTHER"))
    assert told(at)[1][0] == "884001^OTHER|B000^Autorizada"
    at.desk.cancel(KEY, "reviewer")
    assert told(at) == ("ZPA^Z04^ZPA_Z04", ["884001^OTHER|"])
    assert set(at.statuses().values()) == {"cancelled"}
    at.store.close()


def test_what_the_profile_has_no_code_for_is_told_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profiles = tmp_path / "profiles"
    shutil.copytree(shipped("profiles"), profiles)
    dialect = "{events: {ZQA^Z02: RQA^I08, ZPA^Z02: RPA^I08}, status: {from: ZAU-3, prefixes: {B: approved}}}"
    text = f"profile: mute\ntitle: No codes\nsource: nobody\nextends: network-zqa\ndialect: {dialect}\n"
    (profiles / "mute.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setattr("hl7auth.rules.edition.shipped", lambda kind: tmp_path / kind)
    at = network(tmp_path, "mute")
    with pytest.raises(Needed, match=r"'mute' has no code for 'certified_total' \(dialect\.status\.says\)"):
        at.desk.approve(KEY, "reviewer", YES)
    assert (at.answers(), at.desk.show(KEY)["state"]) == ([], "In Process")
    at.store.close()


def test_what_is_written_is_read_as_it_is_meant() -> None:
    known = {"from": "ZAU-3", "codes": {"B001": "partially_approved"}, "prefixes": {"B": "approved"}}
    StatusCodes.model_validate(known | {"says": {"certified_partial": {"code": "B001"}}})
    with pytest.raises(ValidationError, match=r"says\.certified_total: the code B001 means partially_approved here"):
        StatusCodes.model_validate(known | {"says": {"certified_total": {"code": "B001"}}})
    near = StatusCodes.model_validate(known | {"says": {"certified_total": {"code": "B000"}}})
    assert near.written("not_required") == near.written("certified_total") is not None
    assert near.written("modified") is None


def test_a_request_that_steps_have_shaped_is_answered_as_they_made_it(tmp_path: Path) -> None:
    path = tmp_path / "north.yaml"
    channel = "channel: north\nlisten: tcp:0\nsteps: [{set: {PID-8: U}}]\n"
    path.write_text(channel, encoding="utf-8")
    at = At(tmp_path, load_channel(path))
    (outcome,) = at.store.send(samples()[0])
    assert outcome.plan.shaping is not None
    key = "CH-24011@CEDARHILL"
    at.desk.submit(key, "reviewer")
    path.write_text(channel.replace("U}", "A}"), encoding="utf-8")
    changed = load_channel(path)
    later = Desk(at.store.engine, {"north": changed}, itertools.count(5_000).__next__, lambda: at.store.time)
    later.approve(key, "reviewer", IN_FULL)
    (answer,) = at.answers()
    assert [each.field(8) for each in answer.segments if each.name == "PID"] == ["U"]  # as it was made then
    assert at.statuses() == {"FG-1@FERNGATE": "approved", f"?{key}": "approved"}
    at.store.close()
