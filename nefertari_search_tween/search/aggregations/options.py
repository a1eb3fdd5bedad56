"""Options of aggregations: checked, and turned from texts into what they are.

Every function here takes the place of the option (for messages) and its value as given: text,
list or object from a query string, anything from Python.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, Callable

from nefertari_search_tween.search.aggregations.context import FORBIDDEN, OptionPath, listed
from nefertari_search_tween.search.query import clauses
from nefertari_search_tween.search.query.clauses import SEARCHABLE, ValueMismatch

Option = Callable[[OptionPath, Any], Any]

MAX_TEXT = 255
# As many values as one option may list.
MAX_LISTED = 1000
NUMBERS = frozenset({"integer", "float", "boolean", "date", "time"})
DATES = frozenset({"date", "time"})
TEXTS = frozenset({"text", "keyword"})
SCRIPTS = frozenset({"script", "scripts", "params", "lang", "init_script", "map_script"})
_TRUTH = {"true": True, "false": False, "1": True, "0": False, "": True}


def text(place: OptionPath, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise place.bad("one text is expected")
    found = str(value)
    if not found or len(found) > MAX_TEXT:
        raise place.bad(f"a text of 1 to {MAX_TEXT} characters is expected")
    return found


def matching(pattern: str, shown: str) -> Option:
    """A text that the regular expression *pattern* matches."""
    compiled = re.compile(pattern, re.ASCII)

    def convert(place: OptionPath, value: Any) -> str:
        found = text(place, value)
        if not compiled.fullmatch(found):
            raise place.bad(f"'{found[:40]}' is not {shown}")
        return found

    return convert


def choice(*allowed: str) -> Option:
    def convert(place: OptionPath, value: Any) -> str:
        found = text(place, value)
        if found not in allowed:
            raise place.bad(f"'{found[:40]}' is none of {', '.join(allowed)}")
        return found

    return convert


def flag(place: OptionPath, value: Any) -> bool:
    found = value if isinstance(value, bool) else _TRUTH.get(str(value).lower())
    if found is None:
        raise place.bad(f"'{str(value)[:40]}' is neither true nor false")
    return found


def number(least: float = -math.inf, most: float = math.inf, above: float = -math.inf) -> Option:
    def convert(place: OptionPath, value: Any) -> float:
        if isinstance(value, (bool, list, dict)) or value is None:
            raise place.bad("one number is expected")
        try:
            found = float(value)
        except (ValueError, OverflowError):
            raise place.bad(f"'{str(value)[:40]}' is not a number") from None
        if math.isnan(found) or math.isinf(found):
            raise place.bad(f"'{str(value)[:40]}' is not a number")
        if not least <= found <= most or found <= above:
            raise place.bad(_bounds(least, most, above))
        return found

    return convert


def _bounds(least: float, most: float, above: float) -> str:
    low = f"above {above:g}" if above > -math.inf else f"at least {least:g}"
    if most == math.inf:
        return f"it must be {low}"
    return f"it must be {low} and at most {most:g}"


def whole(least: int, most: int = 2**31 - 1) -> Option:
    def convert(place: OptionPath, value: Any) -> int:
        if isinstance(value, (bool, float, list, dict)) or value is None:
            raise place.bad("one whole number is expected")
        try:
            found = int(value)
        except ValueError:
            raise place.bad(f"'{str(value)[:40]}' is not a whole number") from None
        if not least <= found <= most:
            raise place.bad(_bounds(least, most, -math.inf))
        return found

    return convert


def size(place: OptionPath, value: Any) -> int:
    """How many buckets; what all of them come to is bounded where they are known."""
    found: int = whole(0)(place, value)
    most = place.inquiry.settings.max_buckets
    if not 1 <= found <= most:
        raise place.bad(f"it must be 1 to {most} (nefertari_search.max_buckets)")
    return found


def min_doc_count(place: OptionPath, value: Any) -> int:
    """``min_doc_count`` of terms: with 0 a server lists terms of documents that the request does
    not find, of other people's and of deleted ones, too."""
    found = whole(0)(place, value)
    if found < 1:
        raise place.bad(
            "it is at least 1 here: with 0 the terms of documents that were not found "
            "would be listed, too"
        )
    return int(found)


