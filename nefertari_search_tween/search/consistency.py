"""Decides when a mirror may answer: its server responds, its index is built and current."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Callable, NamedTuple, Optional, Protocol

from nefertari_search_tween.backoff import Backoff
from nefertari_search_tween.exceptions import (
    BackendBlocked,
    BackendDenied,
    BackendError,
    BackendRejected,
    BackendTimeout,
    BackendUnavailable,
    IndexMissing,
    Reason,
    SearchRejected,
    SearchTimeout,
    SearchUnavailable,
)
from nefertari_search_tween.interfaces.outbox import SyncState, Watermark
from nefertari_search_tween.mirror.mirror import PROBLEMS, Mirror
from nefertari_search_tween.mirror.registry import MirrorRegistry
from nefertari_search_tween.settings.settings import Settings

log = logging.getLogger(__name__)

# How long a search read waits after another one has waited for the whole search timeout in vain:
# the web server's threads must not all be blocked.
IMPATIENT_SECONDS = 1.0
# How often a waiting read checks whether the changes are indexed: a worker often is done with them
# at once, and many reads may wait for one that is not.
FIRST_CHECK_SECONDS = 0.002
MAX_CHECK_SECONDS = 0.02
# With consistency = eventual, how old the state of a cached response may be: as old as what a
# search server shows by itself (it refreshes once a second).
STATE_AGE_SECONDS = 1.0


class PendingChanges(Protocol):
    """The part of the outbox that reads need; see ``interfaces.outbox.Outbox``."""

    def sync_state(self, model_name: str, /) -> SyncState: ...

    def watermark(self) -> Watermark: ...

    def has_passed(self, watermark: Watermark, /) -> bool: ...

    def has_passed_known(self, watermark: Watermark, /) -> bool: ...


class ReadVersion(NamedTuple):
    """The state of the indices that a read sees.

    :param versions: external version by mirror; what was indexed up to it must be visible. None:
        no demand.
    :param cache_version: of the state, for the cache; None if it is not known.
    """

    versions: dict[Mirror, Optional[int]]
    cache_version: Optional[str] = None

    @classmethod
    def of(cls, mirror: Mirror, state: SyncState) -> ReadVersion:
        """Return the version of *mirror*, which has no pending changes."""
        return cls({mirror: state.version}, str(state.version))


class ReadConsistency:
    """See the module.

    :param caching: whether responses are cached.
    """

    def __init__(
        self,
        mirrors: MirrorRegistry,
        settings: Settings,
        pending: PendingChanges,
        caching: bool,
    ) -> None:
        self.mirrors = mirrors
        self.settings = settings
        self.pending = pending
        self.caching = caching
        # Until when reads wait for IMPATIENT_SECONDS only.
        self._impatient_until = 0.0
        self._recent_states: dict[str, tuple[float, SyncState]] = {}

    @property
    def _reads_own_writes(self) -> bool:
        return self.settings.consistency == "read_your_writes"

    def require_current(self, mirror: Mirror) -> ReadVersion:
        """Return the version that a transparent read sees.

        :raises SearchUnavailable: changes that the caller may know of are pending; it does not wait
            for them.
        """
        if not self._reads_own_writes:
            return self._recent_version(mirror)
        state = self.pending.sync_state(mirror.name)
        if state.pending:
            raise SearchUnavailable(Reason.STALE, f"The mirror of {mirror.name} is behind.")
        return ReadVersion.of(mirror, state)

    def wait_until_current(self, mirrors: Sequence[Mirror], current: bool) -> ReadVersion:
        """Wait until the changes are indexed that the caller may know of, and return the version
        that a search read sees.

        :param current: see every committed change, whatever the consistency setting, also if its
            writer has not been answered: what is selected is about to be written.
        :raises SearchUnavailable: indexing took too long, or the answer may depend on the request.
        """
        for mirror in mirrors:
            mirror.require_searchable()
        began = time.monotonic()
        version_of: Callable[[Mirror], ReadVersion] = self._recent_version
        if current:
            version_of = partial(self._wait_for_pending, began, self.pending.has_passed)
        elif self._reads_own_writes:
            version_of = partial(self._wait_for_known, began)
        versions: dict[Mirror, Optional[int]] = {}
        cache_versions = []
        for mirror in mirrors:
            read_version = version_of(mirror)
            versions.update(read_version.versions)
            cache_versions.append(read_version.cache_version)
        if current or None in cache_versions:
            return ReadVersion(versions)
        return ReadVersion(versions, " ".join(map(str, cache_versions)))

    def _recent_version(self, mirror: Mirror) -> ReadVersion:
        """Return the version that a read sees which need not see recent commits."""
        anything = ReadVersion({mirror: None})
        if not self.caching:
            return anything
        now = time.monotonic()
        until, state = self._recent_states.get(mirror.name, (0.0, SyncState(True, 0)))
        if now >= until:
            state = self.pending.sync_state(mirror.name)
            self._recent_states[mirror.name] = now + STATE_AGE_SECONDS, state
        return anything if state.pending else ReadVersion.of(mirror, state)

    @contextmanager
    def translate_errors(self, versions: Mapping[Mirror, Optional[int]]) -> Iterator[None]:
        """Translate failures of the backend into errors of this package.

        :param versions: of the mirrors to read; what was indexed up to them is visible inside.
        """
        breaker = self.mirrors.breaker
        breaker.check()
        try:
            for mirror, version in versions.items():
                mirror.require_ready()
                if version is not None:
                    mirror.ensure_visible(version)
            yield
        except IndexMissing as error:
            for mirror in versions:
                mirror.invalidate()
            breaker.record_response()
            names = ", ".join(mirror.name for mirror in versions)
            raise SearchUnavailable(
                Reason.NO_INDEX, f"The search index of {names} is gone."
            ) from error
        except BackendTimeout as error:
            # One slow query says nothing about the server, unless it does not respond to a ping.
            if not self.mirrors.backend.ping():
                breaker.record_failure(error)
            raise SearchTimeout(
                f"The search took longer than {self.settings.search_timeout:g} seconds."
            ) from error
        except BackendUnavailable as error:
            breaker.record_failure(error)
            raise SearchUnavailable(
                Reason.UNAVAILABLE, "The search server does not answer."
            ) from error
        except BackendBlocked as error:
            breaker.record_denied(error)
            raise SearchUnavailable(
                Reason.BLOCKED, "The search server has a block on this search index."
            ) from error
        except BackendDenied as error:
            # Details of users and rights are for the log, not for the caller.
            breaker.record_denied(error)
            raise SearchUnavailable(
                Reason.DENIED, "The search server does not allow this application to search."
            ) from error
        except BackendRejected as error:
            breaker.record_response()
            # Perhaps an alias has several indices now, which not every backend searches.
            self._check_again(versions)
            log.error("the backend rejected a query of this package: %s", error)
            raise SearchRejected("The search server refused the query.") from error
        except BackendError as error:
            log.error("the backend failed: %s", error)
            raise SearchUnavailable(
                Reason.UNAVAILABLE, "The search server does not answer as expected."
            ) from error
        else:
            breaker.record_success()

    def _check_again(self, mirrors: Iterable[Mirror]) -> None:
        """Return if the indices of *mirrors* can be searched, as of now.

        :raises SearchUnavailable: one can't.
        """
        for mirror in mirrors:
            mirror.invalidate()
            with self.translate_errors({mirror: None}):
                mirror.require_ready()

    def require_shards(self, mirrors: Sequence[Mirror], shards: int) -> None:
        """Return if a search of *mirrors* read their indices and no other.

        An alias can get another index at any time, and counts and aggregations do not say which
        indices they are of, but every response says how many parts were read: that number costs
        nothing, and differs if another index was among them.

        :param shards: that number.
        :raises SearchUnavailable: an alias has several indices, or has just got another one.
        """
        if shards == sum(mirror.shards for mirror in mirrors):
            return
        # A rebuild may have changed it: for this process, the response is the first to tell.
        self._check_again(mirrors)
        if shards != sum(mirror.shards for mirror in mirrors):
            name = ", ".join(mirror.name for mirror in mirrors)
            raise SearchUnavailable(
                Reason.NAME_CONFLICT, PROBLEMS[Reason.NAME_CONFLICT].format(name)
            )

    def _require_response(self) -> None:
        """Return if the backend answers.

        :raises SearchUnavailable: it does not.
        """
        breaker = self.mirrors.breaker
        breaker.check()
        if not self.mirrors.backend.ping():
            breaker.record_failure(BackendUnavailable("no answer to a ping"))
            breaker.check()

    def _wait_for_known(self, began: float, mirror: Mirror) -> ReadVersion:
        """Wait until the changes pending now that the caller may know of are indexed.

        :raises SearchUnavailable: they are not indexed in time.
        """
        state = self.pending.sync_state(mirror.name)
        if not state.pending:
            return ReadVersion.of(mirror, state)
        return self._wait_for_pending(began, self.pending.has_passed_known, mirror)

    def _wait_for_pending(
        self, began: float, has_passed: Callable[[Watermark], bool], mirror: Mirror
    ) -> ReadVersion:
        """Wait until the changes pending now are indexed, at most for the search timeout.

        :param began: when the read began to wait for its first mirror.
        :param has_passed: returns True once all that count are indexed.

        Later changes are not waited for: where writes never pause, some are always pending.

        :raises SearchUnavailable: they are not indexed in time.
        """
        watermark = self.pending.watermark()
        timeout = self.settings.search_timeout
        if began < self._impatient_until:
            timeout = min(timeout, IMPATIENT_SECONDS)
        deadline = began + timeout
        backoff = Backoff(FIRST_CHECK_SECONDS, MAX_CHECK_SECONDS)
        while True:
            if has_passed(watermark):
                self._impatient_until = 0.0
                # Those that were settled have taken their versions.
                return ReadVersion({mirror: self.pending.sync_state(mirror.name).version})
            if time.monotonic() >= deadline or self.mirrors.breaker.open:
                self._impatient_until = time.monotonic() + self.settings.search_timeout
                # It may be the server that keeps them from being indexed, by whatever process.
                self._require_response()
                raise SearchUnavailable(
                    Reason.STALE, f"Changes of {mirror.name} are not searchable yet."
                )
            time.sleep(backoff.next_seconds())
