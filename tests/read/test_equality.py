"""Transparent reads: whatever is asked, the mirror answers what the primary answers.

Thousands of random requests, with random writes between them, each compared byte for byte.
"""

from __future__ import annotations

import datetime
import decimal
import random
from collections.abc import Iterator
from typing import Any

import pytest
import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support import apps
from tests.support.compare_answers import Comparison
from tests.support.tiers import examples

pytestmark = pytest.mark.every_backend

FILM_EXAMPLES = examples(45)
ZOO_EXAMPLES = examples(40)
STEPS = 25
LEAST_REQUESTS = 2000

JUNK = [
    "",
    " ",
    "0",
    "-0",
    "1",
    "1.0",
    "01",
    "+1",
    "1e3",
    " 7",
    "7 ",
    "abc",
    "nan",
    "inf",
    "_all",
    "9223372036854775807",
    "-9223372036854775808",
    "99999999999999999999",
    "0.1",
    "-1.5",
    "1972-03-15",
    "1972-03-15T00:00:00Z",
    "true",
    "True",
    "null",
    "None",
    "%",
    "_",
    "a,b",
    "İstanbul",
    "日本",
    "'",
    '"',
    "*",
    "a OR b",
    "\t",
    "ß",
    "SS",
]
UNKNOWN = ["nope", "_nope", "title__in", "year__bool", "id.x", "_type", "_pk", "metadata", "_acl"]
LIMITS = [*["0", "1", "2", "3", "5", "7", "20", "50"] * 3, "-1", "abc", "", "1.5"]
OFFSETS = [*LIMITS, "10000", "99999999999999"]


def requests(
    fields: dict[str, list[str]], limits: list[str], small: bool
) -> st.SearchStrategy[list[tuple[str, str]]]:
    """Random parameters over *fields* (name -> values that occur; none for relationships).

    :param limits: values of _limit; without one the pages are of 20.
    :param small: the tables are.
    """
    columns = [name for name, values in sorted(fields.items()) if values]
    column = st.sampled_from(columns)
    # One name in twenty is no column: a relationship, or nothing at all.
    odd = st.sampled_from([name for name in sorted(fields) if not fields[name]] + UNKNOWN)
    any_name = st.integers(0, 19).flatmap(lambda number: odd if number == 0 else column)

    def filters(name: str) -> st.SearchStrategy[tuple[str, str]]:
        occurring = st.sampled_from(fields.get(name) or ["1"])
        junk = st.sampled_from(JUNK) | st.text(max_size=8)
        value = st.integers(0, 5).flatmap(lambda number: junk if number == 0 else occurring)
        return st.tuples(st.just(name), value.filter(lambda text: "\x00" not in text))

    sign = st.sampled_from(["", "", "", "", "-", "-", "-", "-", "+", "--"])
    sort = st.tuples(sign, any_name).map("".join)
    sorts = st.lists(sort, min_size=1, max_size=3).map(lambda each: ("_sort", ",".join(each)))
    # A relationship in _fields, or fields taken out only, make the database join tables without
    # a condition: on large ones that takes minutes.
    named = any_name if small else st.one_of(column, column, column, st.sampled_from(UNKNOWN))
    pick = st.tuples(st.sampled_from(["", "", "", "", "-"]), named).map("".join)
    first = pick if small else column
    picks = st.tuples(first, st.lists(pick, max_size=3)).map(
        lambda each: ("_fields", ",".join([each[0], *each[1]]))
    )

    def page(name: str) -> st.SearchStrategy[tuple[str, str]]:
        return st.tuples(st.just(name), st.sampled_from(limits if name == "_limit" else OFFSETS))

    def sometimes(part: Any) -> st.SearchStrategy[list[tuple[str, str]]]:
        return st.integers(0, 2).flatmap(
            lambda number: st.tuples(part) if number == 0 else st.just(())
        )

    both = st.sampled_from([("_start", "1"), ("_page", "1")])
    return st.tuples(
        st.lists(any_name.flatmap(filters), max_size=2),
        sometimes(sorts),
        sometimes(picks),
        st.integers(0, 3).flatmap(
            lambda number: st.just(()) if number == 0 else st.tuples(page("_limit"))
        ),
        sometimes(st.one_of(page("_start"), page("_page"), both)),
        st.integers(0, 9).map(lambda number: [("_count", "")] if number == 0 else []),
    ).map(lambda parts: [pair for part in parts for pair in part])


