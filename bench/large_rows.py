"""The most memory that large rows take: of a rebuild, of a claim of all of them, of a verify.

    python -m bench.large_rows [ROWS] [MEGABYTES OF A ROW]

Each in a process of its own, on SQLite and the embedded backend; what the application takes by
itself is the first figure.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable

import transaction

from tests.support.apps import awkward, search_of

ROWS = 240
MEGABYTES = 2


def _fill(search: Any, rows: int, megabytes: int) -> None:
    from tests.apps.awkward.models import Parcel

    search.capture.remove()
    for number in range(rows):
        with transaction.manager:
            Parcel(code=f"p{number:05}", content="x" * megabytes * 2**20).save()


def _start(search: Any, rows: int, megabytes: int) -> None:
    """Nothing but the application."""


def _rebuild(search: Any, rows: int, megabytes: int) -> None:
    from nefertari_search_tween.indexing.rebuild.rebuild import rebuild

    mirror = search.mirrors.get("Parcel")
    size, locks = search.settings.chunk_size, search.rebuild_locks
    results = rebuild(search.mirrors, locks, search.outbox, [mirror], size)
    assert (results["Parcel"].indexed, results["Parcel"].rejected) == (rows, 0)


def _claim(search: Any, rows: int, megabytes: int) -> None:
    from nefertari_search_tween.interfaces.primary import Key

    search.outbox.enqueue(Key("Parcel", f"p{number:05}") for number in range(rows))
    assert search.indexer.drain() == rows


def _verify(search: Any, rows: int, megabytes: int) -> None:
    from nefertari_search_tween.indexing.verify.verify import verify

    mirror = search.mirrors.get("Parcel")
    differences = verify(search.mirrors, search.outbox, mirror, search.settings.chunk_size)
    assert (differences.compared, differences.clean) == (rows, True)


def _run(stage: Callable[..., None], folder: Path, rows: int, megabytes: int, queue: Any) -> None:
    url = f"sqlite:///{folder}/parcels.sqlite"
    app = awkward(
        url, f"embedded:{folder}/search", "large", **{"nefertari_search.models": "Parcel"}
    )
    stage(search_of(app), rows, megabytes)
    queue.put(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main(rows: int = ROWS, megabytes: int = MEGABYTES) -> None:
    """Print the figures."""
    print(f"{rows} rows of {megabytes} MB: the peak of each process")
    processes = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        for stage in (_fill, _start, _rebuild, _claim, _verify):
            queue = processes.Queue()
            child = processes.Process(
                target=_run, args=(stage, Path(folder), rows, megabytes, queue)
            )
            child.start()
            child.join()
            if child.exitcode:
                sys.exit(f"{stage.__name__} failed")
            print(f"  {stage.__name__.strip('_'):8} {queue.get():7.0f} MB", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
