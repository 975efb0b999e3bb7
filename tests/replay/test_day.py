"""A day of mixed traffic: recorded by an engine that sends it on, rebuilt, replayed, compared."""

from collections import Counter
from pathlib import Path

from tests.cli.inline import run
from tests.engine import request
from tests.replay.sink import Sink, says
from tests.running import SECONDS, Running
from tests.serving import Line
from tests.store.postgres import shared
from tests.store.stored import samples

VERSIONS = ("authorization", "list", "--format", "json", "--limit", "0")
ACCEPTED = ("message", "list", "--disposition", "accepted", "--format", "json", "--limit", "0")


def test_a_day_that_is_replayed_changes_nothing_and_delivers_nothing_twice(tmp_path: Path) -> None:
    sink = Sink(lambda raw: says("AA", raw))
    more = f'destinations:\n  copy: {{mllp: {{connect: "tcp:{sink.to}"}}}}\n'
    url = f"sqlite:///{tmp_path / 'north.db'}"
    words = ("--channels", str(tmp_path))
    with Running(tmp_path, more) as running:
        for raw in samples():
            with Line(running.port) as line:  # what is refused may end a connection
                line.send(raw)
                line.send(request("LAST"))
                while line.reply() != "AA LAST":
                    pass
        accepted = run(*ACCEPTED, database=url).document
        came = Counter(sink.news.get(timeout=SECONDS) for _ in accepted)
        assert came == Counter(each["control_id"] for each in accepted)
        before = run(*VERSIONS, database=url).out
        assert run("db", "check", "--rebuild", *words, database=url).code == 0

        # the engine goes on meanwhile
        plan = run("replay", "plan", "--disposition", "accepted", *words, "--format", "json", database=url).document
        assert plan["states"] == {"skipped": len(accepted)}
        assert run("replay", "run", plan["replay"], *words, database=url).code == 0
        assert run(*VERSIONS, database=url).out == before
        number = run("replay", "plan", *words, "--format", "json", database=url).document["replay"]
        run("replay", "run", number, *words, database=url)
        report = run("replay", "report", number, "--limit", "0", "--format", "json", database=url).document
        ids = {each["id"] for each in accepted}
        assert {each["state"] for each in report["items"] if each["origin"] in ids} == {"skipped"}
        # what was refused then and is taken now, for what it needs came later in the day: once
        applied = [each["control_id"] for each in report["items"] if each["state"] == "done"]
        again = run("replay", "plan", *words, "--format", "json", database=url).document
        assert again["states"].keys() == {"skipped"}
        with Line(running.port) as line:
            assert line.ask(request("NEW")) == "AA NEW"
        news = [sink.news.get(timeout=SECONDS) for _ in (*applied, "NEW")]
        assert Counter(news) == Counter([*applied, "NEW"])
    sink.close()
    assert sink.news.empty()
    assert run("db", "check", "--rebuild", *words, database=url).code == 0


def test_a_server_keeps_plans_and_effects_together(tmp_path: Path) -> None:
    url = shared().database()
    assert run("db", "upgrade", database=url).code == 0
    file = tmp_path / "some.hl7"
    file.write_bytes(b"".join(request(f"C{each}", number=f"PA{each}") for each in range(5)))
    words = ("--from", str(file), "--to-channel", "referral-intake", "--format", "json")
    plan = run("replay", "plan", *words, database=url).document
    assert run("replay", "run", plan["replay"], "--format", "json", database=url).document["states"] == {"done": 5}
    assert run("replay", "plan", *words, database=url).document["expected"] == {"done": 5}
    again = run("replay", "plan", *words, "--again", "lost", database=url).document
    assert run("replay", "run", again["replay"], "--format", "json", database=url).document["states"] == {"done": 5}
    assert run("replay", "run", again["replay"], "--format", "json", database=url).document["states"] == {"done": 5}
    assert len(run("message", "list", "--format", "json", database=url).document) == 10
    assert run("db", "check", "--rebuild", database=url).code == 0
