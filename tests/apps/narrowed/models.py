"""Volumes and leaflets with owners; a volume nests its writer."""

from __future__ import annotations

from nefertari import engine as eng
from nefertari.engine import ESBaseDocument


class Writer(ESBaseDocument):
    __tablename__ = "narrowed_writers"
    _nested_relationships = ()

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()
    volumes = eng.Relationship(document="Volume", backref_name="writer")


class Volume(ESBaseDocument):
    __tablename__ = "narrowed_volumes"
    _nested_relationships = ("writer",)

    id = eng.IdField(primary_key=True)
    owner = eng.StringField()
    title = eng.UnicodeField()
    prose = eng.UnicodeTextField()
    year = eng.IntegerField()
    weight = eng.FloatField()
    price = eng.DecimalField(precision=12, scale=2)
    lent = eng.BooleanField()
    bought = eng.DateField()
    due = eng.DateTimeField()
    tags = eng.ListField(item_type=eng.StringField)
    extra = eng.DictField()
    writer_id = eng.ForeignKeyField(
        ref_document="Writer", ref_column="narrowed_writers.id", ref_column_type=eng.IdField
    )


class Leaflet(ESBaseDocument):
    __tablename__ = "narrowed_leaflets"

    id = eng.IdField(primary_key=True)
    owner = eng.StringField()
    title = eng.UnicodeField()
    year = eng.IntegerField()


def includeme(config):
    pass
