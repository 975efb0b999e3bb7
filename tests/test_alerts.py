"""Alerts of real engines: told to a real hook, once for each incident, over a restart."""

import json
from pathlib import Path

from tests.cli.inline import run
from tests.engine import request
from tests.net.hooks import HookServer
from tests.outbox import Listener
from tests.serving import Line, Serving
from tests.test_seen import SHOWN, forwarding, metrics, until

RULES = """\
every_seconds: 0.2
notify:
  desk: {{http: {{url: "{url}"}}}}
  dead: {{http: {{url: "http://127.0.0.1:1/"}}}}
rules:
  - {{name: down, down_minutes: 0.001, clear_minutes: 0, severity: critical, destinations: [referral-intake/dead]}}
  - {{name: errors, error_rate: {{percent: 20, minutes: 5, at_least: 4}}, notify: [desk]}}
"""


def test_an_incident_is_told_once_over_a_restart_and_a_dead_hook_delays_nothing(tmp_path: Path) -> None:
    with HookServer() as hook, Listener() as listener:
        (tmp_path / "channels").mkdir()
        (tmp_path / "channels" / "alerts.yaml").write_text(RULES.format(url=hook.url))
        with Serving(tmp_path, 1, options=SHOWN, **forwarding(listener)) as engine:
            port = engine.shows()
            (down,) = hook.until(1)
            assert [down[key] for key in ("event", "rule", "subject", "severity")] == [
                "opened", "down", "referral-intake/dead", "critical",
            ]  # fmt: skip
            with Line(engine.port) as line:
                for number in range(4):
                    assert line.ask(request(f"C{number}").replace(b"|P|2.5", b"|T|2.5")).startswith("AR")
            assert [each["rule"] for each in hook.until(2)] == ["down", "errors"]
            shown = until(port, lambda it: len(it["alerts"]) == 2)
            assert [each["rule"] for each in shown["alerts"]] == ["down", "errors"]
            assert metrics(port)["hl7auth_alerts_open", "errors"] == 1
            text = run("channel", "status", "--metrics", str(port)).out
            assert "ALERT down since" in text
        with Serving(tmp_path, 1, options=SHOWN, **forwarding(listener)) as engine:
            until(engine.shows(), lambda it: len(it["alerts"]) == 2 and it["destinations"][1]["state"] == "down")
            with Line(engine.port) as line:
                for number in range(8):
                    assert line.ask(request(f"D{number}").replace(b"|P|2.5", b"|T|2.5")).startswith("AR")
        assert [(each["event"], each["rule"]) for each in hook.got] == [("opened", "down"), ("opened", "errors")]
        words = ("channel", "status", "--channels", str(tmp_path / "channels"), "--metrics", "1", "--format", "json")
        stored = run(*words, database=f"sqlite:///{engine.database}").document
        assert [each["rule"] for each in stored["alerts"]] == ["down", "errors"]
        assert "77001" not in json.dumps(hook.got)
