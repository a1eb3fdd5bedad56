"""``nefertari-search sync``: drain the outbox once, or follow it as a worker."""

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
from nefertari_search_tween.indexing.worker import LONGEST_IDLE_SECONDS, Worker
from nefertari_search_tween.scripts.common import (
    EXIT_PROBLEM,
    CommandError,
    application,
    common,
    first_line,
    log_as_served,
)
from nefertari_search_tween.scripts.metrics import WorkerMetrics, serve


@click.command("sync")
@common
@click.option("--follow", is_flag=True, help="Be a worker: go on until SIGTERM or SIGINT.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=10.0,
    show_default=True,
    help="Seconds between two lines of a worker about its work.",
)
@click.option(
    "--poll",
    type=click.FloatRange(min=0.01),
    default=LONGEST_IDLE_SECONDS,
    show_default=True,
    help="The most seconds between two looks of an idle worker (PostgreSQL wakes it, too).",
)
@click.option("--metrics-port", type=click.IntRange(1, 65535), help="Serve Prometheus metrics.")
@click.option(
    "--metrics-address", default="127.0.0.1", show_default=True, help="Where to serve them."
)
def sync_command(
    ini: str,
    variables: tuple[str, ...],
    models: str,
    as_json: bool,
    follow: bool,
    interval: float,
    poll: float,
    metrics_port: Optional[int],
    metrics_address: str,
) -> None:
    """Index what waits in the outbox; with --follow go on with what comes."""
    if models:
        raise click.UsageError("sync works on all models")
    if follow:
        log_as_served(ini, variables)
    with application(ini, variables) as search, _alarm(search if follow else None) as alarm:
        worker = Worker(search.indexer, alarm, poll)
        if follow:
            names = [mirror.name for mirror in search.mirrors]
            if metrics_port is not None:
                serve(
                    WorkerMetrics(worker.stats, search.outbox, names, search.figures),
                    metrics_address,
                    metrics_port,
                )
            report = Report(worker, as_json, interval)
            worker.run(report)
            report.tell()
        else:
            drain(worker, as_json)


def drain(worker: Worker, as_json: bool) -> None:
    """Index what waits, tell what was done, and end the program unless all is well.

    :raises Failure: the search server or the database does not answer.
    """
    try:
        left = worker.drain()
    except Exception as error:
        raise CommandError(first_line(error)) from error
    refused = {name: count for name, count in worker.indexer.rejected.items() if count}
    settled = sum(worker.stats.indexed.values())
    if as_json:
        click.echo(json.dumps({"settled": settled, "left": left, "dead_letters": refused}))
    else:
        click.echo(f"{settled} documents settled")
        for name, count in left.items():
            trouble = worker.failures.of(name)
            reason = f": {trouble.error}" if trouble is not None else ""
            click.echo(f"{name}: {count} rows are left{reason}")
        for name, count in refused.items():
            click.echo(f"{name}: {count} dead letters (nefertari-search dead-letters list)")
    if left or refused:
        sys.exit(EXIT_PROBLEM)


class Report:
    """Lines about the work of a worker, one now and then.

    :param interval: seconds between two.
    """

    def __init__(self, worker: Worker, as_json: bool, interval: float) -> None:
        self.worker = worker
        self.as_json = as_json
        self.interval = interval
        self._next = time.monotonic()
        self._last = (time.monotonic(), 0)

    def __call__(self) -> float:
        """Tell, if it is time to; gives the seconds until it is."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self.interval
            self.tell()
        return max(0.0, self._next - time.monotonic())

    def tell(self) -> None:
        """Print one line."""
        row = self._row()
        if self.as_json:
            click.echo(json.dumps(row))
        elif row["waiting"] is None:
            click.echo(f"{row['settled']} documents settled, the database does not answer")
        else:
            click.echo(
                f"{row['waiting']} rows wait, the oldest for {row['oldest']:.1f} s; "
                f"{row['settled']} documents settled, {row['per_second']:.0f} per second; "
                f"{row['dead_letters']} dead letters"
            )

    def _row(self) -> dict[str, Any]:
        counts = self.worker.stats
        settled = sum(counts.indexed.values())
        now = time.monotonic()
        then, before = self._last
        self._last = (now, settled)
        row: dict[str, Any] = {
            "waiting": None,
            "oldest": None,
            "settled": settled,
            "per_second": round((settled - before) / max(now - then, 0.001), 1),
            "claims": counts.claims,
            "errors": counts.errors,
            "dead_letters": None,
        }
        try:
            lag = self.worker.outbox.backlog().values()
            row["dead_letters"] = sum(self.worker.outbox.dead_letter_counts().values())
        except Exception:  # noqa: BLE001 - the worker tells of a database that is down
            return row
        row["waiting"] = sum(each.rows for each in lag)
        row["oldest"] = round(max((each.age_seconds for each in lag), default=0.0), 3)
        return row


@contextmanager
def _alarm(search: Optional[Any]) -> Iterator[Wakeup]:
    """An alarm that SIGTERM and SIGINT stop; a second signal ends the program at once.

    :param search: whose news it hears; None: nobody's.
    """
    with closing(Wakeup(None if search is None else search.news())) as alarm:

        def stop(number: int, frame: Optional[FrameType]) -> None:
            signal.signal(number, signal.SIG_DFL)
            alarm.stop()

        before = {each: signal.signal(each, stop) for each in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield alarm
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
