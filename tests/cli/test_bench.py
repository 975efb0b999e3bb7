"""The benchmark: its limit program, its load generator, its message, and the report that is made of them."""

import asyncio
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from queue import Queue

import pytest
import yaml

from hl7auth.cli import bench, bench_run
from hl7auth.errors import UserError
from hl7auth.proof import processes
from hl7auth.resources import shipped
from hl7auth.rules.check import check
from hl7auth.rules.compiled import compiled
from hl7auth.wire.message import parse

sys.path.insert(0, str(shipped("benchmarks").parent))
from benchmarks import check as check_cost
from benchmarks import limit, load, template

SMALL = "MSH|^~\\&|A|B|C|D|20260304||RQA^I08^RQA_I08|@@ID@@|P|2.8.2\rNTE|1|P|short\r"


@contextmanager
def started(script: str, *arguments: str, stop: signal.Signals = signal.SIGTERM) -> Iterator[int]:
    """The port of a benchmark server that runs as a process of its own."""
    command = [sys.executable, str(shipped("benchmarks") / script), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            word, port = process.stdout.readline().split()
            assert word == "ready"
            yield int(port)
        finally:
            process.send_signal(stop)
    assert process.returncode == (0 if stop is signal.SIGTERM else -stop)


def rows(database: Path) -> dict[str, bytes]:
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        found = connection.execute("SELECT control_id, raw FROM message").fetchall()
    assert len(found) == len(dict(found))
    return dict(found)


# the message


def test_the_message_is_a_full_request_of_the_usual_size() -> None:
    raw = template.message(template.TEMPLATE, 7, "AB12CD").decode()
    segments = [segment.split("|") for segment in raw.split("\r")[:-1]]
    assert 2300 <= len(raw) <= 2500
    assert " ".join(segment[0] for segment in segments) == (
        "MSH RF1 PRD PRD CTD PID NK1 GT1 IN1 DG1 DRG AL1 PR1 AUT PR1 AUT OBR OBX PV1 NTE"
    )
    authorizations = [segment for segment in segments if segment[0] == "AUT"]
    assert [len(fields) - 1 for fields in authorizations] == [29, 29]
    # it asks: all fields but what an answer grants (AUT-9), and no action code
    assert [[number for number, text in enumerate(fields) if not text] for fields in authorizations] == [[9, 29]] * 2
    assert len({fields[6] for fields in authorizations}) == 1


@pytest.mark.parametrize("profile", ["referral", "rqa-i08", "referral-strict"])
def test_the_message_breaks_no_rule(profile: str) -> None:
    message = parse(template.message(template.TEMPLATE, 7, "AB12CD"))
    rules = compiled(profile, message.header.version)
    layout = rules.layout("RQA_I08", tuple(segment.name for segment in message.segments))
    assert check(message, rules, layout) == []


@pytest.mark.parametrize(
    ("text", "least", "segments"),
    [
        (template.TEMPLATE, 2_300, 20),
        (check_cost.observations(20_000), 19_900, 227),
        (check_cost.document(20_000), 20_000, 21),
    ],
)
def test_what_the_check_costs_is_measured_on_messages_that_are_right(text: str, least: int, segments: int) -> None:
    found = check_cost.measure(text, "referral", 0.001)
    assert found["messages"] >= 5
    assert (found["findings"], found["segments"]) == (0, segments)
    assert least <= found["bytes"] <= 1.2 * least
    assert 0 < found["check_best_ms"] <= found["check_ms"]


def test_every_message_has_its_own_identifiers_of_fixed_width() -> None:
    seen: set[str] = set()
    for number in (0, 9, 10, 99_999_999):
        segments = template.message(template.TEMPLATE, number, "AB12CD").decode().split("\r")
        control_id = segments[0].split("|")[9]
        referral = segments[1].split("|")[6].split("^")[0]
        authorization = segments[13].split("|")[6].split("^")[0]
        assert (len(control_id), len(referral), len(authorization)) == (20, 15, 15)
        seen |= {control_id, referral, authorization}
    assert len(seen) == 12


@pytest.mark.parametrize("number", [0, 1, 12_345_678])
def test_the_numbered_frame_equals_the_message(number: int) -> None:
    framed = template.framed(template.TEMPLATE, "Z9")
    frame = bytearray(framed.frame)
    for at in framed.places:
        frame[at : at + template.DIGITS] = b"%08d" % number
    assert bytes(frame) == b"\x0b" + template.message(template.TEMPLATE, number, "Z9") + b"\x1c\r"


@pytest.mark.parametrize(("prefix", "number"), [("", 0), ("SEVENCH", 0), ("A|B", 0), ("A", -1), ("A", 10**8)])
def test_a_prefix_or_number_that_does_not_fit_is_refused(prefix: str, number: int) -> None:
    with pytest.raises(ValueError, match="prefix"):
        template.message(template.TEMPLATE, number, prefix)


def test_a_template_without_a_place_for_the_control_id_is_refused() -> None:
    with pytest.raises(ValueError, match="@@ID@@"):
        template.framed("MSH|", "A")


# the limit program


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGKILL])
def test_the_limit_program_holds_exactly_what_it_acknowledged(tmp_path: Path, stop: signal.Signals) -> None:
    database = tmp_path / "limit.db"
    with started("limit.py", "--database", str(database), stop=stop) as port:
        result = load.run("127.0.0.1", port, 8, 0, 0, template.TEMPLATE, messages=300, prefix="T1")
    assert (result.sent, result.positive) == (300, 300)
    messages = [template.message(template.TEMPLATE, number, "T1") for number in range(300)]
    assert rows(database) == {limit.control_id(raw).decode(): raw for raw in messages}


