"""What lists depend on is derived from the models and the schema, without a database."""

from __future__ import annotations

import pytest
from sqlalchemy import (
    Column,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Unicode,
    func,
    literal_column,
)
from sqlalchemy.ext.declarative import declarative_base
from sqlalchemy.orm import column_property, foreign, relationship, remote
from sqlalchemy.sql import select

from nefertari_search_tween.primary.sqla import schema
from nefertari_search_tween.primary.sqla.dependencies.dependencies import Dependencies
from nefertari_search_tween.primary.sqla.dependencies.relationships import Part


@pytest.fixture
def base():
    class Document:
        _nested_relationships = ()
        _nesting_depth = 1
        to_dict = native_fields = _mapped_columns = _mapped_relationships = None

    return declarative_base(cls=Document, metadata=MetaData())


@pytest.fixture(autouse=True)
def _own_rendering(monkeypatch):
    """The models here are no nefertari documents."""
    monkeypatch.setattr(schema, "custom_to_dict", lambda model: False)


@pytest.fixture
def band(base):
    class Band(base):
        __tablename__ = "bands"
        id = Column(Integer, primary_key=True)
        code = Column(Unicode, unique=True)

    return Band


@pytest.fixture
def song(base):
    class Song(base):
        __tablename__ = "songs"
        id = Column(Integer, primary_key=True)
        band_id = Column(Integer, ForeignKey("bands.id", ondelete="CASCADE"))
        band_code = Column(Unicode)
        position = Column(Integer)
        hidden = Column(Integer)

    return Song


def edge(owner, name):
    (edge,) = [
        each
        for edges in Dependencies([owner]).edges_to.values()
        for each in edges
        if each.prop.key == name
    ]
    return edge


def columns(owner, name):
    return {
        (part.value, table.name): names
        for (part, table), names in edge(owner, name).columns.items()
    }


def test_a_plain_list_depends_on_the_keys_of_both_ends(band, song):
    band.songs = relationship(song)
    assert columns(band, "songs") == {
        ("owner", "bands"): {"id"},
        ("target", "songs"): {"id", "band_id"},
    }
    assert edge(band, "songs").direct_key(Part.TARGET, song.__table__) == "band_id"
    assert not edge(band, "songs").holds_contents


def test_it_depends_on_what_orders_and_what_restricts_it(band, song):
    band.songs = relationship(
        song,
        primaryjoin=(song.band_id == band.id) & (song.hidden.is_(None) | song.hidden.in_([0, 2])),
        order_by=(song.position.desc(), song.id),
        viewonly=True,
    )
    assert columns(band, "songs")["target", "songs"] == {"id", "band_id", "position", "hidden"}
    assert edge(band, "songs").follows_contents
    assert Dependencies([band]).untracked() == {}


def test_a_key_that_is_not_the_primary_one_needs_a_query(band, song):
    band.songs = relationship(song, primaryjoin=foreign(song.band_code) == band.code)
    assert columns(band, "songs")["owner", "bands"] == {"code"}
    assert edge(band, "songs").direct_key(Part.TARGET, song.__table__) is None
    assert edge(band, "songs").follows_contents


def test_both_ends_of_a_relationship_to_itself_are_told_apart(base):
    class Node(base):
        __tablename__ = "nodes"
        id = Column(Integer, primary_key=True)
        parent_id = Column(Integer, ForeignKey("nodes.id"))

    Node.children = relationship(Node, order_by=Node.parent_id)
    Node.parent = relationship(Node, remote_side=Node.id)
    table = Node.__table__
    assert edge(Node, "children").direct_key(Part.TARGET, table) == "parent_id"
    assert edge(Node, "parent").direct_key(Part.TARGET, table) is None
    query = str(edge(Node, "parent").owner_keys([1]))
    assert "owner_1.parent_id" in query and "target_0.id IN" in query


def test_a_link_table_holds_the_key_of_its_owner(base, band, song):
    links = Table(
        "links",
        base.metadata,
        Column("band_id", ForeignKey("bands.id"), primary_key=True),
        Column("song_id", ForeignKey("songs.id"), primary_key=True),
        Column("weight", Integer),
    )
    band.songs = relationship(song, secondary=links, order_by=links.c.weight)
    assert columns(band, "songs")["link", "links"] == {"band_id", "song_id", "weight"}
    assert edge(band, "songs").direct_key(Part.LINK, links) == "band_id"


