"""Things with lists, and links that may be there twice: their table has no key."""

from __future__ import annotations

from nefertari import engine as eng
from nefertari.engine import ESBaseDocument
from pyramid_sqlalchemy import metadata
from sqlalchemy import Column, ForeignKey, Integer, Table
from sqlalchemy.orm import reconstructor
from sqlalchemy.orm.attributes import set_committed_value

LINKS = Table(
    "observed_links",
    metadata,
    Column("thing_id", Integer, ForeignKey("observed_things.id", ondelete="CASCADE")),
    Column("label_id", Integer, ForeignKey("observed_labels.id", ondelete="CASCADE")),
    Column("place", Integer),
)


class Caption(ESBaseDocument):
    __tablename__ = "observed_labels"

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()


class Thing(ESBaseDocument):
    """Of its attributes, some are no fields, and some no attributes of the class."""

    __tablename__ = "observed_things"
    _nested_relationships = ("ordered",)

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()
    days = eng.ListField(item_type=eng.DateField)
    words = eng.ListField(item_type=eng.StringField)
    options = eng.DictField()
    pickle = eng.PickleField()
    labels = eng.Relationship(
        document="Caption",
        secondary="observed_links",
        order_by="Caption.id",
        backref_name="things",
        backref_uselist=True,
        backref_order_by="Thing.id",
    )
    ordered = eng.Relationship(
        document="Caption",
        secondary="observed_links",
        viewonly=True,
        order_by="observed_links.c.place",
    )

    def __getattr__(self, name):
        if name == "nickname":
            return f"little {self.name}"
        raise AttributeError(name)

    def __lt__(self, other):
        return self.id < other.id

    def __str__(self):
        return f"the thing {self.name}"


class OwnMaker(ESBaseDocument):
    """Makes its objects by itself."""

    __tablename__ = "observed_own_makers"

    id = eng.IdField(primary_key=True)

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)


class Rebuilt(ESBaseDocument):
    """Rebuilds its objects when they are loaded."""

    __tablename__ = "observed_rebuilts"

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()

    @reconstructor
    def rebuild(self):
        set_committed_value(self, "name", "rebuilt")


def includeme(config):
    """Do nothing: the models are defined above."""
