"""``nefertari-search drain`` and ``nefertari-search worker``."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import FrameType
from typing import Any, Optional

import click

from nefertari_search_tween.indexing.wakeup import Wakeup
from nefertari_search_tween.indexing.worker import MAX_IDLE_SECONDS, Worker
from nefertari_search_tween.interfaces.outbox import NotificationListener
from nefertari_search_tween.scripts.common import (
    EXIT_PROBLEM,
    CommandError,
    application,
    common,
    configure_logging,
    first_line,
)
from nefertari_search_tween.scripts.metrics import WorkerMetrics, serve


@click.command("drain")
@common
def drain_command(ini: str, variables: tuple[str, ...], models: str, as_json: bool) -> None:
    """Index the pending changes, then exit."""
    if models:
        raise click.UsageError("drain works on all models")
    with application(ini, variables) as runtime, _wakeup(None) as wakeup:
        drain(Worker(runtime.indexer, wakeup), as_json)


@click.command("worker")
@common
@click.option(
    "--report-interval",
    type=click.FloatRange(min=0.1),
    default=10.0,
    show_default=True,
    help="Seconds between two lines about the work.",
)
@click.option(
    "--poll-interval",
    type=click.FloatRange(min=0.01),
    default=MAX_IDLE_SECONDS,
    show_default=True,
    help="Seconds between two checks while idle, at most (PostgreSQL also notifies).",
)
@click.option("--metrics-port", type=click.IntRange(1, 65535), help="Serve Prometheus metrics.")
@click.option(
    "--metrics-address", default="127.0.0.1", show_default=True, help="Where to serve them."
)
def worker_command(
    ini: str,
    variables: tuple[str, ...],
    models: str,
    as_json: bool,
    report_interval: float,
    poll_interval: float,
    metrics_port: Optional[int],
    metrics_address: str,
) -> None:
    """Index changes as they come, until SIGTERM or SIGINT."""
    if models:
        raise click.UsageError("a worker works on all models")
    configure_logging(ini, variables)
    with application(ini, variables) as runtime, _wakeup(runtime.outbox.notifications()) as wakeup:
        worker = Worker(runtime.indexer, wakeup, poll_interval)
        if metrics_port is not None:
            names = [mirror.name for mirror in runtime.mirrors]
            metrics = WorkerMetrics(worker.stats, runtime.outbox, names, runtime.process_counts)
            serve(metrics, metrics_address, metrics_port)
        report = Report(worker, as_json, report_interval)
        worker.run(report)
        report.print_line()


def drain(worker: Worker, as_json: bool) -> None:
    """Index the pending changes and print the result; exit with 1 if there are problems.

    :raises CommandError: the search backend or the database does not answer.
    """
    try:
        remaining = worker.drain()
    except Exception as error:
        raise CommandError(first_line(error)) from error
    rejected = {name: count for name, count in worker.indexer.rejected.items() if count}
    indexed = sum(worker.stats.indexed.values())
    if as_json:
        row = {"indexed": indexed, "remaining": remaining, "dead_letters": rejected}
        click.echo(json.dumps(row))
    else:
        click.echo(f"{indexed} documents indexed")
        for name, count in remaining.items():
            failure = worker.failures.of(name)
            reason = f": {failure.error}" if failure is not None else ""
            click.echo(f"{name}: {count} rows still pending{reason}")
        for name, count in rejected.items():
            click.echo(f"{name}: {count} dead letters (nefertari-search dead-letters list)")
    if remaining or rejected:
        sys.exit(EXIT_PROBLEM)


class Report:
    """Prints lines about the work of a worker, at intervals.

    :param interval: seconds between two lines.
    """

    def __init__(self, worker: Worker, as_json: bool, interval: float) -> None:
        self.worker = worker
        self.as_json = as_json
        self.interval = interval
        self._next = time.monotonic()
        self._last = (time.monotonic(), 0)

    def __call__(self) -> float:
        """Print a line if it is due; return the seconds until the next one."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self.interval
            self.print_line()
        return max(0.0, self._next - time.monotonic())

    def print_line(self) -> None:
        """Print one line."""
        row = self._row()
        if self.as_json:
            click.echo(json.dumps(row))
        elif row["pending"] is None:
            click.echo(f"{row['indexed']} documents indexed, the database does not answer")
        else:
            click.echo(
                f"{row['pending']} rows pending, lag {row['lag_seconds']:.1f} s; "
                f"{row['indexed']} documents indexed, {row['per_second']:.0f} per second; "
                f"{row['dead_letters']} dead letters"
            )

    def _row(self) -> dict[str, Any]:
        stats = self.worker.stats
        indexed = sum(stats.indexed.values())
        now = time.monotonic()
        then, before = self._last
        self._last = (now, indexed)
        row: dict[str, Any] = {
            "pending": None,
            "lag_seconds": None,
            "indexed": indexed,
            "per_second": round((indexed - before) / max(now - then, 0.001), 1),
            "claims": stats.claims,
            "errors": stats.errors,
            "dead_letters": None,
        }
        try:
            backlogs = self.worker.outbox.backlog().values()
            row["dead_letters"] = sum(self.worker.outbox.dead_letter_counts().values())
        except Exception:  # noqa: BLE001 - the worker reports a database that is down
            return row
        row["pending"] = sum(each.rows for each in backlogs)
        row["lag_seconds"] = round(max((each.age_seconds for each in backlogs), default=0.0), 3)
        return row


@contextmanager
def _wakeup(listener: Optional[NotificationListener]) -> Iterator[Wakeup]:
    """Provide a wake-up that SIGTERM and SIGINT stop; a second signal ends the program."""
    with closing(Wakeup(listener)) as wakeup:

        def stop(number: int, frame: Optional[FrameType]) -> None:
            signal.signal(number, signal.SIG_DFL)
            wakeup.stop()

        before = {each: signal.signal(each, stop) for each in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield wakeup
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
