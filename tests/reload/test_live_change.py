"""Channels that change while messages come, with real processes: nothing acknowledged is lost, nobody is cut."""

import os
import signal
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from threading import Event

import pytest

from hl7auth.observe import now
from tests.certificates import Authority
from tests.cli.inline import run
from tests.engine import answer, request
from tests.outbox import Listener, ack
from tests.reload.live import LOCAL, Live, free_port
from tests.serving import SECONDS, Line
from tests.test_replies import channel as forwarding
from tests.test_replies import rpa

ONE, TWO = pytest.param(1, id="alone"), pytest.param(2, id="workers")


@pytest.fixture(scope="module", params=[ONE, TWO])
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """An engine in one process, and one with two workers; every test has channels of its own."""
    with Live(tmp_path_factory.mktemp("live"), request.param) as engine:
        yield engine


def wrong(control_id: str) -> bytes:
    """A message with an error finding: a segment is missing."""
    return request(control_id).replace(b"PRD|RP|Moss^Ada\r", b"")


def hammer(engine: Live, name: str, number: int, enough: Event) -> list[str]:
    """Sends over one connection until it is enough; the replies, in order. The connection is never cut."""
    replies = []
    with engine.line(name) as line:
        for each in count():
            replies.append(line.ask(wrong(f"{name}-{number}-{each}")))
            if enough.is_set():
                return replies
    return replies


def test_under_load_nothing_is_lost_and_nobody_is_cut(live: Live) -> None:
    versions = [live.serve("load", "errors: accept\n"), live.serve("calm", "errors: accept\n")]
    enough = Event()
    with ThreadPoolExecutor(5) as pool:
        busy: list[Future[list[str]]] = [pool.submit(hammer, live, "load", each, enough) for each in range(3)]
        calm = pool.submit(hammer, live, "calm", 0, enough)
        for errors in ("reject", "accept", "reject"):
            versions.append(live.serve("load", f"errors: {errors}\ntitle: now {errors}\n"))
            live.write("load", "errors: perhaps\n")
            assert live.told("load")["did"] == "refused"
            live.serve("other", f"title: {errors}\n")
            (live.channels / "other.yaml").unlink()
            assert live.told("other")["did"] == "removed"
            live.write("load", f"errors: {errors}\ntitle: now {errors}\n")
        enough.set()
        answered = [reply for each in (*busy, calm) for reply in each.result()]
    rows = live.rows(
        "SELECT code || ' ' || control_id, channel_version, code FROM message WHERE channel IN ('load', 'calm')"
    )
    assert sorted(answered) == sorted(row[0] for row in rows)
    assert {row[1] for row in rows} <= set(versions)
    accepting = {versions[0], versions[1], versions[3]}
    assert {(row[1] in accepting, row[2]) for row in rows} == {(True, "AA"), (False, "AE")}
    assert set(calm.result()[0][:2]) == {"A"}


def test_a_connection_goes_on_under_the_next_version(live: Live) -> None:
    first = live.serve("goes-on", "errors: accept\n")
    with live.line("goes-on") as line:
        assert line.ask(wrong("G1")) == "AA G1"
        second = live.serve("goes-on", "errors: reject\n")
        assert line.ask(wrong("G2")) == "AE G2"
        assert live.reloaded("goes-on")["channels"][0]["did"] == "unchanged"
        live.write("goes-on", "# a comment\nerrors:   reject\n")
        assert live.reloaded("goes-on")["channels"][0]["version"] == second
        assert line.ask(request("G3")) == "AA G3"
    found = live.rows("SELECT channel_version FROM message WHERE control_id IN ('G1', 'G2', 'G3') ORDER BY id")
    assert found == [(first,), (second,), (second,)]
    assert live.rows("SELECT version FROM channel_version WHERE channel = 'goes-on' ORDER BY first_seen") == [
        (first,), (second,),
    ]  # fmt: skip


