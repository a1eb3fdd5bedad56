"""The application's own views stay what they are: narrowed, denied, written through."""

from __future__ import annotations

import datetime
import decimal
import uuid
from urllib.parse import urlencode

import pytest
import transaction
from pyramid.config import Configurator
from pyramid.request import Request

from tests.support.apps import search_of, zoo
from tests.write.test_sync import delete_indices, empty_tables, same, statements

SEEN = []
OWNERS = ["bob", "bob smith", "Bob", "alice", "bob OR alice", "*", "nobody", "bob,alice"]
# What someone may try who is bob and wants to see more than bob's.
ATTACKS = [
    {},
    {"owner": "alice"},
    {"owner": "*"},
    {"owner": "bob OR alice"},
    {"owner": "bob smith"},
    {"owner": "[a TO z]"},
    {"owner": "_all"},
    {"owner": ""},
    {"owner": ["alice", "bob"]},
    {"owner": ["bob", "alice"]},
    {"owner__in": "alice,bob"},
    {"owner__all": "alice"},
    {"__owner": "alice"},
    {"_query_secondary": "true"},
    {"query_set": "x"},
    {"_item_request": "1"},
    {"_strict": "false"},
    {"body": '{"query": {"match_all": {}}}'},
    {"_limit": "1000"},
    {"_sort": "-owner"},
    {"_fields": "id,owner"},
    {"_count": ""},
]
SEARCHES = [
    {"q": "alice"},
    {"q": "*"},
    {"q": "owner:alice"},
    {"q": "lion OR owner:alice"},
    {"q": "lion) OR (owner:alice"},
    {"q": "NOT owner:bob"},
    {"q": "lion", "_search_fields": "owner,name"},
    {"name": "lion OR owner:alice"},
    {"name": "(!x)"},
]


@pytest.fixture(scope="module")
def app(tmp_path_factory, backend_url):
    from pyramid_sqlalchemy import Session

    Session.remove()
    database = tmp_path_factory.mktemp("views") / "zoo.sqlite"
    app = zoo(f"sqlite:///{database}", backend_url, f"test-{uuid.uuid4().hex[:12]}")
    from nefertari.events import AfterIndex

    config = Configurator(registry=app.app.registry)
    config.add_subscriber(note_what_a_response_holds, AfterIndex)
    config.commit()
    yield app
    transaction.abort()
    Session.remove()
    delete_indices(app)


def note_what_a_response_holds(event):
    SEEN.append(with_types(event.response))


def with_types(value):
    """What an application's own subscriber sees of a response, each value with its type."""
    if isinstance(value, dict):
        return {name: with_types(each) for name, each in value.items()}
    if isinstance(value, list):
        return [with_types(each) for each in value]
    return type(value), value


@pytest.fixture(autouse=True)
def _items(app):
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import Item

    transaction.abort()
    empty_tables()
    with transaction.manager:
        Session.add_all([Item(name=f"Lion of {owner}", owner=owner) for owner in OWNERS])
        Session.add(Item(name="Lion of none"))


def asked_by(app, user, path, **options):
    environ = {"REMOTE_USER": user} if user else None
    return app.get(path, extra_environ=environ, **options)


def owners_in(response):
    """Owners of everything that a response shows, or of as many as it counts."""
    assert response.status_int == 200
    if isinstance(response.json, int):
        return {"?"} if response.json > 1 else set()
    if "data" in response.json and isinstance(response.json["data"], int):
        return {"?"} if response.json["data"] > 1 else set()
    return {each.get("owner", "bob") for each in response.json["data"]}


# Narrowed by an argument


@pytest.mark.slow
def test_a_narrowed_view_answers_from_the_mirror(app):
    response = asked_by(app, "bob", "/mine")

    assert response.headers["X-Search-Engine"] == "mirror"
    assert [each["owner"] for each in response.json["data"]] == ["bob"]
    assert response.json["total"] == 1
    assert response.body == asked_by(app, "bob", "/mine?_search=false").body


@pytest.mark.parametrize("user", [*OWNERS, None])
def test_every_caller_sees_their_own_only(app, user):
    for flag in ("", "?_search=true"):
        response = asked_by(app, user, f"/mine{flag}")
        assert {each["owner"] for each in response.json["data"]} == {user or "nobody"}
        assert response.headers["X-Search-Engine"] == "mirror"


