"""The engine by itself: fields, relationships and rules that no other engine has alike.

The models are declared with the engine's own module, so this process may have another engine's
applications, too.
"""

from __future__ import annotations

import datetime
import decimal
import pickle
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from nefertari.json_httpexceptions import JHTTPBadRequest, JHTTPConflict, JHTTPNotFound
from nefertari.utils import dictset
from pyramid.registry import Registry
from pyramid.testing import DummyRequest

from nefertari_search_tween import engine as eng
from nefertari_search_tween.compat import index_calls
from nefertari_search_tween.engine import database as engine_database
from nefertari_search_tween.engine import model_registry
from nefertari_search_tween.engine.database import Database
from nefertari_search_tween.engine.search.runtime import EngineRuntime
from nefertari_search_tween.exceptions import ConfigurationError, SearchUnavailable
from nefertari_search_tween.search.query.search_request import SearchRequest
from nefertari_search_tween.settings.settings import Settings
from tests.support.apps import backend_and_hosts


class EveryField(eng.BaseDocument):
    """A field of each class."""

    id = eng.IdField(primary_key=True)
    big = eng.BigIntegerField()
    flag = eng.BooleanField()
    day = eng.DateField()
    moment = eng.DateTimeField()
    there = eng.DateTimeField(timezone=True)
    kind = eng.ChoiceField(choices=["a", "b"])
    ratio = eng.FloatField()
    count = eng.IntegerField()
    span = eng.IntervalField()
    blob = eng.BinaryField()
    price = eng.DecimalField(precision=40, scale=20)
    thing = eng.PickleField()
    small = eng.SmallIntegerField()
    word = eng.StringField()
    prose = eng.TextField()
    clock = eng.TimeField()
    name = eng.UnicodeField()
    story = eng.UnicodeTextField()
    options = eng.DictField()
    days = eng.ListField(item_type=eng.DateField)
    numbers = eng.ListField(item_type=eng.IntegerField)


class Tag(eng.ESBaseDocument):
    name = eng.StringField(primary_key=True)
    notes = eng.Relationship(
        document="Note", secondary="note_tags", backref_name="tags", backref_uselist=True
    )


class Note(eng.ESBaseDocument):
    id = eng.IdField(primary_key=True)
    text = eng.UnicodeTextField()
    hits = eng.IntegerField(default=0)


class Folder(eng.ESBaseDocument):
    _nested_relationships = ("parent",)
    _nesting_depth = 2

    name = eng.StringField(primary_key=True)
    parent_name = eng.ForeignKeyField(
        ref_document="Folder", ref_column_type=eng.StringField, ref_ondelete="CASCADE"
    )
    children = eng.Relationship(document="Folder", backref_name="parent")
    pinned = eng.Relationship(document="Note", uselist=False, ondelete="RESTRICT")


class Member(eng.BaseDocument):
    """Has relationships without foreign keys, with nefertari_mongodb's rules."""

    name = eng.StringField(primary_key=True)
    email = eng.StringField(unique=True)
    number = eng.DecimalField(unique=True, scale=3)
    club = eng.StringField()
    posts = eng.Relationship(document="Post", backref_name="member", backref_ondelete="CASCADE")


class Post(eng.BaseDocument):
    id = eng.IdField(primary_key=True)
    title = eng.UnicodeField()


class Seat(eng.BaseDocument):
    """Two things that are unique together, one of them also by itself."""

    id = eng.IdField(primary_key=True)
    row = eng.StringField()
    number = eng.IntegerField(unique_with="row")
    day = eng.DateField()
    ticket = eng.StringField(unique_with=["day", "row"])


MODELS = (Post, Member, Folder, Tag, Note, EveryField, Seat)


@pytest.fixture(scope="module")
def bound(backend_url: str, module_prefix: str) -> Database:
    backend, hosts = backend_and_hosts(backend_url)
    database = Database(
        Settings(
            {
                "nefertari_search.backend": backend,
                "elasticsearch.hosts": hosts,
                "elasticsearch.index_name": module_prefix,
                "elasticsearch.chunk_size": "7",
                "nefertari_search.max_result_window": "1000",
            }
        )
    )
    return database


@pytest.fixture
def database(bound: Database) -> Iterator[Database]:
    before = list(engine_database._current)
    engine_database.bind(bound)
    for model in MODELS:
        model._delete_many(model.get_collection())
    yield bound
    engine_database._current[:] = before