def test_what_frames_a_message_changes_too(live: Live) -> None:
    live.serve("framed")
    with live.line("framed") as line:
        assert line.ask(request("F1")) == "AA F1"
        live.serve("framed", "framing: {max_bytes: 1024}\n")
        assert line.ask(request("F2") + b"NTE|1||" + b"x" * 2000 + b"\r") == "AR F2"


def test_another_address(live: Live) -> None:
    live.serve("moves")
    before = live.ports["moves"]
    with live.line("moves") as line:
        assert line.ask(request("M1")) == "AA M1"
        line.send(*(request(f"M{each}") for each in range(2, 12)))
        live.ports["moves"] = free_port()
        live.serve("moves")
        with live.line("moves") as other:
            assert other.ask(request("M20")) == "AA M20"
        rest = line.rest()  # what was read is answered; then senders see that they have to go elsewhere
        assert rest == [f"AA M{each}" for each in range(2, 2 + len(rest))]
    with pytest.raises(OSError, match="refused"):
        Line(before)
    stored = live.rows("SELECT control_id FROM message WHERE channel = 'moves' AND code = 'AA'")
    assert sorted(row[0] for row in stored) == sorted(["M1", "M20", *(reply.split()[1] for reply in rest)])


def test_addresses_change_hands(live: Live) -> None:
    live.serve("left")
    live.serve("right")
    left, right = live.ports["left"], live.ports["right"]
    live.ports |= {"left": right, "right": left}
    live.write("left")
    live.write("right")
    assert [each["did"] for each in live.reloaded()["channels"]] == ["changed", "changed"]
    for name, port in (("left", right), ("right", left)):
        with Line(port) as line:
            assert line.ask(request(f"H-{name}")) == f"AA H-{name}"
    found = live.rows("SELECT control_id, channel FROM message WHERE control_id LIKE 'H-%' ORDER BY 1")
    assert found == [("H-left", "left"), ("H-right", "right")]


def test_the_same_port_in_another_way(live: Live) -> None:
    live.serve("wider")
    port = live.ports["wider"]
    live.write("wider", listen=f"tcp:{port}:interface=127.0.0.1:backlog=20")
    assert live.reloaded("wider")["channels"][0]["did"] == "changed"
    with live.line("wider") as line:
        assert line.ask(request("W1")) == "AA W1"


def test_a_port_that_is_taken_leaves_the_old_version(live: Live) -> None:
    version = live.serve("stays")
    with socket.create_server(("127.0.0.1", 0)) as taken, live.line("stays") as line:
        port = taken.getsockname()[1]
        live.write("stays", "title: Elsewhere\n", listen=f"tcp:{port}:{LOCAL}")
        (told,) = live.reloaded("stays")["channels"]
        assert (told["did"], told["version"]) == ("refused", version)
        assert told["text"] == f"channel stays can not listen on tcp:{port}:{LOCAL}: address already in use"
        assert line.ask(request("S1")) == "AA S1"
    live.write("stays")
    live.write("twice", listen=f"tcp:{live.ports['stays']}:{LOCAL}")
    told = live.told("twice")
    assert (told["did"], told["version"]) == ("refused", "")
    assert "already listened on by channel stays" in told["text"] or "is already used by" in told["text"]
    (live.channels / "twice.yaml").unlink()


def test_a_channel_that_is_gone_answers_what_is_under_way(live: Live) -> None:
    live.serve("ends")
    port = live.ports["ends"]
    with live.line("base") as other, live.line("ends") as line:
        line.send(*(request(f"E{each}") for each in range(30)))
        replies = [line.reply()]
        path = live.channels / "ends.yaml"
        path.unlink()
        found = live.ask(ask="reload", channel="ends")
        assert found["error"].startswith("channel ends has no file any more")
        assert live.told("ends")["did"] == "removed"
        replies += line.rest()
        assert other.ask(request("E-other")) == "AA E-other"
    assert replies == [f"AA E{each}" for each in range(len(replies))]
    stored = live.rows("SELECT code || ' ' || control_id FROM message WHERE channel = 'ends' ORDER BY id")
    assert [row[0] for row in stored] == replies
    with pytest.raises(OSError, match="refused"):
        Line(port)