@pytest.mark.parametrize("flag", [None, "true"], ids=["transparent", "search"])
@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_no_parameter_widens_a_view_that_is_narrowed_by_an_argument(app, attack, flag):
    query = urlencode({**attack, **({"_search": flag} if flag else {})}, doseq=True)
    response = asked_by(app, "bob", f"/mine?{query}", expect_errors=True)

    assert response.status_int in (200, 400)
    if response.status_int == 200:
        assert owners_in(response) <= {"bob"}
        assert b"alice" not in response.body


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_a_narrowed_view_treats_parameters_as_without_the_package(app, attack):
    query = urlencode(attack, doseq=True)
    mirror = asked_by(app, "bob", f"/mine?{query}", expect_errors=True)
    primary = asked_by(app, "bob", f"/mine?{query}&_search=false", expect_errors=True)

    assert mirror.status_int == primary.status_int
    if mirror.status_int == 200:
        assert mirror.body == primary.body


@pytest.mark.parametrize("search", SEARCHES, ids=str)
def test_no_search_widens_a_view_that_is_narrowed_by_an_argument(app, search):
    response = asked_by(app, "bob", f"/mine?{urlencode(search)}", expect_errors=True)

    assert response.status_int in (200, 400)
    if response.status_int == 200:
        assert owners_in(response) <= {"bob"}
        assert response.json["total"] <= 1


def test_a_search_in_a_narrowed_view_finds_what_is_the_callers(app):
    response = asked_by(app, "bob smith", "/mine?q=lion")

    assert [each["owner"] for each in response.json["data"]] == ["bob smith"]
    assert response.json["total"] == 1
    assert asked_by(app, "bob", "/mine?_search=true&name=lion&_count=").json in (1, {"data": 1})


# Narrowed by a query


def test_a_view_that_goes_on_with_a_query_gets_the_primarys(app):
    response = asked_by(app, "bob", "/narrows")

    assert response.headers["X-Search-Engine"] == "primary; reason=used-as-query"
    assert [each["owner"] for each in response.json["data"]] == ["bob"]


@pytest.mark.parametrize("attack", [*ATTACKS, *SEARCHES], ids=str)
@pytest.mark.parametrize("flag", [None, "true"], ids=["transparent", "search"])
def test_no_parameter_widens_a_view_that_is_narrowed_by_a_query(app, attack, flag):
    query = urlencode({**attack, **({"_search": flag} if flag else {})}, doseq=True)
    response = asked_by(app, "bob", f"/narrows?{query}", expect_errors=True)

    if "_fields" in attack or "_count" in attack:
        # The view itself can't narrow these: with the primary it fails as well, in the same way.
        plain = urlencode({**attack, "_search": "false"}, doseq=True)
        primary = asked_by(app, "bob", f"/narrows?{plain}", expect_errors=True)
        assert response.status_int == primary.status_int != 200
        return
    assert response.status_int in (200, 400)
    if response.status_int == 200:
        assert owners_in(response) <= {"bob"}


def test_a_search_in_a_view_that_needs_a_query_says_why_it_can_not_be(app):
    response = asked_by(app, "bob", "/narrows?_search=true", status=400)

    assert "database query" in response.text


# Denied


@pytest.mark.parametrize(
    "query", ["", "_search=true", "_search=false", "q=lion", "_sort=id", "_count", "_fields=id"]
)
def test_a_denied_view_stays_denied(app, query):
    assert asked_by(app, None, f"/secrets?{query}", status=403)
    allowed = asked_by(app, "bob", f"/secrets?{query}", status=200)
    expected = "primary; reason=search-false" if query == "_search=false" else "mirror"
    assert allowed.headers["X-Search-Engine"] == expected


# Views that write, views that search


def test_a_view_that_writes_through_its_results_changes_the_database(app):
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import Item

    response = app.get("/touches?owner=alice")
    assert [each["name"] for each in response.json["data"]] == ["Lion of alice!"]

    with transaction.manager:
        changed = [each.name for each in Session.query(Item).order_by(Item.id)]
    assert [name for name in changed if name.endswith("!")] == ["Lion of alice!"]
    assert len([each for each in same(app, "/items")["data"] if each["name"].endswith("!")]) == 1


