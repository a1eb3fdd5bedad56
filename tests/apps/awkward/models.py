"""Names of ours, names of servers, too many fields; and what only their rows are bad at."""

from __future__ import annotations

from nefertari import engine as eng
from nefertari.engine import ESBaseDocument

# What Elasticsearch takes by default is 1,000 fields, four for a text; SQLite takes 2,000.
WIDE = 480


class Switch(ESBaseDocument):
    """Fields with the names of the links between a model and its mirror."""

    __tablename__ = "awkward_switches"
    meta = {"collection": "awkward_switches"}

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()
    secondary = eng.BooleanField()
    primary = eng.UnicodeField()


class Lever(ESBaseDocument):
    """No fields, but members of these names."""

    __tablename__ = "awkward_levers"
    meta = {"collection": "awkward_levers"}

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()

    @property
    def secondary(self):
        return f"second {self.name}"

    def primary(self):
        return f"first {self.name}"


class Revision(ESBaseDocument):
    """A field of a name that servers have for themselves."""

    __tablename__ = "awkward_revisions"
    meta = {"collection": "awkward_revisions"}

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()
    _version = eng.IntegerField()


class Origin(ESBaseDocument):
    """A field of a name that documents of every mirror have."""

    __tablename__ = "awkward_origins"
    meta = {"collection": "awkward_origins"}

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()
    _source = eng.UnicodeField()


class Journey(ESBaseDocument):
    """Relates to one that has such a field."""

    __tablename__ = "awkward_journeys"
    meta = {"collection": "awkward_journeys"}
    _nested_relationships = ("origin",)

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField()
    origin_id = eng.ForeignKeyField(
        ref_document="Origin", ref_column="awkward_origins.id", ref_column_type=eng.IdField
    )
    origin = eng.Relationship(document="Origin", uselist=False)


Wide = type(
    "Wide",
    (ESBaseDocument,),
    {
        "__module__": __name__,
        "__tablename__": "awkward_wide",
        "meta": {"collection": "awkward_wide"},
        "id": eng.IdField(primary_key=True),
        "name": eng.UnicodeField(),
        **{f"text_{number}": eng.UnicodeField() for number in range(WIDE)},
    },
)


class Parcel(ESBaseDocument):
    """Keys are texts, and so are contents, or objects."""

    __tablename__ = "awkward_parcels"
    meta = {"collection": "awkward_parcels"}

    code = eng.StringField(primary_key=True)
    name = eng.UnicodeField()
    content = eng.PickleField()


def includeme(config):
    pass
