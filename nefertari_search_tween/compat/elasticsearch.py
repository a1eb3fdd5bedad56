"""Stands in for ``nefertari.elasticsearch``: the same names, on the mirrors of this package.

Indexing calls of applications become keys in the outbox; reads become search reads. What differs
from the old module is in docs/migrating.rst, row by row.
"""

from __future__ import annotations

import logging
from contextlib import nullcontext
from functools import partial
from typing import Any, Callable, Optional

import elasticsearch
from nefertari.json_httpexceptions import JHTTPNotFound
from nefertari.utils import dictset, process_limit

from nefertari_search_tween.compat import aggregator, index_calls, lookups, multi, search_params
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
from nefertari_search_tween.mirror.registry import Mirror
from nefertari_search_tween.mirror.serializer import document_id
from nefertari_search_tween.search.context import FLAG
from nefertari_search_tween.search.results import SearchResults as _ESDocs
from nefertari_search_tween.search.results import data_object

__all__ = [
    "ES",
    "ESHttpConnection",
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

AGGREGATE_ARGUMENTS = ("_aggregations_params", "_raise_on_empty")
IndexNotFoundException = IndexMissing
# Applications name it in settings of their own clients.
ESHttpConnection = elasticsearch.Elasticsearch


def includeme(config: Any) -> None:
    """What applications include; the server is not asked for anything here."""
    ES.setup(dictset(config.registry.settings))
    if ES.settings.asbool("enable_polymorphic_query"):
        config.include("nefertari.polymorphic")


def _bulk_body(documents_actions: list[dict[str, Any]], request: Any) -> None:
    """Index what *documents_actions* name, from the primary's current state."""
    if ES.current is None and ES.starting is not None:
        ES.starting.enqueue(Key(each["_type"], each["_id"]) for each in documents_actions)
        return
    index_calls.bulk(ES.search(), documents_actions, request)


class NoClient:
    """Stands for the client of a backend that has none: false, and says why."""

    def __bool__(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"ES.api.{name}: the embedded backend has no client; Elasticsearch has one "
            "(nefertari_search.backend = elasticsearch)"
        )


class ES:
    """nefertari's interface to search, for one or several models.

    :param source: name of the model, or names joined by commas.
    """

    api: Any = None
    settings: Any = None
    #: the search of the application that was configured last, set at its start
    current: Any = None
    #: records what is indexed while the first application is being configured
    starting: Any = None

    @classmethod
    def search(cls) -> Any:
        """The application's search.

        :raises SearchUnavailable: no application has been made yet.
        """
        if cls.current is None:
            raise SearchUnavailable(Reason.NOT_STARTED, "The application has not been started yet.")
        return cls.current

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
        # A subclass that was set up by itself has what the ini file says, which may be nothing.
        self.index_name = index_name or self.settings.get("index_name") or ES.settings.index_name
        self.chunk_size = self.settings.asint("chunk_size") if chunk_size is None else chunk_size

    # Indices: one for each model, made and mapped at start and by the commands of this package

    @classmethod
    def create_index(cls, index_name: Optional[str] = None) -> None:
        """Make the indices of empty tables, if there is a server and an application.

        :raises ValueError: *index_name* is not what they are named after.
        """
        if cls.current is not None:
            index_calls.own_index(cls.current, index_name)
            cls.current.prepare()

    @classmethod
    def delete_index(cls, index_name: Optional[str] = None) -> None:
        """Delete the indices of all mirrors; of another name there are none.

        :raises SearchUnavailable: the server does not answer.
        """
        search = cls.search()
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
        """Mappings come with the indices; idempotent."""
        cls.create_index()

    def put_mapping(self, body: Any, **kwargs: Any) -> None:
        """Mappings come with the indices; idempotent."""
        self.create_index(self.index_name)

    # Writing

    def process_chunks(self, documents: list[Any], operation: Callable[..., None]) -> None:
        """Call *operation* with chunks of *documents*."""
        for start in range(0, len(documents), self.chunk_size):
            operation(documents_actions=documents[start : start + self.chunk_size])

    def prep_bulk_documents(self, action: str, documents: Any) -> list[dict[str, Any]]:
        """One action per document.

        :raises ValueError: a document that is no dict.
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
        """Bring *documents* up to date in the index: the primary's state is what counts."""
        self._bulk("index", documents, request)

    def index_missing_documents(self, documents: list[Any], request: Any = None) -> None:
        """Index those of *documents* that the index does not hold; all, if it can't be asked."""
        if not documents:
            return
        mirror = self._mirror()
        ids = {str(each["_pk"]): document_id(each["_pk"]) for each in documents}
        try:
            found = mirror.backend.multi_get(mirror.alias, ids.values())
        except BackendError as error:
            log.info("what %s lacks is not known: %s", mirror.alias, error)
            found = {}
        missing = [each for each in documents if found.get(ids[str(each["_pk"])]) is None]
        self._bulk("index", missing, request)

    def delete(self, ids: Any, request: Any = None) -> None:
        """Bring the documents *ids* up to date: those that the primary has not are removed."""
        wanted = ids if isinstance(ids, list) else [ids]
        self._bulk("delete", [{"_pk": each, "_type": self.doc_type} for each in wanted], request)

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
        if cls.current is None and cls.starting is not None:
            cls.starting.enqueue(keys)
            return
        search = cls.search()
        search.enqueue({key for key in keys if key.model in search.mirrors})

    # Reading

    def get_collection(self, **params: Any) -> Any:
        """Search; see docs/searching. ``_count`` gives a number.

        A request with ``_search=false`` is answered by the primary.
        """
        mirrors = multi.asked(self)
        if mirrors is not None:
            return multi.get_collection(self, mirrors, params)
        raise_on_empty = False
        if isinstance(params.get("_raise_on_empty"), bool):
            raise_on_empty = params.pop("_raise_on_empty")
        mirror = self._mirror()
        read = search_params.read_of(mirror)
        if read is not None and read.refuses_search:
            if self.overrides_search_params():
                raise BadQuery(
                    FLAG, "the view of this collection adds to its searches what only they know"
                )
            return mirror.model.get_collection(**params)
        if read is not None:
            found, params = aggregator.of_collection(self, read, params)
            if found is not None:
                return found
        with read.tracked() if read is not None else nullcontext():
            built = self.build_search_params(params)
            if "_count" in params:
                return self.do_count(built)
            result = search_params.run(self.search(), mirror, built)
        if raise_on_empty and not result:
            raise JHTTPNotFound(f"{self.doc_type}({params}) resource not found")
        return result

    def build_search_params(self, params: dict[str, Any]) -> dict[str, Any]:
        """Keyword arguments of a search; subclasses change them, and what they give is run.

        :param params: of :meth:`get_collection`. ``body``, a dict, is a query in the server's own
            language, which stands in the place of filters and ``q``.
        :returns: ``index``, ``body``, ``from_``, ``size`` (None: all matches); ``sort`` and
            ``fields`` where they were asked for.
        :raises BadQuery: a parameter that can't be understood.
        """
        mirror = self._mirror()
        return search_params.build(self.search(), mirror, self._index(mirror), params)

    def aggregate(self, **params: Any) -> Any:
        """Results of ``_aggregations_params``, by name; see docs/aggregations."""
        mirrors = multi.asked(self)
        if mirrors is not None:
            return multi.aggregate(self, mirrors, params)
        mirror = self._mirror()
        if not (self.overrides_search_params() or isinstance(params.get("body"), dict)):
            return aggregator.aggregated(mirror, params)
        asked = {name: params.pop(name) for name in AGGREGATE_ARGUMENTS if name in params}
        found = search_params.subclass_filters(self, {**params, "_limit": 0})
        return aggregator.aggregated(mirror, asked, found)

    @classmethod
    def overrides_search_params(cls) -> bool:
        """True for a subclass that makes something of its own of a search's parameters."""
        return cls.build_search_params is not ES.build_search_params

    def get_by_ids(self, ids: Any, **params: Any) -> Any:
        """Documents by ``[{"_type": ..., "_id": ...}]``, in that order.

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
        wanted: dict[str, list[Any]] = {}
        for each in ids:
            wanted.setdefault(self.src2type(each["_type"]), []).append(each["_id"])
        found = {name: self._sources(self._mirror(name), pks) for name, pks in wanted.items()}
        for each in ids:
            name, pk = self.src2type(each["_type"]), str(each["_id"])
            source = found[name].get(pk)
            if source is None:
                message = f"ES: '{name}({pk})' resource not found"
                if raise_on_empty:
                    raise JHTTPNotFound(message)
                log.error(message)
                continue
            documents.append(data_object(lookups.pick_fields(source, fields)))
        documents._nefertari_meta = {"start": start, "fields": fields, "total": len(documents)}
        return documents

    def get_item(self, **kw: Any) -> Any:
        """One document by ``id``.

        :raises JHTTPNotFound: there is none, unless ``_raise_on_empty=False``.
        """
        raise_on_empty = kw.pop("_raise_on_empty", True)
        params = {"index": self.index_name, "doc_type": self.doc_type, **kw}
        source = self._sources(self._mirror(), [kw["id"]]).get(str(kw["id"]))
        if source is None and raise_on_empty:
            raise JHTTPNotFound(f"'{self.doc_type}({params})' resource not found")
        data = dict(source or {})
        data.setdefault("_type", self.doc_type)
        return data_object(data)

    def do_count(self, params: dict[str, Any]) -> int:
        """Number of documents that match.

        :param params: what :meth:`build_search_params` gave; of several models, a search's.
        """
        mirrors = multi.asked(self)
        if mirrors is not None:
            return int(multi.get_collection(self, mirrors, {**params, "_count": True}))
        return int(search_params.run(self.search(), self._mirror(), params, count=True))

    def _index(self, mirror: Mirror) -> str:
        """The name that *mirror* is searched by, of the application whose name was given."""
        return self.search().mirrors.alias_of(mirror.name, self.index_name)

    def _mirror(self, name: Optional[str] = None) -> Mirror:
        name = name or self.doc_type
        mirror: Optional[Mirror] = self.search().mirrors.get(name)
        if mirror is None:
            raise JHTTPNotFound(f"{name} resource not found (it has no search index)")
        return mirror

    def _sources(self, mirror: Mirror, pks: list[Any]) -> dict[str, Any]:
        return lookups.sources(self.search(), mirror, self._index(mirror), pks)
