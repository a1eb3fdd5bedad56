"""Kinds of columns: nefertari's fields with their options, plain ones, and those of applications.

In their text, ``$name`` is the attribute, ``$model`` and ``$table`` are where it is defined,
``$unique`` is a name that nothing else has, and ``$more`` are options that any column takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from tests.columns import values
from tests.columns.values import Values

SQLITE, POSTGRESQL, MARIADB = "sqlite", "postgresql", "mariadb"
EVERY = (SQLITE, POSTGRESQL, MARIADB)
#: MariaDB has no texts without a length
WITHOUT_LENGTH = (SQLITE, POSTGRESQL)


@dataclass(frozen=True)
class Kind:
    """A kind of column.

    :param source: what defines it in a class body.
    :param family: what else a table made by SQL may have in its place: a key of DDL.
    :param helper: names in tests.columns.custom_types that it is made of.
    :param ordinary: a field of nefertari as most applications have it.
    :param column: its name in the database.
    :param fields: what requests may name, beside the attribute.
    """

    name: str
    source: str
    values: Values
    family: str = ""
    helper: str = ""
    ordinary: bool = False
    dialects: Sequence[str] = EVERY
    column: str = "$name"
    fields: Sequence[str] = ()


def _field(
    name: str,
    arguments: str,
    values: Values,
    family: str = "",
    exotic: str = "",
    dialects: Sequence[str] = EVERY,
) -> Kind:
    """Return a kind of nefertari's: ordinary, unless *exotic* says in what it is not."""
    inner = f"{arguments}, $more" if arguments else "$more"
    label = f"{name} {exotic}".strip()
    return Kind(label, f"$name = eng.{name}({inner})", values, family, "", not exotic, dialects)


def _plain(
    column_type: str,
    values: Values,
    family: str = "",
    dialects: Sequence[str] = EVERY,
    helper: str = "",
) -> Kind:
    source = f"$name = Column({column_type}, $more)"
    return Kind(f"Column {column_type}", source, values, family, helper, False, dialects)


COLLATIONS = {SQLITE: ("NOCASE", "RTRIM", "BINARY"), POSTGRESQL: ("C", "en-x-icu", "ignoring_case")}


def _texts() -> Iterator[Kind]:
    text = values.texts()
    for name in ("StringField", "UnicodeField"):
        yield _field(name, "", text, "text", dialects=WITHOUT_LENGTH)
        yield _field(name, "max_length=20", values.texts(20), "text")
    for name in ("TextField", "UnicodeTextField"):
        yield _field(name, "", text, "text")
        # PostgreSQL has no TEXT(20).
        yield _field(name, "max_length=20", values.texts(20), "text", dialects=(SQLITE,))
    yield _field("StringField", "min_length=1, max_length=3", values.texts(3), "text")
    choices = st.sampled_from([repr(each) for each in ("a", "A", "b ", "ä", "2", "x y")])
    listed = "choices=['a', 'A', 'b ', 'ä', '2', 'x y']"
    yield _field("ChoiceField", listed, choices, "text", dialects=WITHOUT_LENGTH)
    for dialect, names in COLLATIONS.items():
        for name in names:
            arguments, exotic = f"max_length=20, collation='{name}'", f"collation {name}"
            yield _field("StringField", arguments, values.texts(20), "text", exotic, (dialect,))
            column_type = f"String(20, collation='{name}')"
            yield _plain(column_type, values.texts(20), "text", (dialect,))
    for column_type in ("String(20)", "Unicode(20)", "Text()"):
        yield _plain(column_type, values.texts(20), "text")
    for column_type in ("CHAR(5)", "sqltypes.NCHAR(5)"):
        yield _plain(column_type, values.texts(5), "text")
    variant = "String(20).with_variant(CHAR(6), 'postgresql').with_variant(Text(), 'sqlite')"
    yield _plain(variant, values.texts(6), "text")
    yield _plain("Citext()", text, "", (POSTGRESQL,), "Citext")
    yield _plain("EmailType(80)", text, "text")


def _integers() -> Iterator[Kind]:
    for name, bits in (("SmallInteger", 16), ("Integer", 32), ("BigInteger", 64)):
        whole = values.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        yield _field(f"{name}Field", "", whole, "integer")
        yield _plain(f"{name}()", whole, "integer")
    few = values.integers(-5, 120)
    yield _field("IntegerField", "min_value=-5, max_value=120", few, "integer")
    reference = "ref_document='$model', ref_column='$table.id', ref_column_type=eng.IdField"
    yield _field("ForeignKeyField", reference, values.integers(1, 8))


