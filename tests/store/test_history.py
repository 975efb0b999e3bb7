"""One authorization through time, on a real store: its story, how it stood, and why a field says what it does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hl7auth.domain.clock import moment
from hl7auth.errors import UserError
from hl7auth.store import history
from hl7auth.store.history import read_at, read_history, read_why
from tests.messages import ASKED, IMAGING, THERAPY, VISIT, answer, granted, request
from tests.store.stored import START, Store, samples, steps

KEY = "PA1@ACME"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Asked at 10:00, granted at 11:00, changed at 12:00 and cancelled at 13:00, all on 2026-03-01."""
    store = Store(tmp_path)
    store.send(request(VISIT, ASKED, THERAPY, ASKED, referral="R1"))
    store.send(answer(VISIT, granted("PA1"), THERAPY, granted("PA1"), referral="R1"))
    changed = (IMAGING, granted("PA1"), VISIT, granted("PA1", {5: "20261231"}))
    store.send(answer(*changed, referral="R1", event="I09", control_id="D2"))
    store.send(request(referral="R1", event="I11", control_id="C2"))
    yield store
    store.close()


def why(store: Store, field: str, key: str = KEY) -> dict[str, Any]:
    with store.reading() as connection:
        return read_why(connection, key, field)


def test_the_story_says_who_sent_what_when_and_what_it_changed(store: Store) -> None:
    with store.reading() as connection:
        entries = read_history(connection, KEY)
    assert [(each["version"], each["status"], each["by"], each["event"], each["message"]) for each in entries] == [
        (1, "approved", "answer", "RPA^I08", "2"),
        (2, "approved", "answer", "RPA^I09", "3"),
        (3, "cancelled", "cancellation", "RQA^I11", "4"),
    ]
    assert entries[1]["story"] == [
        "2026-03-01T12:00:00.000+00:00: PAYER of SOUTH answered the request for a modification "
        "(RPA^I09, control id D2, message 3): version 2, approved, by the rule 'answer'.",
        "Line 1, Knee (73721), began: payor ACME; effective date 2026-04-01; expiration date 2026-09-30; "
        "authorized treatments 2; status approved.",
        "Line 2, Visit (99213): the expiration date changed from 2026-09-30 to 2026-12-31.",
        "Line 2, Exercise (97110), ended.",
    ]
    assert [(each["what"], each["field"]) for each in entries[1]["changes"]] == [
        ("began", "lines[0]"),
        ("changed", "lines[1].expiration_date"),
        ("ended", "lines[1]"),
    ]
    assert entries[1]["changed"] == ["lines"]
    assert entries[2]["changed"] == ["status", "lines"]
    assert (entries[2]["sender"], entries[2]["facility"], entries[2]["control_id"]) == ("FRONT", "NORTH", "C2")
    assert entries[0]["document"]["lines"][1]["expiration_date"] == "2026-09-30"


def test_a_request_has_its_story_too(store: Store) -> None:
    with store.reading() as connection:
        entries = read_history(connection, "R1@FRONT:NORTH")
        assert read_history(connection, "?R1@FRONT:NORTH") == entries
        with pytest.raises(UserError, match="there is no authorization or request 'X'"):
            read_history(connection, "X")
    assert [each["event"] for each in entries] == ["RQA^I08", "RPA^I08", "RPA^I09", "RQA^I11"]


def test_a_version_whose_message_is_gone_still_has_its_place(store: Store) -> None:
    store.change("DELETE FROM message WHERE id = 3")
    with store.reading() as connection:
        entries = read_history(connection, KEY)
    assert "message 3, which the archive no longer holds" in entries[1]["story"][0]
    assert "sender" not in entries[1]
    assert why(store, "lines[1].expiration_date")["place"] is None


@pytest.mark.parametrize(
    ("time", "version"),
    [
        ("2026-02-28", None),
        ("2026-03-01T10:59:59Z", None),
        ("2026-03-01T11:00:00.000+00:00", 1),
        ("2026-03-01T11:00", 1),
        ("2026-03-01T12:59:59+01:00", 1),
        ("2026-03-01T13:00+01:00", 2),
        ("2026-03-01T12:59:59", 2),
        ("2026-03-01", 3),
        ("2027-01-01", 3),
    ],
)
def test_what_was_known_at_a_time(store: Store, time: str, version: int | None) -> None:
    with store.reading() as connection:
        then = read_at(connection, KEY, moment(time))
    assert (then.document and then.document["version"]) == version
    assert (then.until is None) is (version in (3, None))
    if version is None:
        assert then.sentence == "nothing was known yet: the first message about it came 2026-03-01T11:00:00.000+00:00"


