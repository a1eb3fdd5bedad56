"""Where in a request for aggregations an option stands, and which fields it may name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Callable, Optional, Protocol

from nefertari_search_tween.exceptions import BadQuery, Reason
from nefertari_search_tween.search.query.clauses import SEARCHABLE, Query
from nefertari_search_tween.search.query.fields import SearchField
from nefertari_search_tween.search.query.lucene import ClauseBudget
from nefertari_search_tween.settings.settings import Settings

#: kind of the stand-in for a field that the caller may not name
FORBIDDEN = Reason.FORBIDDEN
_INTERNAL_END = ".keyword"


class FieldLookup(Protocol):
    """The fields that a caller may name; a :class:`~nefertari_search_tween.search.privacy.Scope`
    is one, and so is anything that stands for several models.

    :ivar tie: the field that equal documents are sorted by.
    """

    @property
    def tie_breaker(self) -> str: ...

    def get(self, name: str) -> Optional[SearchField]:
        """The field called *name*, None when there is none that the caller may see."""


@dataclass
class AggregationContext:
    """One request for aggregations, while it is read.

    :param names: the fields that may be aggregated.
    :param visible: the fields that a response may show (``top_hits``).
    :param restricted: privacy rules apply to the caller: a name that is unknown to them is
        refused in the same way, whether there is such a field or not.
    :param hides: documents are shown to the caller in part.
    :param base: what holds for every object that the caller may see here.
    :param only: gives the objects that an aggregation on some fields may look at, when not all
        objects have these fields; None for all.
    """

    names: FieldLookup
    visible: FieldLookup
    settings: Settings
    restricted: bool
    hides: bool
    base: Query
    words: ClauseBudget
    only: Callable[[Sequence[SearchField]], Optional[Query]] = field(default=lambda targets: None)
    #: fields that the caller may not name
    refused: list[str] = field(default_factory=list)
    #: aggregations so far
    count: int = 0
    #: type -> the parameter that first names it
    kinds: dict[str, str] = field(default_factory=dict)


@dataclass
class OptionPath:
    """One option (or aggregation) of a request.

    :param where: the parameter, as the caller writes it.
    :param targets: the fields that the aggregation names; shared by all of its options.
    """

    inquiry: AggregationContext
    where: str
    targets: list[SearchField] = field(default_factory=list)

    def at(self, name: Any) -> OptionPath:
        """The option *name* below this one."""
        return OptionPath(self.inquiry, f"{self.where}.{name}", self.targets)

    def bad(self, problem: str) -> BadQuery:
        """The error that says what is wrong here."""
        return BadQuery(self.where, problem)

    def named(self, value: Any) -> SearchField:
        """The field that *value* names.

        :raises BadQuery: there is none.
        """
        if not isinstance(value, str) or not value:
            raise self.bad("the name of one field is expected")
        name = str(value)
        names = self.inquiry.names
        target = names.get(name)
        if target is None and name.endswith(_INTERNAL_END):
            # What nefertari's users had to write to get whole values.
            found = names.get(name[: -len(_INTERNAL_END)])
            target = found if found is not None and found.kind == "text" else None
        if target is None:
            # A nested relationship by itself: the keys of its documents.
            target = names.get(f"{name}._pk")
        if target is None:
            if not self.inquiry.restricted:
                raise self.bad(f"there is no field '{name[:60]}'")
            self.inquiry.refused.append(name)
            target = SearchField(name, FORBIDDEN)
        if target.joins:
            raise self.bad(
                f"'{name[:60]}' is in the index of other documents, whose fields can't be "
                "aggregated from here"
            )
        self.targets.append(target)
        return target

    def target(self, value: Any, kinds: frozenset[str] = SEARCHABLE) -> SearchField:
        """The same, a field of one of *kinds*."""
        target = self.named(value)
        if target.kind not in kinds and target.kind != FORBIDDEN:
            if target.kind not in SEARCHABLE:
                raise self.bad(f"the values of '{target.name}' can't be aggregated")
            raise self.bad(
                f"'{target.name}' holds {_HELD[target.kind]}, which this aggregation does not take"
            )
        return target


_HELD = {
    "text": "text",
    "keyword": "text",
    "integer": "numbers",
    "float": "numbers",
    "boolean": "true or false",
    "date": "dates",
    "time": "times",
}


def listed(value: Any) -> list[Any]:
    """The members of a list: a list, an object whose keys are numbers, or one member alone."""
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, dict) and value and all(re.fullmatch(r"\d{1,4}", key) for key in value):
        return [value[key] for key in sorted(value, key=int)]
    return [value]


def ancestors(path: Optional[str]) -> list[Optional[str]]:
    """*path* of nested documents and all that holds them, inside out; the last is None, the
    document itself."""
    found: list[Optional[str]] = []
    while path:
        found.append(path)
        path = path.rpartition(".")[0]
    return [*found, None]


def common(one: Optional[str], other: Optional[str]) -> Optional[str]:
    """The innermost documents that hold (or are) both paths."""
    held = ancestors(other)
    return next(path for path in ancestors(one) if path in held)
