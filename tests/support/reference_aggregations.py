"""Aggregations computed in Python, from what the primary database holds.

No part of the package and no search engine has a hand in it: what tests compare with.
"""

from __future__ import annotations

import datetime
import math
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any, Optional
from urllib.parse import quote

EPOCH = datetime.date(1970, 1, 1)
DAY = 86_400_000
NESTED = ("director", "genres")

Film = dict[str, Any]
#: a document (of a nested path, or a film), and the film that holds it
Unit = tuple[dict[str, Any], Film]


def films_of(directory: Path) -> list[Film]:
    """The films of the example's database, with director, genres and countries."""
    connection = sqlite3.connect(directory / "films.sqlite")
    connection.row_factory = sqlite3.Row
    people = {row["id"]: dict(row) for row in connection.execute("SELECT id, name FROM people")}
    genres = {row["id"]: dict(row) for row in connection.execute("SELECT id, name FROM genres")}
    films = {row["id"]: dict(row) for row in connection.execute("SELECT * FROM films ORDER BY id")}
    for film in films.values():
        film["director"] = people.get(film["director_id"])
        film["genres"], film["countries"] = [], []
        released = film["released"]
        film["released"] = None if released is None else datetime.date.fromisoformat(released)
    for film, genre in connection.execute("SELECT film_id, genre_id FROM film_genres"):
        films[film]["genres"].append(genres[genre])
    for film, country in connection.execute("SELECT film_id, country_id FROM film_countries"):
        films[film]["countries"].append(country)
    connection.close()
    return list(films.values())


def parameters(tree: Any, name: str = "_aggs") -> list[tuple[str, str]]:
    """A tree of aggregations as the parameters of a query string; lists by numbered keys."""
    if isinstance(tree, dict):
        if not tree:
            return [(name, "")]
        return [pair for key, each in tree.items() for pair in parameters(each, f"{name}.{key}")]
    if isinstance(tree, list):
        return parameters({str(at): each for at, each in enumerate(tree)}, name)
    if isinstance(tree, bool):
        return [(name, str(tree).lower())]
    return [(name, str(tree))]


def request(path: str, tree: Any, **params: str) -> str:
    """The request for *tree* of the collection at *path*."""
    pairs = [*params.items(), *parameters(tree)]
    return f"{path}?" + "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs)


# What Elasticsearch says that aggregations are


def aggregated(
    tree: dict[str, Any], units: list[Unit], path: Optional[str] = None
) -> dict[str, Any]:
    """The results of *tree* on documents of *path* (None: films)."""
    return {name: _one(spec, units, path) for name, spec in tree.items()}


def units_of(films: list[Film]) -> list[Unit]:
    return [(film, film) for film in films]


def _one(spec: dict[str, Any], units: list[Unit], path: Optional[str]) -> dict[str, Any]:
    inner = spec.get("aggs", {})
    ((kind, options),) = [(key, each) for key, each in spec.items() if key != "aggs"]
    field = options.get("field", "")
    at = field.partition(".")[0] if "." in field else None
    if kind in ("filter", "missing"):
        # Of documents of the path, where their own field is asked for; of films otherwise.
        at = path if kind == "missing" and at == path else None
        if kind == "filter":
            ((_, body),) = options.items()
            ((target, _),) = body.items()
            target = body["field"] if target == "field" else target
            at = path if "." in target and target.partition(".")[0] == path else None
        units = climbed(units, path, at)
        matches = [unit for unit in units if _passes(kind, options, unit, at)]
        return {"doc_count": len(matches), **aggregated(inner, matches, at)}
    units = climbed(units, path, at)
    name = field.rpartition(".")[2]
    if kind in _METRICS:
        values = [value for unit in units for value in values_of(unit[0], name)]
        return _METRICS[kind](values)
    buckets = _BUCKETS[kind](options, units, name)
    result = {**buckets, "buckets": []}
    for bucket, members in buckets["buckets"]:
        result["buckets"].append({**bucket, "doc_count": len(members)})
        result["buckets"][-1].update(aggregated(inner, members, at))
    return result


def climbed(units: list[Unit], path: Optional[str], at: Optional[str]) -> list[Unit]:
    """From documents of one path to those of another, by the films that hold them."""
    if path == at:
        return units
    films = list({id(film): film for _, film in units}.values())
    if at is None:
        return units_of(films)
    members = []
    for film in films:
        nested = film[at]
        nested = nested if isinstance(nested, list) else [nested] if nested is not None else []
        members += [(each, film) for each in nested]
    return members


def values_of(document: dict[str, Any], name: str) -> list[Any]:
    """The values of a field, as numbers or texts."""
    value = document[name]
    values = value if isinstance(value, list) else [] if value is None else [value]
    return [
        (each - EPOCH).days * DAY if isinstance(each, datetime.date) else each for each in values
    ]


def _passes(kind: str, options: dict[str, Any], unit: Unit, at: Optional[str]) -> bool:
    if kind == "missing":
        return not _values_at(unit, options["field"], at)
    ((query, body),) = options.items()
    if query == "exists":
        return bool(_values_at(unit, body["field"], at))
    ((field, operand),) = body.items()
    values = _values_at(unit, field, at)
    if query == "term":
        return operand in values
    assert query == "range"
    return any(
        operand.get("gte", -math.inf) <= value < operand.get("lt", math.inf) for value in values
    )