def test_one_may_be_removed_by_name_and_comes_again_with_the_next_reload(live: Live) -> None:
    version = live.serve("again")
    assert live.reloaded("again", remove=True)["channels"][0]["did"] == "removed"
    with pytest.raises(OSError, match="refused"):
        live.line("again")
    assert live.told("again") == {
        "channel": "again", "did": "added", "version": version, "before": "", "text": "",
    }  # fmt: skip
    with live.line("again") as line:
        assert line.ask(request("A1")) == "AA A1"


def to(listener: Listener, name: str = "payer") -> str:
    """A channel that sends on, in order."""
    mllp = f"{{mllp: {{connect: 'tcp:127.0.0.1:{listener.port}'}}, retry: {{first_seconds: 0.1, most_seconds: 0.1}}}}"
    return f"order_by: channel\ndestinations:\n  {name}: {mllp}\n"


def test_destinations_change_and_the_queue_keeps_what_it_has(live: Live) -> None:
    silent = Listener(lambda *_: b"")
    with Listener() as second, silent:
        live.serve("sends", to(silent))
        with live.line("sends") as line:
            for each in range(5):
                assert line.ask(request(f"D{each}")) == f"AA D{each}"
            assert silent.changed(lambda: bool(silent.got))
            live.serve("sends", to(second))
            assert second.changed(lambda: len(second.got) == 5)
            assert line.ask(request("D5")) == "AA D5"
            assert second.changed(lambda: len(second.got) == 6)
    assert list(dict.fromkeys(second.got)) == [f"D{each}" for each in range(6)]


def test_what_waits_for_a_destination_that_is_gone_stays_and_is_told(live: Live) -> None:
    with Listener() as listener:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            dead = closed.getsockname()[1]
        live.serve("strands", to(listener).replace(str(listener.port), str(dead)))
        with live.line("strands") as line:
            assert line.ask(request("T1")) == "AA T1"
        live.write("strands")
        report = live.reloaded("strands")
        assert {"destination": "strands/payer", "deliveries": 1} in report["stranded"]
        assert live.logged("queue.stranded")
        live.serve("strands", to(listener))
        assert listener.changed(lambda: listener.got == ["T1"])
        assert not [each for each in live.reloaded("strands")["stranded"] if each["destination"] == "strands/payer"]


def test_what_was_forwarded_is_answered_though_nothing_is_forwarded_any_more(live: Live) -> None:
    """On the connection to the destination that is gone, and on the channel that answers may come to."""
    with Listener(lambda *_: b"") as payer:
        live.serve("back")
        live.serve("front", forwarding(payer, answers_on="back", within_seconds=20))
        with live.line("front") as line, live.line("front") as other, live.line("back") as back:
            line.send(request("F1"))
            assert payer.changed(lambda: len(payer.got) == 1)
            other.send(request("F2", number="PA2"))
            while live.rows("SELECT count(*) FROM forward") != [(2,)]:
                live.reloaded("back")
            live.serve("front")
            payer.say(rpa(payer.got[0]))
            assert line.reply() == "AA F1"
            assert payer.changed(lambda: len(payer.got) == 2)
            payer.say(ack(payer.got[1]))  # a receipt: its answer comes otherwise
            assert back.ask(answer("B1", payer.got[1], number="PA2", modes=("AL", "NE"))) == "CA B1"
            assert other.reply() == "AA F2"
            assert line.ask(request("F3")) == "AA F3"  # by the engine itself


