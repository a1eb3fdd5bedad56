"""Which collection a request reads, and where the read goes: mirror or primary, and why."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Optional
from urllib.parse import unquote_plus

from nefertari.json_httpexceptions import JHTTPForbidden
from pyramid.threadlocal import get_current_request

from nefertari_search_tween.exceptions import BadQuery, Reason, SearchError
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.mirror.registry import MirrorRegistry
from nefertari_search_tween.search.aggregations.request import AggregationRequest, root_of
from nefertari_search_tween.search.privacy import note_parameters
from nefertari_search_tween.settings.settings import Settings

FLAG = "_search"
HEADER = "X-Search-Engine"
READS = frozenset({"GET", "HEAD"})
#: methods of a collection that select objects by the query string
SELECTING = READS | {"PUT", "PATCH", "DELETE"}
#: parameters that only a search understands
SEARCH_PARAMETERS = ("q", "_search_fields")
NUMBERS = frozenset({"_limit", "_start", "_page"})
AGGREGATIONS = ("_aggs", "_aggregations")

TRANSPARENT = "transparent"
SEARCH = "search"
PRIMARY = "primary"
#: key of a request's ``__dict__``: the model whose collection the URL names, or SEVERAL
COLLECTION = "nefertari_search.collection"
#: attribute of a view class: its collection is that of several models at once
MULTI_COLLECTION = "is_multi_collection"


class QueryText(str):
    """A value as the caller typed it in the query string of a search read.

    It is query syntax. A value that the application's own view put beside it is a plain
    string, and stays an exact filter: an owner filter never becomes a full text search.
    """

    __slots__ = ()


_PRIMARY_BY_DECISION = (
    Reason.NOT_READ,
    Reason.SEARCH_FALSE,
    Reason.READ_FROM_PRIMARY,
    Reason.NOT_MIRRORED,
)


@dataclass
class ReadContext:
    """The decision for one request, and what became of it.

    :param model: of the collection, None for several collections at once.
    :param kind: TRANSPARENT, SEARCH or PRIMARY.
    :param reason: why the primary answers, when it does.
    :param aggregation_keys: parameters that ask the view for aggregations.
    :param aggregation: what it was asked for; set as the view runs.
    """

    request: Any
    model: Any
    mirror: Optional[Mirror]
    kind: str
    reason: Reason = Reason.NOT_READ
    answered_by_mirror: bool = False
    answered: bool = False
    seconds: float = 0.0
    server_milliseconds: int = 0
    aggregation_keys: tuple[str, ...] = AGGREGATIONS
    aggregation: Optional[AggregationRequest] = None
    _started: float = field(default=0.0, repr=False)

    def record_mirror(self, took: int) -> None:
        """The mirror gave the result; *took* are the backend's own milliseconds."""
        self.answered = self.answered_by_mirror = True
        self.server_milliseconds += took

    def record_primary(self, reason: Reason) -> None:
        self.answered = True
        self.answered_by_mirror = False
        self.reason = reason

    def record_failure(self, reason: Reason) -> None:
        """Nobody answers: the response will be an error."""
        self.answered = self.answered_by_mirror = False
        self.reason = reason

    def start(self) -> None:
        self._started = time.perf_counter()

    def stop(self) -> None:
        self.seconds += time.perf_counter() - self._started

    def add_headers(self, request: Any, response: Any) -> None:
        """Response callback: say who answered, and what the search cost."""
        if self.answered_by_mirror:
            value = "mirror"
        elif self.answered or self.reason in _PRIMARY_BY_DECISION:
            value = f"primary; reason={self.reason}"
        else:
            value = f"none; reason={self.reason}"
        response.headers[HEADER] = value
        if self.seconds:
            response.headers["Server-Timing"] = (
                f"search;dur={self.seconds * 1000:.1f}, "
                f"search-backend;dur={self.server_milliseconds}"
            )


@contextmanager
def answering(read: ReadContext) -> Iterator[None]:
    """A search for *read* goes on: what it costs, and why it failed, is for the headers."""
    read.start()
    try:
        yield
    except SearchError as error:
        read.record_failure(getattr(error, "reason", Reason.BAD_REQUEST))
        raise
    except JHTTPForbidden:
        read.record_failure(Reason.FORBIDDEN)
        raise
    finally:
        read.stop()


def current_read() -> Optional[ReadContext]:
    """The read of the request that this thread works on; None outside routed requests.

    Subrequests are requests of their own, and are not routed.
    """
    request = get_current_request()
    return None if request is None else request.__dict__.get("search_read")


def collection_request(model: Any) -> Any:
    """The request that this thread works on, if it selects from a collection of *model*, by
    itself or with others."""
    request = get_current_request()
    if request is None:
        return None
    collection = request.__dict__.get(COLLECTION)
    return request if collection is model or collection is MULTI_COLLECTION else None