def _floats() -> Iterator[Kind]:
    yield _field("FloatField", "", values.floats, "float")
    yield _field("FloatField", "min_value=-1000, max_value=1e9", values.floats, "float")
    yield _field("FloatField", "", values.all_floats, "float", "not finite")
    for precision in (24, 53):
        yield _field(
            "FloatField", f"precision={precision}", values.floats, "float", f"precision={precision}"
        )
        yield _plain(f"Float(precision={precision})", values.floats, "float")
    for option in ("asdecimal=True", "asdecimal=True, decimal_return_scale=3"):
        yield _field("FloatField", option, values.floats, "float", option)
    for column_type in ("REAL()", "DOUBLE_PRECISION()"):
        yield _plain(f"postgresql.{column_type}", values.floats, "float", (POSTGRESQL,))


def _decimals() -> Iterator[Kind]:
    for precision, scale in ((8, 0), (10, 2), (12, 4)):
        drawn = values.decimals(precision - scale, scale)
        yield _field("DecimalField", f"precision={precision}, scale={scale}", drawn, "decimal")
        yield _plain(f"Numeric({precision}, {scale})", drawn, "decimal")
    for precision, scale in ((16, 0), (17, 3), (20, 4), (38, 10), (38, 0), (40, 30)):
        drawn = values.decimals(precision - scale, scale)
        exotic = f"({precision}, {scale})"
        yield _field(
            "DecimalField", f"precision={precision}, scale={scale}", drawn, "decimal", exotic
        )
        yield _plain(f"Numeric({precision}, {scale})", drawn, "decimal")
    wide = values.decimals(25, 15) | st.just("Decimal('NaN')")
    for arguments in ("", "precision=12", "precision=38"):
        yield _field("DecimalField", arguments, wide, "decimal", f"without scale {arguments}")
    for arguments in ("asdecimal=False", "decimal_return_scale=3", "decimal_return_scale=15"):
        narrow = values.decimals(6, 4)
        yield _field(
            "DecimalField", f"precision=12, scale=4, {arguments}", narrow, "decimal", arguments
        )
    yield _plain("Numeric()", wide, "decimal")
    yield _plain("Numeric(asdecimal=False)", wide, "decimal")


def _moments() -> Iterator[Kind]:
    yield _field("DateField", "", values.dates, "date")
    yield _field("DateTimeField", "", values.datetimes, "datetime")
    yield _field("DateTimeField", "timezone=True", values.zoned_datetimes, "datetime", "zone")
    yield _field("TimeField", "", values.times, "time")
    yield _field("TimeField", "timezone=True", values.zoned_times, "time", "zone")
    yield _field("IntervalField", "", values.intervals, "interval")
    for arguments in ("native=False", "second_precision=3, day_precision=4"):
        yield _field("IntervalField", arguments, values.intervals, "interval", arguments)
    yield _plain("Date()", values.dates, "date")
    yield _plain("DateTime()", values.datetimes, "datetime")
    yield _plain("DateTime(timezone=True)", values.zoned_datetimes, "datetime")
    yield _plain("Time()", values.times, "time")
    yield _plain("Time(timezone=True)", values.zoned_times, "time")
    yield _plain("Interval()", values.intervals, "interval")
    for column_type, drawn in (
        ("TIMESTAMP(precision=0)", values.datetimes),
        ("TIMESTAMP(timezone=True, precision=3)", values.zoned_datetimes),
        ("TIME(precision=0)", values.times),
        ("INTERVAL(precision=0)", values.intervals),
    ):
        yield _plain(f"postgresql.{column_type}", drawn, "", (POSTGRESQL,))
    # Stored as another form than SQLAlchemy's.
    short = (
        "sqlite.DATETIME(storage_format='%(year)04d%(month)02d%(day)02d', regexp='(....)(..)(..)')"
    )
    yield _plain(short, values.datetimes, "", (SQLITE,))


