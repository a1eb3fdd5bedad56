"""Options of aggregations: checked, and converted from texts.

Every option takes its path (for messages) and its value: text, list or object from a query
string, anything from Python.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Callable

from nefertari_search_tween.search.aggregations.context import (
    FORBIDDEN,
    OptionPath,
    as_list,
    split_list,
)
from nefertari_search_tween.search.aggregations.request import flatten
from nefertari_search_tween.search.query import clauses
from nefertari_search_tween.search.query.clauses import SEARCHABLE, ValueMismatch

Option = Callable[[OptionPath, Any], Any]

MAX_TEXT = 255
# The maximum number of values in one option.
MAX_LISTED = 1000
NUMBERS = frozenset({"integer", "float", "boolean", "date", "time"})
DATES = frozenset({"date", "time"})
TEXTS = frozenset({"text", "keyword"})
SCRIPTS = frozenset({"script", "scripts", "params", "lang", "init_script", "map_script"})
_TRUTH = {"true": True, "false": False, "1": True, "0": False, "": True}


def text(param: OptionPath, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise param.error("one text is expected")
    string = str(value)
    if not string or len(string) > MAX_TEXT:
        raise param.error(f"a text of 1 to {MAX_TEXT} characters is expected")
    return string


def matching(pattern: str, expected: str) -> Option:
    """Return an option for texts that the regular expression *pattern* matches."""
    compiled = re.compile(pattern, re.ASCII)

    def convert(param: OptionPath, value: Any) -> str:
        string = text(param, value)
        if not compiled.fullmatch(string):
            raise param.error(f"'{string[:40]}' is not {expected}")
        return string

    return convert


def choice(*allowed: str) -> Option:
    def convert(param: OptionPath, value: Any) -> str:
        string = text(param, value)
        if string not in allowed:
            raise param.error(f"'{string[:40]}' is none of {', '.join(allowed)}")
        return string

    return convert


def flag(param: OptionPath, value: Any) -> bool:
    truth = value if isinstance(value, bool) else _TRUTH.get(str(value).lower())
    if truth is None:
        raise param.error(f"'{str(value)[:40]}' is neither true nor false")
    return truth


def number(low: float = -math.inf, high: float = math.inf, above: float = -math.inf) -> Option:
    def convert(param: OptionPath, value: Any) -> float:
        if isinstance(value, (bool, list, dict)) or value is None:
            raise param.error("one number is expected")
        try:
            result = float(value)
        except (ValueError, OverflowError):
            raise param.error(f"'{str(value)[:40]}' is not a number") from None
        if math.isnan(result) or math.isinf(result):
            raise param.error(f"'{str(value)[:40]}' is not a number")
        if not low <= result <= high or result <= above:
            raise param.error(_bounds(low, high, above))
        return result

    return convert


def _bounds(low: float, high: float, above: float) -> str:
    lower = f"above {above:g}" if above > -math.inf else f"at least {low:g}"
    if high == math.inf:
        return f"it must be {lower}"
    return f"it must be {lower} and at most {high:g}"


def whole(low: int, high: int = 2**31 - 1) -> Option:
    def convert(param: OptionPath, value: Any) -> int:
        if isinstance(value, (bool, float, list, dict)) or value is None:
            raise param.error("one whole number is expected")
        try:
            result = int(value)
        except ValueError:
            raise param.error(f"'{str(value)[:40]}' is not a whole number") from None
        if not low <= result <= high:
            raise param.error(_bounds(low, high, -math.inf))
        return result

    return convert


def size(param: OptionPath, value: Any) -> int:
    """Convert a number of buckets; their total is limited where all sizes are known."""
    count: int = whole(0)(param, value)
    maximum = param.context.settings.max_buckets
    if not 1 <= count <= maximum:
        raise param.error(f"it must be 1 to {maximum} (nefertari_search.max_buckets)")
    return count


def min_doc_count(param: OptionPath, value: Any) -> int:
    """Convert ``min_doc_count`` of terms: with 0 a server also lists terms of documents that the
    request does not match, that the caller may not see, or that were deleted."""
    count = whole(0)(param, value)
    if count < 1:
        raise param.error(
            "it is at least 1 here: with 0 the terms of documents that were not found "
            "would be listed, too"
        )
    return int(count)


def many(option: Option, commas: bool = False) -> Option:
    """Return an option for a list: as such, by numbered keys, as a single member, or joined by
    commas."""

    def convert(param: OptionPath, value: Any) -> list[Any]:
        if commas and isinstance(value, str):
            value = [each.strip() for each in value.split(",") if each.strip()]
        members = as_list(value)
        if not members or len(members) > MAX_LISTED:
            raise param.error(f"a list of 1 to {MAX_LISTED} values is expected")
        if len(members) == 1 and not isinstance(value, (list, tuple)):
            return [option(param, members[0])]
        return [option(param.at(index), each) for index, each in enumerate(members)]

    return convert


def shape(options: Mapping[str, Option], required: Iterable[str] = ()) -> Option:
    """Return an option for an object with *options*."""

    def convert(param: OptionPath, value: Any) -> dict[str, Any]:
        return read(param, value, options, required)

    return convert


def read(
    param: OptionPath, value: Any, options: Mapping[str, Option], required: Iterable[str] = ()
) -> dict[str, Any]:
    """Convert an object of *options*.

    :raises BadQuery: an option is unknown, missing or bad; the message names it.
    """
    if value in ("", None):
        value = {}
    if not isinstance(value, dict):
        names = ", ".join(sorted(options)) or "nothing"
        raise param.error(f"options are expected: {names}")
    for name in value:
        if name not in options:
            raise param.at(name).error(_unknown(name, options))
    for name in required:
        if name not in value:
            raise param.at(name).error("it is missing")
    # In the table's order: the field first, because other options are values of it.
    return {
        name: option(param.at(name), value[name])
        for name, option in options.items()
        if name in value
    }


def _unknown(name: str, options: Mapping[str, Option]) -> str:
    if name in SCRIPTS or name.endswith("_script"):
        return "scripts are never run"
    names = ", ".join(sorted(options))
    return f"there is no such option; known are {names}" if names else "there are no options"


# Fields


def field(kinds: frozenset[str] = SEARCHABLE) -> Option:
    """Return an option for the name of a field; texts are aggregated as whole values."""

    def convert(param: OptionPath, value: Any) -> str:
        return param.resolve_field(value, kinds).sort_key

    return convert


def words_field(param: OptionPath, value: Any) -> str:
    """Convert the name of a text field that is aggregated by term."""
    return param.resolve_field(value, frozenset({"text"})).name


def path(param: OptionPath, value: Any) -> str:
    """Convert the name of a relationship to the path of its nested documents."""
    name = text(param, value)
    target = param.resolve_name(f"{name}._pk")
    if target.kind == FORBIDDEN:
        return name
    if target.path != name:
        raise param.error(f"'{name[:60]}' are no nested documents")
    return name


def field_value(param: OptionPath, value: Any) -> Any:
    """Convert a value to the type of the aggregation's own field."""
    target = param.targets[0] if param.targets else None
    if target is None or target.kind in (FORBIDDEN, "text", "keyword"):
        return text(param, value)
    if target.kind == "date":
        # The server parses dates, because it knows the format.
        return text(param, value)
    if isinstance(value, (list, dict)) or value is None:
        raise param.error("one value is expected")
    string = str(value).lower() if isinstance(value, bool) else str(value)
    try:
        return clauses.value(target, string)
    except ValueMismatch as error:
        raise param.error(str(error)) from error


