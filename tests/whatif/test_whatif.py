"""What would be otherwise, compared with stores that really took the messages in under the other configuration."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hl7auth.domain.story import differences
from hl7auth.errors import ConfigError, UserError
from hl7auth.flow.channel import Channel, load_channel
from hl7auth.flow.decision import Outcome
from hl7auth.resources import shipped
from hl7auth.store.database import HEAD
from hl7auth.whatif.candidate import candidates
from hl7auth.whatif.compare import alike, compared
from hl7auth.whatif.run import Wanted, compare
from hl7auth.whatif.tally import Tally
from tests.engine import answer, request
from tests.messages import shipped_channel
from tests.store.sealed import FIRST, sealed
from tests.store.stored import START, Store, samples

NAME = "referral-intake"
TEXT = shipped("channels/referral-intake.yaml").read_text(encoding="utf-8")
# what is changed, and which part of the traffic came before it: the rest finds what that left
OTHERWISE = [
    pytest.param({"errors: reject": "errors: accept"}, 0.4, id="errors"),
    pytest.param({"scope: referral ": "scope: message "}, 0.4, id="scope"),
    pytest.param({"scope: referral ": "scope: patient_and_payor "}, 0.4, id="patient"),
    pytest.param({"empty: clear": "empty: keep"}, 0, id="empty"),
    pytest.param({"tells: errors": "tells: all"}, 0.4, id="tells"),
    pytest.param({"profile: referral\n": "profile: referral-strict\n"}, 0.4, id="strict"),
    pytest.param({"duplicates: lenient": "duplicates: strict"}, 0.4, id="duplicates"),
    pytest.param({"[RQA, RPA, REF, RRI]": "[RQA, RPA]"}, 0.4, id="accepts"),
    pytest.param({"framing:\n": "steps:\n  - set: {RF1-6.1: ONE}\n\nframing:\n"}, 0.4, id="steps"),
]


def other(folder: Path, changes: dict[str, str]) -> Path:
    """The shipped channel with other words in it."""
    text = TEXT
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    path = folder / "new.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def known(store: Store) -> Store:
    """A store that commands take for one of this version."""
    store.change("CREATE TABLE alembic_version (version_num TEXT)")
    store.change(f"INSERT INTO alembic_version VALUES ('{HEAD}')")
    return store


def tried(store: Store, new: Path, since: int | None = None, workers: int = 1, examples: int = 500) -> Tally:
    """What the comparison finds."""
    now = {NAME: shipped_channel()}
    wanted = Wanted(store.url, now, candidates(now, [new], [], os.environ), since, None, examples)
    return compare(wanted, workers)


def ids_of(tally: Tally) -> set[int]:
    return {example.message for count in tally.kinds.values() for example in count.examples}


def traffic() -> list[bytes]:
    """Every sample, some twice, and requests with answers that come in between."""
    raws = list(samples())
    pairs = [request("Z1", number="PZ1"), answer("Z2", "Z1", number="PZ1"), request("Z1", number="PZ3")]
    return [*raws, *raws[:20], *pairs, *raws[20:40]]


def differing(one: list[Outcome], two: list[Outcome]) -> set[int]:
    """The messages that two stores took otherwise."""
    pairs = zip(one, two, strict=True)
    return {before.plan.message_id for before, after in pairs if any(compared(before, after))}


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, list[Outcome]]]:
    """A store that took the traffic in as the channel is now, and what became of it."""
    store = known(Store(tmp_path_factory.mktemp("taken")))
    yield store, store.send(*traffic())
    store.close()


@pytest.mark.parametrize(("changes", "share"), OTHERWISE)
def test_it_finds_what_a_store_under_the_other_channel_would_have_done(
    tmp_path: Path, taken: tuple[Store, list[Outcome]], changes: dict[str, str], share: float
) -> None:
    (store, before), raws, path = taken, traffic(), other(tmp_path, changes)
    first = int(len(raws) * share)
    twin, new = Store(tmp_path, name="twin.db"), load_channel(path)
    after = [*twin.send(*raws[:first]), *twin.send(*raws[first:], on=new)]
    tally = tried(store, path, before[first].plan.received_at if first else None)
    assert ids_of(tally) == differing(before, after)
    assert (tally.differ, tally.drifted) == (len(ids_of(tally)), 0)
    assert tally.differ > 0
    assert tally.compared == len(raws) - first
    assert tally.authorizations == otherwise(stands(store), stands(twin))
    twin.close()


def stands(store: Store) -> dict[str, tuple[str, Any]]:
    """How every key stands."""
    rows = store.rows("SELECT key, status, document FROM authorization_version WHERE current = 1")
    return {key: (status, json.loads(document)) for key, status, document in rows}


def otherwise(one: dict[str, tuple[str, Any]], two: dict[str, tuple[str, Any]]) -> int:
    """How many keys stand otherwise."""
    both = [key for key in one if key in two]
    changed = sum(one[key][0] != two[key][0] or bool(differences(one[key][1], two[key][1])) for key in both)
    return changed + len(one.keys() ^ two.keys())


def test_the_same_configuration_makes_no_difference_and_nothing_is_written(tmp_path: Path) -> None:
    store = known(Store(tmp_path))
    store.send(*traffic())
    sealed(store, before=FIRST + 3)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".db-shm"}
    found = tried(store, other(tmp_path, {"title: Referral": "title: Another"}))
    assert (found.differ, found.drifted, found.authorizations, found.kinds) == (0, 0, 0, {})
    assert found.compared == len(traffic())
    assert {path: path.read_bytes() for path in files} == files
    store.close()


def test_processes_find_what_one_finds(tmp_path: Path) -> None:
    store = known(Store(tmp_path))
    store.send(*traffic()[:60])
    path = other(tmp_path, {"[RQA, RPA, REF, RRI]": "[RQA, RPA]", "tells: errors": "tells: all"})
    one, two = (tried(store, path, workers=workers, examples=3) for workers in (1, 2))
    assert one == two
    assert one.differ > 10
    store.close()


def test_what_retention_has_dropped_is_taken_as_it_was(tmp_path: Path) -> None:
    store = known(Store(tmp_path))
    store.send(request("C1", number="PA1"), answer("A1", "C1", number="PA1"))
    sealed(store)
    store.change("UPDATE pack SET state = 'dropped', dropped_at = 1")
    later = store.send(request("C2", number="PA1"), at=START + 90 * 24 * 3_600_000_000)[0]
    found = tried(store, other(tmp_path, {"[RQA, RPA, REF, RRI]": "[RPA]"}))
    assert found.skipped == {"dropped by retention": 2}
    assert (found.compared, ids_of(found)) == (1, {later.plan.message_id})
    store.close()


def routes(to: str) -> dict[str, str]:
    destinations = "".join(f"  {name}: {{file: {{folder: {name}}}}}\n" for name in ("one", "two"))
    return {"framing:\n": f"destinations:\n{destinations}routes:\n  - {{to: [{to}]}}\n\nframing:\n"}


def test_routes_and_profiles_are_compared(tmp_path: Path) -> None:
    (tmp_path / "now").mkdir()
    path = other(tmp_path / "now", routes("one"))
    channel = load_channel(path)
    store = known(Store(tmp_path, channel))
    store.send(*samples()[:6])
    now: dict[str, Channel] = {NAME: channel}
    new = other(tmp_path, routes("two"))
    found = compare(Wanted(store.url, now, candidates(now, [new], [], {})))
    named: dict[tuple[str, str], int] = {key: count.messages for key, count in found.kinds.items()}
    routed = sum(count for (_, what), count in named.items() if what == f"gone: {NAME}/one")
    assert {kind for kind, _ in named} == {"route"}
    assert routed == named["route", f"new: {NAME}/two"] > 0
    profile = tmp_path / "referral.yaml"
    profile.write_text(
        shipped("profiles/referral.yaml")
        .read_text(encoding="utf-8")
        .replace(
            "statements:\n", "statements:\n  - {id: never, segment: MSH, holds: MSH-10 = 'NEVER', text: no good}\n", 1
        ),
        encoding="utf-8",
    )
    told = candidates(now, [], [profile], {})
    assert told[NAME].version != channel.version
    found = compare(Wanted(store.url, now, told))
    assert found.differ == 6
    store.close()


def test_copies_for_destinations_are_compared(tmp_path: Path) -> None:
    shapes = routes("one")["framing:\n"].replace("folder: one}", 'folder: one}, steps: [{set: {PID-5.1: "OTHER"}}]')
    (tmp_path / "now").mkdir()
    channel = load_channel(other(tmp_path / "now", routes("one")))
    store = known(Store(tmp_path, channel))
    store.send(request("C1", number="PA1"), answer("A1", "C1", number="PA1"))
    now = {NAME: channel}
    new = candidates(now, [other(tmp_path, {"framing:\n": shapes})], [], {})
    found = compare(Wanted(store.url, now, new))
    assert [(*key, count.messages) for key, count in found.kinds.items()] == [("copy", "one: PID-5", 2)]
    store.close()


def test_mistakes_are_sentences(tmp_path: Path) -> None:
    now = {NAME: shipped_channel()}
    with pytest.raises(UserError, match="there is no such file"):
        candidates(now, [tmp_path / "none.yaml"], [], {})
    path = other(tmp_path, {f"channel: {NAME} ": "channel: elsewhere "})
    with pytest.raises(UserError, match="there is no channel 'elsewhere'"):
        candidates(now, [path], [], {})
    assert candidates(now, [path], [], {}, NAME)[NAME].version != now[NAME].version
    with pytest.raises(UserError, match="--channel says"):
        candidates(now, [], [path], {}, NAME)
    path.write_text(TEXT + "\nunknown: 1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="unknown key"):
        candidates(now, [path], [], {})
    path.write_text(TEXT, encoding="utf-8")
    with pytest.raises(ConfigError, match="already"):
        candidates(now, [path, path], [], {})


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        (b"MSH|^~\\&|A|B|C|D|1||ACK|77|P|2.5\rMSA|AA|X\r", b"MSH|^~\\&|A|B|C|D|1||ACK|78|P|2.5\rMSA|AA|X\r", True),
        (b"MSH|^~\\&|A|B|C|D|1||ACK|77|P|2.5\rMSA|AA|X\r", b"MSH|^~\\&|A|B|C|D|2||ACK|77|P|2.5\rMSA|AA|X\r", False),
        (b"MSH|^~\\&|A|B|C|D|1||ACK|77|P|2.5\rMSA|AA|X\r", None, False),
        (None, None, True),
        (b"", b"", True),
    ],
)
def test_replies_are_alike_but_for_their_own_control_id(one: Any, two: Any, same: bool) -> None:
    assert alike(one, two) is same
