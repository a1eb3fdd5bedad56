"""Decides which collection a request reads, and whether the mirror or the primary answers."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import wraps
from typing import Any, Callable, Optional

from nefertari.view import BaseView

from nefertari_search_tween.exceptions import BadQuery, Reason
from nefertari_search_tween.interfaces.process_counts import MULTI_COLLECTION_READS, READ_PREFIX
from nefertari_search_tween.mirror.registry import MirrorRegistry
from nefertari_search_tween.search.aggregations.request import root_of
from nefertari_search_tween.search.context import (
    AGGREGATIONS,
    BOX,
    COLLECTION,
    FLAG,
    MULTI_COLLECTION,
    NUMBERS,
    READ,
    READS,
    SEARCH_PARAMETERS,
    SELECTING,
    ReadContext,
    ReadKind,
    primary_error,
    without_flag,
)
from nefertari_search_tween.search.privacy import note_parameters
from nefertari_search_tween.settings.settings import Settings


class Router:
    """Routes the requests of one application.

    :param resources: nefertari's resources (``registry._resources_map`` values).
    :param count: called for each read, with the model and who answered it.
    """

    def __init__(
        self,
        settings: Settings,
        mirrors: MirrorRegistry,
        resources: Iterable[Any],
        count: Callable[[str, str], None] = lambda model, name: None,
    ) -> None:
        self.settings = settings
        self.mirrors = mirrors
        self._count = count
        self._models: dict[str, Any] = {}
        self._multi_routes: set[str] = set()
        self._aggregation_keys: dict[str, tuple[str, ...]] = {}
        for resource in resources:
            model = getattr(resource.view, "Model", None)
            route = resource.action_route_map.get("index")
            if route is not None and isinstance(model, type):
                self._models[route] = model
            elif route is not None and getattr(resource.view, MULTI_COLLECTION, False):
                self._multi_routes.add(route)
            else:
                continue
            keys = getattr(resource.view, "_aggregations_keys", None) or AGGREGATIONS
            self._aggregation_keys[route] = tuple(keys)

    def route(self, request: Any) -> None:
        """Decide who answers *request*; called when its route is known.

        Writes are not routed; only the collection that they select from is recorded
        (:func:`collection_request`).

        :raises BadQuery: the flag has an unknown value, or the query string is too long or not
            text.
        """
        route = request.matched_route.name
        model = self._models.get(route)
        if request.method not in SELECTING or (model is None and route not in self._multi_routes):
            return
        request.__dict__[COLLECTION] = MULTI_COLLECTION if model is None else model
        if request.method not in READS:
            try:
                note_parameters(request, request.params)
            except UnicodeDecodeError:
                raise BadQuery("query string", "it is not UTF-8") from None
            return
        query_string = request.environ.get("QUERY_STRING", "")
        mirror = None if model is None else self.mirrors.get(model.__name__)
        # Set before anything can fail, so that error responses have the headers, too.
        read = ReadContext(request, model, mirror, ReadKind.PRIMARY)
        read.aggregation_keys = self._aggregation_keys[route]
        request.__dict__[READ] = read
        request.add_response_callback(read.add_headers)
        request.add_response_callback(self._count_read)
        if not query_string:
            note_parameters(request, {})
            self._decide(read, None, ())
            return
        try:
            params = self._checked(request, query_string)
            note_parameters(request, params)
            self._check_limit(params)
            flag = self._flag(params)
            self._decide(read, flag, set(params) - {FLAG})
            if read.kind is ReadKind.SEARCH:
                # What nefertari's view code would report badly, or misread.
                for name in request.GET:
                    if name in NUMBERS and len(request.GET.getall(name)) > 1:
                        raise BadQuery(name, "given more than once")
        except BadQuery:
            read.record_failure(Reason.BAD_REQUEST)
            raise

    def _count_read(self, request: Any, response: Any) -> None:
        read = request.__dict__[READ]
        model = MULTI_COLLECTION_READS if read.model is None else read.model.__name__
        self._count(model, f"{READ_PREFIX}{read.engine}")

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
            # No text of a search box is an error.
            if "\x00" in key or ("\x00" in value and key != BOX):
                raise BadQuery(key.replace("\x00", "\\0"), "it holds a null byte")
        return params

    def _check_limit(self, params: Any) -> None:
        """Reject a page that is too large, before any view or database works on it."""
        maximum = self.settings.max_limit
        if maximum is None:
            return
        for text in params.getall("_limit"):
            try:
                # As nefertari reads it; what is no number is reported by it.
                limit = int(text)
            except ValueError:
                continue
            if limit > maximum:
                raise BadQuery("_limit", f"at most {maximum} (nefertari_search.max_limit)")

    def _flag(self, params: Any) -> Optional[bool]:
        """Return the value of ``_search``, None without it.

        It stays in the query string: whoever makes another request of this one (a retry, a copy, a
        subrequest of the view) asks for the same answer.
        """
        values = params.getall(FLAG)
        if not values:
            return None
        if len(values) > 1:
            raise BadQuery(FLAG, "given more than once")
        flag = {"true": True, "false": False}.get(values[0].strip().lower())
        if flag is None:
            raise BadQuery(FLAG, f"'{values[0][:40]}' is neither true nor false")
        return flag

    def _decide(self, read: ReadContext, flag: Optional[bool], names: Collection[str]) -> None:
        if read.model is None:
            read.kind, read.reason = ReadKind.SEARCH, Reason.NOT_SEARCHED
            if flag is False:
                raise BadQuery(FLAG, "only a search answers requests for several collections")
        root = root_of(names, read.aggregation_keys)
        if root is not None:
            self._check_aggregation(read, flag, root)
            read.kind = ReadKind.SEARCH
            return
        if read.model is None:
            return
        if read.mirror is None:
            if flag:
                raise BadQuery(FLAG, f"{read.model.__name__} has no mirror to search")
            read.reason = Reason.NOT_MIRRORED
        elif flag is False:
            read.reason = Reason.SEARCH_FALSE
        elif flag or any(
            name in names and not read.mirror.document_cls.has_field(name)
            for name in SEARCH_PARAMETERS
        ):
            read.kind = ReadKind.SEARCH
        elif self.settings.read_from == "primary":
            read.reason = Reason.READ_FROM_PRIMARY
        else:
            read.kind = ReadKind.TRANSPARENT

    def _check_aggregation(self, read: ReadContext, flag: Optional[bool], root: str) -> None:
        if not self.settings.enable_aggregations:
            raise BadQuery(root, "aggregations are off (elasticsearch.enable_aggregations)")
        if read.mirror is None and read.model is not None:
            raise BadQuery(root, f"{read.model.__name__} has no mirror to aggregate")
        if flag is False:
            raise primary_error(root)


def hide_flag() -> None:
    """Leave ``_search`` out of what nefertari's view takes for filters."""
    prepare = BaseView.prepare_request_params

    @wraps(prepare)
    def prepare_request_params(self: Any, _query_params: Any, _json_params: Any) -> None:
        prepare(self, _query_params, _json_params)
        without_flag(self._query_params)
        without_flag(self._params)

    BaseView.prepare_request_params = prepare_request_params
