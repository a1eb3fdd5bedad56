"""Building an index from the primary, without downtime, however often it is interrupted.

The next index is created first; from then on every claim of every process writes to both. Then
the primary is scanned in key order into the new index with version 0. Then the alias is swapped.
Several processes may scan, each another range of keys.

Why nothing is lost
-------------------

Let *t* be the moment when the index exists, *s* the one when the scan begins, and take any change,
committed at *c*, and the claim that settles it. A claim asks for the list of indices after it has
read the state, and gets one that was looked up less than TARGETS_SECONDS before (indexer.py).

1. Nobody else writes. Let *a* be a moment before *t*, and *e* one at least SETTLE_SECONDS (more
   than TARGETS_SECONDS) after *a*, before the alias is swapped. If between *a* and *e* no claim was
   made or in flight (catch_up.py, ClaimWatch), then no list was looked up between them; one from
   before *a* is in use no more at *e*. So a claim that ended before *a* read, and its change was
   committed, before *s*: the scan sees it. Any later one was made after *e* and has a list from
   after *e*: it knows the index. What is scanned until *e* is trusted then, and nothing was waited
   for, unless the scan took less than that.
2. Else what was scanned is not trusted: the scan begins at an *s* that is SETTLE_SECONDS after
   *t*, from the first key on. If the list that a claim got was looked up before *t*, then the claim
   had read, and the change was committed, before t + TARGETS_SECONDS, which is before *s*: the scan
   sees it. It does not matter how long the process then took to write and settle. Between *t* and
   *s* an older claim may look the list up later than a newer one, and write to the new index what
   the newer one, which does not know it, has made stale (catch_up.py). So before the scan begins,
   the claims of that time are waited for, and the documents that the index then holds are indexed
   again.
3. Any other claim has written to the new index. Its version is above 0, so what the scan brings
   of that document later is rejected, and what it has brought before is replaced. The scan can't
   win against a delete either: a server remembers the version of a deleted document for
   ``index.gc_deletes`` (an hour), and a chunk that was read more than FRESH_SECONDS ago is read
   again before it is written.

None of this depends on who scans, how often, or whether any process scans at the moment: claims
write to the new index because it exists. So a rebuild that was killed is resumed by scanning on
after the last stored key, which was stored after the backend had acknowledged it and everything
before it, and once that was trusted. What was changed meanwhile before that key came by claims. Two
that scan into one index at a time (one of them was taken for dead) do no harm for the same reason:
a document that was changed since *s* has a version above 0, and of any other they bring the same.

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
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import Any, Callable, Optional

from nefertari_search_tween.backends.base import Backend
from nefertari_search_tween.concurrency.threads import POLL_SECONDS, ProcessThread
from nefertari_search_tween.exceptions import (
    BackendDenied,
    BackendRejected,
    BackendTimeout,
    MappingRefused,
)
from nefertari_search_tween.indexing.bulk_writer import BulkResult
from nefertari_search_tween.indexing.indexer import TARGETS_SECONDS
from nefertari_search_tween.indexing.rebuild.backfill import Backfill, add_result
from nefertari_search_tween.indexing.rebuild.catch_up import (
    ClaimWatch,
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

log = logging.getLogger(__name__)

SETTLE_SECONDS = TARGETS_SECONDS + 0.1
# How long searches that are going on may hold up the deletion of an index that was replaced.
MAX_SEARCH_SECONDS = 2.0
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


class _Build:
    """One index that a run builds.

    :param after: the key after which the scan begins, None: at the first one.
    :param done: number of documents up to there.
    :param created_at: *t*, on :func:`time.monotonic`, or later.
    :ivar trusted: what is scanned is (see 1. and 2.), so it is progress that is stored.
    :ivar report: called with its progress.
    """

    report: Progress

    def __init__(
        self, mirror: Mirror, lock: RebuildLock, index: str, after: Optional[Any], done: int
    ) -> None:
        self.mirror = mirror
        self.lock = lock
        self.index = index
        self.after, self.done = after, done
        self.created_at = time.monotonic()
        # Only that was stored.
        self.trusted = after is not None
        self.result = BulkResult(resumed=done)

    def scan(
        self,
        locks: RebuildLocks,
        chunk_size: int,
        processes: int,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Write what is not written yet; to its end, unless *stopped* (see Backfill)."""
        stored_at = time.monotonic()
        target = write_alias(self.index)
        fill = Backfill(self.mirror, target, SCAN_VERSION, chunk_size, processes)
        with closing(fill.run(self.after, stopped)) as parts:
            for part in parts:
                add_result(self.result, part.result)
                if part.key is None:
                    continue
                self.report(part.documents)
                self.after, self.done = part.key, self.done + part.documents
                if self.trusted and time.monotonic() - stored_at >= CHECKPOINT_SECONDS:
                    locks.checkpoint(self.lock, self.after, self.done)
                    stored_at = time.monotonic()
        if self.trusted and self.after is not None:
            locks.checkpoint(self.lock, self.after, self.done)

    def start_over(self) -> None:
        """Forget what was scanned."""
        self.report(-self.done)
        self.after, self.done, self.result = None, 0, BulkResult(resumed=0)


