"""The catalogue's models.

To be imported after ``nefertari.engine`` was included, as every nefertari model.
"""

from datetime import datetime

from nefertari import engine as eng
from nefertari.engine import BaseDocument, ESBaseDocument

#: The database is one of tables; else it is MongoDB.
ON_SQL = BaseDocument.__module__.startswith("nefertari_sqla")
if ON_SQL:
    from films import sql

RATINGS = ["G", "GP", "M", "M/PG", "PG", "PG-13", "R", "NC-17", "X"]


class Genre(ESBaseDocument):
    __tablename__ = "genres"

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField(required=True, unique=True, max_length=50)


class Country(ESBaseDocument):
    __tablename__ = "countries"

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField(required=True, unique=True, max_length=100)


class Film(ESBaseDocument):
    __tablename__ = "films"

    # `countries` is left out: it stays a list of ids.
    _nested_relationships = ("director", "genres")

    id = eng.IdField(primary_key=True)
    imdb_id = eng.StringField(max_length=20, index=True)
    title = eng.UnicodeField(required=True, max_length=200)
    year = eng.IntegerField(index=True)
    rating = eng.ChoiceField(choices=RATINGS, help_text="US content rating")
    runtime = eng.FloatField(help_text="minutes")
    released = eng.DateField()
    metacritic = eng.SmallIntegerField(help_text="0 to 100")
    meter = eng.IntegerField(help_text="percentage of critics who liked it")
    tomato_rating = eng.DecimalField(precision=3, scale=1, help_text="0 to 10")
    reviews = eng.IntegerField()
    fresh = eng.IntegerField(help_text="reviews that liked it")
    box_office = eng.BigIntegerField(help_text="US dollars")
    oscars = eng.IntegerField(help_text="Oscars won")
    awards = eng.TextField()
    cast = eng.UnicodeTextField()
    writer = eng.UnicodeTextField()
    language = eng.StringField(max_length=200)
    production = eng.UnicodeTextField()
    updated = eng.DateTimeField(help_text="UTC")

    director_id = eng.ForeignKeyField(
        ref_document="Person",
        ref_column="people.id",
        ref_column_type=eng.IdField,
        ref_ondelete="NULLIFY",
        index=True,
    )
    genres = eng.Relationship(document="Genre", secondary="film_genres", order_by="Genre.id")
    countries = eng.Relationship(
        document="Country", secondary="film_countries", order_by="Country.id"
    )


class Person(ESBaseDocument):
    # After Film: nefertari_mongodb adds `director` to it here.
    __tablename__ = "people"

    id = eng.IdField(primary_key=True)
    name = eng.UnicodeField(required=True, index=True, max_length=200)
    films = eng.Relationship(document="Film", order_by="Film.id", backref_name="director")


def parse_datetime(new_value, **_):
    """Field processor: what the API prints for a date or a time -> datetime."""
    if not isinstance(new_value, str):
        return new_value
    for form in ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"):
        try:
            return datetime.strptime(new_value, form)
        except ValueError:
            continue
    raise ValueError(new_value)


def parse_date(new_value, **_):
    """Field processor: as parse_datetime, but a date."""
    value = parse_datetime(new_value)
    return value.date() if isinstance(value, datetime) else value


def includeme(config):
    # SQLite takes dates, not the strings of a JSON body.
    config.include("nefertari")
    config.add_field_processors([parse_date], model=Film, field="released")
    config.add_field_processors([parse_datetime], model=Film, field="updated")
    if ON_SQL:
        sql.includeme(config)
