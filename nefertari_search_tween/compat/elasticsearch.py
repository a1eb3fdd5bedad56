"""Replacement of ``nefertari.elasticsearch``: the same names, on the mirrors of this package.

Indexing calls of applications become keys in the outbox; reads become search reads.
docs/migrating.rst lists the differences from the old module, row by row.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Callable, Optional

from nefertari.json_httpexceptions import JHTTPNotFound
from nefertari.utils import dictset, process_limit

from nefertari_search_tween.compat import aggregator, index_calls, search_params
from nefertari_search_tween.compat.current import CURRENT
from nefertari_search_tween.compat.query_strings import (
    apply_sort,
    build_qs,
    build_terms,
    process_fields_param,
)
from nefertari_search_tween.exceptions import (
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    BadQuery,
    IndexMissing,
    Reason,
    SearchUnavailable,
)
from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.mirror.serializer import document_id
from nefertari_search_tween.search.aggregations.execute import asked_of
from nefertari_search_tween.search.aggregations.request import AggregationRequest
from nefertari_search_tween.search.context import FLAG, primary_error, read_of, without_flag
from nefertari_search_tween.search.dispatch import run_search
from nefertari_search_tween.search.results import SearchResults as _ESDocs
from nefertari_search_tween.search.results import data_object

__all__ = [
    "ES",
    "ESHttpConnection",  # noqa: F822 - made by __getattr__
    "IndexNotFoundException",
    "_ESDocs",
    "_bulk_body",
    "apply_sort",
    "build_qs",
    "build_terms",
    "includeme",
    "process_fields_param",
]

log = logging.getLogger(__name__)

IndexNotFoundException = IndexMissing


def __getattr__(name: str) -> Any:
    if name == "ESHttpConnection":
        # Applications name it in settings of their own clients. Not every one needs the client,
        # which takes longer to import than the rest of this package.
        import elasticsearch

        return elasticsearch.Elasticsearch
    raise AttributeError(f"module {__name__} has no attribute {name}")


def includeme(config: Any) -> None:
    """Set up ``ES`` when applications include the module, without a request to the server."""
    ES.setup(dictset(config.registry.settings))
    if ES.settings.asbool("enable_polymorphic_query"):
        config.include("nefertari.polymorphic")


def _bulk_body(documents_actions: list[dict[str, Any]], request: Any) -> None:
    """Index the documents that *documents_actions* name, in the primary's current state."""
    if CURRENT.runtime is None and CURRENT.startup_recorder is not None:
        CURRENT.startup_recorder.enqueue(
            Key(each["_type"], each["_id"]) for each in documents_actions
        )
        return
    index_calls.bulk(CURRENT.require(), documents_actions, request)


