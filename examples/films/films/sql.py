"""What the catalogue needs of a SQL database beside its models: tables between films and others."""

import sqlite3

from pyramid_sqlalchemy import BaseObject, metadata
from sqlalchemy import Column, ForeignKey, Integer, Table, event


def association(name, column, target):
    """A many-to-many table between films and `target`."""
    return Table(
        name,
        BaseObject.metadata,
        Column(
            "film_id",
            Integer,
            ForeignKey("films.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        Column(
            column,
            Integer,
            ForeignKey(target, ondelete="CASCADE"),
            primary_key=True,
            index=True,
        ),
    )


association("film_genres", "genre_id", "genres.id")
association("film_countries", "country_id", "countries.id")


def enforce_foreign_keys(connection, _record):
    """SQLite heeds ON DELETE only in connections that ask for it."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA foreign_keys = ON")


def includeme(config):
    event.listen(metadata.bind, "connect", enforce_foreign_keys)
