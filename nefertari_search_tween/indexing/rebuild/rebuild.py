"""Building an index from the primary, without downtime, as often as it is cut off.

The next index is created first; from then on every claim of every process writes to both. Then
the primary is scanned in key order into the new index with version 0. Then the alias is swapped.

Why nothing is lost
-------------------

Let *t* be the moment when the index exists, and *s*, SETTLE_SECONDS later, the moment when the
scan begins. Take any change, committed at *c*, and the claim that settles it.

1. A claim asks for the list of indices after it has read the state, and gets one that was looked
   up less than TARGETS_SECONDS before (indexer.py). Had the list been looked up before *t*, then
   the claim had read, and the change was committed, before t + TARGETS_SECONDS, which is before
   *s*: the scan sees it. It does not matter how long the process then took to write and settle.
2. Between *t* and *s* an older claim may look later than a newer one, and write to the new index
   what the newer one, which does not know it, has made stale (catch_up.py). So before the scan
   begins, the claims of that time are waited for, and the documents that the index then holds
   are claimed again.
3. Any other claim has written to the new index. Its version is above 0, so what the scan brings
   of that document later is refused, and what it has brought before is replaced. The scan can't
   win against a delete either: a server remembers the version of a deleted document for
   ``index.gc_deletes`` (an hour), and a chunk that was read more than FRESH_SECONDS ago is read
   again before it is written.

None of this asks who scans, how often, or whether anybody does at the moment: claims write to
the new index because it exists. So a build that was killed is resumed by scanning on behind the
last key that was written down, which was written down after the backend had acknowledged it and
everything before it. What was changed meanwhile in front of that key came by claims. Two that
scan into one index at a time (one of them was taken for dead) do no harm for the same reason:
a document that was changed since *s* has a version above 0, and of any other they bring the same.

What could break this, and what keeps it from doing so:

* The index was deleted by hand, and claims were settled without it: it is not resumed, and its
  name is not given again, so that nobody who still knows it can write to its successor.
* It was made for another schema, or with other settings: it is not resumed.
* The build died after the swap: its index is live, so it is not resumed, and the old one goes
  when the next build begins. Its settings were restored before the swap.
* Somebody else's build is alive: see interfaces/rebuild_lock.py. Left over is only what no living
  build has, because nothing is removed before the build is ours. One that comes back from a long
  sleep asks before it swaps whether it still is.
* A machine that stands still (a suspended virtual machine, whose clock stands still, too) between
  the look-up of 1. and the question: it takes its list for fresh when it is not. ``verify`` finds
  what this loses.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Optional

from nefertari_search_tween.exceptions import BackendError, BackendRejected, BackendTimeout
from nefertari_search_tween.indexing.bulk_writer import BulkResult, build_actions, write
from nefertari_search_tween.indexing.indexer import TARGETS_SECONDS
from nefertari_search_tween.indexing.rebuild.backfill import add, backfill
from nefertari_search_tween.indexing.rebuild.catch_up import (
    reindex_documents,
    wait_for_older_claims,
)
from nefertari_search_tween.interfaces.outbox import Outbox
from nefertari_search_tween.interfaces.primary import Body
from nefertari_search_tween.interfaces.rebuild_lock import BEAT_SECONDS, RebuildLock, RebuildLocks
from nefertari_search_tween.mirror.mirror import Mirror, write_alias
from nefertari_search_tween.mirror.registry import MirrorRegistry
from nefertari_search_tween.mirror.serializer import document_id
from nefertari_search_tween.threads import ProcessThread

log = logging.getLogger(__name__)

SETTLE_SECONDS = 2 * TARGETS_SECONDS
SCAN_VERSION = 0
# How often it is written down how far a scan is: each time is a commit.
ADVANCE_SECONDS = 0.5
# A refresh of what was not refreshed for a whole build may take longer than a search may.
REFRESHES = 20

#: called with the number of documents done since the last call
Progress = Callable[[int], None]


@dataclass(frozen=True)
class _Work:
    """One build of a run.

    :param after: the key behind which it goes on, None: from the first.
    :param done: how many documents are up to there.
    """

    mirror: Mirror
    build: RebuildLock
    index: str
    after: Optional[Any]
    done: int


def rebuild(
    mirrors: MirrorRegistry,
    rebuilds: RebuildLocks,
    outbox: Outbox,
    chosen: list[Mirror],
    chunk_size: int,
    progress: Optional[Callable[[Mirror], Progress]] = None,
    restart: bool = False,
) -> dict[str, BulkResult]:
    """Build new indices of the mirrors *chosen* and swap them in.

    What a run before this one had begun, and did not end, is gone on with.

    :param progress: gives for each mirror what is told of its progress.
    :param restart: begin anew instead.
    :returns: what was written, by name of the model.
    :raises BackendError: the backend failed; the indices searched so far still are.
    :raises RebuildRuns: one of the models is being rebuilt; nothing was done.
    """
    with ExitStack() as held:
        builds = [held.enter_context(_held(rebuilds, mirror)) for mirror in chosen]
        held.enter_context(_beating(rebuilds, builds))
        works = [
            _begun(mirrors, rebuilds, mirror, build, restart)
            for mirror, build in zip(chosen, builds)
        ]
        time.sleep(SETTLE_SECONDS)
        begun = [work for work in works if work.after is None]
        wait_for_older_claims(outbox, [work.mirror for work in begun])
        for work in begun:
            reindex_documents(outbox, work.mirror, work.index, chunk_size)
        results = {}
        for work in works:
            tell = progress(work.mirror) if progress is not None else _silent
            tell(work.done)
            results[work.mirror.name] = _fill(rebuilds, work, chunk_size, tell)
            mirrors.restore_setting(work.mirror, work.index, "index.refresh_interval")
            _refresh(work)
        replaced: list[str] = []
        for work in works:
            rebuilds.heartbeat(work.build)
            replaced.extend(mirrors.backend.swap_alias(work.mirror.alias, work.index))
            # What a claim wrote between the last refresh and the swap.
            _refresh(work)
            work.mirror.invalidate()
            # What was read from the old index is old from here on (caching/cache.py).
            outbox.next_version(work.mirror.name)
        if replaced:
            # Readers and indexers of other processes let go of the old ones first.
            time.sleep(SETTLE_SECONDS)
            for index in replaced:
                mirrors.backend.delete_index(index)
        for work in works:
            rebuilds.finish(work.build)
    return results


@contextmanager
def _held(rebuilds: RebuildLocks, mirror: Mirror) -> Iterator[RebuildLock]:
    """The build of *mirror*, for as long as this lasts; the next one goes on at once."""
    build = rebuilds.acquire(mirror.name)
    try:
        yield build
    finally:
        rebuilds.release(build)


@contextmanager
def _beating(rebuilds: RebuildLocks, builds: list[RebuildLock]) -> Iterator[None]:
    """Gives signs of life, whatever the caller waits for."""

    def beat() -> None:
        while not thread.stopping.wait(BEAT_SECONDS):
            try:
                for build in builds:
                    rebuilds.heartbeat(build)
            except Exception as error:  # noqa: BLE001 - the database is away, or the build is lost
                # The one that builds finds out for itself, when it writes down how far it is.
                log.info("no sign of life could be given: %s", error)

    thread = ProcessThread(beat, "nefertari-search-rebuild")
    thread.start()
    try:
        yield
    finally:
        thread.stop(None)


def _begun(
    mirrors: MirrorRegistry,
    rebuilds: RebuildLocks,
    mirror: Mirror,
    build: RebuildLock,
    restart: bool,
) -> _Work:
    """The index to build: the one that was left, when it can be gone on with, else a new one."""
    known = mirrors.indices_of(mirror)
    left = known.get(build.index, set())
    resumed = (
        not restart
        and write_alias(build.index) in left
        and mirror.alias not in left
        and mirrors.is_current(mirror, build.index)
    )
    index, after, done = build.index, build.checkpoint, build.documents
    if not resumed:
        index, after, done = mirrors.next_name(mirror, build.index), None, 0
        # BulkResult down first: an index that exists is known by its name.
        rebuilds.start(build, index)
        mirrors.create(mirror, index)
    elif after is not None:
        log.info("going on with %s behind %r, %d documents are there", index, after, done)
    for each, aliases in known.items():
        if mirror.alias not in aliases and each != index:
            log.warning("deleting %s, left over from a build that did not end", each)
            mirrors.backend.delete_index(each)
    mirrors.backend.put_settings(index, {"index.refresh_interval": "-1"})
    return _Work(mirror, build, index, after, done)


def _fill(rebuilds: RebuildLocks, work: _Work, chunk_size: int, tell: Progress) -> BulkResult:
    done, written_down = work.done, time.monotonic()
    position = work.after

    def arrived(last: Any, count: int) -> None:
        nonlocal done, position, written_down
        done, position = done + count, last
        tell(count)
        if time.monotonic() - written_down >= ADVANCE_SECONDS:
            rebuilds.checkpoint(work.build, position, done)
            written_down = time.monotonic()

    target = write_alias(work.index)
    result = backfill(work.mirror, target, SCAN_VERSION, chunk_size, work.after, arrived)
    if position is not None:
        rebuilds.checkpoint(work.build, position, done)
    result.resumed = work.done
    return result


def _refresh(work: _Work) -> None:
    for left in reversed(range(REFRESHES)):
        try:
            work.mirror.backend.refresh(work.index)
        except BackendTimeout:
            # It goes on at the server; what it has done is done.
            if not left:
                raise
        else:
            return


def index_missing(
    mirrors: MirrorRegistry,
    mirror: Mirror,
    chunk_size: int,
    outbox: Outbox,
    rebuilds: RebuildLocks,
    progress: Optional[Callable[[Mirror], Progress]] = None,
    only: Optional[list[Any]] = None,
) -> BulkResult:
    """Index the objects of *mirror* that its index does not hold; the others stay as they are.

    An index that does not exist is built.

    Each chunk is numbered as a claim is.

    :param only: keys of the objects to look at; None: all.
    :raises BackendError: the backend failed; the index is of another schema; there is none, and
        some objects alone would make one that is not whole.
    """
    if mirrors.backend.get_mapping(mirror.alias) is None:
        if only is not None:
            raise BackendError(
                f"the index of {mirror.name} is not built, and some of its objects do not make "
                "an index: index all of them first"
            )
        return rebuild(mirrors, rebuilds, outbox, [mirror], chunk_size, progress)[mirror.name]
    if not mirror.check():
        raise BackendRejected(
            409, f"the index of {mirror.name} was built for another schema: rebuild it"
        )
    result = BulkResult()
    tell = progress(mirror) if progress is not None else _silent
    mirror.backend.refresh(mirror.alias)
    chunks = iter(
        mirror.reader.scan(chunk_size) if only is None else _read(mirror, only, chunk_size)
    )
    while True:
        # Numbered before it is read: what a document was deleted with is older.
        version = outbox.next_version(mirror.name)
        rows = next(chunks, None)
        if rows is None:
            break
        found = mirrors.backend.multi_get(mirror.alias, [document_id(pk) for pk, _ in rows])
        missing = [(pk, body) for pk, body in rows if found.get(document_id(pk)) is None]
        pks = [pk for pk, _ in missing]
        batch = build_actions(mirror, _live_target(mirrors, mirror), version, pks, dict(missing))
        add(result, write(mirror, batch, chunk_size))
        tell(len(rows))
    mirror.backend.refresh(mirror.alias)
    return result


def _read(mirror: Mirror, pks: list[Any], chunk_size: int) -> Iterator[list[tuple[Any, Body]]]:
    for start in range(0, len(pks), chunk_size):
        yield list(mirror.reader.read(pks[start : start + chunk_size]).items())


def _live_target(mirrors: MirrorRegistry, mirror: Mirror) -> str:
    for index, aliases in mirrors.indices_of(mirror).items():
        if mirror.alias in aliases:
            return write_alias(index)
    raise BackendError(f"the index of {mirror.name} went away")


def _silent(count: int) -> None:
    """No one watches."""
