"""Responses of the backend, each cached under what was asked and with the version it is good for.

Why a cached response is never older than the setting allows, and never another caller's
----------------------------------------------------------------------------------------

Everything that changes an index is a claim, whose version is taken before anything is written
(interfaces/outbox.py), or a rebuild, which takes a version after it has swapped its index in. So
while nothing is pending and the version of the latest claim is N, an index has one state, and a
response is a function of that state and of what was asked. A reader looks up "is anything
pending" and N first, as it does without a cache. A response is cached with N only by a reader that
has seen nothing pending and has made everything up to N visible before asking; it is returned only
to readers that see nothing pending, and N still. No message has to reach a cache to make a
response stale, so none can be lost: the version does it.

What depends on more than the state is not cached: a "now" in a query, scripts, random scores.

The key is the whole body as it is sent. The rights of the caller are in it (the filter of ACLs,
the fields that may be searched, the fields of documents that are requested), so two callers share
a response only if the search server would have returned the same to both. What views, wrappers and
renderers take out of documents they take out of each response again: it is cached as a text.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable, Optional

from nefertari_search_tween.caching.region import Region
from nefertari_search_tween.concurrency.forks import PerProcess
from nefertari_search_tween.interfaces.process_counts import CACHE_HIT, CACHE_MISS

log = logging.getLogger(__name__)

# A cached response is read and decoded as a whole.
MAX_CHARACTERS = 1024 * 1024
# A region that failed is not used for so long: reads must not wait for it one after the other.
PAUSE_SECONDS = 5.0
# In the JSON text of a body: what makes its response depend on more than the index.
_VOLATILE = re.compile(r'\bnow|"[a-z_]*script[a-z_]*"|"random_score"')


class ResponseCache(PerProcess):
    """The cache of one application in this process.

    :param make: makes the region; None: nothing is cached.
    :param name: of the application's mirrors, which no other application has.
    :param count: called with the name of a model, :data:`CACHE_HIT` or :data:`CACHE_MISS`, and how
        many there are more.
    """

    def __init__(
        self,
        make: Optional[Callable[[], Region]],
        name: str,
        count: Callable[[str, str, int], None],
    ) -> None:
        self._make = make
        self.name = name
        self._count_one = count
        self._start_empty()
        self.watch_forks()

    def _start_empty(self) -> None:
        self.region = None if self._make is None else self._make()
        self._closed_until = 0.0

    def after_fork_in_child(self) -> None:
        # Empty: another thread may have been in the middle of a change.
        self._start_empty()

    @property
    def on(self) -> bool:
        return self.region is not None

    def get_or_search(
        self,
        mirrors: Sequence[Any],
        request: Any,
        version: Optional[str],
        search: Callable[[], Any],
    ) -> Any:
        """Return the cached response to *request*, or else what *search* returns, and cache it.

        :param mirrors: what is searched.
        :param request: all that the response depends on besides the state of the mirrors.
        :param version: of that state; None: it is not known, so nothing is cached.
        :returns: a separate object for each caller; ``took`` of a cached one is 0.
        """
        if version is None or not self.on:
            return search()
        text = _text(request)
        if _VOLATILE.search(text):
            return search()
        key = self._key(mirrors, text)
        response = self._get([key], version)[0]
        self._count(mirrors, int(response is not None), int(response is None))
        if response is not None:
            for each in response if isinstance(response, list) else [response]:
                each["took"] = 0
            return response
        response = search()
        self._set({key: response}, version)
        return response

    def documents(
        self,
        mirror: Any,
        ids: Sequence[str],
        version: Optional[str],
        fetch: Callable[[list[str]], Mapping[str, Any]],
    ) -> dict[str, Any]:
        """Return the documents *ids*, by id: the cached ones, and the others by *fetch*.

        A document that does not exist is not cached, so that made-up ids can't fill the cache.
        """
        if version is None or not self.on or not ids:
            return dict(fetch(list(ids)))
        keys = {each: self._key([mirror], _text({"document": each})) for each in ids}
        documents = dict(zip(keys, self._get(list(keys.values()), version)))
        missing = [each for each, document in documents.items() if document is None]
        self._count([mirror], len(documents) - len(missing), len(missing))
        if missing:
            fetched = fetch(missing)
            documents.update(fetched)
            new = {keys[each]: fetched[each] for each in missing if fetched[each] is not None}
            self._set(new, version)
        return documents

    def _key(self, mirrors: Iterable[Any], text: str) -> str:
        # With the fingerprint: a process of another version of the application, whose documents
        # have other fields, has separate responses.
        state = [(mirror.alias, mirror.fingerprint) for mirror in mirrors]
        digest = hashlib.sha256(_text([self.name, state, text]).encode()).hexdigest()
        return f"nefertari-search:{digest}"

    def _get(self, keys: list[str], version: str) -> list[Any]:
        texts = self._use_region(lambda region: region.get_multi(keys))
        responses: list[Any] = []
        for text in texts or [None] * len(keys):
            # A value that does not exist is an object of dogpile's.
            cached, _, response = text.partition("\n") if isinstance(text, str) else ("", "", "")
            responses.append(json.loads(response) if cached == version else None)
        return responses

    def _set(self, responses: Mapping[str, Any], version: str) -> None:
        # Keys unsorted: the order of fields is part of a response.
        texts = {key: f"{version}\n{json.dumps(value)}" for key, value in responses.items()}
        texts = {key: text for key, text in texts.items() if len(text) <= MAX_CHARACTERS}
        if texts:
            self._use_region(lambda region: region.set_multi(texts))

    def _use_region(self, use: Callable[[Any], Any]) -> Any:
        """Return what *use* returns; None when the region can't be reached."""
        assert self.region is not None
        if time.monotonic() < self._closed_until:
            return None
        try:
            return use(self.region.region)
        except self.region.faults as error:
            self._closed_until = time.monotonic() + PAUSE_SECONDS
            log.warning(
                "the cache can't be reached, reads go on without it for %g s: %s",
                PAUSE_SECONDS,
                error,
            )
            return None

    def _count(self, mirrors: Iterable[Any], hits: int, misses: int) -> None:
        for mirror in mirrors:
            # Zeros, too: what has not happened yet is known as well.
            self._count_one(mirror.name, CACHE_HIT, hits)
            self._count_one(mirror.name, CACHE_MISS, misses)


def _text(value: Any) -> str:
    """Return *value* as JSON, equal for equal values; other types by their name and ``repr``."""
    return json.dumps(
        value,
        sort_keys=True,
        separators=(",", ":"),
        default=lambda other: f"{type(other).__name__} {other!r}",
    )


#: caches nothing
NO_CACHE = ResponseCache(None, "", lambda *count: None)
