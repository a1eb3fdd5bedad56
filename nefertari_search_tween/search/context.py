"""The context of one routed read: the decision for its request, and its outcome."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Callable, Optional

from nefertari.json_httpexceptions import JHTTPForbidden
from pyramid.threadlocal import get_current_request
from webob.multidict import GetDict

from nefertari_search_tween.exceptions import BadQuery, Reason, SearchError, SearchUnavailable
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.search.aggregations.request import AggregationRequest

FLAG = "_search"
HEADER = "X-Search-Engine"
READS = frozenset({"GET", "HEAD"})
#: methods of a collection that select objects by the query string
SELECTING = READS | {"PUT", "PATCH", "DELETE"}
#: parameters, and fields of query syntax, whose values are names of fields
EXISTS, MISSING = "_exists_", "_missing_"
PRESENCE = (EXISTS, MISSING)
#: what was typed into a search box
BOX = "_query"
#: more of it may be typed
PREFIX = "_prefix"
#: what the response says beside the results
HIGHLIGHT = "_highlight"
FACETS = "_facets"
EXTRAS = (HIGHLIGHT, FACETS)
#: where a page begins
AFTER = "_after"
#: parameters that only a search understands
SEARCH_PARAMETERS = ("q", BOX, PREFIX, "_search_fields", AFTER, *EXTRAS, *PRESENCE)
NUMBERS = frozenset({"_limit", "_start", "_page"})
AGGREGATIONS = ("_aggs", "_aggregations")

#: key of a request's ``__dict__``: it came over HTTP, or is a view's subrequest. Scripts have none,
#: or one that no application has been asked (``pyramid.paster.bootstrap``).
SERVED = "nefertari_search.served"
#: key of a request's ``__dict__``: the model whose collection the URL names, or MULTI_COLLECTION
COLLECTION = "nefertari_search.collection"
#: attribute of a view class: true if its collection is that of several models at once
MULTI_COLLECTION = "is_multi_collection"
#: key of a request's ``__dict__``: its :class:`ReadContext`
READ = "nefertari_search.read"


class ReadKind(Enum):
    """How a read is answered."""

    TRANSPARENT = "transparent"
    SEARCH = "search"
    PRIMARY = "primary"


class QueryText(str):
    """Query syntax that the application's view adds to a search on purpose.

    What a view adds as any other value is an exact condition, so that an owner filter never
    becomes a full text search, whatever the owner is called.
    """

    __slots__ = ()


class TypedText(str):
    """A value of the query string as the caller typed it: query syntax under the name that it was
    typed with, and an exact value wherever else a view puts it.

    Only :func:`mark_typed` makes them. Whether a value is the caller's can't be decided by what it
    equals: callers guess values, and someone whose name is ``*`` types it, too.

    :ivar parameter: that name.
    """

    parameter = ""


def mark_typed(request: Any) -> None:
    """Replace the values of the query string of *request* by the same texts, marked as typed.

    The query string itself remains as the caller wrote it.
    """
    query_string = request.environ.get("QUERY_STRING", "")
    if not query_string:
        return
    try:
        items = list(request.GET.items())
    except UnicodeDecodeError:
        # Whoever reads it gets the same error.
        return
    typed = []
    for name, value in items:
        text = TypedText(value)
        text.parameter = name
        typed.append((name, text))
    # Where WebOb looks for it: each change of its own would write the query string again.
    request.environ["webob._parsed_query_vars"] = (
        GetDict(typed, request.environ),
        query_string,
    )


def as_values(value: Any) -> list[Any]:
    """Return the alternatives that a parameter lists, or its single value."""
    return list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]


def is_typed(name: str, value: Any) -> bool:
    """Return True if the caller typed the parameter *name* with *value*, or each of its values."""
    values = as_values(value)
    return bool(values) and all(
        isinstance(each, TypedText) and each.parameter == name for each in values
    )


_PRIMARY_BY_DECISION = (
    Reason.NOT_READ,
    Reason.SEARCH_FALSE,
    Reason.READ_FROM_PRIMARY,
    Reason.NOT_MIRRORED,
)


@dataclass
class ReadContext:
    """The decision for one request, and its outcome.

    :param model: of the collection; None for several collections at once.
    :param reason: why the primary answers, if it does.
    :param aggregation_keys: parameters that request aggregations of the view.
    :param aggregation: the requested aggregations; set as the view runs.
    :param limits: what limits the primary's time until the request has been answered.
    """

    request: Any
    model: Any
    mirror: Optional[Mirror]
    kind: ReadKind
    reason: Reason = Reason.NOT_READ
    answered_by_mirror: bool = False
    answered: bool = False
    seconds: float = 0.0
    server_milliseconds: int = 0
    aggregation_keys: tuple[str, ...] = AGGREGATIONS
    aggregation: Optional[AggregationRequest] = None
    limits: ExitStack = field(default_factory=ExitStack)
    is_primary_timeout: Callable[[BaseException], bool] = lambda error: False

    def limit_primary(
        self, limit: AbstractContextManager[None], is_timeout: Callable[[BaseException], bool]
    ) -> None:
        """Limit the time that the primary may take, until the request has been answered.

        :param limit: does so while it is entered.
        :param is_timeout: returns True for the errors of a statement that took too long.
        """
        self.limits.close()
        self.limits.enter_context(limit)
        self.is_primary_timeout = is_timeout

    def record_mirror(self, took: int) -> None:
        """Record that the mirror answered; *took* are the backend's own milliseconds."""
        self.answered = self.answered_by_mirror = True
        self.server_milliseconds += took

    def record_primary(self, reason: Reason) -> None:
        """Record that the primary answers."""
        self.answered = True
        self.answered_by_mirror = False
        self.reason = reason

    def record_failure(self, reason: Reason) -> None:
        """Record that neither answers: the response will be an error."""
        self.answered = self.answered_by_mirror = False
        self.reason = reason

    @property
    def refuses_search(self) -> bool:
        """Return True if the caller demanded an answer of the primary."""
        return self.kind is ReadKind.PRIMARY and self.reason is Reason.SEARCH_FALSE

    def require_mirror(self) -> Mirror:
        """Return the mirror of the collection.

        :raises SearchUnavailable: it has none.
        """
        if self.mirror is None:
            raise SearchUnavailable(Reason.NOT_MIRRORED, f"{self.model.__name__} has no mirror.")
        return self.mirror

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Add the time spent inside to that of the search."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - started

    @contextmanager
    def tracked(self) -> Iterator[None]:
        """Record how long a search takes inside, and why it fails, for the headers."""
        with self.timed():
            try:
                yield
            except SearchError as error:
                self.record_failure(getattr(error, "reason", Reason.BAD_REQUEST))
                raise
            except JHTTPForbidden:
                self.record_failure(Reason.FORBIDDEN)
                raise

    @property
    def engine(self) -> str:
        """Who answered, and if not the mirror, why: the value of the header."""
        if self.answered_by_mirror:
            return "mirror"
        who = "primary" if self.answered or self.reason in _PRIMARY_BY_DECISION else "none"
        return f"{who}; reason={self.reason}"

    def add_headers(self, request: Any, response: Any) -> None:
        """Add the headers that name who answered and how long the search took; a response
        callback."""
        response.headers[HEADER] = self.engine
        if self.seconds:
            response.headers["Server-Timing"] = (
                f"search;dur={self.seconds * 1000:.1f}, "
                f"search-backend;dur={self.server_milliseconds}"
            )