def test_what_a_nested_model_shows_is_a_part_too(base, band, song):
    class Label(base):
        __tablename__ = "labels"
        _nested_relationships = ("bands",)
        id = Column(Integer, primary_key=True)
        bands = relationship(band)

    band.label_id = Column(Integer, ForeignKey("labels.id"))
    band.songs = relationship(song)
    dependencies = Dependencies([Label])
    assert dependencies.models.keys() == {"Label", "Band", "Song"}
    assert [each.owner for each in dependencies.edges_to[song]] == [band]
    # At depth 1 songs are keys: what they show themselves is in no document.
    song.band = relationship(band)
    assert [each.owner for each in Dependencies([Label]).edges_to[band]] == [Label]


def test_rows_that_the_database_changes_are_followed_through_tables_without_a_model(
    base, band, song
):
    Table(
        "tours",
        base.metadata,
        Column("id", Integer, primary_key=True),
    )
    band.__table__.append_column(
        Column("tour_id", ForeignKey("tours.id", ondelete="SET NULL", onupdate="cascade"))
    )
    tables = Dependencies([song]).tables
    cascades = {
        table.name: [(each.table.name, each.on_delete, each.on_update) for each in watched.cascades]
        for table, watched in tables.items()
    }
    assert cascades == {
        "tours": [("bands", "SET NULL", "CASCADE")],
        "bands": [("songs", "CASCADE", None)],
        "songs": [],
    }


NOT_FOLLOWED = {
    "function": lambda band, song: {
        "primaryjoin": func.lower(foreign(song.band_code)) == func.lower(band.code)
    },
    "SQL text": lambda band, song: {"order_by": literal_column("position")},
    "query": lambda band, song: {
        "primaryjoin": (song.band_id == band.id)
        & (song.position == select([func.max(song.position)]).as_scalar())
    },
    "no comparison": lambda band, song: {"order_by": song.position + song.hidden},
}


@pytest.mark.parametrize("form", NOT_FOLLOWED)
def test_what_can_not_be_derived_is_not_trusted(band, song, form):
    band.songs = relationship(song, viewonly=True, **NOT_FOLLOWED[form](band, song))
    (line,) = Dependencies([band]).untracked()["Band"]
    assert line.startswith("Band.songs (it depends on ") and form in line


def test_nor_is_what_the_database_computes(base, band, song):
    class Label(base):
        __tablename__ = "labels"
        _nested_relationships = ("bands",)
        id = Column(Integer, primary_key=True)
        bands = relationship(band)

    band.label_id = Column(Integer, ForeignKey("labels.id"))
    band.size = column_property(select([func.count(song.id)]).as_scalar())
    line = "Band.size (it is computed by the database)"
    assert Dependencies([Label, band]).untracked() == {"Band": [line], "Label": [line]}


def test_nor_a_relationship_through_what_is_no_table(base, band, song):
    links = select([song.id.label("song_id"), song.band_id]).alias()
    band.songs = relationship(
        song,
        secondary=links,
        primaryjoin=band.id == links.c.band_id,
        secondaryjoin=remote(song.id) == links.c.song_id,
        viewonly=True,
    )
    assert Dependencies([band]).untracked() == {
        "Band": ["Band.songs (it goes through what is no table)"]
    }


def test_an_object_of_a_subclass_is_listed_as_one_of_the_class_is(base, band):
    class Work(base):
        __tablename__ = "works"
        id = Column(Integer, primary_key=True)
        band_id = Column(Integer, ForeignKey("bands.id"))
        kind = Column(String)
        __mapper_args__ = {"polymorphic_on": kind, "polymorphic_identity": "work"}

    class Opera(Work):
        __tablename__ = "operas"
        id = Column(Integer, ForeignKey("works.id"), primary_key=True)
        acts = Column(Integer)
        __mapper_args__ = {"polymorphic_identity": "opera"}

    band.works = relationship(Work)
    band.operas = relationship(Opera, viewonly=True)
    dependencies = Dependencies([band])
    assert {each.prop.key for each in dependencies.edges_to[Opera]} == {"works", "operas"}
    watched = dependencies.tables[Opera.__table__]
    assert {(name, column) for name, _, column in watched.models} == {
        ("Work", "id"),
        ("Opera", "id"),
    }
    assert {each.edge.prop.key for each in watched.lookups} == {"operas"}
