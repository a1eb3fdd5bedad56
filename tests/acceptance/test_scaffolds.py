"""The applications that ``nefertari_starter`` and ``ramses_starter`` generate, with two lines more.

Each is generated fresh, deployed (a database, a port, its own switches for aggregations and several
collections), given the two lines of this package, and started by pserve. Then a caller talks to it.
What every answer must be is worked out from what was written before.
"""

from __future__ import annotations

import re
import uuid

import pytest
import ramlfications

from tests.support.outages import refused, search_server, serves_again
from tests.support.scaffolds import INCLUDES, Deployment, Talk, generate

pytestmark = pytest.mark.slow

SCAFFOLDS = ("nefertari_starter", "ramses_starter")
REQUESTS = 60

COLOURS = ("red", "green", "yellow", "dark", "white")
FRUITS = ("apple", "pear", "plum", "grape", "cherry")
PLACES = ("north shelf", "cold room", "north window", None, "shelf of the cold cellar")


def fruit(number):
    """The *number*-th thing that is put on the shelf, as it is posted."""
    colour, kind = COLOURS[number % 5], FRUITS[number // 5 % 5]
    location = PLACES[number * 3 % 5]
    return {"id": number + 1, "name": f"{colour} {kind}", "description": location}


class Shelf:
    """What was written; and what of it a search must find, by the rules of docs/searching."""

    def __init__(self):
        self.items = {}

    def put(self, item):
        self.items[item["id"]] = dict(item)

    def ids(self, where=lambda item: True):
        return sorted(key for key, item in self.items.items() if where(item))

    def with_words(self, field, *words):
        """Ids of the items that have all *words* in *field*."""
        return self.ids(lambda item: set(words) <= words_of(item[field]))

    def with_any(self, *words, fields=("name", "description")):
        """Ids of the items that have one of *words* in one of *fields*."""
        return self.ids(lambda item: any(set(words) & words_of(item[field]) for field in fields))

    def sorted(self, *keys, ids=None):
        """Ids (all, or *ids*) by fields, ``-`` for falling; nulls last; ties by id."""
        ordered = sorted(self.items if ids is None else ids)
        for key in reversed(keys):
            name = key.lstrip("-")
            there = [each for each in ordered if self.items[each][name] is not None]
            there.sort(key=lambda each: self.items[each][name], reverse=key.startswith("-"))
            ordered = there + [each for each in ordered if self.items[each][name] is None]
        return ordered


def words_of(text):
    return set(re.findall(r"\w+", (text or "").lower()))


def score_of(params):
    return type(None) if "_sort" in params else float


def ids_of(body):
    return [item["id"] for item in body["data"]]


class Session:
    """One caller's talk with one application.

    :param bulk: the application updates and deletes many at once (ramses_starter's does not).
    """

    def __init__(self, talk, bulk):
        self.talk = talk
        self.shelf = Shelf()
        self.bulk = bulk

    def same(self, item, body, score=()):
        """Expect *body* to be *item* as the application renders it.

        :param score: the type of its `_score`: a search has one, and a sorted search has none.
        """
        expected = {
            **item,
            "_type": "Item",
            "_pk": str(item["id"]),
            "_self": f"{self.talk.url}/items/{item['id']}",
        }
        body = dict(body)
        if score:
            assert isinstance(body.pop("_score"), score)
        assert body == expected

    def expect(self, ids, order=None, **params):
        """Expect a search to find *ids*, all of them rendered as written.

        :param order: they must come in this order; None: in any.
        """
        body = self.talk.read("/items", **params)
        got = ids_of(body)
        assert (got if order else sorted(got)) == (order or sorted(ids)), (params, got)
        assert body["total"] == len(ids) and body["count"] == len(got), params
        for item in body["data"]:
            self.same(self.shelf.items[item["id"]], item, score_of(params))
        return body

    # The session

    def run(self):
        self.empty()
        self.create()
        self.items_one_by_one()
        self.collection()
        self.filters()
        self.syntax()
        self.every_field()
        self.flag()
        self.errors()
        self.aggregations()
        self.search_multiple_collections()
        self.tunnels()
        if self.bulk:
            self.update_many()
            self.delete_many()
        else:
            self.nothing_at_once()

    def empty(self):
        body = self.talk.read("/items")
        assert (body["data"], body["total"], body["count"]) == ([], 0, 0)
        assert self.talk.read("/items", _count="") == {"data": 0}
        self.talk.call("GET", "/items/1", status=404)

    def create(self):
        for number in range(25):
            item = fruit(number)
            self.same(item, self.talk.call("POST", "/items", json=item, status=201))
            self.shelf.put(item)

    def items_one_by_one(self):
        talk, shelf = self.talk, self.shelf
        self.same(shelf.items[4], talk.call("GET", "/items/4"))
        assert "404" in talk.call("GET", "/items/404", status=404)["message"]
        # What a caller has just changed, they find, and no longer under what it was.
        changed = talk.call("PATCH", "/items/4", json={"description": "top drawer"})
        shelf.items[4]["description"] = "top drawer"
        self.same(shelf.items[4], changed)
        self.same(shelf.items[4], talk.call("GET", "/items/4"))
        self.expect([4], description="drawer")
        talk.call("PATCH", "/items/4", json={"description": None})
        shelf.items[4]["description"] = None
        self.expect([], description="drawer")
        assert talk.call("DELETE", "/items/25")["message"] == "Deleted"
        deleted = shelf.items.pop(25)
        talk.call("GET", "/items/25", status=404)
        assert 25 not in ids_of(talk.read("/items", _limit=100))
        self.same(deleted, talk.call("POST", "/items", json=deleted, status=201))
        shelf.put(deleted)
        self.expect(shelf.with_words("name", "cherry"), name="cherry")

    def collection(self):
        talk, shelf = self.talk, self.shelf
        body = talk.read("/items")
        assert (body["total"], body["count"], body["start"]) == (25, 20, 0)
        assert talk.read("/items", _count="") == {"data": 25}
        headers = talk.call("HEAD", "/items", engine="mirror")
        assert headers["Content-Type"].startswith("application/json")
        all_ids = shelf.ids()
        self.expect(all_ids, all_ids, _sort="id", _limit=100)
        self.expect(all_ids, all_ids[::-1], _sort="-id", _limit=100)
        by_name = shelf.sorted("name")
        self.expect(all_ids, by_name, _sort="name", _limit=100)
        order = shelf.sorted("-description", "name")
        self.expect(all_ids, order, _sort="-description,name", _limit=100)
        order = shelf.sorted("description", "-id")
        self.expect(all_ids, order, _sort="+description,-id", _limit=100)
        for params, slice_ in (
            ({"_limit": 7}, slice(0, 7)),
            ({"_limit": 7, "_start": 3}, slice(3, 10)),
            ({"_limit": 7, "_page": 2}, slice(14, 21)),
            ({"_limit": 7, "_page": 3}, slice(21, 25)),
            ({"_limit": 0}, slice(0, 0)),
        ):
            body = talk.read("/items", _sort="name", **params)
            assert ids_of(body) == by_name[slice_], params
            assert body["total"] == 25 and body["count"] == len(by_name[slice_])
        assert body["start"] == 0
        body = talk.read("/items", _sort="id", _fields="name", _limit=2)
        assert body["data"] == [
            {"name": shelf.items[each]["name"], "_type": "Item"} for each in (1, 2)
        ]
        body = talk.read("/items", _sort="id", _fields="-description", _limit=1)
        assert body["data"][0]["name"] == shelf.items[1]["name"]
        assert "description" not in body["data"][0]

    def filters(self):
        shelf = self.shelf
        self.expect(shelf.with_words("name", "apple"), name="apple")
        self.expect(shelf.with_words("name", "red", "apple"), name="apple RED")
        self.expect(shelf.with_words("description", "shelf", "cold"), description="cold shelf")
        both = set(shelf.with_words("name", "plum")) & set(shelf.with_words("description", "north"))
        assert both
        self.expect(both, name="plum", description="north")
        either = {*shelf.with_words("name", "plum"), *shelf.with_words("name", "pear")}
        self.expect(either, name=["plum", "pear"])
        # Every alternative of one parameter, and the other parameter, too.
        north = set(shelf.with_words("description", "north"))
        self.expect(either & north, name=["plum", "pear"], description="north")
        self.expect([7], id="7")
        self.expect(shelf.ids(), name="_all", _limit=100)
        body = self.talk.read("/items", name="apple", _count="")
        assert body == {"data": len(shelf.with_words("name", "apple"))}

    def syntax(self):
        shelf = self.shelf
        ids_named = lambda word: set(shelf.with_words("name", word))  # noqa: E731
        self.expect(ids_named("plum") | ids_named("pear"), name="plum OR pear")
        self.expect(ids_named("plum") - ids_named("red"), name="plum -red")
        self.expect(ids_named("plum") - ids_named("red"), name="plum AND (!red)")
        self.expect(
            (ids_named("plum") | ids_named("pear")) & ids_named("red"),
            name="(plum OR pear) AND red",
        )
        phrase = shelf.ids(lambda item: "north shelf" in (item["description"] or ""))
        assert 0 < len(phrase) < len(shelf.with_words("description", "shelf"))
        self.expect(phrase, description='"north shelf"')
        near = shelf.ids(lambda item: item["description"] == "shelf of the cold cellar")
        self.expect(near, description='"shelf cellar"~3')
        self.expect([3, 4, 5], id="[3 TO 5]")
        self.expect(range(3, 6), [5, 4, 3], id="{2 TO 6}", _sort="-id")
        self.expect(shelf.ids(lambda item: item["id"] >= 20), id=">=20")
        self.expect(shelf.ids(lambda item: item["description"] is None), description="NOT *")
        self.expect(ids_named("cherry"), name="ch*ry")
        self.expect(ids_named("grape"), name="gr?pe")
        self.expect(ids_named("grape"), name="grpae~2")
        self.expect(ids_named("white") & ids_named("plum"), id="*", name="plum AND white")

    def every_field(self):
        shelf = self.shelf
        self.expect(shelf.with_any("shelf", "plum"), q="shelf plum", _limit=100)
        self.expect(shelf.with_any("plum", fields=["name"]), q="name:plum")
        self.expect(
            shelf.with_any("cold", fields=["description"]), q="cold", _search_fields="description"
        )
        self.expect([], q="cold", _search_fields="name")
        # The first field counts most: a name comes before a description.
        self.talk.call("PATCH", "/items/1", json={"description": "beside the plum"})
        shelf.items[1]["description"] = "beside the plum"
        plums = shelf.with_words("name", "plum")
        body = self.expect([*plums, 1], q="plum", _search_fields="name,description")
        assert ids_of(body)[-1] == 1
        body = self.expect([*plums, 1], q="plum", _search_fields="description,name")
        assert ids_of(body)[0] == 1
        self.expect(set(plums) & {11, 12}, q="plum", id="[11 TO 12]")

    def flag(self):
        talk, shelf = self.talk, self.shelf
        self.expect(shelf.with_words("name", "apple"), name="apple", _search="true")
        # The database compares whole values, without query syntax.
        body = talk.read("/items", "primary; reason=search-false", _search="false", name="apple")
        assert body["data"] == []
        body = talk.read(
            "/items", "primary; reason=search-false", _search="false", name="red apple"
        )
        assert ids_of(body) == shelf.ids(lambda item: item["name"] == "red apple")
        self.same(shelf.items[ids_of(body)[0]], body["data"][0])
        # What both can answer, both answer alike.
        params = {"_sort": "name", "_limit": 6, "_start": 5}
        ours = talk.read("/items", **params)
        theirs = talk.read("/items", "primary; reason=search-false", _search="false", **params)
        assert ids_of(ours) == ids_of(theirs) and ours["total"] == theirs["total"] == 25

    def errors(self):
        refuse = self.talk.refuse
        refuse("/items", "'nope'", "no field", nope="1")
        refuse("/items", "'q'", "AND", q="apple AND")
        self.no_such_key()
        refuse("/items", "'_sort'", "nope", _sort="nope")
        refuse("/items", "'_fields'", "nope", _fields="nope")
        refuse("/items", "_start", "_page", _start=1, _page=1, _limit=2)
        refuse("/items", _limit="-1")
        refuse("/items", "'_search'", "maybe", _search="maybe")
        refuse("/items", "'body'", body='{"query": {"match_all": {}}}')
        self.talk.call("GET", "/nope", status=404)

    def no_such_key(self):
        self.talk.refuse("/items", "'id'", "abc", id="abc")

    def aggregations(self):
        talk, shelf = self.talk, self.shelf
        ids = shelf.ids()
        metrics = {"_aggs.most.max.field": "id", "_aggs.least.min.field": "id"}
        assert talk.read("/items", **metrics) == {"most": {"value": 25.0}, "least": {"value": 1.0}}
        body = talk.read("/items", **{"_aggregations.all.stats.field": "id"})
        assert body["all"] == {
            "count": 25,
            "min": 1.0,
            "max": 25.0,
            "avg": sum(ids) / 25,
            "sum": float(sum(ids)),
        }
        # Filters and q apply; paging does not.
        plums = shelf.with_words("name", "plum")
        params = {"name": "plum", "_limit": 1, "_aggs.sum.sum.field": "id"}
        assert talk.read("/items", **params) == {"sum": {"value": float(sum(plums))}}
        north = shelf.with_any("north")
        body = talk.read("/items", q="north", **{"_aggs.n.value_count.field": "id"})
        assert body == {"n": {"value": len(north)}}
        # Buckets, and aggregations in them.
        body = talk.read(
            "/items",
            **{
                "_aggs.tens.histogram.field": "id",
                "_aggs.tens.histogram.interval": "10",
                "_aggs.tens.aggs.top.max.field": "id",
            },
        )
        assert [
            (bucket["key"], bucket["doc_count"], bucket["top"]["value"])
            for bucket in body["tens"]["buckets"]
        ] == [(0.0, 9, 9.0), (10.0, 10, 19.0), (20.0, 6, 25.0)]
        body = talk.read(
            "/items", **{"_aggs.kinds.terms.field": "id", "_aggs.kinds.terms.size": "30"}
        )
        assert sorted((each["key"], each["doc_count"]) for each in body["kinds"]["buckets"]) == [
            (each, 1) for each in ids
        ]
        refused = {"_aggs.x.max.field": "nope"}
        self.talk.refuse("/items", "nope", **refused)

    def added(self, ids):
        """Return an aggregation that sums the ids of items, and its result for *ids*."""
        return {"_aggs.sum.sum.field": "id"}, {"sum": {"value": float(sum(ids))}}

    def search_multiple_collections(self):
        talk, shelf = self.talk, self.shelf
        body = talk.read("/items,items", _sort="id", _limit=3)
        assert ids_of(body) == [1, 2, 3] and body["total"] == 25
        for item in body["data"]:
            self.same(shelf.items[item["id"]], item, score_of({"_sort": "id"}))
        plums = shelf.with_words("name", "plum")
        body = talk.read("/items,items", name="plum")
        assert sorted(ids_of(body)) == plums
        assert talk.read("/items,items", name="plum", _count="") == {"data": len(plums)}
        request, added = self.added(plums)
        assert talk.read("/items,items", name="plum", **request) == added
        talk.call("GET", "/items,nope", status=404, engine="none; reason=not-searched")

    def tunnels(self):
        """``enable_get_tunneling``, which both scaffolds switch on."""
        talk, shelf = self.talk, self.shelf
        item = {"id": 100, "name": "tunnelled fig", "description": None}
        params = {"_m": "POST", "name": item["name"], "id": 100}
        self.same(item, talk.call("GET", "/items", params, status=201))
        shelf.put(item)
        self.expect([100], name="fig")
        talk.call("GET", "/items/100", {"_m": "PATCH", "description": "deep cellar"})
        shelf.items[100]["description"] = "deep cellar"
        self.expect([100], description="deep")
        talk.call("GET", "/items/100", {"_m": "DELETE"})
        del shelf.items[100]
        self.expect([], name="fig")

    def update_many(self):
        talk, shelf = self.talk, self.shelf

        def update(method, ids, changes, **params):
            body = talk.call(method, "/items", params, json=changes)
            assert body["message"] == f"Updated {len(ids)} Item(s) objects"
            for each in ids:
                shelf.items[each].update(changes)

        update("PATCH", shelf.with_words("name", "pear"), {"description": "soft"}, name="pear")
        self.expect(shelf.with_words("name", "pear"), description="soft")
        # By a phrase, a range and q; what has just been changed is what the next one selects.
        update("PATCH", shelf.with_words("description", "soft"), {"name": "quince"}, q="soft")
        self.expect(shelf.with_words("description", "soft"), name="quince")
        self.expect([], name="pear")
        update("PATCH", [1, 2], {"description": "pair"}, id="[1 TO 2]")
        self.expect([1, 2], description="pair")
        # Some of what is found.
        first = shelf.with_words("name", "quince")[:2]
        update("PATCH", first, {"description": "first two"}, name="quince", _sort="id", _limit=2)
        self.expect(first, description='"first two"')
        update("PATCH", [], {"description": "none"}, name="nowhere")
        self.expect([], description="none")
        # PUT sets what it does not name to null.
        body = talk.call("PUT", "/items", {"id": "3"}, json={"id": 3, "name": "replaced"})
        assert body["message"] == "Updated 1 Item(s) objects"
        shelf.items[3].update(name="replaced", description=None)
        self.expect([3], name="replaced")
        self.same(shelf.items[3], talk.call("PUT", "/items/3", json=shelf.items[3]))
        # A tunnelled one has no query of its own, and so changes them all.
        body = talk.call("GET", "/items", {"_m": "PATCH", "description": "all alike"})
        assert body["message"] == f"Updated {len(shelf.items)} Item(s) objects"
        for item in shelf.items.values():
            item["description"] = "all alike"
        self.expect(shelf.ids(), description="alike", _limit=100)

    def delete_many(self):
        talk, shelf = self.talk, self.shelf

        def delete(ids, **params):
            body = talk.call("DELETE", "/items", params)
            assert body["message"] == f"Deleted {len(ids)} Item(s) objects"
            for each in ids:
                del shelf.items[each]
            self.expect(shelf.ids(), _limit=100)

        delete(shelf.with_words("name", "quince"), name="quince")
        delete([], name="quince")
        delete(shelf.ids(lambda item: item["id"] > 20), id=">20", __confirmation="")
        delete(shelf.ids()[:3], _sort="id", _limit=3)
        delete(shelf.with_any("cherry"), q="cherry")
        body = talk.read("/items", "primary; reason=search-false", _search="false", _limit=100)
        assert sorted(ids_of(body)) == shelf.ids()
        delete(shelf.ids())

    def without_search_server(self):
        """Nothing answers searches: single objects and writes know nothing of it, the database has
        the collection for those who ask it, and whoever searches is told what is the matter."""
        talk, shelf = self.talk, self.shelf
        for key in (1, 4, 25):
            self.same(shelf.items[key], talk.call("GET", f"/items/{key}"))
            self.same(shelf.items[key], talk.call("GET", f"/items/{key}", {"_search": "false"}))
        assert "404" in talk.call("GET", "/items/404", status=404)["message"]
        changed = talk.call("PATCH", "/items/4", json={"description": "top drawer"})
        shelf.items[4]["description"] = "top drawer"
        self.same(shelf.items[4], changed)
        self.same(shelf.items[4], talk.call("GET", "/items/4"))
        if self.bulk:
            # Nor does ramses_starter's replace an item.
            shelf.items[5].update(name="replaced", description=None)
            self.same(shelf.items[5], talk.call("PUT", "/items/5", json=shelf.items[5]))
        assert talk.call("DELETE", "/items/25")["message"] == "Deleted"
        del shelf.items[25]
        talk.call("GET", "/items/25", status=404)
        new = {"id": 26, "name": "new fig", "description": None}
        self.same(new, talk.call("POST", "/items", json=new, status=201))
        shelf.put(new)

        for params in ({}, {"_count": ""}, {"name": "plum"}, {"q": "plum"}, {"_search": "true"}):
            refused(talk, "GET", "/items", **params)
        refused(talk, "GET", "/items", **{"_aggs.x.max.field": "id"})
        refused(talk, "GET", "/items,items")
        if self.bulk:
            refused(talk, "PATCH", "/items", name="plum")
            refused(talk, "DELETE", "/items", name="plum")
        self.collection_of_the_primary()

    def collection_of_the_primary(self):
        talk, shelf = self.talk, self.shelf
        primary = "primary; reason=search-false"
        body = talk.read("/items", primary, _search="false", _sort="-id", _limit=100)
        assert ids_of(body) == shelf.ids()[::-1] and body["total"] == len(shelf.items)
        for item in body["data"]:
            self.same(shelf.items[item["id"]], item)
        body = talk.read("/items", primary, _search="false", name=shelf.items[1]["name"])
        assert 1 in ids_of(body)
        body = talk.read("/items", primary, _search="false", _count="")
        assert body == {"data": len(shelf.items)}

    def with_search_server_again(self):
        """What was written meanwhile is found."""
        assert serves_again(self.talk, "/items")
        self.expect(self.shelf.ids(), _limit=100)
        self.expect([4], description="drawer")
        self.expect([26], name="fig")

    def nothing_at_once(self):
        """The RAML of ramses_starter has no update or delete of a collection."""
        for method in ("PATCH", "PUT", "DELETE"):
            self.talk.call(method, "/items", {"name": "apple"}, json={"name": "x"}, status=405)
        self.expect(self.shelf.with_words("name", "apple"), name="apple")


def as_documented(talk, raml):
    """Every method of the scaffold's own API documentation, with the body and the status that it
    gives as examples.

    It is what the scaffold's own test-suite does, which runs nowhere any more: it needs `ra`,
    whose plugin asks pytest for what went with pytest 3.3 (`_memoizedcall`) and 4 (`MarkInfo`),
    and pytest 3.2 does not start on Python 3.10. Its ids are MongoDB's, too: here they are
    numbers.
    """
    methods = ramlfications.parse(str(raml)).resources
    assert len(methods) >= 6
    for item in talk.read("/items", _limit=100)["data"]:
        talk.call("DELETE", f"/items/{item['id']}")
    for node in methods:
        body = {**node.body[0].example} if node.body else None
        path = node.path.replace("{id}", "7")
        engine = ""
        if node.method == "post":
            talk.send("DELETE", "/items/7")
        elif talk.send("GET", "/items/7").status_code == 404:
            fields = {"id": 7, "name": "Banana", "description": "Tasty"}
            talk.call("POST", "/items", json=fields, status=201)
        if node.method in ("post", "put"):
            body["id"] = 7
        if node.method in ("get", "head") and path == "/items":
            engine = "mirror"
        status = node.responses[0].code
        got = talk.call(node.method.upper(), path, json=body, status=status, engine=engine)
        if node.method == "get" and path == "/items":
            assert "Banana" in [each["name"] for each in got["data"]]
        elif path != "/items" or node.method == "post":
            common = {name: value for name, value in (got or {}).items() if name in (body or ())}
            assert common == (body or {})


def run_session(deployment, sources, name, session=Session, talk_class=Talk):
    """Serve a scaffold's application and hold the whole session; return a line with its figures.

    :param sources: the application's, before it was given this package: none may change.
    :param name: of the scaffold, and where it runs.
    """
    with deployment.serve() as server:
        talk = talk_class(f"{server.url}/api")
        session(talk, bulk=name.startswith("nefertari_starter")).run()
        as_documented(talk, deployment.folder / "stock" / "tests" / "api.raml")
        assert talk.requests >= REQUESTS
        assert server.running

    assert deployment.sources() == sources
    return figures(name, talk)


def figures(name, talk):
    """How many requests *talk* made, and who answered them."""
    engines = ", ".join(f"{count} {engine}" for engine, count in talk.engines.most_common())
    return f"{name}: {talk.requests} requests ({engines})"


@pytest.fixture(params=["embedded", pytest.param("elasticsearch", marks=pytest.mark.long)])
def backend(request, tmp_path):
    """URL of a backend."""
    if request.param == "embedded":
        return f"embedded:{tmp_path}/search"
    return request.getfixturevalue("elasticsearch_url")


@pytest.fixture
def database(request, backend, tmp_path):
    """SQLite beside the embedded backend; PostgreSQL, the scaffolds' own, beside Elasticsearch."""
    if backend.startswith("embedded:"):
        return f"sqlite:///{tmp_path}/stock.sqlite"
    server = request.getfixturevalue("postgres_server")
    return str(server.create_database(f"test_{uuid.uuid4().hex[:12]}"))


@pytest.mark.parametrize("scaffold", SCAFFOLDS)
def test_a_scaffolded_application_needs_two_lines(
    scaffold, backend, database, tmp_path, index_prefix, record_property
):
    folder = generate(scaffold, tmp_path, "stock")
    deployment = Deployment(
        folder,
        "local.ini",
        sqlalchemy__url=database,
        elasticsearch__index_name=index_prefix,
        elasticsearch__enable_aggregations="true",
        elasticsearch__enable_polymorphic_query="true",
    )
    before = deployment.sources()
    added, removed = deployment.add_search(backend)
    # Two lines: one is new, the other is new, too, or names another server.
    assert added[0] == INCLUDES and len(added) == 2 and len(removed) <= 1
    assert all(line.startswith("elasticsearch.hosts") for line in removed)

    where = "embedded, SQLite" if backend.startswith("embedded:") else "Elasticsearch, PostgreSQL"
    record_property("compared", run_session(deployment, before, f"{scaffold} on {where}"))


@pytest.mark.parametrize(
    "kind", ["embedded", "closed", pytest.param("elasticsearch", marks=pytest.mark.long)]
)
@pytest.mark.parametrize("scaffold", SCAFFOLDS)
def test_a_scaffolded_application_without_its_search_server(
    scaffold, kind, request, tmp_path, index_prefix, record_property
):
    folder = generate(scaffold, tmp_path, "stock")
    server = search_server(kind, request, tmp_path)
    deployment = Deployment(
        folder,
        "local.ini",
        sqlalchemy__url=f"sqlite:///{tmp_path}/stock.sqlite",
        elasticsearch__index_name=index_prefix,
        elasticsearch__enable_aggregations="true",
        elasticsearch__enable_polymorphic_query="true",
    )
    deployment.add_search(server.url)
    with deployment.serve() as process:
        session = Session(Talk(f"{process.url}/api"), bulk=scaffold == "nefertari_starter")
        session.create()
        server.go()
        try:
            session.without_search_server()
        finally:
            server.come_back()
        if server.comes_back:
            session.with_search_server_again()
        assert "Traceback" not in process.log
    record_property("compared", figures(f"{scaffold} without {kind}", session.talk))