class ES:
    """nefertari's interface to search, for one or several models.

    :param source: name of the model, or names joined by commas.
    """

    api: Any = None
    settings: Any = None

    @classmethod
    def src2type(cls, source: str) -> str:
        return source

    @classmethod
    def setup(cls, settings: Any) -> None:
        cls.settings = settings.mget("elasticsearch")
        cls.settings.setdefault("chunk_size", 500)

    def __init__(
        self, source: str = "", index_name: Optional[str] = None, chunk_size: Optional[int] = None
    ) -> None:
        self.doc_type = self.src2type(source)
        # A subclass with its own set-up has the ini file's settings, maybe without a name.
        self.index_name = index_name or self.settings.get("index_name") or ES.settings.index_name
        self.chunk_size = self.settings.asint("chunk_size") if chunk_size is None else chunk_size

    # Indices: one for each model, created at start-up and by the commands of this package

    @classmethod
    def create_index(cls, index_name: Optional[str] = None) -> None:
        """Create the indices of empty tables, if there is a server and an application.

        :raises ValueError: *index_name* is not the prefix of their names.
        """
        if CURRENT.runtime is not None:
            index_calls.check_index_name(CURRENT.runtime, index_name)
            CURRENT.runtime.prepare()

    @classmethod
    def delete_index(cls, index_name: Optional[str] = None) -> None:
        """Delete the indices of all mirrors, and none of another name.

        :raises SearchUnavailable: the server does not answer.
        """
        search = CURRENT.require()
        if index_name and index_name != search.settings.index_name:
            log.warning("there is no index '%s' of this application to be deleted", index_name)
            return
        for mirror in search.mirrors:
            try:
                for index in search.mirrors.indices_of(mirror):
                    search.mirrors.backend.delete_index(index)
            except (BackendUnavailable, BackendTimeout) as error:
                raise SearchUnavailable(
                    Reason.UNAVAILABLE, "The search server does not answer."
                ) from error
            mirror.invalidate()

    @classmethod
    def setup_mappings(cls, force: bool = False) -> None:
        """Create the indices with their mappings; idempotent."""
        cls.create_index()

    def put_mapping(self, body: Any, **kwargs: Any) -> None:
        """Create the indices with their mappings; idempotent."""
        self.create_index(self.index_name)

    # Writing

    def process_chunks(self, documents: list[Any], operation: Callable[..., None]) -> None:
        """Call *operation* with chunks of *documents*."""
        for start in range(0, len(documents), self.chunk_size):
            operation(documents_actions=documents[start : start + self.chunk_size])

    def prep_bulk_documents(self, action: str, documents: Any) -> list[dict[str, Any]]:
        """Return one action per document.

        :raises ValueError: a document is not a dict.
        """
        prepared = []
        for document in documents if isinstance(documents, list) else [documents]:
            if not isinstance(document, dict):
                raise ValueError(f"Document type must be `dict` not a `{type(document).__name__}`")
            doc_type = self.src2type(document.pop("_type", self.doc_type))
            prepared.append(
                {
                    "_op_type": action,
                    "_index": self.index_name,
                    "_type": doc_type,
                    "_id": document["_pk"],
                    "_source": document,
                }
            )
        return prepared

    def _bulk(self, action: str, documents: Any, request: Any = None) -> None:
        if documents:
            actions = self.prep_bulk_documents(action, documents)
            self.process_chunks(actions, partial(_bulk_body, request=request))

    def index(self, documents: Any, request: Any = None, **kwargs: Any) -> None:
        """Update *documents* in the index to match the primary."""
        self._bulk("index", documents, request)

    def index_missing_documents(self, documents: list[Any], request: Any = None) -> None:
        """Index those of *documents* that the index lacks; all, if the backend does not answer."""
        if not documents:
            return
        mirror = self._mirror()
        ids = {str(each["_pk"]): document_id(each["_pk"]) for each in documents}
        try:
            present = mirror.backend.multi_get(mirror.alias, ids.values())
        except BackendError as error:
            log.info("can't determine what %s lacks, indexing all: %s", mirror.alias, error)
            present = {}
        missing = [each for each in documents if present.get(ids[str(each["_pk"])]) is None]
        self._bulk("index", missing, request)

    def delete(self, ids: Any, request: Any = None) -> None:
        """Update the documents *ids* to match the primary, which removes those that it lacks."""
        pks = ids if isinstance(ids, list) else [ids]
        self._bulk("delete", [{"_pk": each, "_type": self.doc_type} for each in pks], request)

    @classmethod
    def index_relations(cls, db_obj: Any, request: Any = None, **kwargs: Any) -> None:
        """Index the objects related to *db_obj*."""
        cls.bulk_index_relations([db_obj], request, **kwargs)

    @classmethod
    def bulk_index_relations(cls, items: Any, request: Any = None, **kwargs: Any) -> None:
        """Index the objects related to *items*, each once."""
        keys = {
            Key(model.__name__, getattr(each, model.pk_field()))
            for item in items
            for model, related in item.get_related_documents(**kwargs)
            for each in related
        }
        if CURRENT.runtime is None and CURRENT.startup_recorder is not None:
            CURRENT.startup_recorder.enqueue(keys)
            return
        search = CURRENT.require()
        search.enqueue({key for key in keys if key.model in search.mirrors})

    # Reading

    def get_collection(self, **params: Any) -> Any:
        """Search; see docs/searching. With ``_count``, return a number.

        The primary answers a request with ``_search=false``.
        """
        without_flag(params)
        raise_on_empty = False
        if isinstance(params.get("_raise_on_empty"), bool):
            raise_on_empty = params.pop("_raise_on_empty")
        mirrors = self._mirrors()
        read = read_of(mirrors)
        if read is not None and read.refuses_search:
            if self.overrides_search_params():
                raise BadQuery(
                    FLAG, "the view of this collection adds to its searches what only they know"
                )
            return read.model.get_collection(**params)
        result = run_search(read, lambda: self._search(mirrors, *asked_of(read, params)))
        if raise_on_empty and isinstance(result, list) and not result:
            raise JHTTPNotFound(f"{self.doc_type}({params}) resource not found")
        return result

    def _search(
        self,
        mirrors: Sequence[Mirror],
        aggregation: Optional[AggregationRequest],
        params: dict[str, Any],
    ) -> tuple[Any, int]:
        """Search *mirrors*, or aggregate the matches; see ``Searcher.search``."""
        searcher = CURRENT.require().searcher
        if len(mirrors) > 1 or aggregation is not None:
            params, filters = search_params.own_filters(self, mirrors, params)
            request = search_params.make_request(params, filters, aggregation)
            return searcher.search(mirrors, request)
        (mirror,) = mirrors
        if "_count" in params:
            return self.do_count(self.build_search_params(params)), 0
        with search_params.rejections_as_http_errors():
            if search_params.has_own_query(self, params):
                built = self.build_search_params(params)
                return searcher.run_query(search_params.compile_params(mirror, built))
            request = search_params.make_request(params, index=self._index(mirror))
            return searcher.search(mirrors, request)

    def build_search_params(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return keyword arguments of a search, as subclasses change them before it runs.

        :param params: of :meth:`get_collection`. ``body``, a dict, is a query in the server's own
            language that replaces filters and ``q``.
        :returns: ``index``, ``body``, ``from_``, ``size`` (None: all matches); ``sort`` and
            ``fields`` if requested.
        :raises BadQuery: a parameter that can't be understood.
        """
        mirror = self._mirror()
        return search_params.build(mirror, self._index(mirror), params)

    def aggregate(self, **params: Any) -> dict[str, Any]:
        """Return the results of ``_aggregations_params`` by name; see docs/aggregations.

        :raises BadQuery: aggregations are missing, or can't be understood.
        :raises JHTTPForbidden: fields that the caller may not see.
        :raises JHTTPNotFound: there is no index, and ``_raise_on_empty`` is set.
        """
        without_flag(params)
        mirrors = self._mirrors()
        raise_on_empty = params.pop("_raise_on_empty", False) is True
        tree = params.pop("_aggregations_params", None)
        if not tree:
            raise BadQuery("_aggregations_params", "Missing _aggregations_params")
        aggregation = AggregationRequest(aggregator.PARAMETER, tree)
        read = read_of(mirrors)
        if read is not None and read.refuses_search:
            raise primary_error(aggregation.root)
        try:
            searched = {**params, "_limit": 0}
            return dict(run_search(read, lambda: self._search(mirrors, aggregation, searched)))
        except SearchUnavailable as error:
            # A missing index is reported as nefertari did.
            if raise_on_empty and error.reason == Reason.NO_INDEX:
                raise JHTTPNotFound("Aggregation failed: Index does not exist") from error
            raise

    @classmethod
    def overrides_search_params(cls) -> bool:
        """Return True for a subclass that changes the parameters of searches."""
        return cls.build_search_params is not ES.build_search_params

    def get_by_ids(self, ids: Any, **params: Any) -> Any:
        """Return documents by ``[{"_type": ..., "_id": ...}]``, in that order.

        :raises JHTTPNotFound: one is missing and ``_raise_on_empty`` is set.
        """
        documents = _ESDocs()
        if not ids:
            return documents
        raise_on_empty = params.pop("_raise_on_empty", False)
        fields = params.pop("_fields", [])
        start, _ = process_limit(
            params.pop("_start", None), params.pop("_page", None), params.pop("_limit", len(ids))
        )
        pks_by_model: dict[str, list[Any]] = {}
        for each in ids:
            pks_by_model.setdefault(self.src2type(each["_type"]), []).append(each["_id"])
        sources = {
            name: self._sources(self._mirror(name), pks) for name, pks in pks_by_model.items()
        }
        for each in ids:
            name, pk = self.src2type(each["_type"]), str(each["_id"])
            source = sources[name].get(pk)
            if source is None:
                message = f"ES: '{name}({pk})' resource not found"
                if raise_on_empty:
                    raise JHTTPNotFound(message)
                log.error(message)
                continue
            documents.append(data_object(search_params.pick_fields(source, fields)))
        documents._nefertari_meta = {"start": start, "fields": fields, "total": len(documents)}
        return documents

    def get_item(self, **kw: Any) -> Any:
        """Return one document by ``id``, if it meets the other conditions.

        :raises JHTTPNotFound: it does not exist, unless ``_raise_on_empty=False``.
        """
        raise_on_empty = kw.pop("_raise_on_empty", True)
        params = {"index": self.index_name, "doc_type": self.doc_type, **kw}
        source = search_params.read_source(self._mirror(), self._index(self._mirror()), **kw)
        if source is None and raise_on_empty:
            raise JHTTPNotFound(f"'{self.doc_type}({params})' resource not found")
        data = dict(source or {})
        data.setdefault("_type", self.doc_type)
        return data_object(data)

    def do_count(self, params: dict[str, Any]) -> int:
        """Return the number of matching documents.

        :param params: from :meth:`build_search_params`; for several models, those of a search.
        """
        mirrors = self._mirrors()
        if len(mirrors) > 1:
            return int(self.get_collection(**{**params, "_count": True}))
        query = replace(search_params.compile_params(mirrors[0], params), count_only=True)
        with search_params.rejections_as_http_errors():
            count, took = CURRENT.require().searcher.run_query(query)
        read = read_of(mirrors)
        if read is not None:
            read.record_mirror(took)
        return int(count)

    def _index(self, mirror: Mirror) -> str:
        """Return the alias of *mirror* in the application that ``index_name`` names."""
        return CURRENT.require().mirrors.alias_of(mirror.name, self.index_name)

    def _mirrors(self) -> list[Mirror]:
        names = dict.fromkeys(name.strip() for name in self.doc_type.split(","))
        return [self._mirror(name) for name in names]

    def _mirror(self, name: Optional[str] = None) -> Mirror:
        name = name or self.doc_type
        mirror: Optional[Mirror] = CURRENT.require().mirrors.get(name)
        if mirror is None:
            raise JHTTPNotFound(f"{name} resource not found (it has no search index)")
        return mirror

    def _sources(self, mirror: Mirror, pks: list[Any]) -> dict[str, Any]:
        return search_params.read_sources(mirror, self._index(mirror), pks)