pytestmark = pytest.mark.usefixtures("database")

VALUES = {
    "big": 2**60,
    "flag": False,
    "day": datetime.date(988, 1, 2),
    "moment": datetime.datetime(9999, 12, 31, 23, 59, 59, 999_999),
    "there": datetime.datetime(
        2020, 1, 2, 3, 4, 5, 6, tzinfo=datetime.timezone(datetime.timedelta(hours=2))
    ),
    "kind": "b",
    "ratio": 0.1 + 0.2,
    "count": -7,
    "span": datetime.timedelta(days=-3, microseconds=1),
    "blob": bytes(range(256)),
    "price": decimal.Decimal("12345678901234567890.12345678901234567890"),
    "thing": {("a", 1): {2, 3}},
    "small": 32_767,
    "word": "‘quoted’ \U0001f40b",
    "prose": "long " * 20_000,
    "clock": datetime.time(23, 59, 59, 1),
    "name": "",
    "story": "two\nlines\x07",
    "options": {"a": [1, {"b": None}], "c": 1.5},
    "days": [datetime.date(2001, 2, 3), None],
    "numbers": [3, 1, 2],
}


# Values


def test_every_value_comes_back_as_it_was() -> None:
    item = EveryField(**VALUES).save()
    for document in (EveryField.get_item(id=item.id), EveryField.get_collection().first()):
        for name, value in VALUES.items():
            assert getattr(document, name) == value, name
            assert type(getattr(document, name)) is type(value), name


def test_every_value_may_be_missing() -> None:
    item = EveryField().save()
    document = EveryField.get_item(id=item.id)
    defaults = {"options": {}, "days": [], "numbers": []}
    assert {name: getattr(document, name) for name in VALUES} == {
        name: defaults.get(name) for name in VALUES
    }


@pytest.mark.parametrize(
    "name", [name for name in VALUES if name not in ("blob", "thing", "options", "prose", "days")]
)
def test_every_value_can_be_looked_for(name: str) -> None:
    item = EveryField(**VALUES).save()
    EveryField().save()
    value = VALUES[name]
    assert [each.id for each in EveryField.get_collection(**{name: value})] == [item.id]
    if name != "numbers":
        # A list without a value is empty, not missing.
        assert [each.id for each in EveryField.get_collection(**{name: None})] == [item.id + 1]
    if name == "numbers":
        assert EveryField.get_collection(numbers__in=[1, 9]).count() == 1
    else:
        assert EveryField.get_collection(**{f"{name}__in": [value]}).count() == 1
        order = [each.id for each in EveryField.get_collection(_sort=f"-{name}")]
        assert order == [item.id, item.id + 1]


def test_values_that_a_binary_number_can_not_tell_apart() -> None:
    one, two = (decimal.Decimal(f"0.1000000000000000000{digit}") for digit in "12")
    EveryField(price=one).save()
    EveryField(price=decimal.Decimal("0.1")).save()
    documents = EveryField.get_collection(price=decimal.Decimal("0.1")).all()
    assert [each.price for each in documents] == [decimal.Decimal("0.1").quantize(one)]
    # docs/engine.rst: beyond 17 digits the nearest ones are found.
    assert [each.price for each in EveryField.get_collection(price=two)] == [one]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("big", 2**63),
        ("small", 40_000),
        ("count", 1.5),
        ("count", "x"),
        ("count", []),
        ("flag", "perhaps"),
        ("day", "2001-02-30"),
        ("moment", "yesterday"),
        ("clock", "25:00"),
        ("ratio", float("nan")),
        ("ratio", "inf"),
        ("price", "1e400"),
        ("kind", "c"),
        ("word", {"a": 1}),
        ("word", "\ud800"),
        ("options", [1]),
        ("options", {"a": float("nan")}),
        ("numbers", "123"),
        ("numbers", [1, "x"]),
        ("thing", (each for each in ())),
        ("span", "x"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(JHTTPBadRequest, match=f"`{name}`"):
        EveryField(**{name: value}).save()
    assert EveryField.get_collection().count() == 0


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("count", "12", 12),
        ("flag", "true", True),
        ("day", "2001-02-03T00:00:00Z", datetime.date(2001, 2, 3)),
        ("moment", "2001-02-03T04:05:06.7Z", datetime.datetime(2001, 2, 3, 4, 5, 6, 700_000)),
        ("moment", "2001-02-03T04:05:06+02:00", datetime.datetime(2001, 2, 3, 2, 5, 6)),
        ("clock", "04:05", datetime.time(4, 5)),
        ("span", 90, datetime.timedelta(seconds=90)),
        ("ratio", "1.5", 1.5),
        ("word", 5, "5"),
        ("blob", "é", b"\xc3\xa9"),
    ],
)
def test_texts_become_values(name: str, text: Any, value: Any) -> None:
    item = EveryField(**{name: text}).save()
    assert getattr(item, name) == value
    assert getattr(EveryField.get_item(id=item.id), name) == value


