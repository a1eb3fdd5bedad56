"""How much is read at a time: a chunk has a number of rows, and of bytes.

Half a thousand rows are a megabyte in one table and a gigabyte in another, and memory holds several
chunks at once: as rows, as documents, as JSON text, as requests in flight.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nefertari_search_tween.interfaces.primary import Body

#: of the objects that are read together; one that is larger is read alone
MAX_READ_BYTES = 4 * 1024 * 1024
# What a document is taken to have before any was read.
ASSUMED_BYTES = 16 * 1024


class ReadLimit:
    """The limit of one model's reads.

    Sizes of rows are known before they are read (where the database can tell), those of documents
    only afterwards: nested ones belong to them. So both count: the rows of a chunk, by their own
    sizes, and the number of rows, by the documents of the chunk before.
    """

    def __init__(self) -> None:
        self._document_bytes = ASSUMED_BYTES

    def rows(self, most: int) -> int:
        """Return how many objects to read next."""
        return max(1, min(most, MAX_READ_BYTES // self._document_bytes))

    def parts(self, sized: Iterable[tuple[Any, int]], most: int) -> Iterator[list[Any]]:
        """Yield things in lists to read at once.

        :param sized: pairs of a thing and the bytes of its row.
        """
        part: list[Any] = []
        total = 0
        for each, size in sized:
            if part and (len(part) >= self.rows(most) or total + size > MAX_READ_BYTES):
                yield part
                part, total = [], 0
            part.append(each)
            total += size
        if part:
            yield part

    def measure(self, bodies: Mapping[Any, Body]) -> None:
        """Take note of the documents of the last read."""
        sizes = [len(body) for body in bodies.values() if isinstance(body, bytes)]
        if sizes:
            self._document_bytes = max(1, sum(sizes) // len(sizes))