def test_steps_in_python_end_under_the_version_that_they_began(live: Live) -> None:
    module = live.channels / "site_steps.py"
    code = "import time\n\ndef mark(message):\n    time.sleep({0})\n    message.segment('PID')[2] = '{1}'\n"
    module.write_text(code.format(0.1, "one"))
    steps = "steps: [{python: 'site_steps:mark', seconds: 5}]\n"
    first = live.serve("shapes", steps)
    with live.line("shapes") as line:
        line.send(*(request(f"P{each}") for each in range(6)))
        replies = [line.reply()]
        module.write_text(code.format(0, "two"))
        second = live.serve("shapes", steps)
        line.send(request("P6"))
        replies += [line.reply() for _ in range(6)]
    assert replies == [f"AA P{each}" for each in range(7)]
    rows = live.rows("SELECT shaped, channel_version FROM message WHERE channel = 'shapes' ORDER BY id")
    marks = [(b"PID||one" in row[0], row[1]) for row in rows]
    assert set(marks) == {(True, first), (False, second)}
    assert b"PID||two" in rows[-1][0]


def test_a_module_that_fails_is_refused(live: Live) -> None:
    (live.channels / "broken_steps.py").write_text("def mark(message):\n    return None\n")
    version = live.serve("breaks", "steps: [{python: 'broken_steps:mark'}]\n")
    (live.channels / "broken_steps.py").write_text("def mark(message)\n")
    (told,) = live.reloaded("breaks")["channels"]
    assert (told["did"], told["version"]) == ("refused", version)
    assert "SyntaxError" in told["text"]
    (live.channels / "broken_steps.py").unlink()
    (live.channels / "breaks.yaml").unlink()


def test_sighup_reads_all_again(live: Live) -> None:
    live.write("hears")
    live.hangup()
    while not (logged := [each for each in live.logged("channel.added") if each["channel"] == "hears"]):
        assert live.process.poll() is None
    with live.line("hears") as line:
        assert line.ask(request("HUP1")) == "AA HUP1"
    assert logged[0]["version"]


def test_alerts_are_read_again_and_checked_before(live: Live) -> None:
    live.write("watched")
    alerts = live.channels / "alerts.yaml"
    rule = "{name: silent, idle_minutes: 0.001, channels: [%s]}"
    alerts.write_text("every_seconds: 0.1\nrules: [" + rule % "watched" + "]\n")
    assert live.told("alerts.yaml")["did"] == "added"
    while not (opened := live.logged("alert.opened")):
        assert live.process.poll() is None
    assert [(each["rule"], each["subject"]) for each in opened] == [("silent", "watched")]
    alerts.write_text("rules: [" + rule % "nobody" + "]\n")
    told = live.told("alerts.yaml")
    assert told["did"] == "refused"
    assert "alerts.yaml:1: rules.0.channels.0: unknown channel 'nobody'" in told["text"]
    alerts.write_text("every_seconds: 0.1\nrules: [{name: deep, queue_depth: 5}]\n")
    assert live.told("alerts.yaml")["did"] == "changed"
    while not (ended := live.logged("alert.resolved")):
        assert live.process.poll() is None
    assert [(each["rule"], each["subject"]) for each in ended] == [("silent", "watched")]
    assert len(live.logged("alert.opened")) == 1
    alerts.unlink()
    assert live.told("alerts.yaml")["did"] == "removed"


def test_new_certificates_are_read_with_a_reload_also_by_workers(live: Live) -> None:
    authority = Authority(live.channels)
    soon = datetime.fromtimestamp(now() / 1_000_000, UTC) + timedelta(days=9)
    authority.sign("front", "front.example", subject="first.example", ends=soon)
    live.serve("front", "tls: {certificate: front.pem, key: front.key}\n")
    alerts = live.channels / "alerts.yaml"
    rule = "{name: ends, certificate_days: 30, after_minutes: 0, clear_minutes: 0}"
    alerts.write_text(f"every_seconds: 0.1\nrules: [{rule}]\n")
    assert live.told("alerts.yaml")["did"] == "added"
    while "ends" not in [each["rule"] for each in live.logged("alert.opened")]:
        assert live.process.poll() is None
    trusts = ssl.create_default_context(cafile=str(authority.path))

    def shown() -> str:
        plain = socket.create_connection(("127.0.0.1", live.ports["front"]), SECONDS)
        with plain, trusts.wrap_socket(plain, server_hostname="front.example") as line:
            return str((line.getpeercert() or {})["subject"])

    assert all("first.example" in shown() for _ in range(4))
    authority.sign("front", "front.example", subject="second.example")
    live.reloaded()
    assert all("second.example" in shown() for _ in range(4))
    while "ends" not in [each["rule"] for each in live.logged("alert.resolved")]:
        assert live.process.poll() is None
    alerts.unlink()
    assert live.told("alerts.yaml")["did"] == "removed"


