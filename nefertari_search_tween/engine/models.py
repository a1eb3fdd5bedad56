"""The models of an application whose database is a search backend.

Both of nefertari's engines are the reference: the same names, parameters and results, and where
the two differ, docs/engine.rst says which one is followed.
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
from nefertari_search_tween.documents.mirror_document import BaseMixin
from nefertari_search_tween.engine import database as engine_database
from nefertari_search_tween.engine import model_registry
from nefertari_search_tween.engine.document_state import State, id_of, loaded
from nefertari_search_tween.engine.queries import (
    NotFoundByType,
    Query,
    Rows,
    clean_for_query,
    condition,
)
from nefertari_search_tween.engine.relationships import Related
from nefertari_search_tween.engine.schema import Schema
from nefertari_search_tween.engine.writes import delete as deleting
from nefertari_search_tween.engine.writes import save as saving


class DocumentMetaclass(type):
    """Makes models known by name, those with a primary key that are not abstract."""

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> None:
        super().__init__(name, bases, namespace)
        meta = namespace.get("meta")
        abstract = (
            namespace.get("_abstract")
            or namespace.get("__abstract__")
            or (isinstance(meta, dict) and meta.get("abstract"))
        )
        cls._fields_of: Any = None
        cls._links_of: Any = None
        keys = [name for name, field in model_registry.declared(cls).items() if field.primary_key]
        if abstract or (not keys and "__tablename__" not in namespace):
            return
        if len(keys) != 1:
            raise TypeError(f"{name} needs one primary key field, it has {len(keys)}")
        model_registry.add(cls)


class ESMetaclass(DocumentMetaclass):
    """Makes models that are searched. With this engine all can be: what is stored is indexed."""

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> None:
        cls._index_enabled = True
        super().__init__(name, bases, namespace)


class BaseDocument(Related, Schema, BaseMixin, metaclass=DocumentMetaclass):
    """A document that this engine stores.

    :param values: of fields, by name.
    :raises TypeError: a name that is no field.
    """

    _abstract = True
    _request: Any = None

    def __init__(self, **values: Any) -> None:
        self._state = State()
        fields = type(self).fields()
        for name, value in values.items():
            if name not in fields and not hasattr(type(self), name):
                raise TypeError(f"'{name}' is an invalid keyword argument for {self._type}")
            setattr(self, name, value)

    @classmethod
    def autogenerate_for(cls, model: Any, set_to: str) -> None:
        """Make a document of this model, whose *set_to* is the new one, whenever one of
        *model* is created."""
        saving.after_create(model, lambda created: cls(**{set_to: created}).save())

    # Reading

    @classmethod
    def _of_stored(cls, stored: StoredDocument) -> Any:
        made = cls.__new__(cls)
        made._state = loaded(cls, stored)
        return made

    @classmethod
    def _of_hit(cls, hit: dict[str, Any]) -> Any:
        return cls._of_stored(StoredDocument(hit["_source"], sequence_version(hit)))

    @classmethod
    def by_pks(cls, pks: Iterable[Any]) -> list[Any]:
        """The documents with these primary keys that there are, in that order, as of now."""
        field = cls.fields()[cls.pk_field()]
        ids = []
        for pk in pks:
            try:
                ids.append(id_of(clean_for_query(field, pk)))
            except ValueError:
                continue
        found = engine_database.current().stored(cls, dict.fromkeys(ids))
        return [cls._of_stored(each) for each in found.values() if each is not None]

    @classmethod
    def by_pk(cls, pk: Any) -> Any:
        """The document with this primary key, None without one."""
        found = cls.by_pks([pk])
        return found[0] if found else None

    @classmethod
    def get_collection(cls, **params: Any) -> Any:
        """Documents that fit; see docs/engine.rst for the parameters.

        :returns: a :class:`Query`; dicts with ``_fields``; a number with ``_count``; the search
            as text with ``_explain``.
        :raises JHTTPBadRequest: a bad parameter.
        :raises JHTTPNotFound: nothing fits, and ``_raise_on_empty`` is set.
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
            shown = each.to_dict(_depth=0)
            row = {name: shown[name] for name in names}
            rows.append({**row, "_type": cls.__name__, "_pk": each.pk_value()})
            if pk not in fields:
                rows[-1].pop(pk, None)
        return rows

    @classmethod
    def get_item(cls, **params: Any) -> Any:
        """One document that fits; by its primary key alone as of the last write.

        :raises JHTTPNotFound: none does, unless ``_raise_on_empty=False``.
        """
        pk = cls.pk_field()
        if {name for name in params if not name.startswith("__")} <= {pk, "_raise_on_empty"} and (
            params.get(pk) is not None
        ):
            found = cls.by_pk(params[pk])
            if found is None and params.get("_raise_on_empty", True):
                raise JHTTPNotFound(
                    f"'{cls.__name__}({{'{pk}': {params[pk]!r}}})' resource not found"
                )
            return found
        params.setdefault("_raise_on_empty", True)
        params.update(_limit=1, _item_request=True)
        found = cls.get_collection(**params)
        return found.first() if isinstance(found, Query) else (found[0] if found else None)

    @classmethod
    def get_by_ids(cls, ids: Iterable[Any], **params: Any) -> Any:
        """Those of ``get_collection(**params)`` with these primary keys."""
        wanted = cls.get_collection(**params).unpaged()
        wanted.filters.append(condition(cls, cls.pk_field(), "in", list(ids)))
        wanted._nefertari_meta = {"total": wanted.read(), "start": None, "fields": []}
        return wanted

    @classmethod
    def filter_objects(cls, objects: Iterable[Any], first: bool = False, **params: Any) -> Any:
        """Those of *objects* (documents, or what a search gave) that fit, as a :class:`Query`.

        :param first: give the first of them.
        :raises JHTTPNotFound: *first*, and there is none.
        """
        pk = cls.pk_field()
        keys = [getattr(each, pk, None) for each in objects]
        query = Query(cls)
        query.filters.append(condition(cls, pk, "in", [each for each in keys if each is not None]))
        if params:
            query = cls.get_collection(query_set=query, **params)
        if not first:
            return query
        found = query.first()
        if found is None:
            raise JHTTPNotFound(f"'{cls.__name__}({params})' resource not found")
        return found

    @classmethod
    def get_or_create(cls, **params: Any) -> tuple[Any, bool]:
        """The document that fits, or a new one; and whether it is new.

        :param defaults: more values of a new one.
        :raises JHTTPBadRequest: several fit.
        :raises JHTTPConflict: another process created it in the meantime, and it does not fit.
        """
        defaults = params.pop("defaults", {})
        params.pop("_limit", None)
        found = cls.get_collection(**params).page(0, 2).all()
        if len(found) > 1:
            raise JHTTPBadRequest("Bad or Insufficient Params")
        if found:
            return found[0], False
        return cls(**{**defaults, **params}).save(), True

    @classmethod
    def count(cls, query_set: Any) -> int:
        return len(query_set) if isinstance(query_set, list) else int(query_set.count())

    # Writing

    def save(self, request: Any = None) -> Any:
        """Write the document, if anything of it changed; see save.py.

        :raises JHTTPBadRequest: a value that a field does not take.
        :raises JHTTPConflict: the primary key or a unique value is taken, or the document was
            changed since it was read.
        """
        self._request = request
        saving.save(self)
        return self

    def update(self, params: dict[str, Any], request: Any = None) -> Any:
        """Set values and save; lists and dicts are added to, see :meth:`update_iterables`."""
        self._request = request
        self._update(params)
        return self.save(request)

    def delete(self, request: Any = None) -> None:
        """Delete the document; what refers to it goes by the ``ondelete`` rules.

        :raises JHTTPConflict: such a rule forbids it.
        """
        self._request = request
        deleting.delete(type(self), [self])

    @classmethod
    def _update_many(cls, items: Any, params: dict[str, Any], request: Any = None) -> int:
        """Update *items*, chunk by chunk; gives their number."""
        return saving.update_many(cls, items, params)

    @classmethod
    def _delete_many(cls, items: Any, request: Any = None) -> int:
        """Delete *items*, chunk by chunk; gives their number."""
        return deleting.delete_many(cls, items)

    def __eq__(self, other: Any) -> bool:
        """Documents of one model and key are the same, as in nefertari_mongodb (and, within a
        session, in nefertari_sqla), whatever their other values were when they were read."""
        if not isinstance(other, BaseDocument):
            return NotImplemented
        if self._state.stamp is None or other._state.stamp is None:
            return self is other
        return type(self) is type(other) and self.pk_value() == other.pk_value()

    def __hash__(self) -> int:
        if self._state.stamp is None:
            return id(self)
        return hash((type(self), id_of(self.pk_value())))

    def __repr__(self) -> str:
        pk = self.pk_field()
        return f"<{self._type}: {pk}={getattr(self, pk)}>"


class ESBaseDocument(BaseDocument, metaclass=ESMetaclass):
    """The same: here every document is in a search backend."""

    _abstract = True
