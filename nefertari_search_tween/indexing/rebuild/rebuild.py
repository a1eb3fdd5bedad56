"""Building an index from the primary, without downtime, however often it is interrupted.

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
2. Between *t* and *s* an older claim may look the list up later than a newer one, and write to the
   new index what the newer one, which does not know it, has made stale (catch_up.py). So before the
   scan begins, the claims of that time are waited for, and the documents that the index then holds
   are indexed again.
3. Any other claim has written to the new index. Its version is above 0, so what the scan brings
   of that document later is rejected, and what it has brought before is replaced. The scan can't
   win against a delete either: a server remembers the version of a deleted document for
   ``index.gc_deletes`` (an hour), and a chunk that was read more than FRESH_SECONDS ago is read
   again before it is written.

None of this depends on who scans, how often, or whether any process scans at the moment: claims
write to the new index because it exists. So a rebuild that was killed is resumed by scanning on
after the last stored key, which was stored after the backend had acknowledged it and everything
before it. What was changed meanwhile before that key came by claims. Two that scan into one index
at a time (one of them was taken for dead) do no harm for the same reason: a document that was
changed since *s* has a version above 0, and of any other they bring the same.

What could break this, and what prevents it:

* The index was deleted by hand, and claims were settled without it: it is not resumed, and its
  name is not given again, so that no process that still knows it can write to its successor.
* It was made for another schema, or with other settings: it is not resumed.
* The rebuild died after the swap: its index is live, so it is not resumed, and the old one is
  deleted when the next rebuild begins. Its settings were restored before the swap.
* Another process's rebuild is alive: see interfaces/rebuild_lock.py. Left over is only what no
  living rebuild has, because nothing is deleted before the lock is ours. One that comes back from
  a long sleep checks before it swaps whether the lock still is.
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

from nefertari_search_tween.exceptions import BackendTimeout, MappingRefused
from nefertari_search_tween.indexing.bulk_writer import BulkResult
from nefertari_search_tween.indexing.indexer import TARGETS_SECONDS
from nefertari_search_tween.indexing.rebuild.backfill import backfill
from nefertari_search_tween.indexing.rebuild.catch_up import (
    reindex_documents,
    wait_for_older_claims,
)
from nefertari_search_tween.interfaces.outbox import Outbox
from nefertari_search_tween.interfaces.rebuild_lock import (
    HEARTBEAT_SECONDS,
    RebuildLock,
    RebuildLocks,
)
from nefertari_search_tween.mirror.identity import same_schema
from nefertari_search_tween.mirror.mirror import Mirror, write_alias
from nefertari_search_tween.mirror.registry import MirrorRegistry
from nefertari_search_tween.threads import ProcessThread

log = logging.getLogger(__name__)

SETTLE_SECONDS = 2 * TARGETS_SECONDS
SCAN_VERSION = 0
REFRESH_INTERVAL = "index.refresh_interval"
# How often the progress of a scan is stored: each time is a commit.
CHECKPOINT_SECONDS = 0.5
# A refresh of what was not refreshed for a whole rebuild may take longer than a search may.
REFRESHES = 20

#: called with the number of documents done since the last call
Progress = Callable[[int], None]


def no_progress(mirror: Mirror) -> Progress:
    """Return what ignores the progress of *mirror*."""
    return lambda count: None


@dataclass(frozen=True)
class _Build:
    """One index that a run builds.

    :param after: the key after which the scan begins, None: at the first one.
    :param done: number of documents up to there.
    """

    mirror: Mirror
    lock: RebuildLock
    index: str
    after: Optional[Any]
    done: int


def rebuild(
    mirrors: MirrorRegistry,
    locks: RebuildLocks,
    outbox: Outbox,
    selected: list[Mirror],
    chunk_size: int,
    progress: Callable[[Mirror], Progress] = no_progress,
    restart: bool = False,
) -> dict[str, BulkResult]:
    """Build new indices of the mirrors *selected* and swap them in.

    An interrupted rebuild is resumed.

    :param progress: returns, for a mirror, what is called with its progress.
    :param restart: start over instead.
    :returns: what was written, by name of the model; a problem for one whose documents the backend
        can't hold.
    :raises BackendError: the backend failed; the indices searched so far still are.
    :raises RebuildInProgress: one of the models is being rebuilt; nothing was done.
    """
    with ExitStack() as stack:
        acquired = [stack.enter_context(_lock(locks, mirror)) for mirror in selected]
        stack.enter_context(_heartbeats(locks, acquired))
        builds, results = [], {}
        for mirror, lock in zip(selected, acquired):
            try:
                builds.append(_start_or_resume(mirrors, locks, mirror, lock, restart))
            except MappingRefused as error:
                # Of this model alone: the others are built.
                locks.finish(lock)
                results[mirror.name] = BulkResult(problem=str(error))
        time.sleep(SETTLE_SECONDS)
        started = [build for build in builds if build.after is None]
        wait_for_older_claims(outbox, [build.mirror for build in started])
        for build in started:
            reindex_documents(outbox, build.mirror, build.index, chunk_size)
        for build in builds:
            report = progress(build.mirror)
            report(build.done)
            results[build.mirror.name] = _backfill(locks, build, chunk_size, report)
            mirrors.backend.put_settings(
                build.index, {REFRESH_INTERVAL: build.mirror.settings.get(REFRESH_INTERVAL)}
            )
            _refresh(build)
        replaced: list[str] = []
        for build in builds:
            locks.heartbeat(build.lock)
            replaced.extend(mirrors.backend.swap_alias(build.mirror.alias, build.index))
            # What a claim wrote between the last refresh and the swap.
            _refresh(build)
            build.mirror.invalidate()
            # What was read from the old index is stale from here on (caching/cache.py).
            outbox.next_version(build.mirror.name)
        if replaced:
            # Readers and indexers of other processes let go of the old ones first.
            time.sleep(SETTLE_SECONDS)
            for index in replaced:
                mirrors.backend.delete_index(index)
        for build in builds:
            locks.finish(build.lock)
    return results


@contextmanager
def _lock(locks: RebuildLocks, mirror: Mirror) -> Iterator[RebuildLock]:
    """Hold the lock of *mirror*; the next process can take it at once after that."""
    lock = locks.acquire(mirror.name)
    try:
        yield lock
    finally:
        locks.release(lock)


@contextmanager
def _heartbeats(locks: RebuildLocks, acquired: list[RebuildLock]) -> Iterator[None]:
    """Send heartbeats, whatever the caller waits for."""

    def send() -> None:
        while not thread.stopping.wait(HEARTBEAT_SECONDS):
            try:
                for lock in acquired:
                    locks.heartbeat(lock)
            except Exception as error:  # noqa: BLE001 - the database is down, or the lock is lost
                # The rebuild finds out by itself, when it stores its progress.
                log.info("no heartbeat could be stored: %s", error)

    thread = ProcessThread(send, "nefertari-search-rebuild")
    thread.start()
    try:
        yield
    finally:
        thread.stop(None)


def _start_or_resume(
    mirrors: MirrorRegistry,
    locks: RebuildLocks,
    mirror: Mirror,
    lock: RebuildLock,
    restart: bool,
) -> _Build:
    """Return the index to build: the one of an interrupted rebuild if it is fit, else a new one."""
    indices = mirrors.indices_of(mirror)
    aliases = indices.get(lock.index, set())
    resumed = (
        not restart
        and write_alias(lock.index) in aliases
        and mirror.alias not in aliases
        # It was created with the current mapping and settings.
        and same_schema(
            (mirrors.backend.get_mapping(lock.index) or {}).get("_meta", {}),
            mirror.mapping["_meta"],
        )
    )
    index, after, done = lock.index, lock.checkpoint, lock.documents
    if not resumed:
        index, after, done = mirrors.next_name(mirror, lock.index), None, 0
        # Stored first: an index that exists is known by its name.
        locks.start(lock, index)
        mirrors.create(mirror, index)
    elif after is not None:
        log.info("resuming %s after %r, with %d documents", index, after, done)
    for name, aliases in indices.items():
        if mirror.alias not in aliases and name != index:
            log.warning("deleting %s, left over from an interrupted rebuild", name)
            mirrors.backend.delete_index(name)
    mirrors.backend.put_settings(index, {REFRESH_INTERVAL: "-1"})
    return _Build(mirror, lock, index, after, done)


def _backfill(locks: RebuildLocks, build: _Build, chunk_size: int, report: Progress) -> BulkResult:
    done, stored_at = build.done, time.monotonic()
    checkpoint = build.after

    def on_acknowledged(key: Any, count: int) -> None:
        nonlocal done, checkpoint, stored_at
        done, checkpoint = done + count, key
        report(count)
        if time.monotonic() - stored_at >= CHECKPOINT_SECONDS:
            locks.checkpoint(build.lock, checkpoint, done)
            stored_at = time.monotonic()

    target = write_alias(build.index)
    result = backfill(build.mirror, target, SCAN_VERSION, chunk_size, build.after, on_acknowledged)
    if checkpoint is not None:
        locks.checkpoint(build.lock, checkpoint, done)
    result.resumed = build.done
    return result


def _refresh(build: _Build) -> None:
    for remaining in reversed(range(REFRESHES)):
        try:
            build.mirror.backend.refresh(build.index)
        except BackendTimeout:
            # It goes on at the server; what it has done is done.
            if not remaining:
                raise
        else:
            return
