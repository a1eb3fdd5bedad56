"""Models with every field class, and every form of relationship."""

from __future__ import annotations

from nefertari import engine as eng
from nefertari.engine import BaseDocument, ESBaseDocument

from tests.apps.zoo_models import Custom, Marked, Plain, item_fields

__all__ = ["Custom", "Marked", "Plain"]


class Label(BaseDocument):
    """Has no mirror, but is nested in one that has."""

    meta = {"collection": "zoo_labels"}

    id = eng.IdField(primary_key=True)
    text = eng.UnicodeField()


class Tag(ESBaseDocument):
    """Listed by items, without a relationship to them."""

    meta = {"collection": "zoo_tags"}

    number = eng.IntegerField(primary_key=True)
    name = eng.UnicodeField()


class Item(ESBaseDocument):
    """Every field class."""

    # Its primary key among the indexes: older versions of MongoEngine took that.
    meta = {"collection": "zoo_items", "indexes": [{"fields": ["id"], "unique": True}]}
    _nested_relationships = ("keeper", "label")

    vars().update(item_fields())
    level = eng.ChoiceField(choices=[1, 2, 3], default=2)
    # (A field called `count` would hide what nefertari_mongodb calls.)
    amount = eng.IntegerField()
    keeper_code = eng.ForeignKeyField(ref_document="Keeper")
    label = eng.Relationship(document="Label", uselist=False)
    tags = eng.Relationship(document="Tag", ondelete="PULL")

    def shout(self):
        """A method that views call on the results of a collection."""
        return f"{self.name}!"


class Keeper(ESBaseDocument):
    """Its primary key is a text; it lists its items, and each item refers to its keeper."""

    meta = {"collection": "zoo_keepers"}

    code = eng.StringField(primary_key=True, max_length=600)
    name = eng.UnicodeField()
    items = eng.Relationship(
        document="Item", backref_name="keeper", ondelete="PULL", backref_ondelete="NULLIFY"
    )


class Visit(ESBaseDocument):
    """Nests items, which nest their keepers: two levels."""

    meta = {"collection": "zoo_visits"}
    _nested_relationships = ("item",)
    _nesting_depth = 2

    id = eng.IdField(primary_key=True)
    guest = eng.UnicodeField()
    # One-sided: Item has no relationship to its visits.
    item = eng.Relationship(document="Item", uselist=False, ondelete="CASCADE")


class Node(ESBaseDocument):
    """Refers to itself."""

    meta = {"collection": "zoo_nodes", "ordering": ["-name"]}

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()
    # Without a backreference: nefertari_mongodb can't make one to the same model.
    children = eng.Relationship(document="Node", ondelete="PULL")


class Reversed(eng.StringField):
    """Stores another text than it returns."""

    def to_mongo(self, value):
        return value if value is None else f"~{value[::-1]}"

    def to_python(self, value):
        return value[:0:-1] if isinstance(value, str) and value.startswith("~") else value


class Badge(ESBaseDocument):
    """Has a field class of the application's own."""

    meta = {"collection": "zoo_badges"}

    id = eng.IdField(primary_key=True)
    name = Reversed()


def includeme(config):
    """Models have nothing to set up."""