def test_a_change_inside_a_value_is_written() -> None:
    item = EveryField(options={"a": 1}, numbers=[1], thing={"b": 2}).save()
    document = EveryField.get_item(id=item.id)
    document.options["a"] = 2
    document.numbers.append(2)
    document.thing["b"] = 3
    assert document._is_modified()
    document.save()
    again = EveryField.get_item(id=item.id)
    assert (again.options, again.numbers, again.thing) == ({"a": 2}, [1, 2], {"b": 3})


def test_pickles_are_of_the_running_python() -> None:
    item = EveryField(thing=decimal.Decimal("1.10")).save()
    assert pickle.loads(pickle.dumps(EveryField.get_item(id=item.id).thing)) == decimal.Decimal(
        "1.10"
    )


# Versions


def test_a_lost_race_is_a_conflict() -> None:
    note = Note(text="a").save()
    one, two = Note.get_item(id=note.id), Note.get_item(id=note.id)
    one.update({"text": "b"})
    with pytest.raises(JHTTPConflict, match="changed by another request"):
        two.update({"text": "c"})
    assert Note.get_item(id=note.id).text == "b"
    one.update({"text": "d"})
    assert Note.get_item(id=note.id).text == "d"


def test_what_a_collection_gave_is_as_old_as_it_is() -> None:
    Note(text="a").save()
    (old,) = Note.get_collection()
    Note.get_collection().first().update({"text": "b"})
    with pytest.raises(JHTTPConflict):
        old.update({"text": "c"})


def test_many_are_updated_whoever_else_does() -> None:
    for _ in range(20):
        Note(text="a").save()
    old = Note.get_collection().all()
    Note._update_many(Note.get_collection(), {"text": "b"})
    assert Note._update_many(old, dictset(hits=3)) == 20
    assert {(each.text, each.hits) for each in Note.get_collection()} == {("b", 3)}


def test_many_are_deleted_whoever_else_changes_them() -> None:
    for _ in range(20):
        Note(text="a").save()
    old = Note.get_collection().all()
    Note._update_many(Note.get_collection(), {"text": "b"})
    assert Note._delete_many(old) == 20
    assert Note.get_collection().count() == 0


def test_no_silent_limit(database: Database) -> None:
    database.write(Note, [])
    notes = 1500
    Note._update_many([], {"hits": 1})
    from nefertari_search_tween.engine.document_state import State, body_of, id_of

    writes = []
    for number in range(notes):
        state = State()
        state.values = {"id": 10_000 + number, "text": "x", "hits": number, "tags": []}
        writes.append((id_of(10_000 + number), body_of(Note, state), None))
    assert all(each.version for each in database.write(Note, writes))
    assert Note.get_collection().count() == notes
    assert [each.hits for each in Note.get_collection(_sort="hits")] == list(range(notes))
    deep = Note.get_collection(_sort="hits", _start=1200, _limit=5)
    assert [each.hits for each in deep] == [1200, 1201, 1202, 1203, 1204]
    assert Note.get_by_ids(range(10_000, 11_500)).count() == notes
    assert Note._update_many(Note.get_collection(), {"text": "y"}) == notes
    assert Note.get_collection(text="y", _count=True) == notes
    assert Note._delete_many(Note.get_collection(_sort="-hits", _limit=1400)) == 1400
    assert {each.hits for each in Note.get_collection()} == set(range(100))


# Relationships


def test_many_to_many_on_both_sides() -> None:
    notes = [Note(text=text).save() for text in "abc"]
    red = Tag(name="red", notes=notes[:2]).save()
    blue = Tag(name="blue").save()
    first = Note.get_item(id=notes[0].id)
    assert [each.name for each in first.tags] == ["red"]
    first.tags = [red, blue]
    first.save()
    assert [each.id for each in Tag.get_item(name="blue").notes] == [notes[0].id]
    assert Tag.get_item(name="red").to_dict()["notes"] == [notes[0].id, notes[1].id]
    notes[0].delete()
    assert Tag.get_item(name="red").to_dict()["notes"] == [notes[1].id]
    Tag.get_item(name="red").delete()
    assert Note.get_item(id=notes[1].id).to_dict()["tags"] == []