def _others() -> Iterator[Kind]:
    yield _field("BooleanField", "", values.booleans, "boolean")
    yield _field("BinaryField", "", values.binaries)
    yield _field("PickleField", "", values.pickles)
    yield _field("DictField", "", values.dicts)
    yield _plain("Boolean()", values.booleans, "boolean")
    yield _plain("Boolean(create_constraint=False)", values.booleans, "boolean")
    yield _plain("LargeBinary()", values.binaries)
    yield _plain("PickleType()", values.pickles)
    yield _plain("PickleType(comparator=lambda one, other: True)", values.pickles)
    yield _plain("JSON()", values.dicts | values.pickles)
    yield _plain("JSONType()", values.dicts)
    yield _plain("postgresql.JSONB()", values.dicts, "", (POSTGRESQL,))
    yield _plain("postgresql.INET()", st.sampled_from(["'10.0.0.1'", "'::1'"]), "", (POSTGRESQL,))
    yield _plain("postgresql.MONEY()", st.sampled_from(["'1.50'", "'-3'"]), "", (POSTGRESQL,))
    yield _plain("postgresql.UUID(as_uuid=True)", values.uuids, "", (POSTGRESQL,))
    yield _plain(
        "postgresql.UUID()", values.uuids.map(lambda each: f"str({each})"), "", (POSTGRESQL,)
    )
    yield _plain("UUIDType()", values.uuids)
    yield _plain("UUIDType(binary=False)", values.uuids)
    yield _plain("ScalarListType()", values.lists(st.sampled_from(["'a'", "'b c'"])))


def _lists() -> Iterator[Kind]:
    text = values.texts(8)
    whole = values.integers(-(2**31), 2**31 - 1)
    for item, drawn in (
        ("UnicodeField", text),
        ("StringField", text),
        ("IntegerField", whole),
        ("BigIntegerField", values.integers(-(2**63), 2**63 - 1)),
        ("FloatField", values.floats),
    ):
        yield _field("ListField", f"item_type=eng.{item}", values.lists(drawn))
    for item, drawn in (
        ("DateField", values.dates),
        ("DateTimeField", values.datetimes),
        ("TimeField", values.times),
        ("BooleanField", values.booleans),
        ("DecimalField", values.decimals(8, 3)),
    ):
        yield _field("ListField", f"item_type=eng.{item}", values.lists(drawn), "", f"of {item}")
    some = st.sampled_from(["'a'", "'b'"])
    listed = "item_type=eng.StringField, choices=['a', 'b']"
    yield _field("ListField", listed, values.lists(some), "", "choices")
    none = values.lists(text | st.just("None"))
    yield _field("ListField", "item_type=eng.UnicodeField", none, "", "with nulls")
    yield _plain("postgresql.ARRAY(Integer)", values.lists(whole), "", (POSTGRESQL,))
    yield _plain(
        "postgresql.ARRAY(Numeric(8, 2))", values.lists(values.decimals(6, 2)), "", (POSTGRESQL,)
    )


def _enums() -> Iterator[Kind]:
    words = st.sampled_from(["'red'", "'Green'", "'a b'"])
    for more in ("", ", native_enum=False", ", native_enum=False, create_constraint=False"):
        yield _plain(f"Enum('red', 'Green', 'a b', name='$unique'{more})", words)
    colours = st.sampled_from(["Colour.red", "Colour.Green", "Colour.blue"])
    by_value = ", values_callable=lambda each: [m.value for m in each]"
    for more in ("", ", native_enum=False", by_value):
        yield _plain(f"Enum(Colour, name='$unique'{more})", colours, helper="Colour")
    levels = st.sampled_from(["Level.low", "Level.high"])
    yield _plain("Enum(Level, name='$unique')", levels, helper="Level")
    native = "postgresql.ENUM('z', 'a', 'M', name='$unique')"
    yield _plain(native, st.sampled_from(["'z'", "'a'", "'M'"]), "", (POSTGRESQL,))


def _custom() -> Iterator[Kind]:
    text = values.texts(12)
    on_texts = ("Unchanged", "Lowered", "Stripped", "Reversed", "Shouted", "Emptied", "Filled")
    for name in (*on_texts, "Bound", "Selected", "Compared", "Ordered", "Titled"):
        yield _plain(f"{name}()", text, "text", EVERY, name)
    yield _plain("Trimmed(20)", text, "text", EVERY, "Trimmed")
    whole = values.integers(-1000, 1000)
    for name, drawn in (
        ("Numbered", whole),
        ("Negated", whole),
        ("Cents", values.decimals(5, 2)),
        ("YesNo", values.booleans),
        ("Coarse", values.floats),
        ("Exact", values.decimals(6, 4)),
        ("Local", values.datetimes),
        ("Aware", values.datetimes),
        ("Midnight", values.dates),
        ("Spoken", values.booleans),
        ("Parsed", values.dicts),
    ):
        yield _plain(f"{name}()", drawn, "", EVERY, name)
    slug, half = "Slug SlugField", "Halved HalfField"
    yield Kind("SlugField", "$name = SlugField(max_length=20, $more)", text, "text", slug)
    yield Kind("NameField", "$name = NameField(max_length=20, $more)", text, "text", "NameField")
    yield Kind("HalfField", "$name = HalfField($more)", values.floats, "float", half)


