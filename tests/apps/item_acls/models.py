"""Stories and their authors, nested in each other, each with an ACL; notes have none.

In this order: MongoEngine must know a model that another one relates to.
"""

from __future__ import annotations

from nefertari import engine as eng
from nefertari.engine import ESBaseDocument
from nefertari_guards.engine import DocumentACLMixin


class Note(ESBaseDocument):
    """Has no ACL of its own."""

    __tablename__ = "guarded_notes"
    _public_fields = ["text"]
    _auth_fields = ["text"]

    id = eng.IdField(primary_key=True)
    text = eng.UnicodeField()
    story_id = eng.ForeignKeyField(
        ref_document="Story", ref_column="guarded_stories.id", ref_column_type=eng.IdField
    )


class Story(DocumentACLMixin, ESBaseDocument):
    """Nests its author, and the notes on it."""

    __tablename__ = "guarded_stories"
    _public_fields = ["id", "title", "pages", "printed", "author"]
    _auth_fields = ["id", "title", "pages", "printed", "author", "notes"]
    _nested_relationships = ("author", "notes")

    id = eng.IdField(primary_key=True)
    title = eng.UnicodeField()
    pages = eng.IntegerField()
    printed = eng.DateTimeField()
    author_id = eng.ForeignKeyField(
        ref_document="Author", ref_column="guarded_authors.id", ref_column_type=eng.IdField
    )
    notes = eng.Relationship(document="Note", backref_name="story")


class Author(DocumentACLMixin, ESBaseDocument):
    """Nests its stories."""

    __tablename__ = "guarded_authors"
    _public_fields = ["id", "name", "stories"]
    _auth_fields = ["id", "name", "stories"]
    _nested_relationships = ("stories",)

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()
    stories = eng.Relationship(document="Story", backref_name="author")


def includeme(config):
    """The models are there by their import."""
