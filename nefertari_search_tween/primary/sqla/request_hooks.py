"""What may make nefertari_sqla's answers for one model depend on the request.

A mirror holds one answer for all requests, so it may answer only what is known to be the same for
all of them. It is known where nefertari_sqla and SQLAlchemy do everything by themselves:

* sessions and queries of their own classes, and nobody listens to what could change a query, a
  statement, a connection or a loaded object;
* the model, and every model that its documents nest or refer to by key (subclasses included), is
  rendered by nefertari_sqla's methods, from plain columns of types of its own;
* the tables are tables, without row security: not views, which may show each user another part.

All but the last is checked on every read: a few attributes. Everything else is a hook, and has a
name, by which an application can declare it the same for all requests
(``nefertari_search.trusted_hooks``).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from inspect import getattr_static
from typing import Any, Callable, NamedTuple, Optional

from pyramid_sqlalchemy import BaseObject, Session
from sqlalchemy import Column, text
from sqlalchemy import types as sqltypes
from sqlalchemy.inspection import inspect
from sqlalchemy.orm import Query, sessionmaker
from sqlalchemy.orm import Session as OrmSession
from sqlalchemy.orm.attributes import InstrumentedAttribute
from sqlalchemy.orm.instrumentation import ClassManager
from sqlalchemy.sql import visitors

from nefertari_search_tween.exceptions import Reason
from nefertari_search_tween.interfaces.primary import Hook
from nefertari_search_tween.known_code import (
    changes_statements,
    function_of,
    is_known,
    name_of,
    unknown_listener,
)
from nefertari_search_tween.primary.request_hooks_base import RequestHooksBase
from nefertari_search_tween.primary.sqla import schema

#: Members by which a document is rendered, its own or by its key alone.
_KEY_MEMBERS = ("pk_field", "__getattribute__", "__new__")
_MEMBERS = (
    *("to_dict", "native_fields", "_mapped_columns", "_mapped_relationships", "_type"),
    *("__json__", "_nested_relationships", "_nesting_depth", *_KEY_MEMBERS),
)
_QUERY_EVENTS = ("before_compile", "before_compile_update", "before_compile_delete")
_SESSION_EVENTS = ("after_begin", "loaded_as_persistent")
_STATEMENT_EVENTS = ("before_execute", "before_cursor_execute")
_CONNECTION_EVENTS = ("engine_connect", "begin", "set_connection_execution_options")
_CURSOR_EVENTS = ("do_execute", "do_executemany", "do_execute_no_params")
_OBJECT_EVENTS = ("load", "refresh")
_COLLECTION_EVENTS = ("init_collection",)
# How long a table is not checked again: row security may be switched on while processes run.
RECHECK_SECONDS = 10.0

# Sees what listens to queries of SQLAlchemy's class; never run.
_QUERY = Query(())

_PROTECTED = text(
    "SELECT name FROM unnest(CAST(:names AS text[])) AS name "
    "JOIN pg_class ON pg_class.oid = to_regclass(name) "
    "WHERE relrowsecurity OR relkind NOT IN ('r', 'p') ORDER BY name"
)


class SqlaRequestHooks(RequestHooksBase):
    """See the module.

    :param bind: returns the SQLAlchemy engine of the model's table.
    """

    def __init__(self, model: Any, bind: Callable[[], Any], trusted: Collection[str]) -> None:
        super().__init__(model, trusted)
        self._bind = bind
        self._url = getattr(_engine_of(None), "url", None)
        self._tables = _TableHooks()
        self._session_probe: Any = None
        self._documents: Optional[_Documents] = None

    def rendering(self) -> Optional[str]:
        documents = self._documents or _Documents(self.model)
        return next((hook.name for hook in documents.renderers()), None)

    def first(self) -> Optional[Hook]:
        if self._documents is None or self._documents.changed():
            self._documents = _Documents(self.model)
        session = Session.registry() if Session.registry.has() else None
        return (
            self._untrusted(self._of_sessions(session))
            or self._untrusted(self._documents.of_objects())
            or self.unreadable()
        )

    def unreadable(self) -> Optional[Hook]:
        documents = self._documents or _Documents(self.model)
        engine = _engine_of(Session.registry() if Session.registry.has() else None)
        if engine is None:
            engine = self._bind().engine
        return self._untrusted(_of_engine(engine)) or self._untrusted(
            Hook(Reason.ROW_SECURITY, table)
            for table in self._tables.protected(engine, documents.tables)
        )

    def _of_sessions(self, session: Any) -> Iterator[Hook]:
        """Yield the hooks of this thread's *session*, None if it has none yet."""
        factory = Session.session_factory
        if type(factory) is not sessionmaker or factory.class_.__bases__ != (OrmSession,):
            yield _hook(name_of(getattr(factory, "class_", factory)))
            return
        query_classes = [factory.kw.get("query_cls") or Query]
        if session is not None:
            query_classes.append(session._query_cls)
            if type(session) is not factory.class_ or "query" in session.__dict__:
                yield _hook(name_of(type(session)))
        for query_class in query_classes:
            if query_class is not Query:
                yield _hook(name_of(query_class))
        for function in (factory.class_.query, Query.__iter__):
            if not is_known(function):
                yield _hook(name_of(function))
        if getattr(_engine_of(session), "url", None) != self._url:
            yield _hook("Session.bind")
        yield from _listeners(_QUERY.dispatch, _QUERY_EVENTS)
        if session is None:
            if type(self._session_probe) is not factory.class_:
                self._session_probe = factory.class_()
            session = self._session_probe
        yield from _listeners(session.dispatch, _SESSION_EVENTS)


