"""The columns of a table as the database has them: their types, sizes and collations.

Which texts are equal, and in which order they are, is decided by a column's collation:

* SQLite compares bytes (``BINARY``) unless the column's DDL says otherwise; in a database of UTF-8,
  that is the order of code points;
* PostgreSQL compares bytes under ``C`` and ``POSIX``, and under the ``C.UTF-8`` of glibc and of its
  own provider code points, which is the same in UTF-8. Any other locale, and any of ICU, has an
  order of its own, whatever its name: a database of the ICU provider has a ``datcollate``, too,
  which then means nothing for sorts. Equal are equal bytes under every *deterministic* collation,
  because PostgreSQL compares the bytes of what its collation takes for equal.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

from sqlalchemy import Table, text

from nefertari_search_tween.primary.sqla.proof.sqlite_ddl import affinity, collations

_DRIVERS = {("sqlite", "pysqlite"), ("postgresql", "psycopg2")}
_BY_CODE_POINT = {
    # Of PostgreSQL's providers: the system's library, its own.
    "c": {"C", "POSIX", "C.UTF-8", "C.utf8"},
    "b": {"C", "C.UTF-8", "C.UTF8", "PG_UNICODE_FAST"},
}
_KINDS = {
    **{"text": "text", "varchar": "text", "bpchar": "padded text", "uuid": "uuid"},
    **{"int2": "integer", "int4": "integer", "int8": "integer", "bool": "boolean"},
    **{"float4": "single", "float8": "double", "numeric": "decimal", "bytea": "binary"},
    **{"date": "date", "time": "time", "timetz": "zoned time", "interval": "interval"},
    **{"timestamp": "moment", "timestamptz": "zoned moment", "json": "json", "jsonb": "json"},
}
_BYTES = {"int2": 2, "int4": 4, "int8": 8}
# The length of PostgreSQL's own header, which the sizes of its types include.
_HEADER = 4

# The catalogs of other versions have fewer columns, or call the locale otherwise.
_DATABASE = text(
    "SELECT current_setting('server_encoding'), to_jsonb(d) ->> 'datlocprovider', "
    "coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'datcollate'), "
    "(SELECT source FROM pg_settings WHERE name = 'TimeZone') "
    "FROM pg_database d WHERE datname = current_database()"
)
_COLUMNS = text(
    "SELECT a.attname, t.typname, t.typtype, a.atttypmod, format_type(a.atttypid, a.atttypmod), "
    "c.collname, to_jsonb(c) ->> 'collprovider', "
    "coalesce(to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'collcollate'), "
    "coalesce(to_jsonb(c) ->> 'collisdeterministic', 'true') = 'true', "
    "(SELECT array_agg(CAST(enumlabel AS text)) FROM pg_enum WHERE enumtypid = t.oid) "
    "FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid "
    "LEFT JOIN pg_collation c ON c.oid = a.attcollation "
    "WHERE a.attrelid = to_regclass(:name) AND a.attnum > 0 AND NOT a.attisdropped"
)


class StoredColumn(NamedTuple):
    """A column as the database has it.

    :param kind: of values that are compared alike; on SQLite its affinity; empty for unknown types.
    :param declared: its type in the database's words.
    :param size: bytes of an integer, characters of a padded text; 0 without a limit.
    :param collation: in words, if texts are not sorted by code point.
    :param is_deterministic: only equal texts are equal.
    :param labels: of an enumeration.
    """

    kind: str
    declared: str
    size: int = 0
    collation: Optional[str] = None
    is_deterministic: bool = True
    labels: tuple[str, ...] = ()


class Database(NamedTuple):
    """What a proof needs to know of a database besides its columns.

    :param name: ``sqlite`` or ``postgresql``; empty for others, and other drivers.
    :param own_zone: times with a zone are shown in the zone that the database itself is set to, not
        in one of this process.
    :param columns: of the model's table by name; None while there is no such table.
    """

    name: str
    own_zone: bool
    columns: Optional[dict[str, StoredColumn]]


def read_database(engine: Any, table: Any) -> Database:
    """Return what *engine* says of itself and of *table*.

    :param table: what the model is mapped to. Of all but a table nothing is known.
    """
    dialect = engine.dialect
    if (dialect.name, dialect.driver) not in _DRIVERS or type(table) is not Table:
        return Database("", False, {})
    with engine.connect() as connection:
        if dialect.name == "sqlite":
            return Database("sqlite", True, _of_sqlite(connection, table) or None)
        encoding, provider, locale, zone_source = connection.execute(_DATABASE).first()
        default = _collation(provider or "c", locale) if encoding == "UTF8" else f"in {encoding}"
        name = dialect.identifier_preparer.format_table(table)
        columns = {
            row[0]: _of_postgresql(row, default) for row in connection.execute(_COLUMNS, name=name)
        }
        # "client" is PGTZ or an option of the connection, "session" a SET.
        return Database("postgresql", zone_source not in ("client", "session"), columns or None)


def _collation(provider: str, locale: Optional[str]) -> Optional[str]:
    """Return in words what texts are sorted by, None for code points."""
    if locale in _BY_CODE_POINT.get(provider, ()):
        return None
    names = {"c": "libc", "i": "ICU", "b": "builtin"}
    return f"under {locale} of the provider {names.get(provider, provider)}"


def _of_postgresql(row: Any, default: Optional[str]) -> StoredColumn:
    _, type_name, type_kind, modifier, declared, collation, provider, locale, same, labels = row
    if type_kind == "e":
        return StoredColumn("enum", declared, labels=tuple(labels or ()))
    kind = _KINDS.get(type_name, "") if type_kind == "b" else ""
    if type_kind == "b" and type_name.startswith("_"):
        kind = "list"
    size = _BYTES.get(type_name, max(modifier - _HEADER, 0))
    words = None
    if collation is not None:
        # "d" is the database's.
        words = default if provider in ("d", None) else _collation(provider, locale)
        if collation != "default" and words is not None:
            words = f"{words}, by its own collation {collation}"
    return StoredColumn(kind, declared, size, words, same)


def _of_sqlite(connection: Any, table: Any) -> dict[str, StoredColumn]:
    preparer = connection.dialect.identifier_preparer
    schema = "" if table.schema is None else f"{preparer.quote(table.schema)}."
    rows = connection.execute(f"PRAGMA {schema}table_info({preparer.quote(table.name)})").fetchall()
    created = connection.execute(
        f"SELECT sql FROM {schema}sqlite_master WHERE type = 'table' AND lower(name) = ?",
        (table.name.lower(),),
    ).scalar()
    collated = collations(created or "")
    encoding = connection.execute("PRAGMA encoding").scalar()
    columns = {}
    for row in rows:
        name, declared = row[1], row[2]
        # Of a virtual table nothing is known.
        kind = "" if collated is None else affinity(declared)
        collation = (collated or {}).get(name.upper(), "BINARY")
        words = None if collation == "BINARY" else f"under {collation}"
        if encoding != "UTF-8":
            words = words or f"in {encoding}"
        columns[name] = StoredColumn(
            kind, declared, collation=words, is_deterministic=collation == "BINARY"
        )
    return columns