def test_a_view_that_asks_for_a_search_gets_one(app):
    response = app.get("/founds?name=lion&owner=alice&_limit=100")

    assert response.headers["X-Search-Engine"] == "mirror"
    # Full text: the owners `bob OR alice` and `bob,alice` hold the word, too.
    assert sorted(each["owner"] for each in response.json["data"]) == [
        "alice",
        "bob OR alice",
        "bob,alice",
    ]
    assert response.json["data"][0]["_score"] > 0


def test_a_view_that_asks_for_a_search_heeds_the_flag(app):
    response = app.get("/founds?owner=alice&_search=false")

    assert response.headers["X-Search-Engine"] == "primary; reason=search-false"
    assert [each["owner"] for each in response.json["data"]] == ["alice"]


# The results, as a view or a script has them

FULL = {
    "id": 500,
    "big": 2**60,
    "flag": True,
    "day": datetime.date(1999, 12, 31),
    "moment": datetime.datetime(2001, 2, 3, 4, 5, 6, 789),
    "kind": "blue",
    "ratio": 1 / 3,
    "count": -1,
    "span": datetime.timedelta(days=3, seconds=2, microseconds=1),
    "blob": b"\x00\xff",
    "price": decimal.Decimal("12.3456"),
    "thing": {"a": (1, 2)},
    "small": 3,
    "word": "w",
    "prose": "long",
    "clock": datetime.time(1, 2, 3, 4),
    "name": "Full",
    "story": "short",
    "options": {"x": [1, {"y": None}]},
    "words": ["b", "a"],
    "owner": "zoe",
}


@pytest.fixture
def full(app):
    """One item with a value in every field, a keeper, a label and tags; open in a transaction."""
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import Item, Keeper, Label, Tag

    with transaction.manager:
        Session.add(Keeper(code="k", name="Ann"))
        item = Item(**FULL, keeper_code="k")
        item.tags = [Tag(id=1, name="one"), Tag(id=2, name="two")]
        Session.add(item)
        Session.flush()
        Session.add(Label(id=1, text="text", item_id=500))
    with transaction.manager:
        yield Item


def both(model, **params):
    return (
        model.get_collection(_query_secondary=True, **params),
        model.get_collection(_query_secondary=False, **params),
    )


@pytest.mark.parametrize("name", [*FULL, "keeper_code", "_type"])
def test_every_attribute_is_the_primarys(full, name):
    mirror, primary = (result.first() for result in both(full, name="Full"))

    assert getattr(mirror, name) == getattr(primary, name)
    assert type(getattr(mirror, name)) is type(getattr(primary, name))


def test_reading_fields_asks_the_database_nothing(full):
    with statements() as queries:
        mirror = full.get_collection(name="Full", _query_secondary=True)[0]
        for name in FULL:
            if name != "thing":  # a pickled value is the primary's to unpickle
                getattr(mirror, name)
        mirror.shout()
        hasattr(mirror, "_nefertari_meta")
        full.get_collection(owner="alice", _query_secondary=True)[0].to_dict()
    assert queries == []


@pytest.mark.parametrize("path", ["/items", "/mine", "/items?_fields=name", "/items?_count"])
def test_a_response_of_the_mirror_asks_the_database_nothing(app, path):
    with statements() as queries:
        response = asked_by(app, "bob", path)
    assert response.headers["X-Search-Engine"] == "mirror"
    assert queries == []


def test_relationships_lead_to_the_primarys_objects(full):
    from tests.apps.every_field.models import Keeper, Label

    mirror = both(full, name="Full")[0][0]

    assert isinstance(mirror.keeper, Keeper)
    assert mirror.keeper.name == "Ann"
    assert isinstance(mirror.label, Label)
    assert sorted(tag.name for tag in mirror.tags) == ["one", "two"]


def test_methods_and_class_attributes_are_the_models(full):
    mirror = both(full, name="Full")[0][0]

    assert mirror.shout() == "Full!"
    assert mirror.pk_field() == "id"
    assert mirror._nested_relationships == full._nested_relationships
    assert isinstance(mirror, full)
    with pytest.raises(AttributeError):
        mirror.no_such_attribute  # noqa: B018


def test_the_whole_object_renders_as_the_primarys(full):
    mirror, primary = (result.first() for result in both(full, name="Full"))
    mirror_fields, primary_fields = mirror.to_dict(), primary.to_dict()

    assert list(mirror_fields) == list(primary_fields)
    for name, value in primary_fields.items():
        assert mirror_fields[name] == value, name
        assert type(mirror_fields[name]) is type(value), name