def _hook(name: str) -> Hook:
    return Hook(Reason.REQUEST_HOOKS, name)


def _engine_of(session: Any) -> Any:
    """Return the engine of *session*; of None the application's; None if it has several."""
    if session is not None:
        return getattr(session.bind, "engine", None)
    return getattr(getattr(Session.session_factory, "kw", {}).get("bind"), "engine", None)


def _of_engine(engine: Any) -> Iterator[Hook]:
    for name in _STATEMENT_EVENTS:
        for listener in getattr(engine.dispatch, name):
            if changes_statements(listener):
                unknown = unknown_listener([listener])
                if unknown is not None:
                    yield _hook(unknown)
    yield from _listeners(engine.dispatch, _CONNECTION_EVENTS)
    yield from _listeners(engine.dialect.dispatch, _CURSOR_EVENTS)
    yield from _listeners(engine.pool.dispatch, ("checkout",))


def _listeners(dispatch: Any, names: Iterable[str]) -> Iterator[Hook]:
    for name in names:
        listeners = getattr(dispatch, name)
        unknown = unknown_listener(listeners) if listeners else None
        if unknown is not None:
            yield _hook(unknown)


class _Member(NamedTuple):
    owner: Any
    name: str
    value: Any


class _Documents:
    """The code and the columns that render the documents of *model*."""

    def __init__(self, model: Any) -> None:
        self._registry_size = len(BaseObject._decl_class_registry)
        self._rendered: dict[Any, int] = {}
        self._keyed: set[Any] = set()
        self._walk(schema.mapper_of(model), model._nesting_depth)
        self._resolved = [
            _Member(cls, name, function_of(getattr(cls, name, None)))
            for classes, names in ((self._rendered, _MEMBERS), (self._keyed, _KEY_MEMBERS))
            for cls in classes
            for name in names
        ]
        self._members = [
            Hook(Reason.CUSTOM_TO_DICT, _member_name(each))
            for each in self._resolved
            if not _is_nefertaris(each)
        ]
        mappers = [schema.mapper_of(cls) for cls in self._rendered]
        # What has the values, too: another one may be put there at any time.
        self._attributes = [
            _Member(mapper.class_, name, vars(mapper.class_).get(name))
            for mapper in mappers
            for name in {
                *mapper.columns.keys(),
                *mapper.relationships.keys(),
                *(column.name for column in mapper.columns),
            }
        ]
        self._loaded = [schema.mapper_of(cls) for cls in (*self._rendered, *self._keyed)]
        self._dispatchers = [
            *((mapper.class_manager.dispatch, _OBJECT_EVENTS) for mapper in self._loaded),
            *(
                (mapper.class_manager[prop.key].dispatch, _COLLECTION_EVENTS)
                for mapper in mappers
                for prop in mapper.relationships
            ),
        ]
        self._hooks = [hook for mapper in mappers for hook in _mapper_hooks(mapper)]
        self.tables = {
            table
            for cls in (*self._rendered, *self._keyed)
            for table in schema.mapper_of(cls).tables
        }
        self.tables |= {
            prop.secondary
            for mapper in mappers
            for prop in mapper.relationships
            if prop.secondary is not None
        }

    def changed(self) -> bool:
        """Return True if there are more models by now, or a member is another one."""
        if len(BaseObject._decl_class_registry) != self._registry_size:
            return True
        for owner, name, value in self._resolved:
            current = getattr(owner, name, None)
            if current is not value and function_of(current) is not value:
                return True
        return any(vars(owner).get(name) is not value for owner, name, value in self._attributes)

    def of_objects(self) -> Iterator[Hook]:
        yield from self.renderers()
        yield from self._hooks

    def renderers(self) -> Iterator[Hook]:
        """Yield the code that makes documents of objects, or changes these when they are loaded:
        columns alone do not have what it shows."""
        yield from self._members
        for mapper in self._loaded:
            if mapper._reconstructor is not None:
                yield _hook(name_of(mapper._reconstructor))
        for dispatch, names in self._dispatchers:
            yield from _listeners(dispatch, names)

    def _walk(self, mapper: Any, depth: Any) -> None:
        for each in mapper.self_and_descendants:
            cls = each.class_
            if self._rendered.get(cls, -1) >= _levels(depth):
                continue
            self._rendered[cls] = _levels(depth)
            nested = getattr(cls, "_nested_relationships", ())
            nested = nested if isinstance(nested, (list, tuple, set, frozenset)) else ()
            for prop in each.relationships:
                if prop.key in nested and _levels(depth) > 0:
                    self._walk(prop.mapper, _levels(depth) - 1)
                else:
                    self._keyed.update(one.class_ for one in prop.mapper.self_and_descendants)


