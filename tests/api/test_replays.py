"""Replays over the API: what was planned, how far it is, and who may ask it to rest."""

from hl7auth.store.replays import (
    Draft,
    Item,
    Settled,
    Standing,
    State,
    add_items,
    begin_plan,
    finish_plan,
    is_asked_to_pause,
    set_standing,
    settle,
)
from tests.api.desk import Desk


def planned(desk: Desk, messages: int) -> int:
    """A plan over messages that came, two of which are done."""
    with desk.engine.begin() as connection:
        plan = begin_plan(connection, Draft(desk.time, "ada", "channel north", "channel south", ""))
        items = [Item(plan, at, "", at, f"C{at}", "RQA^I08", 7 + at, "south", 0, "accepted") for at in range(messages)]
        add_items(connection, items)
        finish_plan(connection, plan, {}, ["as of now"])
        settle(connection, [Settled(each, State.DONE, code="AA") for each in items[:2]], desk.time)
    return plan


def test_replays_are_listed_newest_first_and_read_message_by_message(desk: Desk) -> None:
    first, second = planned(desk, 3), planned(desk, 5)
    page = desk.get("/replays?limit=1")
    assert [each["replay"] for each in page["items"]] == [str(second)]
    rest = desk.get(f"/replays?limit=1&cursor={page['next']}")
    assert ([each["replay"] for each in rest["items"]], rest["next"]) == ([str(first)], None)
    one = desk.get(f"/replays/{second}")
    assert (one["target"], one["states"], one["expected"]) == (
        "channel south",
        {"done": 2, "waiting": 3},
        {"accepted": 5},
    )
    found: list[tuple[str, str]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = desk.get(f"/replays/{second}/messages?limit=2" + (f"&cursor={cursor}" if cursor else ""))
        found += [(each["control_id"], each["state"]) for each in page["items"]]
        cursor = page["next"]
    assert found == [("C0", "done"), ("C1", "done"), ("C2", "waiting"), ("C3", "waiting"), ("C4", "waiting")]
    waiting = desk.get(f"/replays/{second}/messages?state=waiting")["items"]
    assert [each["control_id"] for each in waiting] == ["C2", "C3", "C4"]
    assert desk.ask("GET", "/replays/99").status_code == 404
    assert desk.ask("GET", "/replays/99/messages").status_code == 404
    assert desk.ask("GET", f"/replays/{second}/messages?state=lost").status_code == 400


def test_only_a_run_can_come_to_rest(desk: Desk) -> None:
    plan = planned(desk, 1)
    refused = desk.ask("POST", f"/replays/{plan}/pause")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:hl7auth:not-running")
    with desk.engine.begin() as connection:
        set_standing(connection, plan, Standing.RUNNING)
    assert desk.ask("POST", f"/replays/{plan}/pause").status_code == 202
    with desk.engine.begin() as connection:
        assert is_asked_to_pause(connection, plan)
    assert [each["action"] for each in desk.get(f"/replays/{plan}")["record"]] == ["pause"]


def test_a_token_that_is_bound_sees_no_replays(desk: Desk) -> None:
    plan = planned(desk, 1)
    bound = desk.token("bound", "clinical.authorization.read", "clinical.authorization.write", payors=["ACME"])
    for method, path in (("GET", ""), ("GET", f"/{plan}"), ("GET", f"/{plan}/messages"), ("POST", f"/{plan}/pause")):
        assert desk.ask(method, f"/replays{path}", headers=bound).status_code == 403
    reader = desk.token("reader", "clinical.authorization.read")
    assert desk.ask("GET", f"/replays/{plan}", headers=reader).status_code == 200
    assert desk.ask("POST", f"/replays/{plan}/pause", headers=reader).status_code == 403