def test_results_act_as_a_query_does(full):
    mirror, primary = both(full, _sort="id", _limit=3)

    assert [each.id for each in mirror] == [each.id for each in primary]
    assert [each.id for each in mirror] == [each.id for each in mirror]
    assert [each.id for each in mirror.all()] == [each.id for each in primary.all()]
    assert mirror.count() == primary.count() == 3
    assert mirror.first().id == primary.first().id
    assert mirror[0].id == primary[0].id
    assert [each.id for each in mirror[1:3]] == [each.id for each in primary[1:3]]
    assert mirror._nefertari_meta == primary._nefertari_meta


def test_an_empty_result_acts_as_an_empty_query_does(full):
    mirror, primary = both(full, name="no such name")

    assert bool(mirror) is bool(primary) is True
    assert mirror.first() is primary.first() is None
    assert mirror.all() == primary.all() == []
    assert mirror.count() == primary.count() == 0
    with pytest.raises(IndexError):
        mirror[0]


def test_other_methods_of_a_query_are_the_primarys(full):
    mirror, primary = both(full, owner="zoe")

    assert mirror.one().id == primary.one().id == 500
    assert mirror.filter(full.count == 7).all() == []
    assert [each.id for each in mirror.order_by(full.id)] == [500]
    assert mirror.with_entities(full.name).scalar() == "Full"
    with pytest.raises(AttributeError):
        mirror.no_such_method()


def test_a_count_is_a_number(full):
    mirror, primary = both(full, _count=True)

    assert mirror == primary == len(OWNERS) + 2
    assert type(mirror) is int


def test_fields_give_dicts(full):
    mirror, primary = both(full, name="Full", _fields="price,day,blob")

    assert list(mirror) == list(primary)
    assert type(mirror) is type(primary)


# Events


@pytest.mark.parametrize("query", ["_sort=id", "_sort=id&_fields=name,day,price,span", "_count"])
def test_subscribers_of_after_events_see_what_the_primary_gives(app, full, query):
    transaction.abort()  # the fixture's; the request has its own
    SEEN.clear()
    assert app.get(f"/items?{query}").headers["X-Search-Engine"] == "mirror"
    app.get(f"/items?{query}&_search=false")

    mirror, primary = SEEN
    assert mirror == primary


# What is never routed


def test_a_subrequest_stays_on_the_primary(app):
    request = Request.blank("/items?_sort=id")
    response = app.app.invoke_subrequest(request)

    assert "X-Search-Engine" not in response.headers
    assert len(response.json["data"]) == len(OWNERS) + 1


def test_reads_of_one_object_stay_on_the_primary(app):
    first = app.get("/items?_sort=id&_limit=1").json["data"][0]
    response = app.get(f"/items/{first['id']}")

    assert "X-Search-Engine" not in response.headers
    assert response.json["name"] == first["name"]


def test_look_ups_in_python_stay_on_the_primary(app):
    from sqlalchemy.orm import Query

    from tests.apps.every_field.models import Item

    with transaction.manager:
        assert type(Item.get_item(owner="alice")) is Item
        assert isinstance(Item.get_collection(owner="alice"), Query)
        assert isinstance(Item.get_by_ids([1]), Query)


def test_a_model_without_a_mirror_is_read_from_the_primary(app):
    app.post_json("/plains", {"name": "x"})
    response = app.get("/plains?name=x")

    assert response.headers["X-Search-Engine"] == "primary; reason=not-mirrored"
    assert response.json["total"] == 1
    assert app.get("/plains?_search=true", status=400)


def test_a_model_that_renders_itself_is_read_from_the_primary(app):
    app.post_json("/customs", {"first": "Ada", "last": "Lovelace"})
    response = app.get("/customs")

    assert response.headers["X-Search-Engine"] == "primary; reason=custom-to-dict"
    assert response.json["data"][0]["full_name"] == "Ada Lovelace"


def test_the_default_can_be_the_primary(app):
    settings = search_of(app).settings
    settings.read_from = "primary"
    try:
        assert app.get("/items").headers["X-Search-Engine"] == "primary; reason=read-from-primary"
        assert app.get("/items?_search=true").headers["X-Search-Engine"] == "mirror"
        assert app.get("/items?q=lion").headers["X-Search-Engine"] == "mirror"
        assert app.get("/founds").headers["X-Search-Engine"] == "mirror"
    finally:
        settings.read_from = "mirror"
