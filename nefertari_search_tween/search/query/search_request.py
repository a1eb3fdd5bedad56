"""A search of one collection or of several, as it enters this package.

Every entry makes one and hands it down, so each parameter is parsed once, however many models are
searched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from nefertari import RESERVED_PARAMS
from nefertari.utils import process_fields

from nefertari_search_tween.concurrency.forks import LazyAttribute
from nefertari_search_tween.documents.search_fields import WeightedName, parse_search_fields
from nefertari_search_tween.exceptions import BadQuery
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.search.aggregations.request import AggregationRequest
from nefertari_search_tween.search.box.query import ALL_WORDS, Attempt
from nefertari_search_tween.search.box.words import BoxText, parse_box
from nefertari_search_tween.search.context import (
    AFTER,
    BOX,
    EXTRAS,
    PREFIX,
    PRESENCE,
    SERVED,
    TypedText,
    as_values,
    is_typed,
)
from nefertari_search_tween.search.features.cursors import Position, parse_after
from nefertari_search_tween.search.item_acl import acl_filters
from nefertari_search_tween.search.privacy import Caller, CallerNames
from nefertari_search_tween.search.query.clauses import Query
from nefertari_search_tween.search.query.paging import Page, parse_page
from nefertari_search_tween.search.query.sorting import SCORE, SortKey, parse_sort
from nefertari_search_tween.settings.settings import Settings

#: the value of a filter that is none
ALL = "_all"
#: parameters that are no filters of a field
NO_FILTERS = frozenset({*RESERVED_PARAMS, "q", BOX, PREFIX, AFTER, *EXTRAS, *PRESENCE})
#: parameters whose values name fields
OF_FIELDS = frozenset({*RESERVED_PARAMS, *EXTRAS, *PRESENCE})
# Parameters that do not affect an aggregation; nefertari ignores them, too.
OF_PAGES = frozenset({"_limit", "_start", "_page", "_sort", "_fields", "_count", AFTER, *EXTRAS})


@dataclass(frozen=True)
class SearchRequest:
    """What a search read asks for.

    :param params: nefertari's parameters; lists are alternatives. Texts that the caller typed are
        Lucene syntax, and so are all texts of scripts; the view's own are exact values.
    :param http_request: its caller's rights apply; None for no restriction (scripts).
    :param filters: exact conditions that must hold as well (those of the view), by model name.
    :param aggregation: what to compute over the matches, instead of returning them.
    :param current: see every committed change, whatever the consistency setting, because the
        results will be modified.
    :param index: the index to search; '' for the mirror's.
    :param attempt: how the text of the search box is looked for.
    """

    params: Mapping[str, Any]
    settings: Settings
    http_request: Any = None
    filters: Mapping[str, Sequence[Query]] = field(default_factory=dict)
    aggregation: Optional[AggregationRequest] = None
    current: bool = False
    index: str = ""
    attempt: Attempt = ALL_WORDS

    @LazyAttribute
    def caller(self) -> Caller:
        return Caller.of(self.http_request)

    @property
    def nameable(self) -> Caller:
        """Return a caller who sees the fields that this one may name."""
        return self.caller.unrestricted if self.settings.hidden_fields == "allow" else self.caller

    def is_own(self, name: str) -> bool:
        """Return True if the view added the parameter *name*, or gave it another value.

        Of parameters that list fields the name decides: their text may be made of the caller's,
        whose fields it names then.
        """
        return name in self._own_names

    def only_view_names(self, name: str) -> bool:
        """Return True if the view added the parameter *name*, and its caller gave none that it may
        be made of: then it may be a field that is hidden from the caller."""
        return name in self._own_names and name not in self._caller_names

    @LazyAttribute
    def _caller_names(self) -> CallerNames:
        return CallerNames.of(self.http_request)

    @LazyAttribute
    def _own_names(self) -> frozenset[str]:
        request = self.http_request
        if request is None or SERVED not in request.__dict__:
            return frozenset()

        def is_own(name: str, value: Any) -> bool:
            if name in OF_FIELDS:
                return name not in self._caller_names and not any(
                    isinstance(each, TypedText) for each in as_values(value)
                )
            return not is_typed(name, value)

        return frozenset(name for name, value in self.params.items() if is_own(name, value))

    @LazyAttribute
    def sort(self) -> list[SortKey]:
        """Return the keys to sort by; a walk without any is by primary key.

        :raises BadQuery: a walk by score, which changes with every document.
        """
        keys = parse_sort(self.params.get("_sort"))
        if not self.is_walk:
            return keys
        if self.params.get("_sort") and any(key.name == SCORE for key in keys):
            raise BadQuery("_sort", f"{AFTER} needs an order that lasts, not that of the scores")
        return [key for key in keys if key.name != SCORE]

    @property
    def is_walk(self) -> bool:
        return AFTER in self.params and not self.count_only

    @LazyAttribute
    def position(self) -> Optional[Position]:
        """Return where the page of a walk begins; None at its beginning, and without a walk.

        :raises BadQuery: it is no cursor; or the caller may not see all results.
        """
        if not self.is_walk:
            return None
        if self.caller.max_documents is not None:
            # nefertari limits each page, and none of them knows how many there were before.
            raise BadQuery(AFTER, "only users who are logged in may see all results")
        return parse_after(self.params)

    @LazyAttribute
    def page(self) -> Page:
        """Return the requested part of the results.

        :raises BadQuery: it is invalid.
        """
        return parse_page(self.params, self.settings.max_result_window)

    @LazyAttribute
    def search_fields(self) -> tuple[WeightedName, ...]:
        """Return the fields to search; without any weight, the most important one comes first.

        :raises BadQuery: they are given more than once, or with a weight that is none.
        """
        value = self.params.get("_search_fields") or ""
        if not isinstance(value, str):
            raise BadQuery("_search_fields", "given more than once")
        try:
            return parse_search_fields(value.split(","))
        except ValueError as error:
            raise BadQuery("_search_fields", str(error)) from error

    def is_box(self, name: str) -> bool:
        """Return True if the parameter *name* is text of a search box."""
        return name == BOX or (name == "q" and self.settings.q == "box" and not self.is_own("q"))

    @LazyAttribute
    def box(self) -> Optional[BoxText]:
        """Return what was typed into the search box; None without one."""
        if self.attempt.text is not None:
            return parse_box([self.attempt.text], self.is_typing)
        values = [
            self.params[name] for name in (BOX, "q") if name in self.params and self.is_box(name)
        ]
        texts = [str(each) for value in values for each in as_values(value)]
        return parse_box(texts, self.is_typing) if values else None

    @LazyAttribute
    def is_typing(self) -> bool:
        """Return True if the last word of the search box may be the beginning of one.

        :raises BadQuery: the parameter is neither true nor false.
        """
        text = str(self.params.get(PREFIX, "false")).strip().lower()
        if text not in ("true", "false"):
            raise BadQuery(PREFIX, f"'{text[:40]}' is neither true nor false")
        return text == "true"

    @property
    def may_relax(self) -> bool:
        """Return True if documents without some of the words may be results: not those that are
        about to be changed, nor where the view demands the words."""
        return not self.current and not self.is_own(BOX) and self.position is None

    @LazyAttribute
    def fields(self) -> Any:
        """Return ``_fields`` as it was received; '' without a value."""
        fields = self.params.get("_fields") or ""
        return "" if isinstance(fields, str) and not fields.strip(", ") else fields

    @LazyAttribute
    def selected_fields(self) -> tuple[list[str], list[str]]:
        """Return the fields to include, and those to exclude."""
        only, exclude = process_fields(self.fields)
        return only, exclude

    @property
    def count_only(self) -> bool:
        return "_count" in self.params

    def filters_of(self, mirror: Mirror) -> list[Query]:
        """Return the conditions on every document of *mirror* that this request may see."""
        return [*self.filters.get(mirror.name, ()), *acl_filters(mirror)]

    def without_page(self) -> SearchRequest:
        """Return the same request for all matches, in no order."""
        params = {name: each for name, each in self.params.items() if name not in OF_PAGES}
        return replace(self, params=params)
