"""Types, fields and comparators as applications define them: each has a life of its own."""

from __future__ import annotations

import datetime
import enum
import json
import operator
from decimal import Decimal

from nefertari_sqla import fields as engine_fields
from nefertari_sqla import types as engine_types
from sqlalchemy import func
from sqlalchemy import types as sqltypes
from sqlalchemy.orm import ColumnProperty
from sqlalchemy.types import TypeDecorator


class Unchanged(TypeDecorator):
    impl = sqltypes.String(20)


class Lowered(TypeDecorator):
    impl = sqltypes.String(20)

    def process_bind_param(self, value, dialect):
        return None if value is None else value.lower()


class Stripped(TypeDecorator):
    impl = sqltypes.String(20)

    def process_bind_param(self, value, dialect):
        return None if value is None else value.strip()


class Reversed(TypeDecorator):
    impl = sqltypes.String(20)

    def process_bind_param(self, value, dialect):
        return None if value is None else value[::-1]

    process_result_value = process_bind_param


class Shouted(TypeDecorator):
    impl = sqltypes.String(20)

    def process_result_value(self, value, dialect):
        return None if value is None else value.upper()


class Emptied(TypeDecorator):
    """No text is stored as a null."""

    impl = sqltypes.String(20)

    def process_bind_param(self, value, dialect):
        return value or None


class Filled(TypeDecorator):
    """A null is read as no text."""

    impl = sqltypes.String(20)

    def process_result_value(self, value, dialect):
        return value or ""


class Numbered(TypeDecorator):
    """A number that is stored, and ordered, as a text."""

    impl = sqltypes.String(20)

    def process_bind_param(self, value, dialect):
        return None if value is None else str(value)

    def process_result_value(self, value, dialect):
        return None if value is None else int(value)


class Negated(TypeDecorator):
    impl = sqltypes.Integer

    def process_bind_param(self, value, dialect):
        return None if value is None else -int(value)

    def process_result_value(self, value, dialect):
        return None if value is None else -value


class Cents(TypeDecorator):
    impl = sqltypes.Integer

    def process_bind_param(self, value, dialect):
        return None if value is None else int(Decimal(value) * 100)

    def process_result_value(self, value, dialect):
        return None if value is None else Decimal(value) / 100


class YesNo(TypeDecorator):
    impl = sqltypes.String(3)

    def process_bind_param(self, value, dialect):
        return None if value is None else "yes" if value in (True, "true") else "no"

    def process_result_value(self, value, dialect):
        return None if value is None else value == "yes"


class Coarse(TypeDecorator):
    impl = sqltypes.Float

    def process_result_value(self, value, dialect):
        return None if value is None else round(value, 1)


class Exact(TypeDecorator):
    impl = sqltypes.Numeric(12, 4)

    def process_result_value(self, value, dialect):
        return None if value is None else str(value)


class Local(TypeDecorator):
    """Read in another zone than it is stored in."""

    impl = sqltypes.DateTime

    def process_result_value(self, value, dialect):
        return None if value is None else value + datetime.timedelta(hours=2)


class Aware(TypeDecorator):
    impl = sqltypes.DateTime

    def process_bind_param(self, value, dialect):
        return value.replace(tzinfo=None) if isinstance(value, datetime.datetime) else value

    def process_result_value(self, value, dialect):
        return None if value is None else value.replace(tzinfo=datetime.timezone.utc)


class Midnight(TypeDecorator):
    impl = sqltypes.Date

    def process_result_value(self, value, dialect):
        return None if value is None else datetime.datetime.combine(value, datetime.time())


class Spoken(TypeDecorator):
    impl = sqltypes.Boolean

    def process_result_value(self, value, dialect):
        return None if value is None else "on" if value else "off"


class Parsed(TypeDecorator):
    impl = sqltypes.Text

    def process_bind_param(self, value, dialect):
        return None if value is None else json.dumps(value)

    def process_result_value(self, value, dialect):
        return None if value is None else json.loads(value)


class Bound(TypeDecorator):
    impl = sqltypes.String(20)

    def bind_expression(self, value):
        return func.lower(value)


class Selected(TypeDecorator):
    impl = sqltypes.String(20)

    def column_expression(self, column):
        return func.upper(column)


class Compared(TypeDecorator):
    impl = sqltypes.String(20)

    class comparator_factory(TypeDecorator.Comparator):
        def operate(self, op, *others, **options):
            if op is operator.eq:
                return func.lower(self.expr) == func.lower(others[0])
            return super().operate(op, *others, **options)


class Ordered(TypeDecorator):
    impl = sqltypes.String(20)

    class comparator_factory(TypeDecorator.Comparator):
        def desc(self):
            return func.length(self.expr).desc()


class Titled(sqltypes.UserDefinedType):
    def get_col_spec(self):
        return "VARCHAR(20)"

    def bind_processor(self, dialect):
        return lambda value: value and value.title()


class Citext(sqltypes.UserDefinedType):
    """PostgreSQL's text without case."""

    def get_col_spec(self):
        return "CITEXT"


class Trimmed(sqltypes.String):
    def result_processor(self, dialect, coltype):
        return lambda value: value and value.strip()


class Slug(engine_types.LimitedString):
    def process_bind_param(self, value, dialect):
        return None if value is None else value.lower()


class SlugField(engine_fields.StringField):
    """A field of the application's own type."""

    _sqla_type_cls = Slug


class NameField(engine_fields.StringField):
    """A field of the application's own class, with nefertari's type."""


class Halved(engine_types.LimitedFloat):
    def process_result_value(self, value, dialect):
        return None if value is None else value / 2


class HalfField(engine_fields.FloatField):
    _sqla_type_cls = Halved


class Caseless(ColumnProperty.Comparator):
    def operate(self, op, *others, **options):
        if op is operator.eq:
            return func.lower(self.__clause_element__()) == func.lower(others[0])
        return super().operate(op, *others, **options)


class Colour(enum.Enum):
    red = "R"
    Green = "g"
    blue = "r"

    def __str__(self):
        return self.value


class Level(enum.IntEnum):
    low = 10
    high = 2