def many(option: Option, commas: bool = False) -> Option:
    """A list: given as one, by numbered keys, as one member alone, or joined by commas."""

    def convert(place: OptionPath, value: Any) -> list[Any]:
        if commas and isinstance(value, str):
            value = [each.strip() for each in value.split(",") if each.strip()]
        members = listed(value)
        if not members or len(members) > MAX_LISTED:
            raise place.bad(f"a list of 1 to {MAX_LISTED} values is expected")
        if len(members) == 1 and not isinstance(value, (list, tuple)):
            return [option(place, members[0])]
        return [option(place.at(index), each) for index, each in enumerate(members)]

    return convert


def shape(options: dict[str, Option], required: Iterable[str] = ()) -> Option:
    """An object with these options."""

    def convert(place: OptionPath, value: Any) -> dict[str, Any]:
        return read(place, value, options, required)

    return convert


def read(
    place: OptionPath, value: Any, options: dict[str, Option], required: Iterable[str] = ()
) -> dict[str, Any]:
    """An object of *options*, each converted.

    :raises BadQuery: one is unknown, missing or bad; the message names it.
    """
    if value in ("", None):
        value = {}
    if not isinstance(value, dict):
        known = ", ".join(sorted(options)) or "nothing"
        raise place.bad(f"options are expected: {known}")
    for name in value:
        if name not in options:
            raise place.at(name).bad(_unknown(name, options))
    for name in required:
        if name not in value:
            raise place.at(name).bad("it is missing")
    # In the table's order: the field first, which other options are values of.
    return {
        name: option(place.at(name), value[name])
        for name, option in options.items()
        if name in value
    }


def _unknown(name: str, options: dict[str, Option]) -> str:
    if name in SCRIPTS or name.endswith("_script"):
        return "scripts are never run"
    known = ", ".join(sorted(options))
    return f"there is no such option; known are {known}" if known else "there are no options"


# Fields


def field(kinds: frozenset[str] = SEARCHABLE) -> Option:
    """The name of a field; texts are aggregated as whole values."""

    def convert(place: OptionPath, value: Any) -> str:
        return place.target(value, kinds).sort_key

    return convert


def words_field(place: OptionPath, value: Any) -> str:
    """The name of a text field, aggregated word by word."""
    return place.target(value, frozenset({"text"})).name


def path(place: OptionPath, value: Any) -> str:
    """Nested documents, by the name of their relationship."""
    found = text(place, value)
    target = place.named(f"{found}._pk")
    if target.kind == FORBIDDEN:
        return found
    if target.path != found:
        raise place.bad(f"'{found[:60]}' are no nested documents")
    return found


def field_value(place: OptionPath, value: Any) -> Any:
    """A value of the aggregation's own field, in the field's type."""
    target = place.targets[0] if place.targets else None
    if target is None or target.kind in (FORBIDDEN, "text", "keyword"):
        return text(place, value)
    if target.kind == "date":
        # Dates are read by the server, which knows the format.
        return text(place, value)
    if isinstance(value, (list, dict)) or value is None:
        raise place.bad("one value is expected")
    given = str(value).lower() if isinstance(value, bool) else str(value)
    try:
        return clauses.value(target, given)
    except ValueMismatch as error:
        raise place.bad(str(error)) from error


