"""Figures as others read them: the text format of Prometheus, and plain data for `channel status`.

Imports prometheus_client, flow, domain.clock and net.board only.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest

from hl7auth import __version__
from hl7auth.domain.clock import iso_time
from hl7auth.flow.decision import Disposition
from hl7auth.flow.figures import ChannelFigures, DestinationFigures, Figures, Standing, Waiting
from hl7auth.flow.verdict import Act
from hl7auth.net.board import MOST_IN_BATCH

TEXT = "text/plain; version=0.0.4; charset=utf-8"
"""No name or label needs what later versions of the format added."""

SECOND = 1_000_000

Rates = Mapping[str, float]
"""Messages a second by channel, and deliveries a second by destination (`channel/name`), over the last minute."""

_NOTHING = Waiting()
_UNKNOWN = dict.fromkeys(_NOTHING.entry(0))
_BUCKETS = [*map(float, MOST_IN_BATCH), float("inf")]


class Exposition:
    """The metrics of one engine, and of the process that shows them."""

    def __init__(self) -> None:
        self._found: list[Metric] = []
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def collect(self) -> Iterable[Metric]:
        """For the registry."""
        return self._found

    def text(self, figures: Figures, rates: Rates, more: Iterable[Metric] = ()) -> bytes:
        """All of it in the text format."""
        self._found = [*_engine(figures), *_channels(figures, rates), *_destinations(figures, rates), *more]
        return generate_latest(self._registry)


def gauge(name: str, text: str, label: str, values: Iterable[tuple[str, float]]) -> GaugeMetricFamily:
    """A gauge with one label."""
    found = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values:
        found.add_metric([key], value)
    return found


def _engine(figures: Figures) -> Iterator[Metric]:
    info = GaugeMetricFamily("hl7auth_info", "The engine, with its version as a label", labels=["version"])
    info.add_metric([__version__], 1)
    yield info
    started = figures.started_at / SECOND
    yield GaugeMetricFamily("hl7auth_start_time_seconds", "When the engine started, since 1970", value=started)
    yield gauge(
        "hl7auth_workers", "Processes that take messages, and how many of them serve", "state",
        [("wanted", figures.workers), ("serving", figures.serving)],
    )  # fmt: skip
    up = figures.waiting is not None
    yield GaugeMetricFamily("hl7auth_database_up", "1 while the database answers", value=up)
    *batches, messages = figures.batches
    total, buckets = 0, []
    for bound, count in zip(_BUCKETS, batches, strict=True):
        total += count
        buckets.append(("+Inf" if bound == _BUCKETS[-1] else str(bound), float(total)))
    whole = HistogramMetricFamily("hl7auth_batch_messages", "Messages per commit")
    whole.add_metric([], buckets, sum_value=messages)
    yield whole


def _channels(figures: Figures, rates: Rates) -> Iterator[Metric]:
    came = CounterMetricFamily(
        "hl7auth_messages", "Messages by channel and what became of them", labels=["channel", "disposition"]
    )
    ended = CounterMetricFamily(
        "hl7auth_connections_ended", "Connections that the engine ended or refused, and why", labels=["channel", "end"]
    )
    for channel in figures.channels:
        for disposition, count in channel.messages.items():
            came.add_metric([channel.name, disposition], count)
        for ending, count in channel.endings.items():
            ended.add_metric([channel.name, ending], count)
    yield from (came, ended)
    found = figures.channels
    yield gauge("hl7auth_channel_up", "1 while the channel listens", "channel", ((c.name, c.listening) for c in found))
    yield gauge(
        "hl7auth_connections_open", "Connections that are open", "channel", ((c.name, c.connections) for c in found)
    )
    yield gauge(
        "hl7auth_messages_per_second", "Messages a second over the last minute", "channel",
        ((c.name, rates.get(c.name, 0.0)) for c in found),
    )  # fmt: skip
    yield gauge(
        "hl7auth_last_message_timestamp_seconds", "When the last message came, since 1970; 0 for none since the start",
        "channel", ((c.name, c.last_at / SECOND) for c in found),
    )  # fmt: skip


def _destinations(figures: Figures, rates: Rates) -> Iterator[Metric]:
    acts = CounterMetricFamily(
        "hl7auth_deliveries",
        "Attempts to deliver by destination and what became of them",
        labels=["destination", "act"],
    )
    for each in figures.destinations:
        for act, count in each.acts.items():
            acts.add_metric([each.name, act], count)
    yield acts
    found = figures.destinations
    states = GaugeMetricFamily(
        "hl7auth_destination_state", "1 for the state of the destination", labels=["destination", "state"]
    )
    for each in found:
        for standing in Standing:
            states.add_metric([each.name, standing], each.standing is standing)
    yield states
    yield gauge(
        "hl7auth_destination_connections", "Connections to the destination", "destination",
        ((d.name, d.connections) for d in found),
    )  # fmt: skip
    yield gauge(
        "hl7auth_deliveries_per_second", "Deliveries that arrived, a second, over the last minute", "destination",
        ((d.name, rates.get(d.name, 0.0)) for d in found),
    )  # fmt: skip
    yield gauge(
        "hl7auth_last_delivery_timestamp_seconds", "When the last delivery arrived; 0 for none since the start",
        "destination", ((d.name, d.last_at / SECOND) for d in found),
    )  # fmt: skip
    yield from _waiting(figures)


def _waiting(figures: Figures) -> Iterator[Metric]:
    """What the database tells; nothing while it does not."""
    if figures.waiting is None:
        return
    depth = GaugeMetricFamily(
        "hl7auth_queue_messages", "Deliveries that wait, by destination and state", labels=["destination", "state"]
    )
    known = [(each.name, figures.waiting.get(each.name, _NOTHING)) for each in figures.destinations]
    for name, waits in known:
        for state in ("queued", "in_flight", "parked"):
            depth.add_metric([name, state], getattr(waits, state))
    yield depth
    yield gauge(
        "hl7auth_queue_oldest_seconds", "How long the oldest delivery waits", "destination",
        ((name, max(0, figures.at - waits.oldest_at) / SECOND if waits.open else 0) for name, waits in known),
    )  # fmt: skip


def status(figures: Figures, rates: Rates, alerts: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures as plain data: what `hl7auth channel status` shows."""
    waiting = figures.waiting
    return {
        "version": __version__,
        "at": iso_time(figures.at),
        "since": iso_time(figures.started_at),
        "workers": figures.workers,
        "ready": dict(figures.ready),
        "channels": [_channel(each, rates) for each in figures.channels],
        "destinations": [
            _destination(each, rates, figures.at, None if waiting is None else waiting.get(each.name, _NOTHING))
            for each in (*figures.destinations, *_gone(figures))
        ],
        "alerts": alerts,
    }


