"""Every form of a nested relationship: keys here, there, many on both sides, two levels deep."""

from __future__ import annotations

from nefertari import engine as eng
from nefertari.engine import ESBaseDocument

from tests.apps.views import PlainView


class Tag(ESBaseDocument):
    name = eng.StringField(primary_key=True)
    kind = eng.StringField()


class Publisher(ESBaseDocument):
    _nested_relationships = ("writers",)

    name = eng.StringField(primary_key=True)
    city = eng.StringField()
    founded = eng.IntegerField()
    writers = eng.Relationship(document="Writer", backref_name="publisher")


class Writer(ESBaseDocument):
    """Its books are not nested: their keys alone can be searched."""

    _nested_relationships = ("publisher",)

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()
    born = eng.IntegerField()
    books = eng.Relationship(document="Book", backref_name="writer")


class Book(ESBaseDocument):
    _nested_relationships = ("writer", "tags")
    _nesting_depth = 2

    id = eng.IdField(primary_key=True)
    title = eng.UnicodeField()
    pages = eng.IntegerField()
    tags = eng.Relationship(
        document="Tag", secondary="book_tags", backref_name="books", backref_uselist=True
    )


class SearchedView(PlainView):
    """Its collection is read by search."""

    def index(self, **kwargs):
        return self.get_collection_es()


def includeme(config):
    root = config.get_root_resource()
    for model in (Tag, Publisher, Writer, Book):
        member = model.__name__.lower()
        view = type(f"{member}sView", (SearchedView,), {"Model": model})
        root.add(member, f"{member}s", view=view, id_name="id")
