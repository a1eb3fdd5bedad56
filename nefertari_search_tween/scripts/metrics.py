"""What Prometheus is told of a worker: the outbox as it is at the scrape, and what was done."""

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

    :param models: names of the mirrored models: they are told of when nothing of them waits, too.
    :param figures: what caches found; None: nothing is cached.
    """

    def __init__(
        self,
        counts: WorkerStats,
        outbox: Outbox,
        models: list[str],
        figures: Optional[CacheStatsStore] = None,
    ) -> None:
        self.counts = counts
        self.outbox = outbox
        self.models = models
        self.figures = figures

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily

        documents = CounterMetricFamily(
            PREFIX + "documents_indexed",
            "Documents that this worker brought up to date.",
            labels=["model"],
        )
        for name in self.models:
            documents.add_metric([name], self.counts.indexed[name])
        yield documents
        for name, text, value in (
            ("claims", "Claims that this worker settled.", self.counts.claims),
            ("errors", "Claims and looks of this worker that failed.", self.counts.errors),
        ):
            yield CounterMetricFamily(PREFIX + name, text, value=value)
        try:
            yield from list(self._outbox())
            yield from list(self._caches())
        except Exception as error:  # noqa: BLE001 - without a database there is nothing to tell
            log.info("the metrics of the outbox are left out: %s", error)

    def _caches(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily

        if self.figures is None:
            return
        labels = ["model", "process"]
        hits = CounterMetricFamily(
            PREFIX + "cache_hits", "Answers that were kept by a process.", labels=labels
        )
        misses = CounterMetricFamily(
            PREFIX + "cache_misses", "Answers that it had to ask for.", labels=labels
        )
        for found in self.figures.read_all():
            hits.add_metric([found.model, found.process], found.hits)
            misses.add_metric([found.model, found.process], found.misses)
        yield hits
        yield misses

    def _outbox(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily

        lag = self.outbox.backlog()
        letters = self.outbox.dead_letter_counts()
        shown: tuple[tuple[str, str, dict[str, float]], ...] = (
            (
                "outbox_rows",
                "Rows of the outbox that are not settled.",
                {name: waiting.rows for name, waiting in lag.items()},
            ),
            (
                "outbox_oldest_seconds",
                "Seconds since the oldest of them was recorded.",
                {name: waiting.age_seconds for name, waiting in lag.items()},
            ),
            ("dead_letters", "Documents that could not be indexed.", dict(letters)),
        )
        for name, text, values in shown:
            gauge = GaugeMetricFamily(PREFIX + name, text, labels=["model"])
            for model in self.models:
                gauge.add_metric([model], values.get(model, 0))
            yield gauge


def serve(metrics: WorkerMetrics, address: str, port: int) -> None:
    """Answer GET /metrics on *address* and *port*, in a thread.

    :raises Failure: the package for it is missing, or the port is taken.
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
