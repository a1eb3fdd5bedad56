"""Prometheus metrics of a worker: the outbox at the time of the scrape, and the work done."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Optional

from nefertari_search_tween.indexing.worker import WorkerStats
from nefertari_search_tween.interfaces.cache_stats import CacheStatsStore
from nefertari_search_tween.interfaces.outbox import Outbox
from nefertari_search_tween.scripts.common import CommandError

log = logging.getLogger(__name__)

PREFIX = "nefertari_search_"


class WorkerMetrics:
    """A collector for :mod:`prometheus_client`.

    :param models: names of the mirrored models, reported even if they have no pending rows.
    :param cache_stats: hits and misses of the caches; None without a cache.
    """

    def __init__(
        self,
        stats: WorkerStats,
        outbox: Outbox,
        models: list[str],
        cache_stats: Optional[CacheStatsStore] = None,
    ) -> None:
        self.stats = stats
        self.outbox = outbox
        self.models = models
        self.cache_stats = cache_stats

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
            yield from list(self._caches())
        except Exception as error:  # noqa: BLE001 - without a database there is nothing to report
            log.info("outbox metrics omitted: %s", error)

    def _caches(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily

        if self.cache_stats is None:
            return
        labels = ["model", "process"]
        hits = CounterMetricFamily(
            PREFIX + "cache_hits", "Responses served from the cache of a process.", labels=labels
        )
        misses = CounterMetricFamily(
            PREFIX + "cache_misses",
            "Responses that had to be fetched from the backend.",
            labels=labels,
        )
        for stats in self.cache_stats.read_all():
            hits.add_metric([stats.model, stats.process], stats.hits)
            misses.add_metric([stats.model, stats.process], stats.misses)
        yield hits
        yield misses

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