def test_a_model_that_refers_to_itself() -> None:
    root = Folder(name="root").save()
    Folder(name="a", parent=root).save()
    Folder(name="b", parent="a").save()
    assert [each.name for each in Folder.get_item(name="root").children] == ["a"]
    rendered = Folder.get_item(name="b").to_dict()
    assert rendered["parent"]["name"] == "a"
    assert rendered["parent"]["parent"]["name"] == "root"
    assert rendered["parent"]["parent"]["children"] == ["a"]
    Folder.get_item(name="root").delete()
    assert Folder.get_collection().count() == 0


def test_new_documents_are_saved_with_what_refers_to_them() -> None:
    child = Folder(name="child", parent=Folder(name="parent"), children=[Folder(name="grand")])
    child.save()
    assert Folder.get_item(name="parent").to_dict()["children"] == ["child"]
    assert Folder.get_item(name="grand").parent == child or (
        Folder.get_item(name="grand").parent.name == "child"
    )


def test_a_relationship_without_a_foreign_key_by_key_or_document() -> None:
    member = Member(name="ada").save()
    Post(title="one", member="ada").save()
    Post(title="two", member=member).save()
    assert [each.title for each in Post.get_collection(member="ada")] == ["one", "two"]
    assert [each.title for each in Post.get_collection(member=member)] == ["one", "two"]
    assert [each.name for each in Member.get_collection(posts=Post.get_item(title="two"))] == [
        "ada"
    ]
    with pytest.raises(JHTTPBadRequest, match="Member eve not found"):
        Post(title="three", member="eve").save()


def test_rules_without_foreign_keys() -> None:
    member = Member(name="ada").save()
    Post(title="one", member=member).save()
    note = Note(text="x").save()
    Folder(name="f", pinned=note).save()
    with pytest.raises(JHTTPConflict, match="Folder f refers to it"):
        note.delete()
    assert Note.get_collection().count() == 1
    member.delete()
    assert Post.get_collection().count() == 0


def test_rules_of_many_at_once() -> None:
    notes = [Note(text="x").save() for _ in range(20)]
    Folder(name="f", pinned=notes[17]).save()
    with pytest.raises(JHTTPConflict):
        Note._delete_many(Note.get_collection())
    assert Note.get_collection().count() == 20
    for number in range(10):
        Member(name=f"m{number}").save()
        for _ in range(3):
            Post(title="t", member=f"m{number}").save()
    assert Member._delete_many(Member.get_collection(_sort="name", _limit=9)) == 9
    assert {each.member.name for each in Post.get_collection()} == {"m9"}
    assert Post.get_collection().count() == 3


def test_a_list_of_a_relationship_is_kept_up_to_date_in_memory() -> None:
    member = Member(name="ada").save()
    assert list(member.posts) == []
    post = Post(title="one", member=member).save()
    assert [each.id for each in member.posts] == [post.id]
    member.posts = []
    member.save()
    assert post._is_modified() is False
    assert Post.get_item(id=post.id).member is None


# Unique values


def test_unique_values_of_any_type() -> None:
    Member(name="a", number=decimal.Decimal("1.5")).save()
    with pytest.raises(JHTTPConflict, match="`number` is taken"):
        Member(name="b", number="1.500").save()
    Member(name="b", number="1.501").save()
    assert Member.get_collection().count() == 2


def test_many_have_no_value() -> None:
    for name in "abc":
        Member(name=name).save()
    assert Member.get_collection(email=None).count() == 3


def test_a_value_goes_from_one_to_another() -> None:
    one, two = Member(name="a", email="x").save(), Member(name="b", email="y").save()
    with pytest.raises(JHTTPConflict):
        two.update({"email": "x"})
    one.update({"email": "z"})
    Member.get_item(name="b").update({"email": "x"})
    Member.get_item(name="b").delete()
    one.update({"email": "x"})
    assert [each.email for each in Member.get_collection()] == ["x"]


