"""SQL text with its parameters, put together from parts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple


class Sql(NamedTuple):
    """A piece of SQL and the values of its question marks."""

    text: str
    params: tuple[Any, ...] = ()

    def __add__(self, other: object) -> Sql:
        if isinstance(other, Sql):
            return Sql(self.text + other.text, self.params + other.params)
        return Sql(self.text + str(other), self.params)

    def __radd__(self, other: str) -> Sql:
        return Sql(other + self.text, self.params)


TRUE = Sql("1")
FALSE = Sql("0")


def joined(separator: str, parts: Iterable[Sql]) -> Sql:
    """The *parts* one after the other."""
    texts: list[str] = []
    params: list[Any] = []
    for part in parts:
        texts.append(part.text)
        params.extend(part.params)
    return Sql(separator.join(texts), tuple(params))


def all_of(parts: Iterable[Sql]) -> Sql:
    """The conjunction of conditions."""
    return _combined(" AND ", list(parts), TRUE)


def any_of(parts: Iterable[Sql]) -> Sql:
    """The disjunction of conditions."""
    return _combined(" OR ", list(parts), FALSE)


def _combined(word: str, parts: list[Sql], empty: Sql) -> Sql:
    if not parts:
        return empty
    if len(parts) == 1:
        return parts[0]
    return "(" + joined(word, parts) + ")"


def negated(condition: Sql) -> Sql:
    """Not *condition*; what it can't tell (null) counts as false."""
    return "NOT ifnull(" + condition + ", 0)"
