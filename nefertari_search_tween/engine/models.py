"""The models of an application whose database is a search backend.

Both of nefertari's engines are the reference for names, parameters and results; where the two
differ, docs/engine.rst says which one is followed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nefertari.json_httpexceptions import JHTTPBadRequest, JHTTPNotFound
from nefertari.utils import (
    dictset,
    drop_reserved_params,
    process_fields,
    process_limit,
    split_strip,
)

from nefertari_search_tween.backends.base import StoredDocument, sequence_version
from nefertari_search_tween.documents.base_field import declared_fields
from nefertari_search_tween.engine import database as engine_database
from nefertari_search_tween.engine import model_registry
from nefertari_search_tween.engine.document_state import State, id_of, load_state
from nefertari_search_tween.engine.queries import (
    NotFoundByType,
    Query,
    Rows,
    clean_for_query,
    condition,
)
from nefertari_search_tween.engine.relationships import Related
from nefertari_search_tween.engine.writes import delete as deleting
from nefertari_search_tween.engine.writes import save as saving


class DocumentMetaclass(type):
    """Register models by name, unless they are abstract or without a primary key."""

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> None:
        super().__init__(name, bases, namespace)
        meta = namespace.get("meta")
        abstract = (
            namespace.get("_abstract")
            or namespace.get("__abstract__")
            or (isinstance(meta, dict) and meta.get("abstract"))
        )
        keys = [name for name, field in declared_fields(cls).items() if field.primary_key]
        if abstract or (not keys and "__tablename__" not in namespace):
            return
        if len(keys) != 1:
            raise TypeError(f"{name} needs one primary key field, it has {len(keys)}")
        model_registry.add(cls)


class ESMetaclass(DocumentMetaclass):
    """Make searched models. With this engine every model can be searched: storing is indexing."""

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> None:
        cls._index_enabled = True
        super().__init__(name, bases, namespace)


class BaseDocument(Related, metaclass=DocumentMetaclass):
    """A document that this engine stores.

    :param values: values by field name.
    :raises TypeError: a name is not a field.
    """

    _abstract = True
    _request: Any = None

    def __init__(self, **values: Any) -> None:
        self._state = State()
        fields = type(self).fields()
        for name, value in values.items():
            if name not in fields and not hasattr(type(self), name):
                raise TypeError(f"'{self._type}' object does not have fields: {name}")
            setattr(self, name, value)

    @classmethod
    def autogenerate_for(cls, model: Any, set_to: str) -> None:
        """Create a document of this model for each new document of *model*, set as *set_to*."""
        saving.after_create(model, lambda created: cls(**{set_to: created}).save())

    # Reading

    @classmethod
    def _from_stored(cls, stored: StoredDocument) -> Any:
        document = cls.__new__(cls)
        document._state = load_state(cls, stored)
        return document

    @classmethod
    def _from_hit(cls, hit: dict[str, Any]) -> Any:
        return cls._from_stored(StoredDocument(hit["_source"], sequence_version(hit)))

    @classmethod
    def by_pks(cls, pks: Iterable[Any]) -> list[Any]:
        """Return the existing documents with these primary keys, in that order, as of now."""
        field = cls.fields()[cls.pk_field()]
        ids = []
        for pk in pks:
            try:
                ids.append(id_of(clean_for_query(field, pk)))
            except ValueError:
                continue
        documents = engine_database.current().stored(cls, dict.fromkeys(ids))
        return [cls._from_stored(each) for each in documents.values() if each is not None]

    @classmethod
    def by_pk(cls, pk: Any) -> Any:
        """Return the document with this primary key, None if it does not exist."""
        documents = cls.by_pks([pk])
        return documents[0] if documents else None

    @classmethod
    def get_collection(cls, **params: Any) -> Any:
        """Return the matching documents; see docs/engine.rst for the parameters.

        :returns: a :class:`Query`; dicts with ``_fields``; a number with ``_count``; the search
            as text with ``_explain``.
        :raises JHTTPBadRequest: a bad parameter.
        :raises JHTTPNotFound: nothing matches and ``_raise_on_empty`` is set.
        """
        params.pop("_query_secondary", None)
        strict = params.pop("_strict", True)
        item_request = params.pop("_item_request", False)
        sort = split_strip(params.pop("_sort", []))
        fields = split_strip(params.pop("_fields", []))
        limit, page = params.pop("_limit", None), params.pop("_page", None)
        start = params.pop("_start", None)
        query = params.pop("query_set", None)
        count, explain = "_count" in params, "_explain" in params
        raise_on_empty = params.pop("_raise_on_empty", False)
        filters = dictset(
            {
                name: value
                for name, value in params.items()
                if not name.startswith("__") and name not in ("_count", "_explain")
            }
        )
        filters = drop_reserved_params(filters)
        if strict:
            cls.check_fields_allowed([each.strip("-+") for each in [*filters, *fields, *sort]])
        else:
            filters = cls.filter_fields(filters)
        for name in list(filters):
            bare, _, operator = name.partition("__")
            if operator in ("in", "all") and isinstance(filters[name], str):
                filters[name] = filters.aslist(name)
            elif operator == "bool":
                filters[bare] = filters.pop_bool_param(name)
        filters.pop_by_values("_all")
        query = Query(cls) if query is None else query.unpaged()
        try:
            query = query.filter_by(**filters).order_by(*sort)
        except NotFoundByType as error:
            if item_request:
                raise JHTTPNotFound(f"'{cls.__name__}({filters})' resource not found") from error
            raise JHTTPBadRequest(str(error)) from error
        if count:
            return query.total()
        if limit is not None:
            try:
                start, limit = process_limit(start, page, limit)
            except ValueError as error:
                raise JHTTPBadRequest(f"Bad _limit, _start or _page: {error}") from error
            query = query.page(start, limit)
        if explain:
            return query.explain()
        total = query.read()
        if raise_on_empty and not (total if limit is None else len(query)):
            raise JHTTPNotFound(f"'{cls.__name__}({filters})' resource not found")
        result = cls._rows(query, fields) if fields else query
        result._nefertari_meta = {"total": total, "start": start, "fields": fields}
        return result

    @classmethod
    def _rows(cls, query: Query, fields: list[str]) -> Rows:
        only, exclude = process_fields(fields)
        names = sorted({each for each in (only or cls.native_fields()) if each not in exclude})
        pk = cls.pk_field()
        rows = Rows()
        for each in query:
            rendered = each.to_dict()
            row = {name: rendered[name] for name in names}
            rows.append({**row, "_type": cls.__name__, "_pk": each.pk_value()})
            if pk not in fields:
                rows[-1].pop(pk, None)
        return rows

    @classmethod
    def get_item(cls, **params: Any) -> Any:
        """Return one matching document; by its primary key alone, as of the last write.

        :raises JHTTPNotFound: none matches, unless ``_raise_on_empty=False``.
        """
        pk = cls.pk_field()
        if {name for name in params if not name.startswith("__")} <= {pk, "_raise_on_empty"} and (
            params.get(pk) is not None
        ):
            result = cls.by_pk(params[pk])
            if result is None and params.get("_raise_on_empty", True):
                raise JHTTPNotFound(
                    f"'{cls.__name__}({{'{pk}': {params[pk]!r}}})' resource not found"
                )
            return result
        params.setdefault("_raise_on_empty", True)
        params.update(_limit=1, _item_request=True)
        result = cls.get_collection(**params)
        return result.first() if isinstance(result, Query) else (result[0] if result else None)

    @classmethod
    def get_by_ids(cls, ids: Iterable[Any], **params: Any) -> Any:
        """Return the documents of ``get_collection(**params)`` with these primary keys."""
        query = cls.get_collection(**params).unpaged()
        query.filters.append(condition(cls, cls.pk_field(), "in", list(ids)))
        query._nefertari_meta = {"total": query.read(), "start": None, "fields": []}
        return query

    @classmethod
    def filter_objects(cls, objects: Iterable[Any], first: bool = False, **params: Any) -> Any:
        """Return a :class:`Query` for the matching ones of *objects* (documents or hits).

        :param first: return the first document instead.
        :raises JHTTPNotFound: *first* is set and none matches.
        """
        pk = cls.pk_field()
        keys = [getattr(each, pk, None) for each in objects]
        query = Query(cls)
        query.filters.append(condition(cls, pk, "in", [each for each in keys if each is not None]))
        if params:
            query = cls.get_collection(query_set=query, **params)
        if not first:
            return query
        document = query.first()
        if document is None:
            raise JHTTPNotFound(f"'{cls.__name__}({params})' resource not found")
        return document

    @classmethod
    def get_or_create(cls, **params: Any) -> tuple[Any, bool]:
        """Return the matching document, or a new one, and whether it is new.

        :param defaults: more values of a new document.
        :raises JHTTPBadRequest: more than one matches.
        :raises JHTTPConflict: another process created it in the meantime, and it does not match.
        """
        defaults = params.pop("defaults", {})
        params.pop("_limit", None)
        documents = cls.get_collection(**params).page(0, 2).all()
        if len(documents) > 1:
            raise JHTTPBadRequest("Bad or Insufficient Params")
        if documents:
            return documents[0], False
        return cls(**{**defaults, **params}).save(), True

    @classmethod
    def count(cls, query_set: Any) -> int:
        return len(query_set) if isinstance(query_set, list) else int(query_set.count())

    # Writing

    def save(self, request: Any = None) -> Any:
        """Write the document if any of its values changed; see save.py.

        :raises JHTTPBadRequest: an invalid value.
        :raises JHTTPConflict: the primary key or a unique value is taken, or the document was
            changed since it was read.
        """
        self._request = request
        saving.save(self)
        return self

    def update(self, params: dict[str, Any], request: Any = None) -> Any:
        """Set values and save; lists and dicts are extended, see :meth:`update_iterables`."""
        self._request = request
        self._update(params)
        return self.save(request)

    def delete(self, request: Any = None) -> None:
        """Delete the document, and apply the ``ondelete`` rules to those that refer to it.

        :raises JHTTPConflict: such a rule forbids it.
        """
        self._request = request
        deleting.delete(type(self), [self])

    @classmethod
    def _update_many(cls, items: Any, params: dict[str, Any], request: Any = None) -> int:
        """Update *items* chunk by chunk and return their number."""
        return saving.update_many(cls, items, params)

    @classmethod
    def _delete_many(cls, items: Any, request: Any = None) -> int:
        """Delete *items* chunk by chunk and return their number."""
        return deleting.delete_many(cls, items)

    def __eq__(self, other: Any) -> bool:
        """Return True for a document of the same model and key, whatever its other values.

        So do nefertari_mongodb and, within a session, nefertari_sqla.
        """
        if not isinstance(other, BaseDocument):
            return NotImplemented
        if self._state.version is None or other._state.version is None:
            return self is other
        return type(self) is type(other) and self.pk_value() == other.pk_value()

    def __hash__(self) -> int:
        if self._state.version is None:
            return id(self)
        return hash((type(self), id_of(self.pk_value())))

    def __repr__(self) -> str:
        pk = self.pk_field()
        return f"<{self._type}: {pk}={getattr(self, pk)}>"


class ESBaseDocument(BaseDocument, metaclass=ESMetaclass):
    """The same as BaseDocument: every document of this engine is in a search backend."""

    _abstract = True