def _levels(depth: Any) -> int:
    return depth if type(depth) is int else 0


def _member_name(member: _Member) -> str:
    if hasattr(function_of(member.value), "__qualname__"):
        return name_of(member.value)
    return f"{member.owner.__module__}.{member.owner.__qualname__}.{member.name}"


def _is_nefertaris(member: _Member) -> bool:
    value = member.value
    if member.name == "__json__":
        return value is None
    if member.name in ("__getattribute__", "__new__"):
        return value is getattr(object, member.name)
    if member.name == "_nesting_depth":
        return type(value) is int
    if member.name == "_nested_relationships":
        return isinstance(value, (list, tuple, set, frozenset))
    return is_known(value)


def _mapper_hooks(mapper: Any) -> Iterator[Hook]:
    """Yield what renders objects of *mapper* otherwise than from plain columns."""
    owner = f"{mapper.class_.__module__}.{mapper.class_.__qualname__}"
    for column in mapper.columns:
        # A descriptor may return SQLAlchemy's own from the class.
        attribute = getattr_static(mapper.class_, column.name, None)
        if attribute is not None and type(attribute) is not InstrumentedAttribute:
            yield Hook(Reason.CUSTOM_TO_DICT, f"{owner}.{column.name}")
        if not isinstance(column, Column) and _has_callable(column):
            yield _hook(f"{owner}.{column.name}")
        for function in _type_functions(column.type):
            if not is_known(function):
                yield Hook(Reason.CUSTOM_TO_DICT, name_of(function))
    if type(mapper.class_manager) is not ClassManager:
        yield Hook(Reason.CUSTOM_TO_DICT, name_of(type(mapper.class_manager)))
    for prop in mapper.relationships:
        if type(getattr_static(mapper.class_, prop.key)) is not InstrumentedAttribute:
            yield Hook(Reason.CUSTOM_TO_DICT, f"{owner}.{prop.key}")
        conditions = (prop.primaryjoin, prop.secondaryjoin, *(prop.order_by or ()))
        if any(_has_callable(each) for each in conditions if each is not None):
            yield _hook(f"{owner}.{prop.key}")
        if prop.collection_class not in (None, list, set, dict):
            yield Hook(Reason.CUSTOM_TO_DICT, f"{owner}.{prop.key}")


def _has_callable(clause: Any) -> bool:
    """Return True if *clause* has a parameter whose value is computed when it is executed."""
    return any(getattr(each, "callable", None) for each in visitors.iterate(clause, {}))


def _type_functions(column_type: Any) -> Iterator[Any]:
    """Yield the functions that make a column's values of what the database returns."""
    while column_type is not None:
        for name in ("process_result_value", "result_processor", "column_expression"):
            function = getattr(type(column_type), name, None)
            if function is not None:
                yield function
        decorated = isinstance(column_type, sqltypes.TypeDecorator)
        column_type = column_type.impl if decorated else None


class _TableHooks:
    """Tables that show each user of the database what that user may see: views, row security."""

    def __init__(self) -> None:
        self._checked: Optional[float] = None
        self._protected: list[str] = []

    def protected(self, engine: Any, tables: Collection[Any]) -> list[str]:
        """Return the names of those of *tables*, as of a few seconds ago."""
        now = time.monotonic()
        if self._checked is None or (
            now - self._checked > RECHECK_SECONDS and engine.dialect.name == "postgresql"
        ):
            self._protected = _protected(engine, tables)
            self._checked = now
        return self._protected


def _protected(engine: Any, tables: Collection[Any]) -> list[str]:
    if engine.dialect.name == "postgresql":
        # Of all users: the one that reads may be another one by SET ROLE.
        quoted = engine.dialect.identifier_preparer.format_table
        names = sorted(quoted(table) for table in tables)
        return [row[0] for row in engine.execute(_PROTECTED, names=names)]
    views: dict[Any, set[str]] = {}
    inspector = inspect(engine)
    for table in tables:
        if table.schema not in views:
            views[table.schema] = set(inspector.get_view_names(schema=table.schema))
    return sorted(table.fullname for table in tables if table.name in views[table.schema])