def rebuild(
    mirrors: MirrorRegistry,
    locks: RebuildLocks,
    outbox: Outbox,
    selected: list[Mirror],
    chunk_size: int,
    progress: Callable[[Mirror], Progress] = no_progress,
    restart: bool = False,
    processes: int = 1,
) -> dict[str, BulkResult]:
    """Build new indices of the mirrors *selected* and swap them in.

    An interrupted rebuild is resumed.

    :param progress: returns, for a mirror, what is called with its progress.
    :param restart: start over instead.
    :param processes: how many scan a mirror: this one, or others that are forked from it.
    :returns: what was written, by name of the model; a problem for one whose documents the backend
        can't hold.
    :raises BackendError: the backend failed; the indices searched so far still are.
    :raises RebuildInProgress: one of the models is being rebuilt; nothing was done.
    """
    with ExitStack() as stack:
        acquired = [stack.enter_context(_lock(locks, mirror)) for mirror in selected]
        stack.enter_context(_heartbeats(locks, acquired))
        watch = ClaimWatch(outbox, selected)
        builds, results = [], {}
        for mirror, lock in zip(selected, acquired):
            try:
                builds.append(_start_or_resume(mirrors, locks, mirror, lock, restart))
            except MappingRefused as error:
                # Of this model alone: the others are built.
                locks.finish(lock)
                results[mirror.name] = BulkResult(problem=str(error))
        for build in builds:
            build.report = progress(build.mirror)
            build.report(build.done)
        scan = partial(_Build.scan, locks=locks, chunk_size=chunk_size, processes=processes)
        _trust(outbox, builds, watch, scan, chunk_size)
        for build in builds:
            scan(build)
            results[build.mirror.name] = build.result
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
        for index in replaced:
            _await_searches(mirrors.backend, index)
            # A claim that still writes to it looks the indices up again (indexer.py).
            mirrors.backend.delete_index(index)
        for build in builds:
            locks.finish(build.lock)
    return results


def _trust(
    outbox: Outbox,
    builds: list[_Build],
    watch: ClaimWatch,
    scan: Callable[..., None],
    chunk_size: int,
) -> None:
    """Scan until it is known whether that can be trusted (1.); if it can't, prepare 2."""
    doubtful = [build for build in builds if not build.trusted]
    known_at = watch.began + SETTLE_SECONDS
    for build in doubtful:
        if watch.quiet(build.mirror):
            scan(build, stopped=lambda: time.monotonic() >= known_at)
    _sleep_until(known_at if doubtful else 0.0)
    disturbed = [build for build in doubtful if not watch.quiet(build.mirror)]
    for build in disturbed:
        _sleep_until(build.created_at + SETTLE_SECONDS)
    wait_for_older_claims(outbox, [build.mirror for build in disturbed])
    for build in disturbed:
        build.start_over()
        reindex_documents(outbox, build.mirror, build.index, chunk_size)
    for build in doubtful:
        build.trusted = True


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _await_searches(backend: Backend, index: str) -> None:
    """Return when the searches of *index* have ended that began before the swap: none runs at two
    looks, and none did in between. One that takes longer is ended by the deletion."""
    ends_at = time.monotonic() + MAX_SEARCH_SECONDS
    before = None
    while time.monotonic() < ends_at:
        try:
            activity = backend.search_activity(index)
        except (BackendDenied, BackendRejected, BackendTimeout) as error:
            log.info("searches of %s can't be seen, so they get some time: %s", index, error)
            _sleep_until(ends_at)
            return
        if activity is None or (activity == before and not activity.running):
            return
        before = activity
        time.sleep(POLL_SECONDS)


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
        # Else nothing in it was trusted: not even that what it holds still exists.
        and lock.checkpoint is not None
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
    else:
        log.info("resuming %s after %r, with %d documents", index, after, done)
    for name, aliases in indices.items():
        if mirror.alias not in aliases and name != index:
            log.warning("deleting %s, left over from an interrupted rebuild", name)
            mirrors.backend.delete_index(name)
    mirrors.backend.put_settings(index, {REFRESH_INTERVAL: "-1"})
    return _Build(mirror, lock, index, after, done)


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
