"""Where responses are cached: a dogpile.cache region over memory of this process, or Redis.

Texts go in and come out; what is in Redis is never unpickled.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

from nefertari_search_tween.exceptions import ConfigurationError

MEMORY = "memory"
# A cache that is slower than the search server is of no use; one that hangs must not delay reads.
REDIS_SECONDS = 0.25
# Memory of an entry besides its text: the key, and the cells of two tables.
ENTRY_BYTES = 300


class Region(NamedTuple):
    """A region of dogpile.cache, and what it raises when it can't be reached."""

    region: Any
    faults: tuple[type[Exception], ...]


def make_region(location: str, megabytes: int, seconds: int) -> Region:
    """Return the region of one application in this process.

    :param location: ``memory``, or the URL of a Redis.
    :param megabytes: what entries in memory may take.
    :param seconds: how long an entry is cached.
    :raises ConfigurationError: a package is missing, or the URL is not one of a Redis.
    """
    try:
        import dogpile.cache

        region = dogpile.cache.make_region(serializer=str.encode, deserializer=bytes.decode)
        if location == MEMORY:
            arguments: dict[str, Any] = {"cache_dict": Bounded(megabytes * 1024 * 1024)}
            region.configure("dogpile.cache.memory", expiration_time=seconds, arguments=arguments)
            return Region(region, ())
        from redis.exceptions import RedisError
    except ImportError as error:
        raise ConfigurationError(
            f"nefertari_search.cache needs the package {error.name}: "
            "pip install 'nefertari-search-tween[cache]'"
        ) from error
    arguments = {
        "url": location,
        "redis_expiration_time": seconds,
        "socket_timeout": REDIS_SECONDS,
        "socket_connect_timeout": REDIS_SECONDS,
    }
    try:
        region.configure("dogpile.cache.redis", expiration_time=seconds, arguments=arguments)
    except ValueError as error:
        raise ConfigurationError(f"nefertari_search.cache: no URL of a Redis: {error}") from None
    # ValueError: another application's text under one of our keys.
    return Region(region, (RedisError, ValueError))


class Bounded:
    """The dict of dogpile's memory backend, which would grow for ever without limit.

    When *size* bytes are full, the least recently used entries go first. Threads may share it.
    """

    def __init__(self, size: int) -> None:
        from cachetools import LRUCache

        self._entries: Any = LRUCache(size, getsizeof=lambda value: len(value) + ENTRY_BYTES)
        self._lock = threading.Lock()

    def get(self, key: str, default: Any = None) -> Any:
        with self._lock:
            return self._entries.get(key, default)

    def __setitem__(self, key: str, value: bytes) -> None:
        with self._lock:
            self._entries[key] = value

    def pop(self, key: str, default: Any = None) -> Any:
        with self._lock:
            return self._entries.pop(key, default)

    @property
    def size(self) -> int:
        """Return the bytes that the entries take."""
        return int(self._entries.currsize)