def _gone(figures: Figures) -> list[DestinationFigures]:
    """Destinations that deliveries wait for, and that no channel has any more."""
    known = {each.name for each in figures.destinations}
    names = sorted(name for name in figures.waiting or () if name not in known)
    return [DestinationFigures(name, Standing.GONE, 0, 0, {}, 0) for name in names]


def _channel(channel: ChannelFigures, rates: Rates) -> dict[str, Any]:
    by = channel.messages
    return {
        "channel": channel.name,
        "state": "listening" if channel.listening else "closed",
        "connections": channel.connections,
        "received": channel.received,
        "accepted": by[Disposition.ACCEPTED],
        "rejected": by[Disposition.REFUSED],
        "duplicate": by[Disposition.DUPLICATE],
        "failed": by[Disposition.FAILED],
        "other": by[Disposition.PARKED] + by[Disposition.IGNORED] + by[Disposition.FILTERED],
        "per_second": round(rates.get(channel.name, 0.0), 2),
        "last_message": time_or_none(channel.last_at),
    }


def _destination(each: DestinationFigures, rates: Rates, now: int, waits: Waiting | None) -> dict[str, Any]:
    return {
        "destination": each.name,
        "state": each.standing,
        "since": time_or_none(each.since),
        "connections": each.connections,
        **(_UNKNOWN if waits is None else waits.entry(now)),
        "sent": each.sent,
        "retried": each.acts.get(Act.RETRY, 0),
        "failed": sum(each.acts.get(act, 0) for act in (Act.PARK, Act.STOP, Act.DEAD)),
        "per_second": round(rates.get(each.name, 0.0), 2),
        "last_sent": time_or_none(each.last_at),
    }


def time_or_none(at: int) -> str | None:
    """A time as people read it, null for 0."""
    return iso_time(at) if at else None