def current_read() -> Optional[ReadContext]:
    """Return the read of this thread's current request; None outside of routed requests.

    Subrequests are separate requests, and are routed if they say ``_search``.
    """
    request = get_current_request()
    return None if request is None else request.__dict__.get(READ)


def without_flag(params: Any) -> Any:
    """Return *params*, a dict, without the ``_search`` that the caller of a routed request typed:
    it is no filter, and the router has read it."""
    if current_read() is not None and is_typed(FLAG, params.get(FLAG)):
        del params[FLAG]
    return params


def primary_error(root: str) -> BadQuery:
    """Return the error of a request for aggregations that demands an answer of the primary.

    :param root: the parameter that requests them.
    """
    return BadQuery(FLAG, f"the database has no aggregations: leave {FLAG}=false out, or {root}")


def read_of(mirrors: Sequence[Mirror]) -> Optional[ReadContext]:
    """Return the read of the current request if it reads the collection of *mirrors*; one of
    several collections reads any of their models."""
    read = current_read()
    if read is None or read.model is None:
        return read
    return read if [mirror.model for mirror in mirrors] == [read.model] else None


def collection_request(model: Any) -> Any:
    """Return this thread's current request if it selects from a collection of *model*, alone or
    together with others; else None."""
    request = get_current_request()
    if request is None:
        return None
    collection = request.__dict__.get(COLLECTION)
    return request if collection is model or collection is MULTI_COLLECTION else None
