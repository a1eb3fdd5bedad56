"""What the zoos on SQL and on MongoDB have in common: ``nefertari.engine`` makes it for either.

A table's name is nothing to nefertari_mongodb, and a collection's nothing to nefertari_sqla.
"""

from __future__ import annotations

from typing import Any

from nefertari import engine as eng
from nefertari.engine import BaseDocument, ESBaseDocument

import nefertari_search_tween

KINDS = ["red", "green", "blue"]


def item_fields() -> dict[str, Any]:
    """Return new fields of every class, but for relationships and whole numbers of 32 bits."""
    return {
        "id": eng.IdField(primary_key=True),
        "big": eng.BigIntegerField(),
        "flag": eng.BooleanField(),
        "day": eng.DateField(),
        "moment": eng.DateTimeField(),
        "kind": eng.ChoiceField(choices=KINDS),
        "ratio": eng.FloatField(),
        "span": eng.IntervalField(),
        "blob": eng.BinaryField(),
        "price": eng.DecimalField(precision=12, scale=4),
        "thing": eng.PickleField(),
        "small": eng.SmallIntegerField(),
        "word": eng.StringField(max_length=200),
        "prose": eng.TextField(),
        "clock": eng.TimeField(),
        "name": eng.UnicodeField(),
        "story": eng.UnicodeTextField(),
        "options": eng.DictField(),
        "words": eng.ListField(item_type=eng.StringField),
        "owner": eng.StringField(),
    }


class Custom(ESBaseDocument):
    """Renders itself in its own way."""

    __tablename__ = "zoo_customs"
    meta = {"collection": "zoo_customs"}

    id = eng.IdField(primary_key=True)
    first = eng.UnicodeField()
    last = eng.UnicodeField()

    def to_dict(self, **kwargs):
        data = super().to_dict(**kwargs)
        data["full_name"] = f"{self.first} {self.last}"
        return data


@nefertari_search_tween.mirrored
class Marked(BaseDocument):
    """Has no nefertari index; the decorator asks for a mirror."""

    __tablename__ = "zoo_marked"
    meta = {"collection": "zoo_marked"}

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()


class Plain(BaseDocument):
    """Has no mirror."""

    __tablename__ = "zoo_plain"
    meta = {"collection": "zoo_plain"}

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()