def test_a_worker_that_begins_later_has_the_channels_of_now(live: Live) -> None:
    if not live.workers():
        pytest.skip("it has no workers")
    live.serve("later", "errors: reject\n")
    version = live.serve("later", "errors: accept\n")
    for worker in live.workers():
        os.kill(worker, signal.SIGKILL)
    while True:
        try:
            with live.line("later") as line:
                assert line.ask(wrong("L1")) == "AA L1"
                break
        except ConnectionError:
            assert live.process.poll() is None
    assert live.rows("SELECT DISTINCT channel_version FROM message WHERE control_id = 'L1'") == [(version,)]


def test_the_commands(live: Live) -> None:
    version = live.serve("typed", "errors: accept\n")
    ran = run("channel", "reload", "typed", database=live.database)
    assert ran == (0, f"typed is unchanged: version {version}\n", "")
    path = live.write("typed", "errors: perhaps\n")
    ran = run("channel", "reload", "typed", database=live.database)
    assert ran.code == 1
    said = (
        f"typed goes on as version {version}, for its file is refused: channels/typed.yaml:3: errors: Input should be"
    )
    assert ran.out.startswith(said)
    path.unlink()
    ran = run("channel", "reload", "typed", "--remove", database=live.database)
    assert (ran.code, ran.out.splitlines()[0]) == (0, "typed is no longer served")
    ran = run("channel", "reload", "nosuch", database=live.database)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("hl7auth: unknown channel 'nosuch' (known: ")
    ran = run("channel", "reload", "--remove", database=live.database)
    assert ran == (2, "", "hl7auth: --remove wants the name of a channel\n")


def test_many_connections_of_one_channel(live: Live) -> None:
    live.serve("many")
    with ExitStack() as stack:
        lines = [stack.enter_context(live.line("many")) for _ in range(20)]
        live.serve("many", "title: Changed\n")
        for number, line in enumerate(lines):
            assert line.ask(request(f"N{number}")) == f"AA N{number}"


def test_a_folder_without_channels_is_no_reason_to_end_all(live: Live) -> None:
    away = live.folder / "away"
    live.channels.rename(away)
    try:
        assert "no such folder of channels" in live.ask(ask="reload")["error"]
        with live.line("base") as line:
            assert line.ask(request("Z1")) == "AA Z1"
    finally:
        away.rename(live.channels)


@pytest.mark.parametrize("junk", [b"{}\n", b"reload\n", b"[1]\n", b'{"ask": "stop"}\n', b"x" * 5000])
def test_the_door_answers_nonsense_with_a_sentence(live: Live, junk: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(10)
        door.connect(os.path.relpath(live.folder / "live.db.control"))
        door.sendall(junk)
        assert b'"error"' in door.recv(65_536)


def test_the_door_is_for_its_own_user_alone(live: Live) -> None:
    assert (live.folder / "live.db.control").stat().st_mode & 0o777 == 0o600


def test_the_door_goes_with_the_engine(tmp_path: Path) -> None:
    with Live(tmp_path) as engine:
        door = engine.folder / "live.db.control"
        assert door.is_socket()
        engine.reloaded()
    assert not door.exists()
    ran = run("channel", "reload", database=engine.database)
    assert (ran.code, "no engine answers at" in ran.err) == (2, True)
    ran = run("channel", "reload", database="sqlite://")
    assert (ran.code, "no control door of its own" in ran.err) == (2, True)
