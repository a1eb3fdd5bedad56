"""Answers of the backend, each kept under what was asked and with the number that it is good for.

Why a kept answer is never older than the setting allows, and never somebody else's
----------------------------------------------------------------------------------

Everything that changes an index is a claim, whose number is given out before it is written
(primary/outbox.py), or a rebuild, which takes a number after it has swapped its index in. So
while nothing waits to be indexed and the number of the last claim is N, an index has one state,
and an answer is a function of that state and of what was asked. A reader looks up "does anything
wait" and N first, as it does without a cache. An answer is kept with N only by a reader who found
that nothing waits and has made everything up to N visible before asking; it is given only to
readers who find that nothing waits, and N still. No message has to reach a cache to make an
answer old, so none can be lost: the number does.

What depends on more than the state is not kept: a "now" in a query, scripts, random scores.

What was asked is the whole body as it is sent. The rights of the caller are in it (the filter of
ACLs, the fields that may be searched, the fields of documents that are asked for), so two callers
share an answer only when the search server would have told them the same. What views, wrappers
and renderers take out of documents they take out of each answer anew: it is kept as a text.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable, Optional

from nefertari_search_tween.caching.region import Region

log = logging.getLogger(__name__)

# A kept answer is read and decoded as a whole.
LARGEST = 1024 * 1024
# How long a place that failed is left alone: reads must not wait for it one after the other.
PAUSE_SECONDS = 5.0
# In the JSON text of a body: what makes its answer depend on more than the index.
_VOLATILE = re.compile(r'\bnow|"[a-z_]*script[a-z_]*"|"random_score"')


class CacheCounts(dict[str, tuple[int, int]]):
    """Model name -> answers that were kept, and answers that had to be asked for."""


class ResponseCache:
    """The cache of one application in this process.

    :param place: None: nothing is kept.
    :param name: of the application's mirrors; no other's have it.
    :ivar counted: is called when the figures have changed.
    """

    def __init__(self, place: Optional[Region], name: str) -> None:
        self.region = place
        self.name = name
        self.counted: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._hits: defaultdict[str, int] = defaultdict(int)
        self._misses: defaultdict[str, int] = defaultdict(int)
        self._closed_until = 0.0

    @property
    def on(self) -> bool:
        return self.region is not None

    def figures(self) -> CacheCounts:
        """What was found since the process began."""
        with self._lock:
            names = {*self._hits, *self._misses}
            return CacheCounts({name: (self._hits[name], self._misses[name]) for name in names})

    def get_or_search(
        self,
        mirrors: Sequence[Any],
        asked: Any,
        version: Optional[str],
        ask: Callable[[], Any],
    ) -> Any:
        """The answer to *asked*: the one that is kept, or what *ask* gives, which is kept then.

        :param mirrors: what is searched.
        :param asked: all that the answer depends on besides the state of the mirrors.
        :param version: of that state; None: it is not known, nothing is kept.
        :returns: of its own for each caller; of a kept one, ``took`` is 0.
        """
        if version is None or not self.on:
            return ask()
        text = _text(asked)
        if _VOLATILE.search(text):
            return ask()
        key = self._key(mirrors, text)
        answer = self._kept([key], version)[0]
        self._count(mirrors, int(answer is not None), int(answer is None))
        if answer is not None:
            for each in answer if isinstance(answer, list) else [answer]:
                each["took"] = 0
            return answer
        answer = ask()
        self._keep({key: answer}, version)
        return answer

    def documents(
        self,
        mirror: Any,
        ids: Sequence[str],
        version: Optional[str],
        fetch: Callable[[list[str]], Mapping[str, Any]],
    ) -> dict[str, Any]:
        """The documents *ids*, by id: those that are kept, the others by *fetch*.

        A document that is not there is asked for each time: nobody fills the cache with names
        that they make up.
        """
        if version is None or not self.on or not ids:
            return dict(fetch(list(ids)))
        keys = {each: self._key([mirror], _text({"document": each})) for each in ids}
        kept = dict(zip(keys, self._kept(list(keys.values()), version)))
        missing = [each for each, document in kept.items() if document is None]
        self._count([mirror], len(kept) - len(missing), len(missing))
        if missing:
            found = fetch(missing)
            kept.update(found)
            new = {keys[each]: found[each] for each in missing if found[each] is not None}
            self._keep(new, version)
        return kept

    def _key(self, mirrors: Iterable[Any], text: str) -> str:
        # The fingerprint: a process of another version of the application, whose documents have
        # other fields, has answers of its own.
        state = [(mirror.alias, mirror.fingerprint) for mirror in mirrors]
        digest = hashlib.sha256(_text([self.name, state, text]).encode()).hexdigest()
        return f"nefertari-search:{digest}"

    def _kept(self, keys: list[str], version: str) -> list[Any]:
        found = self._reach(lambda region: region.get_multi(keys))
        result: list[Any] = []
        for text in found or [None] * len(keys):
            # A value that is not there is an object of dogpile's.
            known, _, answer = text.partition("\n") if isinstance(text, str) else ("", "", "")
            result.append(json.loads(answer) if known == version else None)
        return result

    def _keep(self, answers: Mapping[str, Any], version: str) -> None:
        # As it is: the order of fields is part of an answer.
        texts = {key: f"{version}\n{json.dumps(answer)}" for key, answer in answers.items()}
        texts = {key: text for key, text in texts.items() if len(text) <= LARGEST}
        if texts:
            self._reach(lambda region: region.set_multi(texts))

    def _reach(self, use: Callable[[Any], Any]) -> Any:
        """What *use* gives; None when the place can't be reached: then nothing is kept there."""
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
        with self._lock:
            for mirror in mirrors:
                self._hits[mirror.name] += hits
                self._misses[mirror.name] += misses
        self.counted()


def _text(value: Any) -> str:
    """*value* as JSON, the same for the same: what JSON does not know is named with its type."""
    return json.dumps(
        value,
        sort_keys=True,
        separators=(",", ":"),
        default=lambda other: f"{type(other).__name__} {other!r}",
    )


#: keeps nothing
NO_CACHE = ResponseCache(None, "")