def chosen_terms(param: OptionPath, value: Any) -> Any:
    """Convert ``include`` and ``exclude``: a list of values, or one regular expression."""
    target = param.targets[0] if param.targets else None
    if isinstance(value, dict) and ("partition" in value or "num_partitions" in value):
        numbers = {"partition": whole(0), "num_partitions": whole(1)}
        return read(param, value, numbers, numbers)
    if isinstance(value, str) and target is not None and target.kind in TEXTS:
        if not param.context.settings.allow_regular_expressions:
            raise param.error(
                "one text is a regular expression, and these are off "
                "(nefertari_search.allow_regular_expressions); values are listed: give the "
                f"parameter once for each, or as {param.where}.0, {param.where}.1, ..."
            )
        return text(param, value)
    return many(field_value)(param, value)


# What is inside


def order(param: OptionPath, value: Any) -> list[dict[str, str]]:
    """Convert the order of buckets: by ``_count``, ``_key`` or a sub-aggregation."""
    orders = []
    for each in as_list(value):
        if isinstance(each, str):
            each = {each[1:]: "desc"} if each.startswith("-") else {each: "asc"}
        if not isinstance(each, dict) or not each:
            raise param.error("what to order by is expected: _count, _key or an aggregation inside")
        for name, direction in flatten(each).items():
            converted = choice("asc", "desc")(param.at(name), direction)
            # Their names before Elasticsearch 6.
            orders.append({{"_term": "_key", "_time": "_key"}.get(name, name): converted})
    return orders


def sort(param: OptionPath, value: Any) -> list[dict[str, Any]]:
    """Convert the order of documents: ``-year,title``, or objects of field and order."""
    sorts = []
    for each in split_list(value):
        if isinstance(each, str):
            name = each.strip()
            each = {name.lstrip("+-"): "desc" if name.startswith("-") else "asc"}
        if not isinstance(each, dict) or not each:
            raise param.error("fields are expected, joined by commas, - before one for descending")
        for name, direction in flatten(each).items():
            if name.endswith(".order"):
                name = name[: -len(".order")]
            converted = choice("asc", "desc")(param.at(name), direction)
            if name == "_score":
                sorts.append({"_score": {"order": converted}})
                continue
            target = param.at(name).resolve_field(name)
            sorts.append({target.sort_key: {"order": converted, "missing": "_last"}})
    return sorts


def source(param: OptionPath, value: Any) -> Any:
    """Convert the fields that the documents of a ``top_hits`` contain."""
    if isinstance(value, bool) or str(value).lower() in ("true", "false"):
        return flag(param, value)
    if not isinstance(value, dict):
        value = {"includes": value}
    # Their names before Elasticsearch 5.
    renamed = {
        {"include": "includes", "exclude": "excludes"}.get(k, k): v for k, v in value.items()
    }
    option = many(_source_field, commas=True)
    return read(param, renamed, {"includes": option, "excludes": option})


def _source_field(param: OptionPath, value: Any) -> str:
    count = len(param.targets)
    param.resolve_name(value)
    # It need not be a field of the aggregated documents.
    del param.targets[count:]
    return str(value)


def sources(types: dict[str, Option]) -> Option:
    """Return an option for the sources of a ``composite``: each has a name, and one of *types*
    with its options."""

    def convert(param: OptionPath, value: Any) -> list[dict[str, Any]]:
        result = []
        for each in as_list(value):
            if not isinstance(each, dict) or not each:
                raise param.error(
                    "names are expected, each with a type and a field (0.year.terms.field)"
                )
            for name, spec in each.items():
                converted = read(param.at(name), spec, types)
                if len(converted) != 1:
                    raise param.at(name).error(f"one of {', '.join(types)} is expected")
                result.append({name: converted})
        return result

    return convert


def after_key(param: OptionPath, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise param.error("a value for each source is expected")
    return {
        name: None if each is None else text(param.at(name), each) for name, each in value.items()
    }
