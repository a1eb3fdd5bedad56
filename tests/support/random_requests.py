"""Random requests to an application, asked of the mirror and of the primary."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from tests.support.compare_answers import Comparison

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
    fields: dict[str, list[str]], limits: list[str]
) -> st.SearchStrategy[list[tuple[str, str]]]:
    """Random parameters over *fields* (name -> values that occur; none for relationships).

    :param limits: values of _limit; without one the pages are of 20.
    """
    columns = [name for name, values in sorted(fields.items()) if values]
    column = st.sampled_from(columns)
    # One name in twenty is no column: a relationship, or nothing at all.
    odd = st.sampled_from([name for name in sorted(fields) if not fields[name]] + UNKNOWN)
    any_name = _rarely(odd, column, 20)

    def filters(name: str) -> st.SearchStrategy[tuple[str, str]]:
        occurring = st.sampled_from(fields.get(name) or ["1"])
        junk = st.sampled_from(JUNK) | st.text(max_size=8)
        value = _rarely(junk, occurring, 10)
        return st.tuples(st.just(name), value.filter(lambda text: "\x00" not in text))

    sign = _rarely(st.sampled_from(["+", "--"]), st.sampled_from(["", "-"]), 15)
    sort = st.tuples(sign, any_name).map("".join)
    sorts = st.lists(sort, min_size=1, max_size=3).map(lambda each: ("_sort", ",".join(each)))
    pick = st.tuples(st.sampled_from(["", "", "", "", "-"]), any_name).map("".join)
    picks = st.lists(pick, min_size=1, max_size=4).map(lambda each: ("_fields", ",".join(each)))

    def page(name: str) -> st.SearchStrategy[tuple[str, str]]:
        return st.tuples(st.just(name), st.sampled_from(limits if name == "_limit" else OFFSETS))

    def sometimes(part: Any, one_of: int = 3) -> st.SearchStrategy[Any]:
        return _rarely(st.tuples(part), st.just(()), one_of)

    both = st.sampled_from([("_start", "1"), ("_page", "1")])
    return st.tuples(
        st.lists(any_name.flatmap(filters), max_size=2),
        sometimes(sorts),
        sometimes(picks),
        _rarely(st.just(()), st.tuples(page("_limit")), 4),
        sometimes(st.one_of(page("_start"), page("_page"), both)),
        sometimes(st.just(("_count", "")), 10),
    ).map(lambda parts: [pair for part in parts for pair in part])


def _rarely(rare: Any, usual: Any, one_of: int) -> st.SearchStrategy[Any]:
    """Draw from *rare* one time of *one_of*, otherwise from *usual*."""
    # Not zero: that is what the first example is made of.
    return st.integers(1, one_of).flatmap(lambda number: rare if number == one_of else usual)


def texts(values: Any) -> list[str]:
    """Values of the database as a caller writes them."""
    return sorted({str(value) for value in values if value is not None})[:200] or [""]


def paths_of(
    models: Mapping[str, Any], values_of: Callable[[Any], dict[str, list[str]]]
) -> dict[str, tuple[str, dict[str, list[str]]]]:
    """What can be asked of each of *models* (path -> model): its primary key and its fields.

    :param values_of: returns the fields of a model, with values that occur.
    """
    return {path: (model.pk_field(), values_of(model)) for path, model in models.items()}


def zoo_paths(models: Any) -> dict[str, Any]:
    """The collections that the zoos on SQL and on MongoDB both have.

    :param models: the module with them.
    """
    return {
        "/items": models.Item,
        "/keepers": models.Keeper,
        "/tags": models.Tag,
        "/visits": models.Visit,
        "/nodes": models.Node,
        "/customs": models.Custom,
        "/marked": models.Marked,
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
        self.strategies = {path: requests(fields, limits) for path, (_, fields) in paths.items()}

    def step(self, data: Any) -> None:
        # The first path is the richest.
        paths = [*self.paths, *[next(iter(self.paths))] * len(self.paths)]
        path = data.draw(st.sampled_from(paths))
        params = data.draw(self.strategies[path])
        self.comparison.check(path, params, self.paths[path][0])

    def change_and_compare(
        self, data: Any, writes: list[str], change: Callable[[str, int], None], steps: int
    ) -> None:
        """Make one of *writes*, or none, then compare what *steps* requests answer."""
        kind = data.draw(st.sampled_from([None, *writes]))
        if kind is not None:
            change(kind, data.draw(st.integers(0, 100_000)))
        for _ in range(steps):
            self.step(data)


def drawn(count: int) -> Any:
    """Settings of hypothesis: *count* examples, the same in each run."""
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
