"""Search: by what is indexed at intake, by any field, by words, page by page, in a file and on a server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.search import run
from hl7auth.errors import UserError
from hl7auth.store import search_tests
from hl7auth.store.database import open_database, upgrade
from hl7auth.store.indexing import index_all, mark
from hl7auth.store.journal import Journal
from hl7auth.store.search import Page, Query, all_ids, find, found_for
from tests.engine import answer, request
from tests.store.postgres import shared
from tests.store.stored import HOUR, START, Store, samples

PEOPLE = (("A1", "Sørensen^Åse"), ("A2", "Vandermeer^Joost"), ("A3", "VANDERMEER^Ilse"))


def asking(number: int, patient: str, name: str, remark: str = "") -> bytes:
    """A request with a patient, and a remark."""
    lines = [line for line in request(f"C{number}", number=f"PA{number}").decode().split("\r") if line]
    lines = [line for line in lines if not line.startswith(("PID", "NTE"))]
    at = next(at for at, line in enumerate(lines) if line.startswith("AUT"))
    at = next((at for at, line in enumerate(lines) if line.startswith(("PR1", "AUT"))), at)
    lines[at:at] = [f"PID|1||{patient}^^^HILL^MR||{name}||19710822|M"]
    if remark:
        lines.append(f"NTE|1|P|{remark}")
    lines[0] = lines[0] if "UNICODE" in lines[0] else lines[0] + "||||||UNICODE UTF-8"
    return ("\r".join(lines) + "\r").encode()


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Five messages: three requests, an answer, and the first once more."""
    made = Store(tmp_path)
    if request.param == "postgresql":
        made.close()
        made.engine = open_database(shared().database())
        upgrade(made.engine)
        made.journal = Journal(made.engine)
    first = asking(1, *PEOPLE[0], "knee replacement wanted")
    made.send(first, asking(2, *PEOPLE[1], "physical therapy"), asking(3, *PEOPLE[2], "arthroscopy of the knee"))
    made.send(answer("P1", "C1").replace(b"PID|||77001||Quill^Ivo||19800102", b"PID|||A1||Moss"), first)
    yield made
    made.close()


def ids(store: Store, query: Query) -> list[int]:
    return [int(each["id"]) for each in page(store, query).messages]


def page(store: Store, query: Query) -> Page:
    with store.reading() as connection:
        return find(connection, query)


def control_ids(store: Store, query: Query) -> list[str]:
    return [each["control_id"] for each in page(store, query).messages]


def test_messages_are_found_by_what_was_indexed_with_them(store: Store) -> None:
    assert control_ids(store, Query()) == ["C1", "P1", "C3", "C2", "C1"]
    assert control_ids(store, Query(control_id="C2")) == ["C2"]
    assert control_ids(store, Query(patient="a2")) == ["C2"]
    assert control_ids(store, Query(patient="a*", event="RQA")) == ["C1", "C3", "C2", "C1"]
    assert control_ids(store, Query(name="vandermeer")) == ["C3", "C2"]
    assert control_ids(store, Query(name="Vandermeer^joost")) == ["C2"]
    assert control_ids(store, Query(name="sørensen")) == ["C1", "C1"]
    assert control_ids(store, Query(name="sø*", patient="A1")) == ["C1", "C1"]
    assert control_ids(store, Query(name="van*^j*", event="RQA")) == ["C2"]
    assert control_ids(store, Query(name="nobody*", event="RQA")) == []


