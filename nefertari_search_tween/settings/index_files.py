"""What settings say of the indices: their files, read and checked, analyzers, search fields."""

from __future__ import annotations

import json
import re
from typing import Any

from nefertari_search_tween.backends.analysis import flat_settings
from nefertari_search_tween.documents.search_fields import WeightedName, parse_search_fields

# The servers' default. This package reads whole indices in chunks, which may be larger than the
# pages that an application allows.
MIN_RESULT_WINDOW = 10_000
_ANALYZER = re.compile(r"[\w.-]+\Z")


class IndexFile(dict[str, Any]):
    """Index settings under their full names (``index.number_of_shards``).

    :ivar path: of the file that contains them, empty for no file.
    """

    path = ""

    def with_window(self, max_result_window: int) -> IndexFile:
        """Return these settings for requests up to that ``_start`` + ``_limit``, unless they have
        their own window."""
        window = max(max_result_window, MIN_RESULT_WINDOW)
        result = IndexFile({"index.max_result_window": window, **self})
        result.path = self.path
        return result


def index_file(text: str) -> IndexFile:
    """Read the file *text*: a JSON object of index settings, as in a request to create an index.

    They may be below ``settings``, as in that request, with or without ``index.`` before each
    name.

    :raises ValueError: the message names the wrong key.
    """
    result = IndexFile()
    if not text:
        return result
    try:
        with open(text, encoding="utf-8") as handle:
            content = json.load(handle, object_pairs_hook=_reject_duplicates)
    except (OSError, ValueError) as error:
        raise ValueError(f"can't read the index settings: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{text} must contain one JSON object of index settings")
    if "settings" in content:
        others = sorted(set(content) - {"settings"})
        if others:
            raise ValueError(
                f"'{others[0]}' is beside 'settings': the file may contain index settings only, "
                "mappings and aliases come from the models"
            )
        content = content["settings"]
        if not isinstance(content, dict):
            raise ValueError("'settings' must be a JSON object")
    for key, value in content.items():
        if key in ("mappings", "aliases"):
            raise ValueError(f"'{key}' is not an index setting: it comes from the models")
        flat = flat_settings({key: value})
        twice = sorted(set(flat) & set(result))
        if twice:
            raise ValueError(f"'{twice[0]}' is set twice")
        result.update(flat)
    result.path = text
    return result


def analyzer(text: str) -> str:
    """Return the name of an analyzer, empty for the index's own default."""
    if text and not _ANALYZER.match(text):
        raise ValueError("must be the name of an analyzer")
    return text


def required_analyzer(text: str) -> str:
    """Return the name of an analyzer, which must not be empty."""
    if not text:
        raise ValueError("must be the name of an analyzer")
    return analyzer(text)


def search_fields(text: str) -> tuple[WeightedName, ...]:
    """Return names of fields with weights: ``title^5, director.name^3, cast``."""
    fields = parse_search_fields(text.split(","))
    if not fields:
        raise ValueError("must be names of fields, with weights or without: title^5, cast")
    return fields


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of a JSON file; json would ignore the first value of a repeated key."""
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"'{key}' is repeated in one object")
        result[key] = value
    return result
