"""Stands in for ``nefertari.elasticsearch``: the same names, on the mirrors of this package.

Indexing calls of applications become keys in the outbox; reads become search reads. What of the
old module is not here yet says so by an error that names it.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any, Callable, Optional

import elasticsearch
from nefertari.json_httpexceptions import JHTTPNotFound
from nefertari.utils import dict2obj, dictset, process_limit, split_strip
from pyramid.threadlocal import get_current_request

from nefertari_search_tween.compat import several
from nefertari_search_tween.compat.aggregations import aggregated
from nefertari_search_tween.exceptions import (
    BackendDenied,
    BackendTimeout,
    BackendUnavailable,
    IndexMissing,
    SearchTimeout,
    SearchUnavailable,
)
from nefertari_search_tween.mirror.mapping import REJECTED
from nefertari_search_tween.mirror.registry import Mirror
from nefertari_search_tween.mirror.serializer import document_id
from nefertari_search_tween.primary.base import Key
from nefertari_search_tween.search.reading import answer_search
from nefertari_search_tween.search.results import SearchResults as _ESDocs
from nefertari_search_tween.search.results import stripped
from nefertari_search_tween.search.routing import PRIMARY, READS, current_read

log = logging.getLogger(__name__)

IndexNotFoundException = IndexMissing
# Applications name it in settings of their own clients.
ESHttpConnection = elasticsearch.Elasticsearch


def includeme(config: Any) -> None:
    """What applications include; the server is not asked for anything here."""
    ES.setup(dictset(config.registry.settings))
    if ES.settings.asbool("enable_polymorphic_query"):
        config.include("nefertari.polymorphic")


def process_fields_param(fields: Any) -> Any:
    """``_fields`` -> what to include of a document, ``_type`` always."""
    if not fields:
        return fields
    if isinstance(fields, str):
        fields = split_strip(fields)
    if "_type" not in fields:
        fields.append("_type")
    return {"_source_include": fields, "_source": True}


def apply_sort(_sort: str) -> str:
    """``-year,title`` -> ``year:desc,title:asc``."""
    clauses = []
    for each in (_sort or "").split(","):
        name = each.strip()
        if name:
            order = "desc" if name.startswith("-") else "asc"
            clauses.append(f"{name[1:] if name[0] in '+-' else name}:{order}")
    return ",".join(clauses)


def build_terms(name: str, values: Any, operator: str = "OR") -> str:
    """``name:a OR name:b``."""
    return f" {operator} ".join(f"{name}:{value}" for value in values)


def build_qs(params: Any, _raw_terms: str = "", operator: str = "AND") -> str:
    """Parameters -> one Lucene query string, alternatives grouped."""
    params.pop_by_values("_all")
    terms = []
    for name, value in params.items():
        if name.startswith("__"):
            continue
        if isinstance(value, list):
            alternatives = build_terms(name, value)
            terms.append(f"({alternatives})" if len(value) > 1 else alternatives)
        else:
            terms.append(f"{name}:{value}")
    text = f" {operator} ".join(sorted(term for term in terms if term))
    if _raw_terms:
        text += f" AND ({_raw_terms})" if text else _raw_terms
    return text


def _bulk_body(documents_actions: list[dict[str, Any]], request: Any) -> None:
    """Index what *documents_actions* name, from the primary's current state."""
    search = ES.search()
    keys = [_key(search, each["_type"], each["_id"]) for each in documents_actions]
    search.outbox.add(keys)
    search.indexer.index_waiting()


def _key(search: Any, model_name: str, pk: Any) -> Key:
    mirror = search.mirrors.get(model_name)
    if mirror is None:
        raise ValueError(f"`{model_name}` has no mirror")
    field = mirror.document_cls.fields()[mirror.document_cls.pk_field()]
    return Key(model_name, int(pk) if field.kind == "integer" else str(pk))