def test_pipelined_frames_are_answered_in_order_and_a_bad_one_is_not_stored(tmp_path: Path) -> None:
    database = tmp_path / "limit.db"
    frames = [b"\x0b" + template.message(SMALL, number, "T2") + b"\x1c\r" for number in range(3)]
    sent = b"\r\n" + frames[0] + b"\x0bnot HL7\x1c\r" + frames[1] + b"\n" + frames[2][:50]
    with (
        started("limit.py", "--database", str(database)) as port,
        socket.create_connection(("127.0.0.1", port)) as sender,
    ):
        sender.settimeout(20)
        sender.sendall(sent)
        answers = receive(sender, 3)
        sender.sendall(frames[2][50:])
        answers += receive(sender, 1)
    ids = [limit.control_id(frame[1:]) for frame in frames]
    assert sorted(answers) == sorted([b"MSA|AR|", *(b"MSA|AA|" + ident for ident in ids)])
    assert [answer for answer in answers if answer != b"MSA|AR|"] == [b"MSA|AA|" + ident for ident in ids]
    assert list(rows(database)) == [ident.decode() for ident in ids]


def receive(sender: socket.socket, count: int) -> list[bytes]:
    """The MSA of the next `count` replies."""
    said = b""
    while said.count(b"\x1c\r") < count:
        data = sender.recv(4096)
        assert data, "hung up"
        said += data
    return [reply.split(b"\r")[1] for reply in said.split(b"\x1c\r")[:-1]]


@pytest.mark.parametrize("width", [1, 2, 3, 7, 100, 10_000])
def test_frames_are_found_however_the_bytes_are_cut(width: int) -> None:
    got: list[bytes] = []
    connection = limit.Mllp(lambda _, raw: got.append(raw))
    messages = [template.message(SMALL, number, "T3") for number in range(3)]
    stream = b"".join(b"\x0b" + raw + b"\x1c\r" for raw in messages)
    for at in range(0, len(stream), width):
        connection.data_received(stream[at : at + width])
    assert got == messages


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"MSH|^~\\&|A|B|C|D|1||ACK|ID7|P|2.8\rZZZ|1|2|3|4|5|6|7|8|9|10", b"ID7"),
        (b"MSH#^~\\&#A#B#C#D#1##ACK#ID7", b"ID7"),
        (b"MSH|^~\\&|A\rPID|1|2|3|4|5|6|7|8|9|10", b""),
        (b"FHS|^~\\&|A|B|C|D|1||ACK|ID7", b""),
        (b"", b""),
    ],
)
def test_the_control_id_is_looked_for_in_the_msh_only(raw: bytes, expected: bytes) -> None:
    assert limit.control_id(raw) == expected


