"""Models of different shapes."""

from __future__ import annotations

from nefertari import engine as eng
from nefertari.engine import BaseDocument, ESBaseDocument


class Painter(ESBaseDocument):
    __tablename__ = "museum_painters"
    _public_fields = ["id", "name", "year", "style"]
    _auth_fields = ["id", "name", "year", "style", "worth"]

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()
    year = eng.IntegerField(help_text="of birth")
    style = eng.UnicodeField()
    worth = eng.IntegerField()
    paintings = eng.Relationship(document="Painting", backref_name="painter")


class Painting(ESBaseDocument):
    """Its worth is hidden."""

    __tablename__ = "museum_paintings"
    _public_fields = ["id", "title", "year", "style", "height", "painter", "exhibited"]
    _auth_fields = ["id", "title", "year", "style", "height", "painter", "exhibited", "worth"]
    _hidden_fields = ["worth", "insurer"]
    _nested_relationships = ("painter",)

    id = eng.IdField(primary_key=True)
    title = eng.UnicodeField()
    year = eng.IntegerField()
    style = eng.UnicodeField()
    height = eng.IntegerField(help_text="centimetres")
    worth = eng.IntegerField()
    insurer = eng.UnicodeField()
    exhibited = eng.BooleanField()
    painter_id = eng.ForeignKeyField(
        ref_document="Painter", ref_column="museum_painters.id", ref_column_type=eng.IdField
    )


class Vase(ESBaseDocument):
    """Its key is a text, and so is its year."""

    __tablename__ = "museum_vases"
    _public_fields = ["code", "name", "year", "height", "worth", "excavated", "exhibited"]
    _auth_fields = ["code", "name", "year", "height", "worth", "excavated", "exhibited"]

    code = eng.StringField(primary_key=True, max_length=600)
    name = eng.UnicodeField()
    year = eng.UnicodeField(help_text="c. 510")
    height = eng.FloatField(help_text="centimetres")
    worth = eng.IntegerField()
    excavated = eng.DateField()
    exhibited = eng.BooleanField()
    notes = eng.DictField()


class Guard(ESBaseDocument):
    """For staff only."""

    __tablename__ = "museum_guards"
    _auth_fields = ["id", "name", "exhibited"]

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()
    exhibited = eng.BooleanField(help_text="on duty")


class Ticket(BaseDocument):
    """Has no mirror."""

    __tablename__ = "museum_tickets"
    _public_fields = ["id", "name"]

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()


def includeme(config):
    pass