@pytest.mark.parametrize(
    ("field", "value", "version", "place", "before"),
    [
        ("lines[0].expiration_date", "2026-09-30", 2, "AUT[1]-5", None),
        ("lines[1].expiration_date", "2026-12-31", 2, "AUT[2]-5", "2026-09-30"),
        ("lines[1].effective_date", "2026-04-01", 1, "AUT[1]-4", None),
        ("lines[1].authorized_treatments.quantity", "2", 1, "AUT[1]-9.1", None),
        ("lines[1].status", "cancelled", 3, None, "approved"),
        ("status", "cancelled", 3, "MSH-9", "approved"),
        ("patient.name", "Quill, Ivo", 1, "PID-5", None),
        ("AUT-6", "PA1", 1, "AUT[1]-6.1", None),
        ("lines[0].procedure.code", "73721", 2, "PR1[1]-3.1", None),
    ],
)
def test_why_a_field_says_what_it_does(
    store: Store, field: str, value: str, version: int, place: str | None, before: object
) -> None:
    entry = why(store, field)
    assert (entry["value"], entry["version"], entry["before"]) == (value, version, before)
    assert (entry["place"] and entry["place"]["path"]) == place
    assert entry["message"] == str(version + 1)
    assert entry["story"][0].startswith(f"{entry['field']} is {value}")
    assert f"version {version}" in entry["story"][1]


def test_why_says_what_never_was_and_what_is_gone(store: Store) -> None:
    assert why(store, "reason") == {
        "key": KEY, "field": "reason", "value": None, "version": None,
        "story": ["No message has ever set reason of PA1@ACME."],
    }  # fmt: skip
    store.send(answer(VISIT, granted("PA8", {3: "Acme Health"}), control_id="D7", to="C77"))
    store.send(answer(VISIT, granted("PA8"), control_id="D8", to="C77"))
    entry = why(store, "payor_name", "PA8@ACME")
    assert entry["story"][0] == "payor_name has no value any more; before, it was Acme Health."
    assert entry["place"] == {"path": "AUT-3", "under": "PR1", "raw": ""}


def test_why_counts_the_versions_that_left_a_value(store: Store) -> None:
    assert why(store, "lines[1].effective_date")["story"][-1] == "2 later versions left it as it was."
    assert why(store, "lines[0].effective_date")["story"][-1] == "1 later version left it as it was."


def test_why_helps_with_a_field_that_is_none(store: Store) -> None:
    with pytest.raises(UserError, match="did you mean 'expiration_date'"):
        why(store, "expiry_date")
    with pytest.raises(UserError, match=r"there is no lines\[2\] \(there is: lines\[0\] to lines\[1\]\)"):
        why(store, "lines[2].status")


def test_a_message_that_can_no_longer_be_read_has_no_place(store: Store) -> None:
    store.change("UPDATE message SET raw = x'4d53487c' WHERE id = 3")
    entry = why(store, "lines[1].expiration_date")
    assert (entry["version"], entry["place"]) == (2, None)


def test_a_clock_that_was_set_back_hides_no_version(store: Store) -> None:
    store.send(answer(VISIT, granted("PA5"), control_id="D5", to="C77"), at=START)
    store.send(answer(VISIT, granted("PA5", {9: "7"}), control_id="D6", to="C77"), at=START - 1)
    with store.reading() as connection:
        then = read_at(connection, "PA5@ACME", START)
    assert then.document is not None
    assert then.document["version"] == 2


def test_every_look_up_by_key_uses_the_primary_key(store: Store) -> None:
    with store.reading() as connection:
        for query in (history._versions_query("a"), history._at_query("a", 1)):
            found = steps(connection, query)
            assert found[0].startswith("SEARCH authorization_version USING INDEX sqlite_autoindex"), found
            assert "(key=?)" in found[0]
            assert found[1].startswith("SEARCH message USING INTEGER PRIMARY KEY")
            assert len(found) == 2, found


def test_the_samples_have_stories_without_gaps(tmp_path: Path) -> None:
    store = Store(tmp_path, name="samples.db")
    store.send(*samples())
    keys = [key for (key,) in store.rows("SELECT DISTINCT key FROM authorization_version")]
    with store.reading() as connection:
        for key in keys:
            entries = read_history(connection, key)
            assert [entry["version"] for entry in entries] == list(range(1, len(entries) + 1))
            for entry in entries:
                assert len(entry["story"]) == len(entry["changes"]) + 1
                then = read_at(connection, key, moment(entry["at"]))
                assert then.document == entry["document"]
            for name in entries[-1]["document"]["provenance"]:
                assert read_why(connection, key, name)["version"] is not None
    assert len(keys) > 15
    store.close()