def chosen_terms(place: OptionPath, value: Any) -> Any:
    """``include`` and ``exclude``: a list of values, or one regular expression."""
    target = place.targets[0] if place.targets else None
    if isinstance(value, dict) and ("partition" in value or "num_partitions" in value):
        numbers = {"partition": whole(0), "num_partitions": whole(1)}
        return read(place, value, numbers, numbers)
    if isinstance(value, str) and target is not None and target.kind in TEXTS:
        if not place.inquiry.settings.allow_regular_expressions:
            raise place.bad(
                "one text is a regular expression, and these are off "
                "(nefertari_search.allow_regular_expressions); values are listed: give the "
                f"parameter once for each, or as {place.where}.0, {place.where}.1, ..."
            )
        return text(place, value)
    return many(field_value)(place, value)


# What is inside


def order(place: OptionPath, value: Any) -> list[dict[str, str]]:
    """The order of buckets: by ``_count``, ``_key`` or an aggregation inside."""
    found = []
    for each in listed(value):
        if isinstance(each, str):
            each = {each[1:]: "desc"} if each.startswith("-") else {each: "asc"}
        if not isinstance(each, dict) or not each:
            raise place.bad("what to order by is expected: _count, _key or an aggregation inside")
        for name, direction in flat(each).items():
            converted = choice("asc", "desc")(place.at(name), direction)
            # Their names before Elasticsearch 6.
            found.append({{"_term": "_key", "_time": "_key"}.get(name, name): converted})
    return found


def flat(value: dict[str, Any], before: str = "") -> dict[str, Any]:
    """An object of objects, as one whose names are joined by dots."""
    found: dict[str, Any] = {}
    for name, each in value.items():
        if isinstance(each, dict) and each:
            found.update(flat(each, f"{before}{name}."))
        else:
            found[f"{before}{name}"] = each
    return found


def sort(place: OptionPath, value: Any) -> list[dict[str, Any]]:
    """The order of documents: ``-year,title``, or objects of field and order."""
    found = []
    pieces: list[Any] = []
    for each in listed(value):
        pieces += each.split(",") if isinstance(each, str) else [each]
    for each in pieces:
        if isinstance(each, str):
            name = each.strip()
            each = {name.lstrip("+-"): "desc" if name.startswith("-") else "asc"}
        if not isinstance(each, dict) or not each:
            raise place.bad("fields are expected, joined by commas, - before one for descending")
        for name, direction in flat(each).items():
            if name.endswith(".order"):
                name = name[: -len(".order")]
            converted = choice("asc", "desc")(place.at(name), direction)
            if name == "_score":
                found.append({"_score": {"order": converted}})
                continue
            target = place.at(name).target(name)
            found.append({target.sort_key: {"order": converted, "missing": "_last"}})
    return found


def source(place: OptionPath, value: Any) -> Any:
    """Which fields of the documents of a ``top_hits`` are shown."""
    if isinstance(value, bool) or str(value).lower() in ("true", "false"):
        return flag(place, value)
    if not isinstance(value, dict):
        value = {"includes": value}
    # Their names before Elasticsearch 5.
    renamed = {
        {"include": "includes", "exclude": "excludes"}.get(k, k): v for k, v in value.items()
    }
    option = many(_shown, commas=True)
    return read(place, renamed, {"includes": option, "excludes": option})


def _shown(place: OptionPath, value: Any) -> str:
    seen = len(place.targets)
    place.named(value)
    # To be shown, a field need not be of the documents that are aggregated.
    del place.targets[seen:]
    return str(value)


def sources(types: dict[str, Option]) -> Option:
    """The sources of a ``composite``: each has a name, and one of *types* with its options."""

    def convert(place: OptionPath, value: Any) -> list[dict[str, Any]]:
        found = []
        for each in listed(value):
            if not isinstance(each, dict) or not each:
                raise place.bad(
                    "names are expected, each with a type and a field (0.year.terms.field)"
                )
            for name, spec in each.items():
                converted = read(place.at(name), spec, types)
                if len(converted) != 1:
                    raise place.at(name).bad(f"one of {', '.join(types)} is expected")
                found.append({name: converted})
        return found

    return convert


def after_key(place: OptionPath, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise place.bad("a value for each source is expected")
    return {
        name: None if each is None else text(place.at(name), each) for name, each in value.items()
    }
