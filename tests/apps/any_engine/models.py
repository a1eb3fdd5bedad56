"""Models for every engine: with foreign keys for SQL, and ondelete rules for both.

A model comes before those that list it: nefertari_mongodb looks it up at once.
"""

from __future__ import annotations

import datetime

from nefertari import engine as eng
from nefertari.engine import ESBaseDocument

GENRES = ["novel", "poetry", "essay"]


class Profile(ESBaseDocument):
    __tablename__ = "library_profiles"

    code = eng.StringField(primary_key=True)
    text = eng.UnicodeTextField()
    author_code = eng.ForeignKeyField(
        ref_document="Author",
        ref_column="library_authors.code",
        ref_column_type=eng.StringField,
        ref_ondelete="CASCADE",
        ref_onupdate="CASCADE",
    )


class Chapter(ESBaseDocument):
    __tablename__ = "library_chapters"

    code = eng.StringField(primary_key=True)
    title = eng.UnicodeField()
    book_code = eng.ForeignKeyField(
        ref_document="Book",
        ref_column="library_books.code",
        ref_column_type=eng.StringField,
        ref_ondelete="RESTRICT",
        ref_onupdate="RESTRICT",
    )


class Book(ESBaseDocument):
    __tablename__ = "library_books"
    _nested_relationships = ("author",)

    code = eng.StringField(primary_key=True, max_length=40)
    title = eng.UnicodeField(required=True, max_length=200)
    genre = eng.ChoiceField(choices=GENRES, default="novel")
    pages = eng.IntegerField(min_value=1, max_value=10_000)
    price = eng.FloatField()
    cost = eng.DecimalField(precision=12, scale=2)
    lent = eng.BooleanField(default=False)
    printed = eng.DateTimeField()
    changed = eng.DateTimeField(onupdate=datetime.datetime.utcnow)
    serial = eng.StringField(default=lambda: "made")
    words = eng.ListField(item_type=eng.StringField)
    marks = eng.ListField(item_type=eng.StringField, choices=["new", "old"], default=["new"])
    options = eng.DictField()
    author_code = eng.ForeignKeyField(
        ref_document="Author",
        ref_column="library_authors.code",
        ref_column_type=eng.StringField,
        ref_ondelete="NULLIFY",
        ref_onupdate="NULLIFY",
    )
    chapters = eng.Relationship(
        document="Chapter",
        ondelete="NULLIFY",
        backref_name="book",
        backref_ondelete="RESTRICT",
        passive_deletes="all",
    )


class Author(ESBaseDocument):
    __tablename__ = "library_authors"

    code = eng.StringField(primary_key=True, min_length=2, max_length=40)
    name = eng.UnicodeField(required=True)
    born = eng.DateField()
    books = eng.Relationship(
        document="Book",
        ondelete="NULLIFY",
        backref_name="author",
        backref_ondelete="NULLIFY",
        passive_deletes="all",
    )
    profile = eng.Relationship(
        document="Profile",
        uselist=False,
        backref_name="author",
        backref_ondelete="CASCADE",
        passive_deletes="all",
    )


class Card(ESBaseDocument):
    """A reader's: two fields that no other has."""

    __tablename__ = "library_cards"

    code = eng.StringField(primary_key=True)
    email = eng.StringField(unique=True, required=True)
    visits = eng.IntegerField(default=0)


class Seat(ESBaseDocument):
    """One of a row and a number."""

    __tablename__ = "library_seats"

    code = eng.StringField(primary_key=True)
    row = eng.StringField()
    number = eng.IntegerField(unique_with="row")


class Shelf(ESBaseDocument):
    """Its places have no rule for a key that changes."""

    __tablename__ = "library_shelves"

    code = eng.StringField(primary_key=True)


class Place(ESBaseDocument):
    __tablename__ = "library_places"

    code = eng.StringField(primary_key=True)
    shelf_code = eng.ForeignKeyField(
        ref_document="Shelf", ref_column="library_shelves.code", ref_column_type=eng.StringField
    )


def includeme(config):
    """The models are there once this module is imported."""
