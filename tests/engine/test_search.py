"""Searches in fields of related documents, on this engine alone: they are in other indices.

What must be found is worked out in Python, from what was written.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from tests.apps.engine_relationships import INI
from tests.servers.pserve import Pserve
from tests.support.apps import backend_and_hosts
from tests.support.scaffolds import Talk

SEED = 7
SEARCHES = 150
NAMES = ("Iris Murdoch", "Octavia Butler", "Virginia Woolf", "Iris Origo", "Nobody Yet", "Ann Lee")
CITIES = (("Hogarth", "London", 1917), ("Virago", "London", 1973), ("Beacon", "Boston", 1854))
TAGS = (("sea", "place"), ("war", "theme"), ("love", "theme"), ("town", "place"))
WORDS = ("sea", "red", "bell", "waves", "iris", "night", "day", "orlando")
BOOKS = 130
#: the application's nefertari_search.max_result_window
WINDOW = 100

Book = dict[str, Any]
Condition = Callable[[Book], bool]


class Shelves:
    """What was written, and what a search must find."""

    def __init__(self, url: str) -> None:
        self.talk = Talk(url)
        self.publishers: dict[str, dict[str, Any]] = {}
        self.writers: dict[int, dict[str, Any]] = {}
        self.books: dict[int, dict[str, Any]] = {}
        self.tags = dict(TAGS)

    def fill(self) -> None:
        post = self.talk.call
        for name, kind in TAGS:
            post("POST", "/tags", json={"name": name, "kind": kind}, status=201)
        for name, city, founded in CITIES:
            writer = {"name": name, "city": city, "founded": founded}
            post("POST", "/publishers", json=writer, status=201)
            self.publishers[name] = writer
        for key, name in enumerate(NAMES, 1):
            publisher = CITIES[key % 4][0] if key % 4 < 3 else None
            writer = {"name": name, "born": 1880 + 7 * key, "publisher": publisher}
            post("POST", "/writers", json=writer, status=201)
            self.writers[key] = writer
        for key in range(1, BOOKS + 1):
            self.write(key)

    def write(self, key: int) -> None:
        book = {
            "title": f"{WORDS[key % 8]} {WORDS[key * 3 % 7]}",
            "pages": key * 10,
            "writer": key % 7 if 0 < key % 7 < 6 else None,
            "tags": [name for position, name in enumerate(self.tags) if key >> position & 1],
        }
        self.talk.call("POST", "/books", json=book, status=201)
        self.books[key] = book

    def writer(self, book: dict[str, Any]) -> list[dict[str, Any]]:
        return [] if book["writer"] is None else [self.writers[book["writer"]]]

    def publisher(self, book: dict[str, Any]) -> list[dict[str, Any]]:
        names = [each["publisher"] for each in self.writer(book)]
        return [self.publishers[name] for name in names if name is not None]

    def expect(self, path: str, keys: Any, pk: str = "id", **params: Any) -> None:
        """Expect a search to find *keys* and their number."""
        body = self.talk.read(path, _sort=pk, _limit=WINDOW, **params)
        assert [each[pk] for each in body["data"]] == sorted(keys)[:WINDOW], params
        assert body["total"] == len(keys), params

    def where(self, condition: Condition) -> list[int]:
        """Keys of the books that meet *condition*."""
        return [key for key, book in self.books.items() if condition(book)]


def words(text: Any) -> set[str]:
    return set(re.findall(r"\w+", str(text or "").lower()))


@pytest.fixture(scope="module")
def shelves(
    backend_url: str, module_prefix: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shelves]:
    ini = tmp_path_factory.mktemp("shelves") / "shelves.ini"
    ini.write_text(INI, encoding="utf-8")
    backend, hosts = backend_and_hosts(backend_url)
    variables = {"backend": backend, "elasticsearch_hosts": hosts, "index_name": module_prefix}
    with Pserve(ini, variables=variables) as server:
        shelves = Shelves(server.url)
        shelves.fill()
        yield shelves


def of_a_writer(shelves: Shelves, choice: random.Random) -> tuple[dict[str, str], Condition]:
    word = choice.choice(["iris", "woolf", "ann", "nobody", "lee", "octavia"])
    return {"writer.name": word}, lambda book: any(
        word in words(each["name"]) for each in shelves.writer(book)
    )


def of_a_birth(shelves: Shelves, choice: random.Random) -> tuple[dict[str, str], Condition]:
    low, high = sorted(choice.sample(range(1880, 1930), 2))
    return {"writer.born": f"[{low} TO {high}]"}, lambda book: any(
        low <= each["born"] <= high for each in shelves.writer(book)
    )


def of_a_publisher(shelves: Shelves, choice: random.Random) -> tuple[dict[str, str], Condition]:
    city = choice.choice(["london", "boston", "paris"])
    return {"writer.publisher.city": city}, lambda book: any(
        city in words(each["city"]) for each in shelves.publisher(book)
    )


def of_a_tag(shelves: Shelves, choice: random.Random) -> tuple[dict[str, str], Condition]:
    kind = choice.choice(["place", "theme", "none"])
    return {"tags.kind": kind}, lambda book: any(
        shelves.tags[name] == kind for name in book["tags"]
    )


def of_multiple_tags(shelves: Shelves, choice: random.Random) -> tuple[dict[str, str], Condition]:
    one, other = choice.sample(sorted(shelves.tags), 2)
    return {"tags.name": f"{one} AND {other}"}, lambda book: {one, other} <= set(book["tags"])


def without_a_name(shelves: Shelves, choice: random.Random) -> tuple[dict[str, str], Condition]:
    word = choice.choice(["iris", "ann"])
    return {
        "writer.name": f"NOT {word}"
    }, lambda book: not any(word in words(each["name"]) for each in shelves.writer(book))


def of_nobody(shelves: Shelves, choice: random.Random) -> tuple[dict[str, str], Condition]:
    return {"writer.name": "NOT *"}, lambda book: book["writer"] is None


def of_a_title(shelves: Shelves, choice: random.Random) -> tuple[dict[str, str], Condition]:
    word = choice.choice(WORDS)
    return {"title": word}, lambda book: word in words(book["title"])


def terms_of(shelves: Shelves, book: Book) -> set[str]:
    """The words of a book, and of what it is related to."""
    terms = words(book["title"]) | set(book["tags"])
    terms |= {shelves.tags[name] for name in book["tags"]}
    for each in shelves.writer(book):
        terms |= words(each["name"]) | words(each["publisher"])
    for each in shelves.publisher(book):
        terms |= words(each["city"])
    return terms


def anywhere(shelves: Shelves, choice: random.Random) -> tuple[dict[str, str], Condition]:
    word = choice.choice(["iris", "london", "theme", "sea", "hogarth", "orlando"])

    return {"q": word}, lambda book: word in terms_of(shelves, book)


CONDITIONS = (
    of_a_writer,
    of_a_birth,
    of_a_publisher,
    of_a_tag,
    of_multiple_tags,
    without_a_name,
    of_nobody,
    of_a_title,
    anywhere,
)


@pytest.mark.slow
def test_random_searches(shelves: Shelves, record_property: Any) -> None:
    choice = random.Random(SEED)
    hits = 0
    for _ in range(SEARCHES):
        params: dict[str, str] = {}
        conditions: list[Condition] = []
        for make in choice.sample(CONDITIONS, choice.randint(1, 2)):
            query, condition = make(shelves, choice)
            if not set(query) & set(params):
                params.update(query)
                conditions.append(condition)
        keys = shelves.where(lambda book, all_of=conditions: all(each(book) for each in all_of))
        shelves.expect("/books", keys, **params)
        hits += bool(keys)
    assert hits > SEARCHES / 3
    record_property("compared", f"engine: {SEARCHES} searches in related documents, {hits} found")


def test_keys_of_related_documents(shelves: Shelves) -> None:
    shelves.expect("/books", shelves.where(lambda book: book["writer"] == 3), writer="3")
    shelves.expect("/books", shelves.where(lambda book: "sea" in book["tags"]), tags="sea")
    # The books store the key of their writer; there are more of them than one search returns.
    shelves.expect("/writers", [shelves.books[9]["writer"]], books="9")
    writers = {book["writer"] for book in shelves.books.values()} - {None}
    shelves.expect("/writers", writers, books=f"[1 TO {BOOKS}]")
    shelves.expect("/writers", set(shelves.writers) - writers, books="NOT *")
    late = {book["writer"] for key, book in shelves.books.items() if key > BOOKS - 3} - {None}
    shelves.expect("/writers", late, books=f">{BOOKS - 3}")
    shelves.expect("/tags", {"sea"}, pk="name", name="sea", books="1")


def test_the_other_side(shelves: Shelves) -> None:
    for word in ("iris", "woolf", "zoe"):
        names = {
            each["publisher"] for each in shelves.writers.values() if word in words(each["name"])
        }
        shelves.expect("/publishers", names - {None}, pk="name", **{"writers.name": word})


def test_what_was_just_written_is_found(shelves: Shelves) -> None:
    talk = shelves.talk
    talk.call("PATCH", "/writers/2", json={"name": "Octavia Estelle Butler"})
    shelves.writers[2]["name"] = "Octavia Estelle Butler"
    hers = shelves.where(lambda book: book["writer"] == 2)
    assert hers
    shelves.expect("/books", hers, **{"writer.name": "estelle"})
    talk.call("PATCH", f"/books/{hers[0]}", json={"writer": 1})
    shelves.books[hers[0]]["writer"] = 1
    shelves.expect("/books", hers[1:], **{"writer.name": "estelle"})
    talk.call("PATCH", "/publishers/Beacon", json={"city": "Utrecht"})
    shelves.publishers["Beacon"]["city"] = "Utrecht"
    there = [each["publisher"] == "Beacon" for each in shelves.writers.values()]
    assert any(there)
    shelves.expect(
        "/books",
        shelves.where(lambda book: any(e["city"] == "Utrecht" for e in shelves.publisher(book))),
        **{"writer.publisher.city": "utrecht"},
    )


def test_several_collections_and_aggregations(shelves: Shelves) -> None:
    talk = shelves.talk
    iris = shelves.where(lambda book: any("Iris" in e["name"] for e in shelves.writer(book)))
    body = talk.read("/books,writers", **{"writer.name": "iris"}, _limit=WINDOW, _sort="id")
    assert [(each["_type"], each["id"]) for each in body["data"]] == [("Book", e) for e in iris]
    assert body["total"] == len(iris)
    assert talk.read("/books,writers", **{"writer.name": "iris"}, _count="") == {"data": len(iris)}
    for path in ("/books", "/books,writers"):
        params = {"writer.name": "iris", "_aggs.n.sum.field": "pages"}
        body = talk.read(path, **params)
        assert body == {"n": {"value": float(sum(e * 10 for e in iris))}}, path
    body = talk.read("/books", **{"_aggs.w.terms.field": "writer"})
    assert {each["key"]: each["doc_count"] for each in body["w"]["buckets"]} == {
        key: len(shelves.where(lambda book, key=key: book["writer"] == key))
        for key in {book["writer"] for book in shelves.books.values()} - {None}
    }
    words_ = {"_aggs.f.filter.query_string.query": "sea", "_aggs.f.aggs.n.max.field": "pages"}
    seas = shelves.where(lambda book: "sea" in words(book["title"]) | set(book["tags"]))
    assert talk.read("/books", **words_)["f"]["doc_count"] == len(seas)


def test_what_other_indices_hold_is_no_order_and_no_bucket(shelves: Shelves) -> None:
    for name in ("writer.name", "writer.publisher.city", "tags.kind", "tags._pk"):
        shelves.talk.refuse("/books", "'_sort'", name, _sort=name)
        for kind in ("terms.field", "filter.exists.field", "missing.field"):
            parameter = f"_aggs.x.{kind}"
            shelves.talk.refuse("/books", "index of other documents", name, **{parameter: name})
    shelves.talk.refuse("/writers", "'_sort'", _sort="books")
    shelves.talk.refuse("/writers", "index of other documents", **{"_aggs.x.terms.field": "books"})
    shelves.talk.refuse("/books", "index of other documents", **{"_aggs.x.nested.path": "writer"})
    # What the document itself has orders and counts.
    body = shelves.talk.read("/books", _sort="writer,id", _limit=3)
    first = shelves.where(lambda book: book["writer"] == 1)[:3]
    assert [each["id"] for each in body["data"]] == first
    # Deeper than the model nests, and not nested at all: keys alone.
    shelves.talk.refuse("/books", "no field", **{"writer.books.title": "sea"})
    shelves.talk.refuse("/writers", "no field", **{"books.title": "sea"})
    shelves.talk.refuse("/books", "'writer.born'", "abc", **{"writer.born": "abc"})


def test_a_search_box_over_related_documents(shelves: Shelves) -> None:
    """Each word may be in another index."""
    book = next(book for book in shelves.books.values() if shelves.writer(book) and book["title"])
    (writer,) = shelves.writer(book)
    word = next(iter(words(book["title"])))
    text = f"{word} {writer['name'].split()[-1]}"
    body = shelves.talk.read("/books", _query=text, _limit=WINDOW)
    both = {word, writer["name"].split()[-1].lower()}
    expected = shelves.where(lambda each: both <= terms_of(shelves, each))
    assert sorted(each["id"] for each in body["data"]) == sorted(expected)
    assert body["query"]["matched"] == 2


def test_facets_and_highlights(shelves: Shelves) -> None:
    params = {"_query": "sea", "_facets": "writer:100", "_highlight": "title", "_limit": WINDOW}
    body = shelves.talk.read("/books", **params)
    assert len(body["data"]) == body["total"]
    counts = {each["value"]: each["count"] for each in body["facets"]["writer"]}
    writers = [each["writer"]["id"] for each in body["data"] if each["writer"] is not None]
    assert counts == {key: writers.count(key) for key in set(writers)}
    for each in body["data"]:
        marked = "<em>" in " ".join(each["_highlight"].get("title", []))
        assert marked == ("sea" in words(each["title"]))
