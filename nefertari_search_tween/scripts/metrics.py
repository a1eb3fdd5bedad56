"""Prometheus metrics of a worker: the outbox at the time of the scrape, and the work done."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from nefertari_search_tween.indexing.worker import WorkerStats
from nefertari_search_tween.interfaces.outbox import Outbox
from nefertari_search_tween.interfaces.process_counts import (
    CACHE_HIT,
    CACHE_MISS,
    ProcessCountStore,
    engine_of,
)
from nefertari_search_tween.scripts.common import CommandError

log = logging.getLogger(__name__)

PREFIX = "nefertari_search_"


class WorkerMetrics:
    """A collector for :mod:`prometheus_client`.

    :param models: names of the mirrored models, reported even if they have no pending rows.
    :param process_counts: reads by who answered them, hits and misses of caches.
    """

    def __init__(
        self,
        stats: WorkerStats,
        outbox: Outbox,
        models: list[str],
        process_counts: ProcessCountStore,
    ) -> None:
        self.stats = stats
        self.outbox = outbox
        self.models = models
        self.process_counts = process_counts

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily

        documents = CounterMetricFamily(
            PREFIX + "documents_indexed",
            "Documents that this worker indexed.",
            labels=["model"],
        )
        for name in self.models:
            documents.add_metric([name], self.stats.indexed[name])
        yield documents
        for name, text, value in (
            ("claims", "Claims that this worker settled.", self.stats.claims),
            ("errors", "Failed claims and checks of this worker.", self.stats.errors),
        ):
            yield CounterMetricFamily(PREFIX + name, text, value=value)
        try:
            yield from list(self._outbox())
            yield from list(self._processes())
        except Exception as error:  # noqa: BLE001 - without a database there is nothing to report
            log.info("outbox metrics omitted: %s", error)

    def _processes(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily

        labels = ["model", "process"]
        families = {
            CACHE_HIT: CounterMetricFamily(
                PREFIX + "cache_hits",
                "Responses served from the cache of a process.",
                labels=labels,
            ),
            CACHE_MISS: CounterMetricFamily(
                PREFIX + "cache_misses",
                "Responses that had to be fetched from the backend.",
                labels=labels,
            ),
        }
        by_engine = CounterMetricFamily(
            PREFIX + "reads",
            "Collection requests that a process answered, by who answered and why.",
            labels=[*labels, "engine", "reason"],
        )
        for count in self.process_counts.read_all():
            if count.name in families:
                families[count.name].add_metric([count.model, count.process], count.number)
            engine = engine_of(count.name)
            if engine is not None:
                who, _, reason = engine.partition("; reason=")
                by_engine.add_metric([count.model, count.process, who, reason], count.number)
        yield from families.values()
        yield by_engine

    def _outbox(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily

        backlogs = self.outbox.backlog()
        letters = self.outbox.dead_letter_counts()
        gauges: tuple[tuple[str, str, dict[str, float]], ...] = (
            (
                "outbox_pending",
                "Pending rows of the outbox.",
                {name: backlog.rows for name, backlog in backlogs.items()},
            ),
            (
                "outbox_lag_seconds",
                "Age of the oldest pending row, in seconds.",
                {name: backlog.age_seconds for name, backlog in backlogs.items()},
            ),
            ("dead_letters", "Documents that could not be indexed.", dict(letters)),
        )
        for name, text, values in gauges:
            gauge = GaugeMetricFamily(PREFIX + name, text, labels=["model"])
            for model in self.models:
                gauge.add_metric([model], values.get(model, 0))
            yield gauge


def serve(metrics: WorkerMetrics, address: str, port: int) -> None:
    """Serve GET /metrics on *address* and *port*, in a thread.

    :raises CommandError: prometheus-client is not installed, or the port is in use.
    """
    try:
        import prometheus_client
    except ImportError as error:
        raise CommandError(
            "--metrics-port needs the package prometheus-client: "
            "pip install 'nefertari-search-tween[metrics]'"
        ) from error
    registry = prometheus_client.CollectorRegistry()
    registry.register(metrics)
    try:
        prometheus_client.start_http_server(port, addr=address, registry=registry)
    except OSError as error:
        raise CommandError(f"metrics can't be served on {address}:{port}: {error}") from error
