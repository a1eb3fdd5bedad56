"""The types of columns whose code is known, by exact class.

A subclass may change what is bound, what becomes of a result, what an operator compiles to; so may
a decorator, a variant for one database, a method that was assigned to an instance or a class. None
of it can be seen from outside, so it is not looked for: what is not exactly one of the classes
below, with the functions of its own library, is unknown.

One kind of unknown type is known in part. A ``TypeDecorator`` with functions of its own for what
it binds only (one that lower-cases e-mail addresses, say) changes parameters and what is stored: a
value is read, rendered and sorted as one of the decorated type, for both sides read what is stored.
With a comparator of its own, it is still read and rendered so.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any, NamedTuple, Optional

from nefertari_sqla import types as engine_types
from sqlalchemy import types as sqltypes
from sqlalchemy.dialects import postgresql
from sqlalchemy_utils.types.json import JSONType

from nefertari_search_tween.known_code import function_of, is_known


def _acl_types() -> tuple[type, ...]:
    """Return the type of nefertari_guards' ACLs, if it is installed: it checks what it stores."""
    if find_spec("nefertari_guards") is None:
        return ()
    from nefertari_guards.nefertari_sqla import ACLType

    return (ACLType,)


#: family of a type -> its classes
_CLASSES: dict[str, tuple[type, ...]] = {
    "text": (
        *(sqltypes.String, sqltypes.Text, sqltypes.Unicode, sqltypes.UnicodeText),
        *(sqltypes.VARCHAR, sqltypes.NVARCHAR, sqltypes.CHAR, sqltypes.NCHAR),
        *(sqltypes.TEXT, sqltypes.CLOB),
        *(engine_types.LimitedString, engine_types.LimitedText, engine_types.LimitedUnicode),
        *(engine_types.LimitedUnicodeText, engine_types.Choice),
    ),
    "integer": (
        *(sqltypes.Integer, sqltypes.BigInteger, sqltypes.SmallInteger),
        *(sqltypes.INTEGER, sqltypes.BIGINT, sqltypes.SMALLINT),
        *(engine_types.LimitedInteger, engine_types.LimitedBigInteger),
        engine_types.LimitedSmallInteger,
    ),
    "float": (
        *(sqltypes.Float, sqltypes.FLOAT, sqltypes.REAL, postgresql.DOUBLE_PRECISION),
        engine_types.LimitedFloat,
    ),
    "decimal": (
        *(sqltypes.Numeric, sqltypes.NUMERIC, sqltypes.DECIMAL, engine_types.LimitedNumeric),
    ),
    "boolean": (sqltypes.Boolean, sqltypes.BOOLEAN, engine_types.Boolean),
    "date": (sqltypes.Date, sqltypes.DATE, engine_types.Date),
    "moment": (
        *(sqltypes.DateTime, sqltypes.DATETIME, sqltypes.TIMESTAMP, postgresql.TIMESTAMP),
        engine_types.DateTime,
    ),
    "time": (sqltypes.Time, sqltypes.TIME, postgresql.TIME, engine_types.Time),
    "interval": (sqltypes.Interval, postgresql.INTERVAL, engine_types.Interval),
    "enum": (sqltypes.Enum, postgresql.ENUM),
    "binary": (
        *(sqltypes.LargeBinary, sqltypes.BLOB, sqltypes.BINARY, sqltypes.VARBINARY),
        *(postgresql.BYTEA, engine_types.LargeBinary),
    ),
    "pickle": (sqltypes.PickleType, engine_types.PickleType),
    "json": (sqltypes.JSON, postgresql.JSON, postgresql.JSONB, JSONType, *_acl_types()),
    "list": (sqltypes.ARRAY, postgresql.ARRAY, engine_types.ChoiceArray),
    "uuid": (postgresql.UUID,),
}
_FAMILIES = {cls: family for family, classes in _CLASSES.items() for cls in classes}

#: What an application could override of a type.
_READING = (
    *("process_result_value", "result_processor", "column_expression", "load_dialect_impl"),
    *("type_engine", "dialect_impl", "adapt", "get_dbapi_type", "_gen_dialect_impl"),
    *("_unwrapped_dialect_impl", "_cached_result_processor", "__getattr__"),
)
_COMPARING = "comparator_factory"
_BINDING = (
    *("process_bind_param", "bind_processor", "bind_expression", "coerce_compared_value"),
    "_cached_bind_processor",
)
_HOOKS = (*_READING, *_BINDING, _COMPARING)


class KnownType(NamedTuple):
    """What is known of the type of a column.

    :param family: of types that are compared alike.
    :param binds: why what it binds is not known, in words; None if it is.
    :param compares: why what it makes of operators is not known; None if it is.
    """

    family: str
    binds: Optional[str] = None
    compares: Optional[str] = None


def known_type(column_type: Any) -> Optional[KnownType]:
    """Return what is known of *column_type*, None if nothing is."""
    family = _family(column_type)
    if family is not None:
        return KnownType(family)
    cls = type(column_type)
    if not isinstance(column_type, sqltypes.TypeDecorator) or not _is_untouched(column_type):
        return None
    family = _family(column_type.impl)
    if family is None or _overrides(cls, _READING):
        return None
    binds = compares = None
    if _overrides(cls, _BINDING):
        binds = f"{cls.__name__} changes what it binds"
    if _overrides(cls, (_COMPARING,)):
        compares = f"{cls.__name__} compares in its own way"
    return KnownType(family, binds, compares)


def _overrides(cls: type, names: Iterable[str]) -> bool:
    return any(getattr(cls, name) is not getattr(sqltypes.TypeDecorator, name) for name in names)


def _family(column_type: Any) -> Optional[str]:
    cls = type(column_type)
    family = _FAMILIES.get(cls)
    if family is None or not _is_untouched(column_type):
        return None
    functions = (getattr(cls, name, None) for name in _HOOKS)
    if not all(_is_libraries(function) for function in functions):
        return None
    if isinstance(column_type, sqltypes.TypeDecorator) and not (
        type(column_type.impl) is cls.impl and _is_untouched(column_type.impl)
    ):
        return None
    if family == "list" and not _has_known_items(column_type):
        return None
    if family == "pickle" and getattr(column_type, "pickler", None) is not pickle:
        return None
    return family


def _is_untouched(column_type: Any) -> bool:
    """Return True if nothing was assigned to the instance that its class has as a function."""
    return vars(column_type).keys().isdisjoint(_HOOKS)


def _is_libraries(function: Any) -> bool:
    # A comparator is a class, or a property of the type.
    if function is None or isinstance(function, type):
        return function is None or function.__module__.startswith("sqlalchemy")
    return is_known(function_of(function))


def _has_known_items(column_type: Any) -> bool:
    items = getattr(column_type, "impl", column_type).item_type
    # What has a zone is rendered in that of the session.
    return _family(items) is not None and not getattr(items, "timezone", False)
