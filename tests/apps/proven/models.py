"""Each model has ordinary columns beside those that are about something."""

from __future__ import annotations

import codecs
import datetime

from nefertari import engine as eng
from nefertari.engine import ESBaseDocument
from sqlalchemy import (
    CHAR,
    JSON,
    Column,
    Date,
    Enum,
    Float,
    Integer,
    Interval,
    Numeric,
    PickleType,
    String,
    Unicode,
    func,
)
from sqlalchemy.orm import ColumnProperty, column_property
from sqlalchemy.types import TypeDecorator
from sqlalchemy_utils import EmailType
from sqlalchemy_utils.types.json import JSONType

from tests.apps.proven.enums import Color


class Lowered(TypeDecorator):
    """Stores, and searches for, lower case."""

    impl = Unicode

    def process_bind_param(self, value, dialect):
        return value if value is None else value.lower()


class Encoded(TypeDecorator):
    """Stores another text than it returns."""

    impl = Unicode

    def process_bind_param(self, value, dialect):
        return value if value is None else codecs.encode(value, "rot13")

    def process_result_value(self, value, dialect):
        return value if value is None else codecs.decode(value, "rot13")


class LocalTime(TypeDecorator):
    """Returns what is stored in another zone."""

    impl = eng.DateTimeField._sqla_type_cls

    def process_result_value(self, value, dialect):
        zone = datetime.timezone(datetime.timedelta(hours=2))
        if value is None:
            return value
        return value.replace(tzinfo=datetime.timezone.utc).astimezone(zone)


class Doubled(Integer):
    """Binds another number, as a type by itself."""

    def bind_processor(self, dialect):
        return lambda value: value if value is None else 2 * int(value)


class Trimmed(Unicode):
    """Compares without blanks around."""

    class comparator_factory(Unicode.Comparator):
        def operate(self, op, *other, **kwargs):
            return op(func.trim(self.expr), *other, **kwargs)


class AnyCase(ColumnProperty.Comparator):
    """Compares texts without regard to case."""

    def operate(self, op, *other, **kwargs):
        return op(func.lower(self.__clause_element__()), *(each.lower() for each in other))


class OwnText(eng.StringField):
    """A field class of the application's own, which is made otherwise."""

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("max_length", 40)
        super().__init__(*args, **kwargs)


class TrimmedText(eng.StringField):
    """A field class that compares by itself."""

    def operate(self, op, *other, **kwargs):
        return op(func.trim(self, type_=String()), *other, **kwargs)


class Account(ESBaseDocument):
    """Types with a life of their own; each reads as a plain one does, but for those of Arrival."""

    __tablename__ = "proven_accounts"

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()
    email = Column(Lowered())
    mail = Column(EmailType())
    count = Column(Doubled())
    label = Column(Trimmed())
    varied = Column(
        String().with_variant(Lowered(), "sqlite").with_variant(Lowered(), "postgresql")
    )
    own = OwnText()
    trimmed = TrimmedText()


class Arrival(ESBaseDocument):
    """Types that return something else than what is stored."""

    __tablename__ = "proven_visits"

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()
    code = Column(Encoded())
    visited = Column(LocalTime())


class Guest(ESBaseDocument):
    """Nests its visits."""

    __tablename__ = "proven_guests"
    _nested_relationships = ("visits",)

    id = eng.IdField(primary_key=True)
    visits = eng.Relationship(document="Stay", backref_name="guest", order_by="Stay.id")


class Stay(ESBaseDocument):
    __tablename__ = "proven_stays"

    id = eng.IdField(primary_key=True)
    visited = Column(LocalTime())
    guest_id = eng.ForeignKeyField(
        ref_document="Guest", ref_column="proven_guests.id", ref_column_type=eng.IdField
    )


class Sample(ESBaseDocument):
    """Types whose values are compared in their own way."""

    __tablename__ = "proven_samples"

    id = eng.IdField(primary_key=True)
    small = eng.SmallIntegerField()
    count = eng.IntegerField()
    big = eng.BigIntegerField()
    wide = Column(Numeric())
    rounded = Column(Numeric(asdecimal=False))
    price = eng.DecimalField(precision=12, scale=2)
    plain = Column(Numeric(10, 2))
    single = eng.FloatField(precision=24)
    ratio = eng.FloatField()
    odd = Column(Float(asdecimal=True))
    padded = Column(CHAR(5))
    tint = Column(Enum("red", "green", "blue", name="proven_tint"))
    color = Column(Enum(Color, name="proven_color"))
    clock = eng.TimeField(timezone=True)
    moment = eng.DateTimeField(timezone=True)
    at = eng.DateTimeField()
    day = eng.DateField()
    time = eng.TimeField()
    span = eng.IntervalField()
    flag = eng.BooleanField()
    kind = eng.ChoiceField(choices=["soft", "hard"])
    short = eng.StringField(max_length=4)
    thing = eng.PickleField()
    blob = eng.BinaryField()
    options = eng.DictField()
    words = eng.ListField(item_type=eng.StringField)
    object = Column(PickleType())
    data = Column(JSONType())
    lasts = Column(Interval())


class Listed(ESBaseDocument):
    """Its table is made by hand: by ``DDL`` of the tests."""

    __tablename__ = "proven_listed"

    id = Column(Integer, primary_key=True)
    name = eng.UnicodeField()
    title = eng.UnicodeField()
    number = eng.IntegerField()
    at = eng.DateTimeField()
    flag = eng.BooleanField()
    span = eng.IntervalField()
    day = eng.DateField()
    time = eng.TimeField()
    code_number = Column("code", Integer)


class Ordered(ESBaseDocument):
    """Has an order of its own, which ``_sort`` could say."""

    __tablename__ = "proven_ordered"

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()
    rank = eng.IntegerField()
    __mapper_args__ = {"order_by": [rank.desc(), name]}


class OddlyOrdered(ESBaseDocument):
    """Has an order of its own, which ``_sort`` can't say."""

    __tablename__ = "proven_oddly_ordered"

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()
    __mapper_args__ = {"order_by": func.length(name)}


class Unsortable(ESBaseDocument):
    """Has an order that PostgreSQL rejects: its JSON is not compared."""

    __tablename__ = "proven_unsortables"

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()
    data = Column(JSON())
    __mapper_args__ = {"order_by": data}


class Overridden(ESBaseDocument):
    """Sorts in its own way."""

    __tablename__ = "proven_overridden"

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()
    day = Column(Date())

    @classmethod
    def apply_sort(cls, query_set, _sort):
        return super().apply_sort(query_set, [f"-{name}" for name in _sort])


class Composed(ESBaseDocument):
    """Has an attribute that is more than a column."""

    __tablename__ = "proven_composed"

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()
    tag = column_property(Column("tag", Unicode()), comparator_factory=AnyCase)


def includeme(config):
    """Do nothing: the models are defined above."""