def test_a_beginning_that_many_values_have_finds_what_one_of_few_finds(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Query(patient="a*", event="RQA")
    few = control_ids(store, asked)
    monkeypatch.setattr(search_tests, "_MOST_VALUES", 2)  # A1, A2 and A3 are too many then
    assert control_ids(store, asked) == few == ["C1", "C3", "C2", "C1"]
    assert control_ids(store, Query(authorization="PA3")) == ["C3"]
    assert control_ids(store, Query(event="RPA")) == ["P1"]
    assert control_ids(store, Query(event="RPA^I08", sender="NOBODY")) == []
    assert control_ids(store, Query(status="approved")) == ["P1"]
    assert control_ids(store, Query(disposition="duplicate")) == ["C1"]
    assert control_ids(store, Query(fields=(("MSA-2", "C1"),))) == ["P1"]
    assert control_ids(store, Query(fields=(("MSH-10", "C3"),), channel="referral-intake")) == ["C3"]
    assert control_ids(store, Query(channel="other", patient="A1")) == []


def test_messages_are_found_by_time(store: Store) -> None:
    assert control_ids(store, Query(since=START + HOUR, until=START + 3 * HOUR)) == ["C3", "C2"]
    assert control_ids(store, Query(since=START + 4 * HOUR)) == ["C1"]
    assert control_ids(store, Query(since=START + 5 * HOUR)) == []
    assert control_ids(store, Query(until=START)) == []
    assert control_ids(store, Query(name="vandermeer", until=START + 2 * HOUR)) == ["C2"]


def test_other_fields_are_read_from_the_messages(store: Store) -> None:
    found = page(store, Query(fields=(("NTE-3", "physical*"),)))
    assert ([each["control_id"] for each in found.messages], found.read, found.next) == (["C2"], 5, None)
    both = page(store, Query(name="vandermeer", fields=(("PID-7", "19710822"),)))
    assert ([each["control_id"] for each in both.messages], both.read) == (["C3", "C2"], 2)


def test_pages_do_not_move_while_messages_come_in(store: Store) -> None:
    first = page(store, Query(limit=2))
    store.send(asking(9, "A9", "New^One"))
    second = page(store, Query(limit=2, before=first.next))
    third = page(store, Query(limit=2, before=second.next))
    got = [[each["control_id"] for each in each_page.messages] for each_page in (first, second, third)]
    assert got == [["C1", "P1"], ["C3", "C2"], ["C1"]]
    assert third.next is None
    with store.reading() as connection:
        assert len(list(all_ids(connection, Query(patient="A1")))) == 3


@pytest.mark.parametrize("indexed", [False, True])
def test_words_are_found_before_and_after_they_are_indexed(store: Store, indexed: bool) -> None:
    if indexed:
        assert index_all(store.engine)["text"] == 5
        assert index_all(store.engine) == {"fields": 0, "text": 0}
        store.send(asking(4, "A4", "Late^Comer", "the other knee"))
    expected = ["C4"] if indexed else []
    assert control_ids(store, Query(words="KNEE")) == [*expected, "C1", "C3", "C1"]
    assert control_ids(store, Query(words="knee replacement")) == ["C1", "C1"]
    assert control_ids(store, Query(words='"replacement knee"')) == []
    assert control_ids(store, Query(words='"knee replacement"')) == ["C1", "C1"]
    assert control_ids(store, Query(words="arthro*")) == ["C3"]
    assert control_ids(store, Query(words="knee", patient="A3")) == ["C3"]
    assert control_ids(store, Query(words="ase")) == ["C1", "C1"]
    pages: list[str] = []
    before: int | None = None
    while not pages or before is not None:
        found = page(store, Query(words="knee", limit=1, before=before))
        pages += [each["control_id"] for each in found.messages]
        before = found.next
    assert pages == [*expected, "C1", "C3", "C1"]


def test_a_list_of_identifiers_says_which_were_never_seen(store: Store) -> None:
    assert control_ids(store, Query(any_of=("C3", "PA2", "nobody"))) == ["C3", "C2"]
    with store.reading() as connection:
        found = found_for(connection, ("A2", "nobody"))
    assert (len(found["A2"]), found["nobody"]) == (1, [])


def test_what_was_there_before_the_index_is_indexed_by_the_command(store: Store) -> None:
    before = sorted(store.rows("SELECT field, value, message_id FROM message_field"))
    newest = store.rows("SELECT max(id) FROM message")[0][0]
    store.change("DELETE FROM message_field", f"INSERT INTO search_mark VALUES ('fields', {newest + 1})")
    found = page(store, Query(patient="A2"))
    assert found.messages == []
    assert "not indexed yet" in found.notes[0]
    assert index_all(store.engine)["fields"] == 5
    assert sorted(store.rows("SELECT field, value, message_id FROM message_field")) == before
    assert page(store, Query(patient="A2")).notes == ()
    with store.reading() as connection:
        assert mark(connection, "fields") == 0


def test_every_sample_is_indexed_alike_at_intake_and_later(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.send(*samples())
    before = sorted(store.rows("SELECT * FROM message_field"))
    assert {field for field, _, _ in before} >= {
        "AUT-6.1",
        "PID-3.1",
        "PID-5.1",
        "RF1-6.1",
        "MSA-2.1",
        "status",
        "rule",
    }
    newest = store.rows("SELECT max(id) FROM message")[0][0]
    store.change("DELETE FROM message_field", f"INSERT INTO search_mark VALUES ('fields', {newest + 1})")
    index_all(store.engine)
    assert sorted(store.rows("SELECT * FROM message_field")) == before
    store.close()


def test_what_many_have_is_not_looked_through_again_for_each_message(tmp_path: Path) -> None:
    store = Store(tmp_path)
    count, numbers = 2_000, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
    columns = "id, channel, received_at, peer, control_id, digest, message_type, trigger_event, version, sender"
    values = "i, 'x', i, '', i, 0, iif(i % 50, 'RQA', 'RPA'), 'I08', '2.5', ''"
    store.change(
        f"INSERT INTO message ({columns}, facility, disposition, code, raw) {numbers} SELECT {values}, '', 'accepted',"
        " 'AA', x'' FROM n",
        f"INSERT INTO message_field {numbers} SELECT 'PID-5.1', 'moss' || i, i FROM n",
        f"INSERT INTO message_field {numbers} SELECT 'status', 'approved', i FROM n",
    )
    steps = 0

    def counted() -> int:
        nonlocal steps
        steps += 100
        return 0

    for query, found in (
        (Query(name="Moss*", event="RPA"), 40),
        (Query(name="Moss*", event="RPA", status="approved"), 40),
        (Query(name="Moss*", status="approved"), 50),
        (Query(fields=(("PID-5.1", "Mos*"),), name="Moss*", status="approved"), 50),
    ):
        with store.reading() as connection:
            driver: Any = connection.connection.dbapi_connection
            driver.set_progress_handler(counted, 100)
            steps = 0
            assert len(find(connection, query).messages) == found
            assert steps < 60 * count
            driver.set_progress_handler(None, 0)
    store.close()


def test_a_query_that_nobody_understands_is_told_in_a_sentence(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for query, said in (
        (Query(fields=(("PID", "1"),)), "'PID' is no field"),
        (Query(fields=(("PID-3", ""),)), "wants a value"),
        (Query(words="--"), "no word"),
        (Query(patient="*"), "nothing to look for"),
        (Query(any_of=tuple(str(each) for each in range(2_001))), "at most 2000"),
    ):
        with pytest.raises(UserError, match=said):
            page(store, query)
    store.close()


def test_the_benchmark_of_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    told = run(f"sqlite:///{tmp_path}/bench.db", 210)["ms"]
    single = ("control id", "authorization number", "patient or member id", "referral id", "message show")
    assert [told[name]["found"] for name in single] == [1] * len(single)
    assert told["words: one in a hundred"]["found"] == told["name of one in a hundred"]["found"] == 3
    assert told["words: all have them"]["found"] == 50
    assert told["AUT-14 that nobody has"]["found"] == told["field without an index"]["found"] == 0