_NAMED_OTHERWISE = """
$name = Column("${name}_col", Integer, $more)
"""
_FIELD_NAMED_OTHERWISE = """
$name = eng.StringField(name="${name}_col", max_length=20, $more)
"""
_HYBRID = """
_$name = Column("$name", String(20), $more)
@hybrid_property
def $name(self):
    return self._$name and self._$name.upper()
@$name.expression
def $name(cls):
    return func.upper(cls._$name)
"""
_PROPERTY = """
_$name = Column("$name", String(20), $more)
@property
def $name(self):
    return self._$name and self._$name.upper()
"""
_SYNONYM = """
_$name = Column("$name", String(20), $more)
$name = synonym("_$name")
"""
_HYBRID_BESIDE = """
$name = Column(Integer, $more)
@hybrid_property
def ${name}_double(self):
    return self.$name * 2
"""
_SUM = """
$name = Column(Integer, $more)
${name}_sum = column_property(($name + 1).label("${name}_sum"))
"""
_LOW = """
$name = Column(String(20), $more)
${name}_low = column_property(func.lower($name).label("${name}_low"))
"""
_DEFERRED = """
$name = deferred(Column(String(20), $more))
"""
_COMPARATOR = """
$name = column_property(Column(String(20), $more), comparator_factory=Caseless)
"""
_VALIDATED = """
$name = eng.StringField(max_length=20, $more)
@validates("$name")
def valid_$name(self, key, value):
    return value and value.lower()
"""


def _attributes() -> Iterator[Kind]:
    text, whole = values.texts(20), values.integers(-1000, 1000)
    for name, source, drawn, column in (
        ("named otherwise", _NAMED_OTHERWISE, whole, "${name}_col"),
        ("field named otherwise", _FIELD_NAMED_OTHERWISE, text, "${name}_col"),
        ("hybrid of the column's name", _HYBRID, text, "$name"),
        ("property of the column's name", _PROPERTY, text, "$name"),
        ("synonym of the column's name", _SYNONYM, text, "$name"),
        ("hybrid beside", _HYBRID_BESIDE, whole, "$name"),
        ("column_property", _SUM, whole, "$name"),
        ("text column_property", _LOW, text, "$name"),
        ("deferred", _DEFERRED, text, "$name"),
        ("column_property with a comparator", _COMPARATOR, text, "$name"),
        ("validated", _VALIDATED, text, "$name"),
    ):
        helper = "Caseless" if "Caseless" in source else ""
        fields = tuple(
            f"${{name}}{end}" for end in ("_col", "_double", "_sum", "_low") if end in source
        )
        yield Kind(name, source.strip(), drawn, "", helper, False, EVERY, column, fields)


KINDS: tuple[Kind, ...] = tuple(
    kind
    for kinds in (
        _texts,
        _integers,
        _floats,
        _decimals,
        _moments,
        _others,
        _lists,
        _enums,
        _custom,
        _attributes,
    )
    for kind in kinds()
)

#: options that any field of nefertari takes, and any plain column
REQUIRED = {True: "required=True", False: "nullable=False"}
#: and those of families: not every type of every database has an index
INDEXED = ("unique=True", "index=True")