class ES:
    """nefertari's interface to search, for one or several models.

    :param source: name of the model, or names joined by commas.
    """

    api: Any = None
    settings: Any = None
    #: the search of the application that was configured last, set at its start
    current: Any = None

    @classmethod
    def search(cls) -> Any:
        """The application's search.

        :raises SearchUnavailable: no application has been made yet.
        """
        if cls.current is None:
            raise SearchUnavailable("not-started", "The application has not been started yet.")
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
        self.index_name = index_name or self.settings.index_name
        self.chunk_size = self.settings.asint("chunk_size") if chunk_size is None else chunk_size

    # Indices: made and mapped at start and by the commands of this package

    @classmethod
    def create_index(cls, index_name: Optional[str] = None) -> None:
        """Make the indices of empty tables, if there is a server and an application."""
        if cls.current is not None:
            cls.current.mirrors.prepare()

    @classmethod
    def delete_index(cls, index_name: Optional[str] = None) -> None:
        """Delete the indices of all mirrors."""
        search = cls.search()
        for mirror in search.mirrors:
            for index in search.mirrors.concrete(mirror):
                search.mirrors.backend.delete_index(index)
            mirror.forget()

    @classmethod
    def setup_mappings(cls, force: bool = False) -> None:
        """Mappings come with the indices; idempotent."""
        cls.create_index()

    def put_mapping(self, body: Any, **kwargs: Any) -> None:
        """Mappings come with the indices; idempotent."""
        self.create_index()

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
        """Index those of *documents* that the index does not hold."""
        if not documents:
            return
        mirror = self._mirror()
        found = self._sources(mirror, [str(each["_pk"]) for each in documents])
        missing = [each for each in documents if str(each["_pk"]) not in found]
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
        search = cls.search()
        keys = {
            Key(model.__name__, getattr(each, model.pk_field()))
            for item in items
            for model, related in item.get_related_documents(**kwargs)
            for each in related
            if model.__name__ in search.mirrors
        }
        if keys:
            search.outbox.add(keys)
            search.indexer.index_waiting()

    # Reading

    def get_collection(self, **params: Any) -> Any:
        """Search; see docs/searching. ``_count`` gives a number.

        A request with ``_search=false`` is answered by the primary.
        """
        mirrors = several.asked(self)
        if mirrors is not None:
            return several.get_collection(self, mirrors, params)
        raise_on_empty = False
        if isinstance(params.get("_raise_on_empty"), bool):
            raise_on_empty = params.pop("_raise_on_empty")
        mirror = self._mirror()
        read = current_read()
        if read is not None and read.model is mirror.model:
            if read.kind == PRIMARY and read.reason == "flag":
                return mirror.model.get_collection(**params)
            result = answer_search(self.search().searcher, read, params)
        else:
            request = get_current_request()
            # Update-many and delete-many select here what they change.
            current = request is not None and request.method not in READS
            searcher = self.search().searcher
            result = searcher.search(mirror, params, request, current=current)[0]
        if raise_on_empty and not isinstance(result, int) and not result:
            raise JHTTPNotFound(f"{self.doc_type}({params}) resource not found")
        return result

    def aggregate(self, **params: Any) -> Any:
        """Results of ``_aggregations_params``, by name; see docs/aggregations."""
        mirrors = several.asked(self)
        if mirrors is not None:
            return several.aggregate(self, mirrors, params)
        return aggregated(self._mirror(), params)

    def get_by_ids(self, ids: Any, **params: Any) -> Any:
        """Documents by ``[{"_type": ..., "_id": ...}]``, in that order.

        :raises JHTTPNotFound: one is missing and ``_raise_on_empty`` is set.
        """
        documents = _ESDocs()
        if not ids:
            return documents
        raise_on_empty = params.pop("_raise_on_empty", False)
        fields = params.pop("_fields", [])
        start, limit = process_limit(
            params.pop("_start", None), params.pop("_page", None), params.pop("_limit", len(ids))
        )
        wanted: dict[str, list[str]] = {}
        for each in ids:
            wanted.setdefault(self.src2type(each["_type"]), []).append(str(each["_id"]))
        found = {name: self._sources(self._mirror(name), pks) for name, pks in wanted.items()}
        for each in ids[start : start + limit]:
            name, pk = self.src2type(each["_type"]), str(each["_id"])
            source = found[name].get(pk)
            if source is None:
                message = f"ES: '{name}({pk})' resource not found"
                if raise_on_empty:
                    raise JHTTPNotFound(message)
                log.error(message)
                continue
            documents.append(dict2obj(dictset(_chosen(source, fields))))
        documents._nefertari_meta = {"start": start, "fields": fields, "total": len(documents)}
        return documents

    def get_item(self, **kw: Any) -> Any:
        """One document by ``id``.

        :raises JHTTPNotFound: there is none, unless ``_raise_on_empty=False``.
        """
        raise_on_empty = kw.pop("_raise_on_empty", True)
        params = {"index": self.index_name, "doc_type": self.doc_type, **kw}
        source = self._sources(self._mirror(), [str(kw["id"])]).get(str(kw["id"]))
        if source is None and raise_on_empty:
            raise JHTTPNotFound(f"'{self.doc_type}({params})' resource not found")
        data = dictset(source or {})
        data.setdefault("_type", self.doc_type)
        return dict2obj(data)

    def do_count(self, params: dict[str, Any]) -> int:
        """Number of documents that the search *params* matches."""
        return int(self.get_collection(**params, _count=True))

    def _mirror(self, name: Optional[str] = None) -> Mirror:
        name = name or self.doc_type
        mirror: Optional[Mirror] = self.search().mirrors.get(name)
        if mirror is None:
            raise JHTTPNotFound(f"{name} resource not found (it has no search index)")
        return mirror

    @staticmethod
    def _sources(mirror: Mirror, pks: list[str]) -> dict[str, Any]:
        try:
            found = mirror.backend.multi_get(mirror.alias, map(document_id, pks))
        except IndexMissing:
            return {}
        except BackendTimeout as error:
            raise SearchTimeout("The search server did not answer in time.") from error
        except BackendUnavailable as error:
            raise SearchUnavailable("down", "The search server does not answer.") from error
        except BackendDenied as error:
            raise SearchUnavailable(
                "denied", "The search server does not allow this application to search."
            ) from error
        return {
            str(source["_pk"]): stripped(source)
            for source in found.values()
            if source is not None and REJECTED not in source
        }


def _chosen(source: dict[str, Any], fields: Any) -> dict[str, Any]:
    if not fields:
        return source
    names = {*(split_strip(fields) if isinstance(fields, str) else fields), "_type"}
    return {name: value for name, value in source.items() if name in names}
