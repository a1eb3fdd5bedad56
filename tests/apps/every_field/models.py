"""Models with every field class, and every form of relationship."""

from __future__ import annotations

import sqlite3

from nefertari import engine as eng
from nefertari.engine import BaseDocument, ESBaseDocument
from pyramid_sqlalchemy import BaseObject, metadata
from sqlalchemy import Column, ForeignKey, Integer, Table, event

from tests.apps.zoo_models import Custom, Marked, Plain, item_fields

__all__ = ["Custom", "Marked", "Plain"]

Table(
    "zoo_item_tags",
    BaseObject.metadata,
    Column("item_id", Integer, ForeignKey("zoo_items.id", ondelete="CASCADE"), primary_key=True),
    Column("tag_id", Integer, ForeignKey("zoo_tags.id", ondelete="CASCADE"), primary_key=True),
)
Table(
    "zoo_round_meals",
    BaseObject.metadata,
    Column("round_id", Integer, ForeignKey("zoo_rounds.id", ondelete="CASCADE"), primary_key=True),
    Column("meal_id", Integer, ForeignKey("zoo_meals.id", ondelete="CASCADE"), primary_key=True),
)


class Keeper(ESBaseDocument):
    """Its primary key is a text."""

    __tablename__ = "zoo_keepers"

    code = eng.StringField(primary_key=True, max_length=600)
    name = eng.UnicodeField()
    items = eng.Relationship(
        document="Item", backref_name="keeper", backref_passive_deletes=True, passive_deletes=True
    )


class Tag(ESBaseDocument):
    """Many to many, a relationship on both sides."""

    __tablename__ = "zoo_tags"

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()
    items = eng.Relationship(
        document="Item", secondary="zoo_item_tags", backref_name="tags", backref_uselist=True
    )


class Item(ESBaseDocument):
    """Every field class."""

    __tablename__ = "zoo_items"
    _nested_relationships = ("keeper", "label")

    vars().update(item_fields())
    count = eng.IntegerField()
    keeper_code = eng.ForeignKeyField(
        ref_document="Keeper",
        ref_column="zoo_keepers.code",
        ref_column_type=eng.StringField,
        ref_ondelete="NULLIFY",
        ref_onupdate="CASCADE",
    )
    label = eng.Relationship(document="Label", uselist=False, backref_name="item")

    def shout(self):
        """A method that views call on the results of a collection."""
        return f"{self.name}!"


class Label(BaseDocument):
    """Has no mirror, but is nested in one that has."""

    __tablename__ = "zoo_labels"

    id = eng.IdField(primary_key=True)
    text = eng.UnicodeField()
    item_id = eng.ForeignKeyField(
        ref_document="Item",
        ref_column="zoo_items.id",
        ref_column_type=eng.IdField,
        ref_ondelete="CASCADE",
    )


class Visit(ESBaseDocument):
    """Nests items, which nest their keepers: two levels."""

    __tablename__ = "zoo_visits"
    _nested_relationships = ("item",)
    _nesting_depth = 2

    id = eng.IdField(primary_key=True)
    guest = eng.UnicodeField()
    item_id = eng.ForeignKeyField(
        ref_document="Item",
        ref_column="zoo_items.id",
        ref_column_type=eng.IdField,
        ref_ondelete="CASCADE",
        ref_onupdate="CASCADE",
    )
    # One-sided: Item has no relationship to its visits.
    item = eng.Relationship(document="Item", uselist=False)


class Node(ESBaseDocument):
    """Refers to itself."""

    __tablename__ = "zoo_nodes"

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()
    parent_id = eng.ForeignKeyField(
        ref_document="Node",
        ref_column="zoo_nodes.id",
        ref_column_type=eng.IdField,
        ref_onupdate="CASCADE",
    )
    children = eng.Relationship(
        document="Node", backref_name="parent", backref_remote_side="Node.id"
    )


class Pen(ESBaseDocument):
    """Nests its meals, in another order than that of their keys."""

    __tablename__ = "zoo_pens"
    _nested_relationships = ("meals",)

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()
    meals = eng.Relationship(
        document="Meal", backref_name="pen", order_by="(Meal.rank.desc(), Meal.id)"
    )


class Round(ESBaseDocument):
    """Lists the keys of its meals in another order than theirs; many to many."""

    __tablename__ = "zoo_rounds"

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()
    meals = eng.Relationship(
        document="Meal",
        secondary="zoo_round_meals",
        order_by="(Meal.rank, Meal.id.desc())",
        backref_name="rounds",
        backref_uselist=True,
    )


class Meal(ESBaseDocument):
    """Lists of numbers and of texts, and a field with the name of a parameter."""

    __tablename__ = "zoo_meals"

    id = eng.IdField(primary_key=True)
    rank = eng.IntegerField()
    q = eng.UnicodeField()
    foods = eng.ListField(item_type=eng.StringField)
    doses = eng.ListField(item_type=eng.IntegerField)
    weights = eng.ListField(item_type=eng.FloatField)
    pen_id = eng.ForeignKeyField(
        ref_document="Pen",
        ref_column="zoo_pens.id",
        ref_column_type=eng.IdField,
        ref_ondelete="NULLIFY",
        ref_onupdate="CASCADE",
    )


def enforce_foreign_keys(connection, _record):
    """SQLite heeds ON DELETE only in connections that ask for it."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA foreign_keys = ON")


def includeme(config):
    event.listen(metadata.bind, "connect", enforce_foreign_keys)