def test_one_value_for_many_is_a_conflict() -> None:
    for name in "abc":
        Member(name=name).save()
    with pytest.raises(JHTTPConflict, match="`email` is taken"):
        Member._update_many(Member.get_collection(), {"email": "x"})
    assert Member.get_collection(email="x").count() == 1


# Faults


def test_numbers_are_not_given_twice_and_make_way() -> None:
    first = Note(text="a").save()
    second = Note(id=first.id + 1, text="b").save()
    assert Note(text="c").save().id == second.id + 1
    second.delete()
    assert Note(text="d").save().id == second.id + 2


def test_a_database_that_is_away() -> None:
    away = Database(
        Settings({"elasticsearch.hosts": "127.0.0.1:9", "elasticsearch.index_name": "away"})
    )
    away.prepare()
    engine_database.bind(away)
    with pytest.raises(SearchUnavailable) as caught:
        Note.get_item(id=1)
    assert caught.value.status_int == 503
    assert caught.value.headers["Retry-After"]
    with pytest.raises(SearchUnavailable):
        Note(text="a").save()


def test_an_index_that_does_not_fit_its_model(database: Database) -> None:
    name = f"Fit{uuid.uuid4().hex[:6]}"

    def declare(field: Any) -> Any:
        members = {"id": eng.IdField(primary_key=True), "value": field}
        return type(eng.BaseDocument)(name, (eng.BaseDocument,), members)

    try:
        declare(eng.IntegerField())(value=1).save()
        with pytest.raises(ConfigurationError, match=f"holds documents of {name}"):
            declare(eng.UnicodeField())(value="a").save()
        again = declare(eng.IntegerField())
        assert again.get_item(id=1).value == 1
        # A field that is new is added.
        wider = type(eng.BaseDocument)(
            name,
            (eng.BaseDocument,),
            {
                "id": eng.IdField(primary_key=True),
                "value": eng.IntegerField(),
                "more": eng.UnicodeField(),
            },
        )
        item = wider(value=2, more="new").save()
        assert [each.id for each in wider.get_collection(more="new")] == [item.id]
        assert wider.get_item(id=1).more is None
    finally:
        model_registry._models.pop(name, None)
        model_registry._generation[0] += 1


def test_an_unknown_rule_is_told() -> None:
    odd = eng.Relationship(document="Note", uselist=False, ondelete="SOMETHING")
    members = {"id": eng.IdField(primary_key=True), "note": odd}
    model = type(eng.BaseDocument)("Odd", (eng.BaseDocument,), members)
    try:
        with pytest.raises(ConfigurationError, match="ondelete = SOMETHING"):
            model.links()
    finally:
        model_registry._models.pop("Odd", None)
        model_registry._generation[0] += 1


def test_parameters_that_are_bad_are_named() -> None:
    for params, word in (
        ({"nothing": 1}, "nothing"),
        ({"hits": "x"}, "hits"),
        ({"hits__near": 1}, "hits__near"),
        ({"_sort": "tags"}, "tags"),
        ({"_limit": "x"}, "_limit"),
    ):
        with pytest.raises(JHTTPBadRequest, match=word):
            Note.get_collection(**params)
    with pytest.raises(JHTTPNotFound):
        Note.get_item(id="x")


def test_comparisons() -> None:
    for number in range(5):
        Note(text=f"n{number}", hits=number).save()

    def hits(**params: Any) -> list[int]:
        return [each.hits for each in Note.get_collection(_sort="hits", **params)]

    assert hits(hits__lt=2) == [0, 1]
    assert hits(hits__gte=3) == [3, 4]
    assert hits(hits__ne=2) == [0, 1, 3, 4]
    assert hits(hits__in="1,3") == [1, 3]
    assert hits(text__exists=False) == []
    assert hits(text__gt="n2", hits__lte=3) == [3]


def test_an_indexing_call_may_require_a_refresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to refresh: every search sees every write before it."""
    runtime = EngineRuntime(Registry())
    monkeypatch.setattr(runtime.settings, "enable_refresh_query", True)
    Folder(name="root").save()
    actions = [{"_op_type": "index", "_index": None, "_type": "Folder", "_id": "root"}]
    index_calls.bulk(runtime, actions, DummyRequest(params={"_refresh_index": "true"}))
    request = SearchRequest({"name": "root"}, runtime.settings)
    results, _took = runtime.searcher.search([runtime.mirrors.get("Folder")], request)
    assert [each.name for each in results] == ["root"]
