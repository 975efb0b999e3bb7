"""alerts.yaml: what may stand in it, and what is said of mistakes and of what is merely odd."""

from pathlib import Path

import pytest
import yaml

from hl7auth.errors import ConfigError
from hl7auth.flow.alert import Alerts, AlertsFile, Hours, alert_doubts, load_alerts
from hl7auth.flow.channel import load_channels
from hl7auth.flow.channel_schema import channel_schema, meanings
from tests.cli.inline import run
from tests.flow.certificates import LONG
from tests.flow.json_schema import faults

EVERYTHING = """\
every_seconds: 2
time_zone: Europe/Berlin
notify:
  desk: {http: {url: "https://desk.example/hook", headers: {Authorization: "${TOKEN}"}, seconds: 3}}
  journal: {file: var/alerts.jsonl}
rules:
  - name: quiet
    idle_minutes: 30
    channels: [north]
    hours: {days: [mon, tue], opens: "08:00", closes: "18:00"}
  - {name: old, queue_age_minutes: 15, destinations: [north/payer], severity: critical, notify: [desk]}
  - {name: deep, queue_depth: 1000, channels: [north]}
  - {name: errors, error_rate: {percent: 5, minutes: 10, at_least: 20}, after_minutes: 1, clear_minutes: 10}
  - {name: undelivered, error_rate: {percent: 50}, destinations: [north/payer]}
  - {name: certificate, certificate_days: 30}
  - {name: down, down_minutes: 5}
  - {name: store, database_minutes: 1}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = "destinations:\n  payer: {mllp: {connect: 'tcp:127.0.0.1:1', tls: {trust: north.pem}}}\n"
    lines += "  paper: {file: {folder: out}}\n"
    (tmp_path / "north.yaml").write_text(f"channel: north\nlisten: tcp:1:interface=127.0.0.1\n{lines}")
    (tmp_path / "south.yaml").write_text("channel: south\nlisten: tcp:2:interface=127.0.0.1\n")
    return tmp_path


def loaded(folder: Path, text: str) -> Alerts:
    (folder / "alerts.yaml").write_text(text)
    alerts = load_alerts(folder, load_channels(folder), {"TOKEN": "secret"})
    assert alerts is not None
    return alerts


def test_without_the_file_there_are_none_and_it_is_no_channel(folder: Path) -> None:
    assert load_alerts(folder, load_channels(folder)) is None
    alerts = loaded(folder, EVERYTHING)
    assert [channel.name for channel in load_channels(folder)] == ["north", "south"]
    assert alerts.file.notify["desk"].http is not None
    assert alerts.file.notify["desk"].http.headers == {"Authorization": "secret"}


def test_each_rule_looks_at_what_it_is_about(folder: Path) -> None:
    alerts = loaded(folder, EVERYTHING)
    destinations = ("north/payer", "north/paper")
    assert {rule.name: alerts.subjects(rule) for rule in alerts.file.rules} == {
        "quiet": ("north",),
        "old": ("north/payer",),
        "deep": destinations,
        "errors": ("north", "south"),
        "undelivered": ("north/payer",),
        "certificate": ("north", "south"),
        "down": destinations,
        "store": ("database",),
    }


RULE = "rules: [{{name: a, {}}}]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules: []", "alerts.yaml:1: rules: "),
        ("every_seconds: 1", "key 'rules' is missing"),
        (RULE.format("idle_minuts: 3"), "unknown key 'rules.0.idle_minuts' (did you mean 'idle_minutes'?)"),
        (RULE.format("severity: warning"), "rules.0: a rule has exactly one of idle_minutes, queue_age_minutes"),
        (RULE.format("idle_minutes: 1, queue_depth: 1"), "a rule has exactly one of"),
        (RULE.format("idle_minutes: 0"), "rules.0.idle_minutes: "),
        (RULE.format("idle_minutes: 1, destinations: [north/payer]"), "idle_minutes is not about destinations"),
        (RULE.format("queue_depth: 1, hours: {opens: '08:00'}"), "hours go with idle_minutes only"),
        (RULE.format("idle_minutes: 1, hours: {opens: '8:00'}"), "'8:00' is no time of the day"),
        (RULE.format("idle_minutes: 1, hours: {days: [monday]}"), "rules.0.hours.days.0"),
        (RULE.format("idle_minutes: 1, channels: [nort]"), "channels.0: unknown channel 'nort' (known: north, sou"),
        (RULE.format("down_minutes: 1, destinations: [payer]"), "unknown destination 'payer' (known: north/payer, n"),
        (RULE.format("down_minutes: 1, notify: [desk]"), "rule a notifies 'desk' (known: nobody)"),
        (RULE.format("error_rate: {percent: 100}"), "rules.0.error_rate.percent"),
        ("time_zone: Mars/Base\n" + RULE.format("down_minutes: 1"), "yaml:1: time_zone: unknown time zone 'Mars/Base'"),
        ("time_zone: ../../etc\n" + RULE.format("down_minutes: 1"), "unknown time zone"),
        ("notify: {a: {}}\n" + RULE.format("down_minutes: 1"), "notify.a: exactly one of file and http is expected"),
        ("notify: {a: {http: {url: 'ftp://x'}}}\n" + RULE.format("down_minutes: 1"), "'ftp://x' is no http:// or"),
        ('notify: {a: {http: {url: "http://x", headers: {A: "b\\nC"}}}}\n' + RULE.format("queue_depth: 1"), "line end"),
        ("notify: {a: {http: {url: 'http://${HOST}/'}}}\n" + RULE.format("queue_depth: 1"), "variable HOST is not set"),
        ("rules: [{name: a, down_minutes: 1}, {name: a, queue_depth: 1}]", "two rules are called 'a'"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_file_line_and_key(folder: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text)
    assert said in str(caught.value)
    assert "alerts.yaml:" in str(caught.value)


def test_the_schema_takes_what_loading_takes_and_explains_every_key() -> None:
    schema = channel_schema(AlertsFile, "The alerts of hl7auth")
    assert list(faults(yaml.safe_load(EVERYTHING), schema)) == []
    assert list(faults(yaml.safe_load(RULE.format("idle_minuts: 3")), schema)) == ["rules.0.idle_minuts: no such key"]
    known = meanings(schema)
    assert {"every_seconds", "rules.idle_minutes", "rules.hours.opens", "notify.*.http.seconds"} <= set(known)
    assert known["rules.queue_depth"].startswith("More deliveries")
    assert run("channel", "schema", "--alerts").document == schema


def test_what_looks_at_nothing_is_said(folder: Path) -> None:
    text = EVERYTHING + "  - {name: south-down, down_minutes: 1, channels: [south]}\n"
    found = alert_doubts(
        loaded(folder, text.replace("notify: [desk]", "notify: []") + "  - {name: x, queue_depth: 1}\n")
    )
    assert [(key, where.rpartition("/")[2]) for key, _, where in found] == [("rules.9", "alerts.yaml:18")]
    nobody = "notify: {a: {file: x}}\nrules: [{name: c, certificate_days: 3, channels: [south], notify: []}]"
    texts = [text for _, text, _ in alert_doubts(loaded(folder, nobody))]
    assert texts == ["c looks at nothing: no channel that it is about has a certificate", "nobody notifies a"]


def test_channel_check_checks_them_too(folder: Path) -> None:
    (folder / "north.pem").write_bytes(LONG)
    loaded(folder, EVERYTHING.replace("${TOKEN}", "x"))
    good = run("channel", "check", "--channels", str(folder))
    assert "alerts.yaml: set of 8 alert(s) is good" in good.out
    (folder / "alerts.yaml").write_text("rules: [{name: a, idle_minuts: 3}]")
    bad = run("channel", "check", "--channels", str(folder))
    assert (bad.code, "alerts.yaml:1: unknown key 'rules.0.idle_minuts'" in bad.out) == (1, True)
    started = run("serve", "--channels", str(folder), database=f"sqlite:///{folder}/s.db")
    assert (started.code, "alerts.yaml:1: unknown key" in started.err) == (2, True)


def test_hours_beyond_midnight() -> None:
    assert Hours(opens="22:00", closes="06:00").minutes == (22 * 60, 30 * 60)
    assert Hours().minutes == (0, 24 * 60)
