"""The search of an application whose database is this package's engine.

There is nothing to keep in sync: what is searched is what is stored. So of an application's
search (see runtime.py) only the reading half is made.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable
from typing import Any, Callable, Optional

from nefertari_search_tween import compat
from nefertari_search_tween.backends.embedded.search.source_filter import filter_source
from nefertari_search_tween.compat.current import CURRENT
from nefertari_search_tween.engine import database, model_registry
from nefertari_search_tween.engine.models import BaseDocument
from nefertari_search_tween.engine.queries import (
    NotFoundByType,
    Query,
    Rows,
    compared,
    keys_condition,
)
from nefertari_search_tween.engine.search.joins import JoiningBackend
from nefertari_search_tween.engine.serializers import JSONEncoder
from nefertari_search_tween.exceptions import ConfigurationError, Reason, SearchError, Unanswerable
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.search.consistency import ReadVersion
from nefertari_search_tween.search.get_collection import wrap_get_collection
from nefertari_search_tween.search.item_acl import ACL
from nefertari_search_tween.search.multi.query import MultiQuery
from nefertari_search_tween.search.multi.searcher import MultiSearcher
from nefertari_search_tween.search.query.search_read import SearchQuery
from nefertari_search_tween.search.routing import Router


class EngineRuntime:
    """See :class:`~nefertari_search_tween.runtime.Search`.

    :raises ConfigurationError: ``engine.setup_database`` was not called.
    """

    def __init__(self, app_registry: Any) -> None:
        from nefertari_search_tween.compat import guards

        guards.install()
        try:
            self.database = database.current()
        except ConfigurationError as error:
            raise ConfigurationError(f"{error} (before the application is made)") from None
        self.registry = app_registry
        self.settings = self.database.settings
        if self.settings.cache:
            raise ConfigurationError(
                "nefertari_search.cache: an application whose database is "
                "nefertari_search_tween.engine has no outbox, whose numbers tell how old an "
                "answer is; leave the setting out"
            )
        # The database and the index are one: a read without a flag is the view's own.
        self.settings.read_from = "primary"
        self.backend = self.database.backend
        self.mirrors = self.database.mirrors
        self.models = model_registry.models()
        for model in self.models.values():
            self.database.mirror(model)
        self.capture, self.indexer, self.outbox = _Nothing(), _Nothing(), _Nothing()
        self.searcher = _Searcher(self)
        resources = set(getattr(app_registry, "_resources_map", {}).values())
        self.router = Router(self.settings, self.mirrors, resources)

    def on_request(self) -> None:
        """A request came; nothing waits to be indexed."""

    def install(self) -> None:
        """Take over: ``get_collection`` in search reads, the drop-in."""
        CURRENT.stop()
        plain: Any = BaseDocument.get_collection
        setattr(  # noqa: B010 - what stands there is typed as a method
            BaseDocument,
            "get_collection",
            classmethod(wrap_get_collection(plain.__func__, self.searcher, restrict_by_acl)),
        )
        compat.serve(self)

    def stop(self) -> None:
        """Another application takes over; nothing runs."""

    def prepare(self) -> None:
        """Make the indices of models that were declared after the database was set up."""
        self.database.prepare()

    def enqueue(self, keys: Iterable[Any]) -> None:
        """What is stored is indexed."""


def restrict_by_acl(model: Any, allows: Callable[[Any], bool]) -> Query:
    """A query for the objects of *model* whose stored ACL *allows* them to be seen."""
    keys = [each.pk_value() for each in Query(model).stream() if allows(getattr(each, ACL))]
    query = Query(model)
    query.filters.append(keys_condition(model, keys))
    return query


class _Nothing:
    """Stands where an application with mirrors has hooks, an outbox and an indexer."""

    @property
    def recovery(self) -> _Nothing:
        return self

    def enqueue(self, keys: Iterable[Any]) -> None:
        """What is stored is indexed."""

    def index_pending(self) -> None:
        """Nothing waits."""

    def remove(self) -> None:
        """There are no hooks."""

    def stop(self) -> None:
        """Nothing runs."""


class _Semantics:
    """How this engine compares; see ``Semantics`` of transparent reads."""

    default_sort: list[str] = []
    first_sort_counts = True

    def __init__(self, model: Any) -> None:
        self.model = model

    def picked(self, only: list[str], exclude: list[str]) -> list[str]:
        raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)

    def unloaded(self, name: str) -> Any:
        return None

    def filter_value(self, name: str, value: Any) -> Any:
        try:
            return compared(self.model, self.model.fields()[name], value)
        except (NotFoundByType, SearchError) as error:
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER) from error

    def sortable(self, name: str) -> bool:
        return True

    def nulls_first(self, descending: bool) -> bool:
        return not descending


class _Searcher(MultiSearcher):
    """Searches what is stored, and shows it as the models do: with related documents."""

    def __init__(self, search: EngineRuntime) -> None:
        numbers = itertools.count(1)
        super().__init__(
            search.mirrors,
            search.settings,
            {name: _Semantics(model) for name, model in search.models.items()},
            # Every search sees every write before it: a new number asks for a refresh.
            state=lambda name: (False, next(numbers)),
            mark=lambda: None,
            passed=lambda mark: True,
            dirty=lambda: False,
            query_class=Query,
            rows=Rows,
        )
        self.backend: Any = JoiningBackend(self.backend)

    def documents(
        self, mirror: Mirror, ids: list[str], current: bool = False, index: str = ""
    ) -> dict[str, Any]:
        found = super().documents(mirror, ids, current, index)
        if index not in ("", mirror.alias):
            # Another application's: its models are not known here.
            return found
        hits = [{"_id": key, "_source": each} for key, each in found.items() if each is not None]
        shown = {hit["_id"]: hit["_source"] for hit in _as_shown(mirror, hits, True)}
        return {key: shown.get(key) for key in found}

    def _hits(
        self, mirror: Mirror, query: SearchQuery, seen: ReadVersion
    ) -> tuple[dict[str, Any], Any]:
        chosen = query.body.get("_source", True)
        body = {**query.body, "_source": True}
        answer, hits = super()._hits(mirror, dataclasses.replace(query, body=body), seen)
        return answer, _as_shown(mirror, hits, chosen)

    def _merged_hits(
        self, query: MultiQuery, version: Optional[str]
    ) -> tuple[list[dict[str, Any]], int, int]:
        whole = dataclasses.replace(query, source=True)
        hits, total, took = super()._merged_hits(whole, version)
        shown: dict[tuple[int, str], dict[str, Any]] = {}
        for place, (mirror, _) in enumerate(query.parts):
            own = [hit for hit in hits if hit["part"] == place]
            for hit in _as_shown(mirror, own, query.source):
                shown[place, hit["_id"]] = hit
        keys = [(hit["part"], hit["_id"]) for hit in hits]
        return [shown[key] for key in keys if key in shown], total, took


def _as_shown(mirror: Mirror, hits: list[dict[str, Any]], chosen: Any) -> list[dict[str, Any]]:
    """*hits* with what the model shows of each document.

    :param chosen: what of it, as ``_source`` of a search.
    """
    model: Any = mirror.document_cls
    documents = model.by_pks([hit["_source"][model.pk_field()] for hit in hits])
    model._prefetch(documents)
    shown = {str(each.pk_value()): each for each in documents}
    pick = filter_source(chosen) if chosen is not True else None
    made = []
    for hit in hits:
        document = shown.get(hit["_source"]["_pk"])
        if document is None:
            # It was deleted between the search and the read.
            continue
        source = json.loads(json.dumps(document.to_dict(), cls=JSONEncoder))
        made.append({**hit, "_source": source if pick is None else pick(source)})
    return made


def search_of(app_registry: Any) -> Optional[EngineRuntime]:
    """The search of the application, None when another engine is its database."""
    from nefertari_search_tween import engine

    if not engine.is_only_engine(app_registry.settings):
        return None
    return EngineRuntime(app_registry)
