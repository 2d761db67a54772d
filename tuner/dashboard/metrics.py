"""``/metrics``, as Prometheus reads it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from tuner.dashboard import counts
from tuner.dashboard.counts import Counts
from tuner.dashboard.epochs import Epochs
from tuner.dashboard.pulse import Pulse
from tuner.dashboard.wsgi import Application, Environ, answer, path_of
from tuner.errors import StorageError
from tuner.logs import tell
from tuner.storage.database import Database
from tuner.storage.look import Look

INTERVAL = 1.0
"""Seconds for which counts stand, however often they are asked for; up to ten times as long
where counting takes long."""
RECENT = 60.0
"""The recent rate is that of so many seconds."""


class Rate:
    """How fast counts grow, from what was seen of them lately."""

    def __init__(self, seconds: float = RECENT) -> None:
        self._seconds = seconds
        self._seen: deque[tuple[float, Mapping[str, int]]] = deque()

    def __call__(self, now: float, found: Mapping[str, int]) -> dict[str, float]:
        """Growth in a second since the first look within `seconds`, or the last before; a
        name that has not been seen twice has none."""
        while len(self._seen) > 1 and self._seen[1][0] <= now - self._seconds:
            self._seen.popleft()
        self._seen.append((now, found))
        then, before = self._seen[0]
        if now <= then:
            return {}
        return {
            name: max(0, count - before[name]) / (now - then)
            for name, count in found.items()
            if name in before
        }


class Metrics(Collector):
    """Counts of the database as metrics; while it is away, only that it is."""

    def __init__(self, database: Database, pulse: Pulse) -> None:
        self._database, self._pulse = database, pulse
        self._lock = threading.Lock()
        self._epochs, self._rate = Epochs(), Rate()
        self._look = Look()
        self._families: list[Metric] = []

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            if self._look.due(INTERVAL):
                begun = time.monotonic()
                self._families = self._read(begun)
                self._look.took(time.monotonic() - begun)
            yield from self._families

    def _read(self, now: float) -> list[Metric]:
        try:
            with self._database.read() as connection:
                found = counts.read(connection, self._epochs)
            families = _families(found, self._rate(now, found.epochs))
        except StorageError:
            families = []
        except Exception as error:  # such as a row that makes no sense: monitoring goes on
            tell("error", f"/metrics lacks counts: {type(error).__name__}: {error}")
            families = []
        up = GaugeMetricFamily("tuner_database_up", "1 if the database answers, else 0.")
        up.add_metric([], float(self._pulse.answers(fresh=0.0)))
        away = CounterMetricFamily(
            "tuner_dashboard_outage_seconds",
            "Seconds that the database did not answer this dashboard since it started.",
        )
        away.add_metric([], self._pulse.away_seconds)
        return [*families, up, away]


def _families(found: Counts, rates: Mapping[str, float]) -> list[Metric]:
    gauge, counter = partial(_family, GaugeMetricFamily), partial(_family, CounterMetricFamily)
    left_out = "Studies that ended more than 30 days ago and have no series of their own."
    pace = f"Epochs a second in the last {RECENT:.0f} s in which this was read."
    waited = "Seconds that workers waited for the database, together, in the last 30 days."
    return [
        gauge("studies", "Studies.", ["state"], found.studies),
        gauge("studies_left_out", left_out, [], {(): found.left_out}),
        gauge("trials", "Trials.", ["study", "state"], found.trials),
        gauge("workers", "Workers alive.", [], {(): found.workers}),
        counter("epochs", "Epochs reported.", ["study"], found.epochs),
        gauge("epochs_per_second", pace, ["study"], rates),
        counter("leases_lost", "Leases that ran out.", ["study"], found.lost),
        gauge("workers_outage_seconds", waited, [], {(): found.waited}),
        gauge("best_value", "The best trial's value.", ["study"], found.best),
    ]


def _family(
    kind: type[GaugeMetricFamily] | type[CounterMetricFamily],
    name: str,
    help: str,
    labels: list[str],
    values: Mapping[Any, float],
) -> Metric:
    family = kind(f"tuner_{name}", help, labels=labels)
    for key, value in values.items():
        family.add_metric([key] if isinstance(key, str) else list(key), value)
    return family


def metrics(database: Database, pulse: Pulse, application: Application) -> Application:
    """Answers ``/metrics``."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Metrics(database, pulse))

    def measured(environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        if path_of(environ) != "/metrics":
            return application(environ, start)
        text = generate_latest(registry).decode()
        headers = (("Content-Type", CONTENT_TYPE_LATEST), ("Cache-Control", "no-store"))
        return answer(environ, start, HTTPStatus.OK, text, headers)

    return measured