def texts(values: Any) -> list[str]:
    """Values of the database as a caller writes them."""
    return sorted({str(value) for value in values if value is not None})[:200] or [""]


def values_of(model: Any) -> dict[str, list[str]]:
    """Field -> its values as a caller writes them; none for relationships."""
    from pyramid_sqlalchemy import Session

    columns = model._mapped_columns()
    return {
        name: texts(row[0] for row in Session().query(getattr(model, name)).all())
        if name in columns
        else []
        for name in model.native_fields()
    }


class Catalogue:
    """What can be asked of one application: path -> fields, and how to change things."""

    def __init__(
        self,
        comparison: Comparison,
        paths: dict[str, tuple[str, dict[str, list[str]]]],
        limits: list[str],
    ) -> None:
        self.comparison = comparison
        self.paths = paths
        self.strategies = {
            path: requests(fields, limits, limits is LIMITS) for path, (_, fields) in paths.items()
        }

    def step(self, data: Any) -> None:
        # The first path is the richest.
        paths = [*self.paths, *[next(iter(self.paths))] * len(self.paths)]
        path = data.draw(st.sampled_from(paths))
        params = data.draw(self.strategies[path])
        self.comparison.check(path, params, self.paths[path][0])


# The example application: every model, 17,472 films


@pytest.fixture(scope="module")
def film_catalogue(
    backend_url: str, tmp_path_factory: pytest.TempPathFactory, module_prefix: str
) -> Catalogue:
    directory = tmp_path_factory.mktemp("films")
    apps.load_films(directory, backend_url, module_prefix)
    app = apps.films(directory, backend_url, module_prefix)
    from films.models import Country, Film, Genre, Person
    from pyramid_sqlalchemy import Session

    paths = {}
    chooser = random.Random(1)
    for path, model in (
        ("/films", Film),
        ("/people", Person),
        ("/genres", Genre),
        ("/countries", Country),
        ("/people/6739/films", Film),
    ):
        fields = {}
        for name in model.native_fields():
            if name in model._mapped_columns():
                values = [row[0] for row in Session().query(getattr(model, name)).distinct()]
                fields[name] = texts(chooser.sample(values, min(150, len(values))))
            else:
                fields[name] = []
        paths[path] = (model.pk_field(), fields)
    transaction.abort()
    # The database loads a film with its director's other films, object by object: pages of
    # twenty take it half a second.
    return Catalogue(Comparison(app), paths, ["0", "1", "2", "3", "3", "2", "-1", "abc"])


def change_films(app: Any, kind: str, number: int) -> None:
    """One random write of the catalogue; most change what other documents show."""
    from films.models import Film, Genre, Person
    from pyramid_sqlalchemy import Session

    session = Session()
    films = [row[0] for row in session.query(Film.id).order_by(Film.id)]
    film = session.query(Film).get(films[number % len(films)])
    people = session.query(Person).order_by(Person.id)
    person = people.offset(number % people.count()).first()
    if kind == "create":
        session.add(
            Film(
                id=films[-1] + 1,
                title=f"Film {number}",
                year=number % 100 + 1940,
                runtime=number / 7,
                tomato_rating=decimal.Decimal(number % 100) / 10,
                released=datetime.date(1940 + number % 70, 1, 1),
                director=person,
            )
        )
    elif kind == "update":
        film.title, film.rating, film.metacritic = f"{film.title[:40]} {number}", None, number % 100
    elif kind == "move":
        film.director = person
        film.genres = session.query(Genre).filter(Genre.id <= number % 5).all()
    elif kind == "rename":
        person.name = f"{person.name[:40]} {number}"
    elif kind == "delete":
        session.delete(film)
    elif kind == "bulk":
        session.query(Film).filter(Film.year == film.year).update(
            {"oscars": number % 12}, synchronize_session=False
        )
    elif kind == "bulk-delete":
        session.query(Film).filter(Film.id.in_(films[number % len(films) :][:3])).delete(
            synchronize_session=False
        )
    transaction.commit() if number % 4 else transaction.abort()