def _values_at(unit: Unit, field: str, at: Optional[str]) -> list[Any]:
    path, _, name = field.rpartition(".")
    if (path or None) == at:
        return values_of(unit[0], name)
    return [value for each in climbed([unit], at, path) for value in values_of(each[0], name)]


def _stats(values: list[Any]) -> dict[str, Any]:
    return {
        "count": len(values),
        "min": min(values, default=None),
        "max": max(values, default=None),
        "avg": math.fsum(values) / len(values) if values else None,
        "sum": math.fsum(values),
    }


_METRICS: dict[str, Any] = {
    "stats": _stats,
    "avg": lambda values: {"value": _stats(values)["avg"]},
    "sum": lambda values: {"value": _stats(values)["sum"]},
    "min": lambda values: {"value": _stats(values)["min"]},
    "max": lambda values: {"value": _stats(values)["max"]},
    "value_count": lambda values: {"value": len(values)},
    "cardinality": lambda values: {"value": len(set(values))},
}


def _grouped(units: list[Unit], name: str, key: Any) -> dict[Any, list[Unit]]:
    """Documents by key of their values; each once in a bucket."""
    groups: dict[Any, list[Unit]] = {}
    for unit in units:
        for each in {key(value) for value in values_of(unit[0], name)}:
            groups.setdefault(each, []).append(unit)
    return groups


def _terms(options: dict[str, Any], units: list[Unit], name: str) -> dict[str, Any]:
    groups = sorted(_grouped(units, name, lambda value: value).items())
    ordering = options.get("order", {"_count": "desc"})
    ((by, direction),) = ordering.items()
    if by == "_key":
        groups.sort(key=lambda group: group[0], reverse=direction == "desc")
    else:
        groups.sort(key=lambda group: len(group[1]), reverse=direction == "desc")
    size = options.get("size", 10)
    others = sum(len(members) for _, members in groups[size:])
    return {
        "doc_count_error_upper_bound": 0,
        "sum_other_doc_count": others,
        "buckets": [({"key": key}, members) for key, members in groups[:size]],
    }


def _histogram(options: dict[str, Any], units: list[Unit], name: str) -> dict[str, Any]:
    interval = options["interval"]
    groups = _grouped(units, name, lambda value: math.floor(value / interval))
    places = range(min(groups), max(groups) + 1) if groups else ()
    buckets = [({"key": at * interval}, groups.get(at, [])) for at in places]
    least = options.get("min_doc_count", 0)
    return {"buckets": [bucket for bucket in buckets if len(bucket[1]) >= least]}


def _date_histogram(options: dict[str, Any], units: list[Unit], name: str) -> dict[str, Any]:
    assert options["calendar_interval"] == "year"

    def start(millis: int) -> int:
        day = EPOCH + datetime.timedelta(days=millis // DAY)
        return (datetime.date(day.year, 1, 1) - EPOCH).days * DAY

    groups = _grouped(units, name, start)
    years = [(EPOCH + datetime.timedelta(days=at // DAY)).year for at in groups]
    buckets = []
    for year in range(min(years), max(years) + 1) if years else ():
        key = (datetime.date(year, 1, 1) - EPOCH).days * DAY
        bucket = {"key": key, "key_as_string": f"{year}-01-01T00:00:00.000Z"}
        buckets.append((bucket, groups.get(key, [])))
    return {"buckets": buckets}


def _range(options: dict[str, Any], units: list[Unit], name: str) -> dict[str, Any]:
    buckets = []
    for each in options["ranges"]:
        low, high = each.get("from", -math.inf), each.get("to", math.inf)
        members = [unit for unit in units if any(low <= v < high for v in values_of(unit[0], name))]
        buckets.append(({"key": each["key"], **_ends(each)}, members))
    return {"buckets": buckets}


def _ends(each: dict[str, Any]) -> dict[str, Any]:
    return {end: float(each[end]) for end in ("from", "to") if end in each}


_BUCKETS: dict[str, Any] = {
    "terms": _terms,
    "histogram": _histogram,
    "date_histogram": _date_histogram,
    "range": _range,
}


def same(actual: Any, expected: Any, where: str = "") -> None:
    """Assert that two results are the same, numbers to nine digits."""
    if isinstance(expected, dict):
        assert isinstance(actual, dict), (where, actual, expected)
        texts = {name for name in actual if name.endswith("_as_string")} - set(expected)
        assert set(actual) - texts == set(expected), (where, actual, expected)
        for name, each in expected.items():
            same(actual[name], each, f"{where}.{name}")
    elif isinstance(expected, list):
        assert len(actual) == len(expected), (where, actual, expected)
        for at, (one, other) in enumerate(zip(actual, expected)):
            same(one, other, f"{where}.{at}")
    elif isinstance(expected, float) or isinstance(actual, float):
        assert actual is not None and expected is not None, (where, actual, expected)
        assert math.isclose(actual, expected, rel_tol=1e-9, abs_tol=1e-9), (where, actual, expected)
    else:
        assert actual == expected, where


def counted(values: Any) -> list[tuple[Any, int]]:
    """Values and how often they are there, the most frequent first, ties by value."""
    return sorted(Counter(values).items(), key=lambda each: (-each[1], each[0]))
