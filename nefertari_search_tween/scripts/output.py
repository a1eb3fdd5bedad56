"""How far a command is, for whoever watches it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Callable, Optional

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from nefertari_search_tween.mirror.registry import Mirror


@contextmanager
def shown(as_json: bool) -> Iterator[Optional[Callable[[Mirror], Callable[[int], None]]]]:
    """Progress: bars on a terminal, a plain line per model elsewhere, nothing for machines."""
    console = Console(stderr=True)
    if as_json:
        yield None
    elif console.is_terminal:
        with Progress(
            TextColumn("{task.description:<20}"),
            BarColumn(),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
        ) as bars:

            def bar(mirror: Mirror) -> Callable[[int], None]:
                task = bars.add_task(mirror.name, total=mirror.reader.count())
                return lambda count: bars.advance(task, count)

            yield bar
    else:

        def line(mirror: Mirror) -> Callable[[int], None]:
            click.echo(f"{mirror.name}: {mirror.reader.count()} objects to read", err=True)
            return lambda count: None

        yield line
