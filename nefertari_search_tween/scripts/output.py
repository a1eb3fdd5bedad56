"""The output of commands: progress while they run, and their results."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Callable

import click
from rich import progress
from rich.console import Console

from nefertari_search_tween.indexing.bulk_writer import BulkResult
from nefertari_search_tween.indexing.rebuild.rebuild import Progress, no_progress
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.scripts.common import EXIT_PROBLEM


@contextmanager
def progress_bars(quiet: bool) -> Iterator[Callable[[Mirror], Progress]]:
    """Show progress bars on a terminal, a line per model elsewhere, nothing if *quiet*."""
    console = Console(stderr=True)
    if quiet:
        yield no_progress
    elif console.is_terminal:
        with progress.Progress(
            progress.TextColumn("{task.description:<20}"),
            progress.BarColumn(),
            progress.TaskProgressColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
            console=console,
        ) as bars:

            def bar(mirror: Mirror) -> Progress:
                task = bars.add_task(mirror.name, total=mirror.reader.count())
                return lambda count: bars.advance(task, count)

            yield bar
    else:

        def line(mirror: Mirror) -> Progress:
            click.echo(f"{mirror.name}: {mirror.reader.count()} objects to read", err=True)
            return no_progress(mirror)

        yield line


def print_build_results(results: dict[str, BulkResult], as_json: bool, quiet: bool = False) -> None:
    """Print what was indexed, by model; exit with 1 if a document or a model was rejected.

    :param quiet: print only these models.
    """
    if as_json:
        rows = {
            name: {
                "indexed": result.indexed,
                "rejected": result.rejected,
                **({} if result.resumed is None else {"resumed": result.resumed}),
                **({} if result.problem is None else {"problem": result.problem}),
            }
            for name, result in results.items()
        }
        click.echo(json.dumps(rows, indent=2))
    else:
        for name, result in results.items():
            if result.problem is not None:
                click.echo(f"{name}: left out, {result.problem}")
                continue
            if quiet and not result.rejected:
                continue
            rejected = f", {result.rejected} rejected (see the log)" if result.rejected else ""
            resumed = f" after {result.resumed} already there" if result.resumed else ""
            click.echo(f"{name}: {result.indexed} documents indexed{resumed}{rejected}")
    if any(result.rejected or result.problem for result in results.values()):
        sys.exit(EXIT_PROBLEM)