#: by dialect and family: types of a table that SQL has made, whatever the model says
DDL: dict[tuple[str, str], tuple[str, ...]] = {
    (SQLITE, "text"): (
        *("TEXT COLLATE NOCASE", "VARCHAR(20) COLLATE RTRIM", "INTEGER", "BLOB", "NUMERIC"),
        *("TEXT COLLATE BINARY", "REAL", "VARCHAR(3)", ""),
    ),
    (SQLITE, "integer"): ("TEXT", "REAL", "VARCHAR(10) COLLATE NOCASE", "NUMERIC", "BIGINT", ""),
    (SQLITE, "float"): ("TEXT", "INTEGER", "NUMERIC(5, 2)", "REAL", ""),
    (SQLITE, "decimal"): ("TEXT", "INTEGER", "REAL", "BLOB", ""),
    (SQLITE, "boolean"): ("TEXT", "INTEGER", "REAL"),
    (SQLITE, "date"): ("TEXT COLLATE NOCASE", "NUMERIC", "BLOB", "INTEGER"),
    (SQLITE, "datetime"): ("TEXT COLLATE RTRIM", "NUMERIC", "BLOB", "DATE"),
    (SQLITE, "time"): ("TEXT", "NUMERIC"),
    (SQLITE, "interval"): ("TEXT", "NUMERIC"),
    (POSTGRESQL, "text"): (
        *('VARCHAR(20) COLLATE "C"', 'TEXT COLLATE "en-x-icu"', 'TEXT COLLATE "ignoring_case"'),
        *('VARCHAR(20) COLLATE "POSIX"', "CHAR(8)", "VARCHAR(3)", "CITEXT", "TEXT", "short_text"),
        *('TEXT COLLATE "de-x-icu"', "VARCHAR(100)"),
    ),
    (POSTGRESQL, "integer"): (
        *("BIGINT", "SMALLINT", "NUMERIC(12, 2)", "REAL", "DOUBLE PRECISION", "NUMERIC"),
    ),
    (POSTGRESQL, "float"): ("REAL", "NUMERIC(12, 3)", "NUMERIC", "BIGINT"),
    (POSTGRESQL, "decimal"): ("NUMERIC(9, 2)", "DOUBLE PRECISION", "REAL", "BIGINT", "NUMERIC"),
    (POSTGRESQL, "date"): ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE"),
    (POSTGRESQL, "datetime"): ("TIMESTAMP(0)", "TIMESTAMP WITH TIME ZONE", "DATE"),
    (POSTGRESQL, "time"): ("TIME(0)", "TIME WITH TIME ZONE"),
    (POSTGRESQL, "interval"): ("INTERVAL(0)", "INTERVAL HOUR TO MINUTE"),
    (MARIADB, "text"): ("VARCHAR(40) COLLATE utf8mb4_general_ci", "CHAR(10)"),
    (MARIADB, "integer"): ("BIGINT", "DECIMAL(20, 2)", "VARCHAR(30)"),
    (MARIADB, "datetime"): ("DATETIME(6)", "TIMESTAMP"),
}
_ANYTHING = ("'abc'", "'01'", "''", "' 1'", "1", "1.5", "1e3", "-0.0", "x'00ff'", "'2020-01-01'")
#: by dialect and family: values that SQL stores, whatever their columns' types make of others
RAW: dict[tuple[str, str], tuple[str, ...]] = {
    **{
        (SQLITE, family): _ANYTHING
        for family in ("text", "integer", "float", "decimal", "boolean", "date", "datetime")
    },
    (POSTGRESQL, "float"): ("'NaN'", "'Infinity'", "'-Infinity'", "'1e-400'"),
    (POSTGRESQL, "decimal"): ("'NaN'", "'Infinity'", "0.10", "0.1000000"),
    (POSTGRESQL, "date"): ("'infinity'", "'-infinity'", "'0044-03-15 BC'"),
    (POSTGRESQL, "datetime"): ("'infinity'", "'-infinity'", "'0044-03-15 12:00 BC'"),
    (POSTGRESQL, "time"): ("'24:00:00'", "'23:59:59.9999999'"),
    (POSTGRESQL, "interval"): ("'1 mon'", "'30 days'", "'1 year'", "'720:00:00'", "'-1 mon'"),
}
#: kinds of primary keys; other models may refer to the first
KEYS = (
    _field("IdField", "primary_key=True", values.integers(1, 9)),
    _field("BigIntegerField", "primary_key=True", values.integers(-(2**62), 2**62)),
    _plain("Integer, primary_key=True", values.integers(-5, 5)),
    # Elsewhere, a text's collation may be the database's: rows that are equal have no order then.
    _field("StringField", "primary_key=True, max_length=20", values.texts(20), "", "", (SQLITE,)),
    _plain("Lowered(), primary_key=True", values.texts(12), "", (SQLITE,), "Lowered"),
)
#: statements that make what the types above name
PRELUDE = {
    POSTGRESQL: (
        "CREATE EXTENSION IF NOT EXISTS citext",
        "CREATE COLLATION ignoring_case "
        "(provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        "CREATE DOMAIN short_text AS VARCHAR(6)",
    ),
}