class Router:
    """Routes the requests of one application.

    :param resources: nefertari's resources (``registry._resources_map`` values).
    """

    def __init__(
        self, settings: Settings, mirrors: MirrorRegistry, resources: Iterable[Any]
    ) -> None:
        self.settings = settings
        self.mirrors = mirrors
        self._models: dict[str, Any] = {}
        self._several: set[str] = set()
        self._aggregation_keys: dict[str, tuple[str, ...]] = {}
        for resource in resources:
            model = getattr(resource.view, "Model", None)
            route = resource.action_route_map.get("index")
            if route is not None and isinstance(model, type):
                self._models[route] = model
            elif route is not None and getattr(resource.view, MULTI_COLLECTION, False):
                self._several.add(route)
            else:
                continue
            keys = getattr(resource.view, "_aggregations_keys", None) or AGGREGATIONS
            self._aggregation_keys[route] = tuple(keys)

    def route(self, request: Any) -> None:
        """Decide where *request* reads; called when its route is known.

        Writes are not routed; only what they select is looked at (:func:`collection_request`).

        :raises BadQuery: a flag with an unknown value, or a query string that is too long or
            not text.
        """
        route = request.matched_route.name
        model = self._models.get(route)
        if request.method not in SELECTING or (model is None and route not in self._several):
            return
        request.__dict__[COLLECTION] = MULTI_COLLECTION if model is None else model
        if request.method not in READS:
            return
        query_string = request.environ.get("QUERY_STRING", "")
        mirror = None if model is None else self.mirrors.get(model.__name__)
        # Known from here on, so that an error response says who answered, too.
        read = ReadContext(request, model, mirror, PRIMARY)
        read.aggregation_keys = self._aggregation_keys[route]
        request.__dict__["search_read"] = read
        request.add_response_callback(read.add_headers)
        if not query_string:
            self._decide(read, None, ())
            return
        try:
            params = self._checked(request, query_string)
            note_parameters(request, params)
            flag = self._take_flag(request, params, query_string)
            self._decide(read, flag, set(params) - {FLAG})
        except BadQuery:
            read.record_failure(Reason.BAD_REQUEST)
            raise
        if read.kind == SEARCH:
            self._check_search(read, request.GET)
            typed = [(key, QueryText(value)) for key, value in request.GET.items()]
            request.GET.clear()
            request.GET.extend(typed)

    def _checked(self, request: Any, query_string: str) -> Any:
        if len(query_string) > self.settings.max_query_string:
            raise BadQuery(
                "query string",
                f"{len(query_string)} bytes long, {self.settings.max_query_string} are allowed",
            )
        try:
            params = request.GET
            items = list(params.items())
        except UnicodeDecodeError:
            raise BadQuery("query string", "it is not UTF-8") from None
        for key, value in items:
            if "\x00" in key or "\x00" in value:
                raise BadQuery(key.replace("\x00", "\\0"), "it holds a null byte")
        return params

    def _take_flag(self, request: Any, params: Any, query_string: str) -> Optional[bool]:
        """The value of ``_search``, which is taken out of the query string."""
        values = params.getall(FLAG)
        if not values:
            return None
        if len(values) > 1:
            raise BadQuery(FLAG, "given more than once")
        flag = {"true": True, "false": False}.get(values[0].strip().lower())
        if flag is None:
            raise BadQuery(FLAG, f"'{values[0][:40]}' is neither true nor false")
        # Piece by piece, so that the rest stays as the caller wrote it.
        request.environ["QUERY_STRING"] = "&".join(
            piece
            for piece in query_string.split("&")
            if unquote_plus(piece.partition("=")[0]) != FLAG
        )
        return flag

    @staticmethod
    def _check_search(read: ReadContext, params: Any) -> None:
        """What nefertari's own view code would word badly, or take for something else."""
        for name in params:
            problem = None
            if name in NUMBERS and len(params.getall(name)) > 1:
                problem = "given more than once"
            if problem is not None:
                read.record_failure(Reason.BAD_REQUEST)
                raise BadQuery(name, problem)

    def _decide(self, read: ReadContext, flag: Optional[bool], names: Iterable[str]) -> None:
        if read.model is None:
            read.kind, read.reason = SEARCH, Reason.NOT_SEARCHED
            if flag is False:
                raise BadQuery(FLAG, "only a search answers requests for several collections")
        root = root_of(names, read.aggregation_keys)
        if root is not None:
            self._check_aggregation(read, flag, root)
            read.kind = SEARCH
            return
        if read.model is None:
            return
        if read.mirror is None:
            if flag:
                raise BadQuery(FLAG, f"{read.model.__name__} has no mirror to search")
            read.reason = Reason.NOT_MIRRORED
        elif flag is False:
            read.reason = Reason.SEARCH_FALSE
        elif flag or self._asks_for_search(read.mirror, names):
            read.kind = SEARCH
        elif self.settings.read_from == "primary":
            read.reason = Reason.READ_FROM_PRIMARY
        else:
            read.kind = TRANSPARENT

    @staticmethod
    def _asks_for_search(mirror: Mirror, names: Iterable[str]) -> bool:
        for name in names:
            if name in SEARCH_PARAMETERS and not mirror.document_cls.has_field(name):
                return True
        return False

    def _check_aggregation(self, read: ReadContext, flag: Optional[bool], root: str) -> None:
        if not self.settings.enable_aggregations:
            raise BadQuery(root, "aggregations are off (elasticsearch.enable_aggregations)")
        if read.mirror is None and read.model is not None:
            raise BadQuery(root, f"{read.model.__name__} has no mirror to aggregate")
        if flag is False:
            raise BadQuery(
                FLAG, f"the database has no aggregations: leave {FLAG}=false out, or {root}"
            )