# the load generator


@contextmanager
def answering(*answers: str) -> Iterator[int]:
    """A server whose replies to each connection go round the `answers`; `{}` in them is the control id."""
    begun: Queue[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = Queue()
    talks: set[asyncio.Task[None] | None] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            for answer in cycle(answers):
                message = await reader.readuntil(b"\x1c\r")
                reply = answer.format(limit.control_id(message[1:]).decode())
                writer.write(b"\x0bMSH|^~\\&\r" + reply.encode() + b"\r\x1c\r")
        writer.close()

    async def serve() -> None:
        stop = asyncio.Event()
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        begun.put((asyncio.get_running_loop(), stop, server.sockets[0].getsockname()[1]))
        await stop.wait()
        server.close()
        await asyncio.gather(*(task for task in talks if task is not None))

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    loop, stop, port = begun.get(timeout=20)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def test_every_kind_of_reply_is_counted_as_what_it_is() -> None:
    answers = {
        "MSA|AA|{}": "positive",
        "MSA|AE|{}|no": "negative",
        "MSA|AA|{}X": "mismatched",
        "MSA|CA|{}\rNTE|1|P|" + "x" * 200_000: "positive",
        "MSA|AR|{}": "negative",
        "ERR|1": "mismatched",
        "SFT|A\rMSA|AA|{}": "positive",
        "MSA|AA": "mismatched",
    }
    with answering(*answers) as port:
        result = load.run("127.0.0.1", port, 1, 0, 0, SMALL, messages=2 * len(answers))
    assert (result.positive, result.negative, result.mismatched, result.unanswered) == (6, 4, 6, 0)


def test_a_timed_run_measures_after_its_warm_up() -> None:
    with started("canned.py") as port:
        result = load.run("127.0.0.1", port, 4, 0.3, 0.1, template.TEMPLATE)
    assert 0 < result.messages < result.sent == result.positive
    assert 0 < result.p50_ms <= result.p95_ms <= result.p99_ms <= result.max_ms
    assert result.rate == round(result.messages / 0.3, 1)
    assert result.message_bytes == len(template.message(template.TEMPLATE, 0, result.prefix))


def test_a_given_rate_is_not_exceeded() -> None:
    with started("canned.py") as port:
        result = load.run("127.0.0.1", port, 4, 0.3, 0, template.TEMPLATE, 100.0)
    assert 0 < result.sent == result.positive <= 31


def test_a_server_that_hangs_up_is_an_error() -> None:
    def hang_up() -> None:
        server.accept()[0].close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(ConnectionError):
            load.run("127.0.0.1", server.getsockname()[1], 1, 0.3, 0, SMALL)
        thread.join()


@pytest.mark.parametrize(("answer", "status"), [("MSA|AA|{}", 0), ("MSA|AE|{}", 1)])
def test_the_script_prints_one_document_and_exits_by_the_replies(tmp_path: Path, answer: str, status: int) -> None:
    (tmp_path / "message.hl7").write_bytes(SMALL.encode())
    command = [sys.executable, str(shipped("benchmarks") / "load.py"), "--messages", "5"]
    command += ["--template", str(tmp_path / "message.hl7"), "--connections", "2"]
    with answering(answer) as port:
        done = subprocess.run([*command, "--port", str(port)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (status, "")
    assert json.loads(done.stdout)["sent"] == 5


# the report


def test_the_report_holds_every_load_and_one_at_half_of_the_peak(capsys: pytest.CaptureFixture[str]) -> None:
    canned, bound, _ = bench_run.programs(None)
    steps: list[str] = []
    report = bench.compare([canned, bound], [1, 4], 0.2, 1, steps.append)
    assert [each.program for each in report.measurements] == ["canned", "limit", "canned", "limit", "limit"]
    assert len(steps) == 5
    rows_at = [(each.program, each.connections, each.wrong) for each in report.full_load]
    assert rows_at == [("canned", 1, 0), ("limit", 1, 0), ("canned", 4, 0), ("limit", 4, 0)]
    assert all(each.rate.median > 0 for each in report.full_load)
    (half,) = report.half_load
    assert half.offered == round(max(each.rate.median for each in report.full_load if each.program == "limit") / 2, 1)
    assert report.budgets == []
    assert json.loads(bench.document(report))["full_load"][0]["rate"].keys() == {"median", "low", "high"}
    lines = list(bench.text(report))
    assert any(line.startswith("limit") and f"{half.rate.median:,.0f} (" in line for line in lines)
    assert capsys.readouterr().out == ""


LOAD = bench_run.Measurement(
    program="engine",
    connections=64,
    offered=None,
    rate=400.0,
    p50_ms=1.0,
    p95_ms=2.0,
    p99_ms=30.0,
    max_ms=40.0,
    messages=10,
    message_bytes=2400,
    sent=12,
    positive=11,
    negative=1,
    mismatched=0,
    unanswered=0,
    ready_s=1.0,
    cpu_us=None,
    resident_mb=100.0,
    peak_mb=200.0,
)


def test_rounds_become_a_row_of_medians() -> None:
    row = bench.row([LOAD, replace(LOAD, rate=100.0, peak_mb=None), replace(LOAD, rate=300.0, positive=12)])
    assert row.rate == bench.Spread(300.0, 100.0, 400.0)
    assert (row.cpu_us, row.peak_mb, row.resident_mb) == (None, None, bench.Spread(100.0, 100.0, 100.0))
    assert row.wrong == 2


def test_the_engine_is_compared_with_the_limit_program_of_the_same_round() -> None:
    bound = replace(LOAD, program="limit", rate=1000.0)
    half = replace(LOAD, offered=200.0, rate=200.0)
    rounds = [bound, LOAD, replace(bound, rate=2000.0), LOAD, replace(bound, connections=1), half]
    assert bench.shares(rounds, 64) == [0.4, 0.2]
    assert bench.shares(rounds, 1) == []
    share, latency, peak, start = bench.budgets(rounds, [bench.row([half])])
    assert (share.measured, share.met) == (bench.Spread(0.3, 0.2, 0.4), "must")
    assert (latency.measured.median, latency.met) == (30.0, "must")
    assert (peak.measured.median, peak.met) == (200.0, "must")
    assert (start.measured.median, start.met) == (1.0, "aim")


def test_the_engine_on_a_server_is_compared_with_the_one_on_a_file_of_the_same_round() -> None:
    one, two = (
        replace(LOAD, program=name, rate=rate) for name, rate in (("postgresql", 300.0), ("postgresql x 2", 270.0))
    )
    found = {each.figure: each for each in bench.budgets([LOAD, one, two], [])}
    share = found["PostgreSQL: share of the rate on SQLite, 64 connections"]
    assert (share.measured.median, share.must, share.met) == (0.75, 0.6, "must")
    second = found["PostgreSQL: two processes, share of one, 64 connections"]
    assert (second.measured.median, second.must, second.met) == (0.9, 1.0, "missed")
    assert not [name for name in found if name.startswith("postgresql")]  # the rest is for where it ran


def test_the_text_says_what_a_system_does_not_tell_and_that_replies_were_wrong() -> None:
    where = bench_run.Machine("a cpu", 2, "3.11", "3.40", "Linux", "/var", "ext4", 2000.0, False)
    row = bench.row([LOAD])
    lines = list(bench.text(bench.Report(where, 1.0, 1, 2400, [row], [], [], [LOAD])))
    assert any(line.split()[:2] == ["engine", "64"] and " n/a " in line for line in lines)
    assert lines[-1].strip().startswith("1 replies were negative")


def test_memory_and_processor_time_are_read_from_proc() -> None:
    spent, peak = processes.cpu_seconds(os.getpid()), processes.memory_mb(os.getpid(), "VmHWM")
    assert spent is not None
    assert peak is not None
    assert 0 < spent < 100_000
    assert 5 < peak < 100_000
    assert processes.cpu_seconds(0) is None
    assert processes.memory_mb(0, "VmRSS") is None


def test_the_engine_gets_the_shipped_channel_on_a_free_port(tmp_path: Path) -> None:
    command = bench_run.programs(None)[2].command(tmp_path)
    assert command[:3] == ["-m", "hl7auth", "serve"]
    assert f"sqlite:///{tmp_path}/engine.db" in command
    ours = yaml.safe_load((tmp_path / "channels" / "bench.yaml").read_text(encoding="utf-8"))
    theirs = yaml.safe_load((shipped("channels") / "referral-intake.yaml").read_text(encoding="utf-8"))
    assert ours == theirs | {"listen": "tcp:0:interface=127.0.0.1"}


def test_on_a_server_the_engine_runs_in_one_process_and_in_two(tmp_path: Path) -> None:
    url = "postgresql://localhost/bench"
    for count, program in enumerate(bench_run.programs(None, server=url)[-2:], 1):
        (tmp_path / program.name).mkdir()
        command = program.command(tmp_path / program.name)
        assert command[command.index("--database") + 1] == url
        assert command[-2:] == ["--workers", "2"] or count == 1


@pytest.mark.parametrize(
    ("measured", "more", "met"),
    [(0.40, True, "aim"), (0.39, True, "must"), (0.19, True, "missed"), (0.2, False, "aim"), (0.41, False, "missed")],
)
def test_a_figure_is_judged_by_its_budget(measured: float, more: bool, met: str) -> None:
    budget = bench.Budget(0.2, 0.4) if more else bench.Budget(0.4, 0.2)
    assert bench.verdict("figure", bench.spread([measured]), budget, more=more).met == met


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("raise SystemExit('the port is taken')", "the port is taken"),
        ("pass", "it said nothing"),
        (
            "import socket; s = socket.create_server(('127.0.0.1', 0)); print('ready', s.getsockname()[1], flush=True);"
            "s.accept()[0].close(); s.accept()",
            "closed|reset",
        ),
    ],
)
def test_a_program_that_fails_is_named_with_its_last_words(script: str, said: str) -> None:
    program = bench_run.Program("odd", lambda _: ["-c", script], r"^ready (\d+)\n")
    with pytest.raises(UserError, match=said) as failed:
        bench_run.measure(program, 1, 0.2)
    assert "odd" in str(failed.value)


@pytest.mark.parametrize(("connections", "seconds"), [([], 1.0), ([0], 1.0), ([1], 0.0)])
def test_numbers_that_measure_nothing_are_refused(connections: list[int], seconds: float) -> None:
    with pytest.raises(UserError, match="greater than zero"):
        bench.bench(connections, seconds, True, None)


def test_a_benchmark_that_is_told_to_stop_stops_its_server(tmp_path: Path) -> None:
    """The server tells its process id through a FIFO and never gets ready."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    server = f"import os, time; open({str(fifo)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    script = f"""
from hl7auth.cli import bench, bench_run
bench.programs = lambda *_: [bench_run.Program("slow", lambda _: ["-c", {server!r}], "never")]
bench.bench([1], 1.0, True, None)
"""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", script], env=environment) as process:
        number = int(fifo.read_text())
        process.terminate()
    assert process.returncode == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
    assert list(tmp_path.iterdir()) == [fifo]


def test_the_engine_is_measured_beside_the_limit_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.bench([4], 0.3, True, None, rounds=1) == 0
    report = json.loads(capsys.readouterr().out)
    assert [each["program"] for each in report["full_load"]] == ["canned", "limit", "engine"]
    assert [each["program"] for each in report["half_load"]] == ["limit", "engine"]
    assert "engine: start to ready in seconds" in [each["figure"] for each in report["budgets"]]