WRITES = ["create", "update", "move", "rename", "delete", "bulk", "bulk-delete"]


@settings(
    max_examples=FILM_EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_random_requests_to_the_films(film_catalogue: Catalogue, data: Any) -> None:
    kind = data.draw(st.sampled_from([None, *WRITES]))
    if kind is not None:
        number = data.draw(st.integers(0, 100_000))
        try:
            change_films(film_catalogue.comparison.app, kind, number)
        except Exception:
            transaction.abort()
            raise
    for _ in range(STEPS):
        film_catalogue.step(data)


def test_the_mirror_answered_most_of_them(film_catalogue: Catalogue, record_property: Any) -> None:
    comparison = film_catalogue.comparison
    record_property("compared", comparison.report("films"))
    assert comparison.requests >= FILM_EXAMPLES * STEPS
    # Bad parameters and what only the database can do are asked, too; the rest is ours.
    assert comparison.by_mirror > comparison.requests / 3


# The zoo: every field class, every form of relationship


@pytest.fixture(scope="module")
def zoo_catalogue(primary_url: str, backend_url: str, module_prefix: str) -> Iterator[Catalogue]:
    app = apps.zoo(primary_url, backend_url, module_prefix)
    fill_zoo(60)

    from tests.apps.every_field import models

    paths = {}
    for path, model in (
        ("/items", models.Item),
        ("/keepers", models.Keeper),
        ("/tags", models.Tag),
        ("/visits", models.Visit),
        ("/nodes", models.Node),
        ("/customs", models.Custom),
        ("/marked", models.Marked),
    ):
        paths[path] = (model.pk_field(), values_of(model))
    transaction.abort()
    comparison = Comparison(app, frozenset({"items", "tags", "children"}), opaque="thing")
    yield Catalogue(comparison, paths, LIMITS)
    apps.forget_sessions()


def random_item(chooser: random.Random, number: int) -> dict[str, Any]:
    """Values for every column of an item, with every edge once in a while."""

    def maybe(*values: Any) -> Any:
        return chooser.choice([None, *values])

    return {
        "big": maybe(2**62, -(2**63) + 1, 2**63 - 2, 0, number),
        "flag": maybe(True, False),
        "day": maybe(
            datetime.date(1, 1, 1), datetime.date(9999, 12, 31), datetime.date(2000, 2, 29)
        ),
        "moment": maybe(
            datetime.datetime(1999, 12, 31, 23, 59, 59, 999999),
            datetime.datetime(1999, 12, 31, 23, 59, 59, 1),
            datetime.datetime(1970, 1, 1),
            datetime.datetime(1066, 10, 14, 9, 0),
        ),
        "kind": maybe("red", "green", "blue"),
        "ratio": maybe(0.0, -0.0, 0.1, 1e300, 5e-324, -1.5, number / 3),
        "count": maybe(0, -1, 2**31 - 1, number),
        "span": maybe(datetime.timedelta(days=3, seconds=5), datetime.timedelta(microseconds=1)),
        "blob": maybe(b"", b"\x00\xff'\"", b"plain"),
        "price": maybe(
            decimal.Decimal("0.0001"), decimal.Decimal("99999999.9999"), decimal.Decimal(-number)
        ),
        "thing": maybe({"a": [1, None, "ü"]}, [1.5], "text", datetime.date(2020, 1, 1)),
        "small": maybe(-32768, 32767, 7),
        "word": maybe("", "a", "A", "Ä", "ä", "z", " a", "a ", "\U0001f600", "\uffff", "a" * 200),
        "prose": maybe("", "x\ny", "the quick brown fox"),
        "clock": maybe(datetime.time(0, 0), datetime.time(23, 59, 59, 999999)),
        "name": maybe("Lion", "lion", "LION", "Löwe", "a,b", "100%", "under_score", "_all"),
        "story": maybe("", "x" * 9000, "y" * 10),
        "options": maybe({}, {"a": {"b": [1, 2]}}, {"": 1, "x.y": None}),
        "words": maybe([], ["a"], ["b", "a", "b"], ["a,b", ""]),
        "owner": maybe("bob", "bob smith"),
    }


def fill_zoo(count: int) -> None:
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import Custom, Item, Keeper, Label, Marked, Node, Tag, Visit

    chooser = random.Random(7)
    session = Session()
    keepers = [Keeper(code=code, name=f"Keeper {code}") for code in ("a", "B", "ä", "x/y", "z z")]
    tags = [Tag(name=name) for name in ("big", "small", "Big", "wild")]
    session.add_all([*keepers, *tags])
    items = []
    for number in range(count):
        item = Item(
            **random_item(chooser, number),
            keeper=chooser.choice([None, *keepers]),
            tags=chooser.sample(tags, chooser.randrange(4)),
        )
        if chooser.random() < 0.3:
            item.label = Label(text=f"Label {number}")
        items.append(item)
    session.add_all(items)
    session.add_all(Visit(guest=f"Guest {n % 7}", item=chooser.choice(items)) for n in range(20))
    nodes = [Node(name=f"Node {n}") for n in range(12)]
    for node in nodes[1:]:
        node.parent = chooser.choice([None, *nodes[:3]])
    nodes[0].parent = None
    session.add_all(nodes)
    session.add_all(Custom(first=f"F{n}", last=f"L{n % 3}") for n in range(5))
    session.add_all(Marked(name=f"Marked {n % 4}") for n in range(9))
    transaction.commit()


def change_zoo(kind: str, number: int) -> None:
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import Item, Keeper, Label, Node, Tag, Visit

    chooser = random.Random(number)
    session = Session()

    def one(model: Any) -> Any:
        rows = session.query(model).order_by(getattr(model, model.pk_field())).all()
        return chooser.choice(rows) if rows else None

    item = one(Item)
    if kind == "create" or item is None:
        session.add(Item(**random_item(chooser, number), keeper=one(Keeper)))
    elif kind == "update":
        for name, value in random_item(chooser, number).items():
            setattr(item, name, value)
    elif kind == "move":
        item.keeper = one(Keeper)
        item.tags = [tag for tag in [one(Tag)] if tag is not None]
        item.label = Label(text=f"new {number}")
    elif kind == "rename":
        keeper, tag, node = one(Keeper), one(Tag), one(Node)
        if keeper is not None:
            keeper.name = f"Keeper {number}"
        if tag is not None:
            tag.items = [item]
        if node is not None:
            node.name = f"Node {number}"
            node.children = []
    elif kind == "delete":
        victim = one(chooser.choice([Item, Keeper, Visit, Tag]))
        if victim is not None:
            session.delete(victim)
    elif kind == "bulk":
        session.query(Item).filter(Item.id <= number % 60).update(
            {"keeper_code": chooser.choice([None, "a", "B"])}, synchronize_session=False
        )
    elif kind == "bulk-delete":
        session.query(Visit).filter(Visit.id == number % 30).delete(synchronize_session=False)
    transaction.commit() if number % 4 else transaction.abort()


@pytest.mark.every_primary
@settings(
    max_examples=ZOO_EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_random_requests_to_the_zoo(zoo_catalogue: Catalogue, data: Any) -> None:
    kind = data.draw(st.sampled_from([None, *WRITES]))
    if kind is not None:
        number = data.draw(st.integers(0, 100_000))
        try:
            change_zoo(kind, number)
        except Exception:
            transaction.abort()
            raise
    for _ in range(STEPS):
        zoo_catalogue.step(data)


@pytest.mark.every_primary
def test_the_mirror_answered_most_of_the_zoo(
    zoo_catalogue: Catalogue, record_property: Any
) -> None:
    comparison = zoo_catalogue.comparison
    record_property("compared", comparison.report("zoo"))
    assert comparison.by_mirror > comparison.requests / 4


def test_there_were_thousands_of_requests() -> None:
    assert examples(LEAST_REQUESTS) <= (FILM_EXAMPLES + ZOO_EXAMPLES) * STEPS
