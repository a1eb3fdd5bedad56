"""films-load: fill the catalogue with the 17,472 films of bokeh_sampledata (CC0)."""

import argparse
import sqlite3
import sys
import time
from collections import namedtuple
from datetime import date, datetime
from importlib.util import find_spec
from pathlib import Path

from pyramid.paster import bootstrap, setup_logging
from pyramid.scripts.common import parse_vars

QUERY = """
    SELECT omdb.ID AS id, imdbID AS imdb_id, Title AS title, Year AS year,
           omdb.Rating AS rating, Runtime AS runtime, Released AS released,
           Metacritic AS metacritic, Meter AS meter,
           tomatoes.Rating AS tomato_rating, Reviews AS reviews, Fresh AS fresh,
           BoxOffice AS box_office, Oscars AS oscars, Awards AS awards,
           "Cast" AS cast_names, Writer AS writer, Language AS language,
           Production AS production, omdb.lastUpdated AS updated,
           Director AS directors, Genre AS genres, Country AS countries
    FROM omdb JOIN tomatoes ON tomatoes.ID = omdb.ID
    ORDER BY omdb.ID
"""

Catalogue = namedtuple("Catalogue", "films people genres countries film_genres film_countries")


def data_file():
    """Path of the data; the package is found, not imported (it needs bokeh)."""
    spec = find_spec("bokeh_sampledata")
    if spec is None:
        sys.exit("the data is missing: pip install --no-deps bokeh_sampledata")
    return Path(spec.origin).parent / "_data" / "movies.db"


def names(text):
    """'Drama, Crime' -> ['Drama', 'Crime'], each name once."""
    return list(dict.fromkeys(n.strip() for n in (text or "").split(",") if n.strip()))


def read_catalogue(path):
    """Read the data file into a Catalogue of row dictionaries, one list per table.

    Film ids are the source's; people, genres and countries are numbered in
    the order of their names, so every load gives the same ids.
    """
    source = sqlite3.connect(path.resolve().as_uri() + "?mode=ro", uri=True)
    source.row_factory = sqlite3.Row
    rows = [dict(row) for row in source.execute(QUERY)]
    source.close()

    for row in rows:
        row["director"] = next(iter(names(row.pop("directors"))), None)
        row["genres"] = names(row["genres"])
        row["countries"] = names(row["countries"])

    people = numbered(row["director"] for row in rows if row["director"])
    genres = numbered(name for row in rows for name in row["genres"])
    countries = numbered(name for row in rows for name in row["countries"])

    films, film_genres, film_countries = [], [], []
    for row in rows:
        film_genres += [
            {"film_id": row["id"], "genre_id": genres[name]} for name in row.pop("genres")
        ]
        film_countries += [
            {"film_id": row["id"], "country_id": countries[name]} for name in row.pop("countries")
        ]
        row["cast"] = row.pop("cast_names") or None
        row["director_id"] = people.get(row.pop("director"))
        row["released"] = date.fromisoformat(row["released"])
        row["updated"] = datetime.fromisoformat(row["updated"])
        if row["box_office"] is not None:
            row["box_office"] = round(row["box_office"])
        films.append(row)

    return Catalogue(
        films,
        *([{"id": i, "name": n} for n, i in d.items()] for d in (people, genres, countries)),
        film_genres,
        film_countries,
    )


def numbered(items):
    """Map each distinct name to its number, from 1, in sorted order."""
    return {name: number for number, name in enumerate(sorted(set(items)), 1)}


def insert(session, catalogue):
    """Insert the catalogue with one statement per table."""
    from films import models

    tables = models.Film.metadata.tables
    for table, rows in (
        ("people", catalogue.people),
        ("genres", catalogue.genres),
        ("countries", catalogue.countries),
        ("films", catalogue.films),
        ("film_genres", catalogue.film_genres),
        ("film_countries", catalogue.film_countries),
    ):
        session.execute(tables[table].insert(), rows)


def main(argv=None):
    parser = argparse.ArgumentParser(description="Create the films database and fill it.")
    parser.add_argument("ini", help="the application's ini file")
    parser.add_argument("vars", nargs="*", metavar="key=value", help="values for the ini file")
    args = parser.parse_args(argv)
    options = parse_vars(args.vars)

    setup_logging(args.ini, options)
    environment = bootstrap(args.ini, options=options)  # creates the tables
    try:
        load()
    finally:
        environment["closer"]()


def load():
    """Fill the database of the running application, all or nothing."""
    # Models exist once the application runs.
    from films.models import ON_SQL

    if not ON_SQL:
        load_mongodb()
        return
    import transaction
    from pyramid_sqlalchemy import Session
    from zope.sqlalchemy import mark_changed

    from films.models import Film

    with transaction.manager:
        session = Session()
        database = session.get_bind().url
        count = session.query(Film).count()
        if count:
            print(f"{database}: {count:,} films are there already, nothing to load")
            return
        started = time.monotonic()
        catalogue = read_catalogue(data_file())
        insert(session, catalogue)
        mark_changed(session)  # plain inserts do not tell the transaction
    print(
        f"{database}: {len(catalogue.films):,} films, {len(catalogue.people):,} people, "
        f"{len(catalogue.genres)} genres, {len(catalogue.countries)} countries "
        f"loaded in {time.monotonic() - started:.1f} s"
    )


def load_mongodb():
    """Fill the MongoDB database of the running application."""
    from bson import ObjectId

    from films.models import Country, Film, Genre, Person

    count = Film.objects.count()
    if count:
        print(f"{count:,} films are there already, nothing to load")
        return
    started = time.monotonic()
    catalogue = read_catalogue(data_file())

    def key(number):
        """The number as an ObjectId, so every load gives the same ids."""
        return ObjectId(f"{number:024x}")

    related = {}
    for field, rows in (
        ("genres", [(row["film_id"], row["genre_id"]) for row in catalogue.film_genres]),
        ("countries", [(row["film_id"], row["country_id"]) for row in catalogue.film_countries]),
    ):
        for film, other in rows:
            related.setdefault((field, film), []).append(key(other))
    directed = {}
    films = []
    for row in catalogue.films:
        row = dict(row)
        number, director = row.pop("id"), row.pop("director_id")
        film = Film(**{name: value for name, value in row.items() if value is not None}).to_mongo()
        film["_id"] = key(number)
        for field in ("genres", "countries"):
            film[field] = sorted(related.get((field, number), []))
        if director is not None:
            film["director"] = key(director)
            directed.setdefault(director, []).append(film["_id"])
        films.append(film)
    for model, documents in (
        (Genre, [{"_id": key(row["id"]), "name": row["name"]} for row in catalogue.genres]),
        (Country, [{"_id": key(row["id"]), "name": row["name"]} for row in catalogue.countries]),
        (
            Person,
            [
                {"_id": key(row["id"]), "name": row["name"], "films": directed.get(row["id"], [])}
                for row in catalogue.people
            ],
        ),
        (Film, films),
    ):
        # As they are, without the model: what was loaded is mirrored by a rebuild.
        model._get_collection().insert_many(documents)
    print(
        f"{Film._get_db().name}: {len(catalogue.films):,} films, {len(catalogue.people):,} people, "
        f"{len(catalogue.genres)} genres, {len(catalogue.countries)} countries "
        f"loaded in {time.monotonic() - started:.1f} s"
    )


if __name__ == "__main__":
    main()
