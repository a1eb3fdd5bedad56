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
from hypothesis import given
from hypothesis import strategies as st

from tests.apps.every_field.content import WRITES, change_zoo, fill_zoo, values_of
from tests.support import apps
from tests.support.compare_answers import Comparison
from tests.support.random_requests import LIMITS, Catalogue, drawn, paths_of, texts, zoo_paths
from tests.support.tiers import examples

pytestmark = [pytest.mark.every_backend, pytest.mark.on_servers_too]

FILM_EXAMPLES = examples(20)
ZOO_EXAMPLES = examples(65)
STEPS = 25
LEAST_REQUESTS = 2000

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


def change_films(kind: str, number: int) -> None:
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


@pytest.mark.thorough
@drawn(FILM_EXAMPLES)
@given(data=st.data())
def test_random_requests_to_the_films(film_catalogue: Catalogue, data: Any) -> None:
    film_catalogue.change_and_compare(data, WRITES, change_films, STEPS)


@pytest.mark.thorough
def test_the_mirror_answered_most_of_them(film_catalogue: Catalogue, record_property: Any) -> None:
    comparison = film_catalogue.comparison
    record_property("compared", comparison.report("films"))
    assert comparison.requests >= FILM_EXAMPLES * STEPS
    # Bad parameters and what only the database can do are asked, too; the rest is ours.
    assert comparison.by_mirror > comparison.requests / 3


# The zoo: every field class, every form of relationship


@pytest.fixture(scope="module")
def zoo_catalogue(primary_url: str, backend_url: str, module_prefix: str) -> Iterator[Catalogue]:
    app = apps.zoo(primary_url, backend_url, f"{module_prefix}-zoo")
    fill_zoo(60)

    from tests.apps.every_field import models

    ordered = {"/pens": models.Pen, "/rounds": models.Round, "/meals": models.Meal}
    paths = paths_of({**zoo_paths(models), **ordered}, values_of)
    transaction.abort()
    comparison = Comparison(app, frozenset({"items", "tags", "children", "rounds"}), opaque="thing")
    yield Catalogue(comparison, paths, LIMITS)
    apps.forget_sessions()


@pytest.mark.every_primary
@drawn(ZOO_EXAMPLES)
@given(data=st.data())
def test_random_requests_to_the_zoo(zoo_catalogue: Catalogue, data: Any) -> None:
    zoo_catalogue.change_and_compare(data, WRITES, change_zoo, STEPS)


@pytest.mark.every_primary
def test_the_mirror_answered_most_of_the_zoo(
    zoo_catalogue: Catalogue, record_property: Any
) -> None:
    comparison = zoo_catalogue.comparison
    record_property("compared", comparison.report("zoo"))
    assert comparison.by_mirror > comparison.requests / 4


def test_there_were_thousands_of_requests() -> None:
    assert examples(LEAST_REQUESTS) <= (FILM_EXAMPLES + ZOO_EXAMPLES) * STEPS
