"""Shelves list those of their boxes that have a long label: the database decides which."""

from __future__ import annotations

from nefertari import engine as eng
from nefertari.engine import ESBaseDocument


class Room(ESBaseDocument):
    """Nests its shelves."""

    __tablename__ = "untracked_rooms"
    _nested_relationships = ("shelves",)

    id = eng.IdField(primary_key=True)
    shelves = eng.Relationship(document="Shelf", backref_name="room")


class Shelf(ESBaseDocument):
    __tablename__ = "untracked_shelves"

    id = eng.IdField(primary_key=True)
    room_id = eng.ForeignKeyField(
        ref_document="Room", ref_column="untracked_rooms.id", ref_column_type=eng.IdField
    )
    boxes = eng.Relationship(
        document="Box", foreign_keys="Box.shelf_id", backref_name="shelf", order_by="Box.id"
    )
    labelled = eng.Relationship(
        document="Box",
        viewonly=True,
        foreign_keys="Box.shelf_id",
        primaryjoin="and_(Shelf.id == Box.shelf_id, func.length(Box.label) > 3)",
        order_by="Box.id",
    )


class Box(ESBaseDocument):
    """References its shelf, and does not nest it."""

    __tablename__ = "untracked_boxes"

    id = eng.IdField(primary_key=True)
    label = eng.StringField()
    shelf_id = eng.ForeignKeyField(
        ref_document="Shelf", ref_column="untracked_shelves.id", ref_column_type=eng.IdField
    )


def includeme(config):
    """Do nothing: the models are defined above."""
