"""queue list, show, retry, skip and move on a real store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hl7auth.flow.channel import load_channel
from hl7auth.flow.outbox import Settled
from hl7auth.flow.verdict import Act, Answer, Verdict
from hl7auth.observe import now
from hl7auth.store.channel_versions import keep_versions
from tests.cli.inline import Ran, run
from tests.outbox import TO, Outbox, raw


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    """Three messages in one lane, of which the first is parked, and one that is sent."""
    outbox = Outbox(tmp_path, migrated=True)
    outbox.put(("lane", raw("C1")), (("lane", "more"), raw("C2")), ("lane", raw("C3")), ("other", raw("C4")))
    queue = outbox.queue()
    first, other = queue.exchange([], 9, now()).claimed
    answer = Answer("AE", "101", raw=b"MSH|^~\\&|\rMSA|AE|C1\r")
    queue.exchange(
        [Settled(first, Verdict(Act.PARK, "AE 101"), answer), Settled(other, Verdict(Act.SENT, "AA"), Answer("AA"))],
        0,
        now(),
    )
    queue.close()
    yield outbox
    outbox.close()


def listed(outbox: Outbox, *words: str) -> list[tuple[str, str]]:
    found = run("queue", "list", "--format", "json", *words, database=outbox.url)
    assert found.code == 0, found.err
    return [(each["message"], each["state"]) for each in found.document]


def did(ran: Ran) -> object:
    assert ran.code == 0, ran.err
    return ran.document


def test_list_filters_and_cuts(outbox: Outbox) -> None:
    everything = [("1", "parked"), ("2", "queued"), ("3", "queued"), ("4", "sent")]
    assert listed(outbox) == everything
    assert listed(outbox, "--limit", "2") == everything[2:]
    assert listed(outbox, "--state", "queued") == everything[1:3]
    assert listed(outbox, "--destination", TO, "--lane", "other") == everything[3:]
    assert listed(outbox, "--message", "1") == everything[:1]
    assert listed(outbox, "--destination", "feed/none") == []
    text = run("queue", "list", "--state", "parked", database=outbox.url).out
    assert "AE 101" in text
    assert text.count("\n") == 2


def test_show_tells_what_it_waits_for_and_what_was_decided(outbox: Outbox) -> None:
    waiting: dict[str, object] = run("queue", "show", "2", "--format", "json", database=outbox.url).document
    assert (waiting["lanes"], waiting["waits_for"], waiting["control_id"]) == (["lane", "more"], ["1"], "C2")
    text = run("queue", "show", "1", database=outbox.url).out
    assert "parked, attempts: 1: AE 101" in text
    assert "MSA|AE|C1" in text
    assert "park by one: AE 101" in text


def test_retry_by_id_and_by_destination(outbox: Outbox) -> None:
    words = ("queue", "retry", "--format", "json", "--by", "ada", "--reason", "mended")
    assert did(run(*words, "--destination", TO, database=outbox.url)) == [{"id": "1", "goes_on_as": "1"}]
    assert listed(outbox)[0] == ("1", "queued")
    assert did(run(*words, "5", database=outbox.url)) == [{"id": "5", "goes_on_as": "6"}]
    assert outbox.rows("SELECT delivery_id, by, action, reason FROM delivery_event WHERE by = 'ada'") == [
        (1, "ada", "retry", "mended"),
        (5, "ada", "retry", "goes on as delivery 6: mended"),
        (6, "ada", "retry", "was delivery 5: mended"),
    ]


def test_skip_lets_the_lane_flow_on_and_is_all_or_nothing(outbox: Outbox) -> None:
    refused = run("queue", "skip", "1", "5", database=outbox.url)
    assert (refused.code, refused.err) == (2, "hl7auth: delivery 5 is sent: there is nothing to skip\n")
    assert listed(outbox)[0] == ("1", "parked")
    assert run("queue", "skip", "1", "--reason", "obsolete", database=outbox.url).out == "1 skipped\n"
    assert listed(outbox)[0] == ("1", "skipped")
    queue = outbox.queue()
    assert [each.message_id for each in queue.exchange([], 9, now()).claimed] == [2]
    queue.close()


def test_a_destination_that_no_channel_has_is_a_slip(outbox: Outbox) -> None:
    text = "channel: feed\nlisten: tcp:0\ndestinations: {payer: {file: {folder: out}}, other: {file: {folder: out}}}\n"
    path = outbox.folder / "feed.yaml"
    path.write_text(text)
    keep_versions(outbox.engine, [load_channel(path)], 1)
    slip = run("queue", "move", "1", "--to", "feed/othr", database=outbox.url)
    assert slip.code == 2
    assert slip.err == (
        "hl7auth: no channel that was served has a destination feed/othr (known: feed/other, feed/payer)\n"
    )
    assert did(run("queue", "move", "1", "--to", "feed/other", "--format", "json", database=outbox.url))


def test_move_to_another_destination(outbox: Outbox) -> None:
    moved = run("queue", "move", "1", "--to", "feed/other", "--format", "json", database=outbox.url)
    assert did(moved) == [{"id": "1", "goes_on_as": "6"}]
    assert listed(outbox, "--destination", "feed/other") == [("1", "queued")]
    assert (
        run("queue", "move", "2", "--to", "other", database=outbox.url).err == "hl7auth: 'other' is no CHANNEL/NAME\n"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("list", "--state", "lost"), "unknown state 'lost'"),
        (("show", "99"), "there is no delivery 99"),
        (("retry",), "either ids"),
        (("retry", "1", "--destination", "x"), "either ids"),
    ],
)
def test_mistakes_are_one_sentence(outbox: Outbox, words: tuple[str, ...], sentence: str) -> None:
    ran = run("queue", *words, database=outbox.url)
    assert ran.code == 2
    assert sentence in ran.err
