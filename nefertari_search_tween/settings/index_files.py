"""Files of index settings: read, checked, and put into one form."""

from __future__ import annotations

import json
import re
from typing import Any

from nefertari_search_tween.backends.analysis import flat_settings

# What servers set by themselves. This package reads whole indices in chunks that are larger than
# the pages that an application may want to allow.
SMALLEST_WINDOW = 10_000
_ANALYZER = re.compile(r"[\w.-]+\Z")


def window_settings(max_result_window: int) -> dict[str, Any]:
    """The index settings for requests whose ``_start`` + ``_limit`` is at most that."""
    return {"index.max_result_window": max(max_result_window, SMALLEST_WINDOW)}


class IndexFile(dict[str, Any]):
    """Index settings under their full names (``index.number_of_shards``).

    :ivar path: the file that they come from, empty for no file.
    """

    path = ""


def index_file(text: str) -> IndexFile:
    """Read the file *text*: a JSON object of index settings, as an index is created with them.

    They may stand under ``settings``, as in that request, with or without ``index.`` before
    each name.

    :raises ValueError: says which key of the file is wrong.
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
        raise ValueError(f"{text} must hold one JSON object of index settings")
    if "settings" in content:
        others = sorted(set(content) - {"settings"})
        if others:
            raise ValueError(
                f"'{others[0]}' stands beside 'settings': the file holds index settings alone, "
                "mappings and aliases come from the models"
            )
        content = content["settings"]
        if not isinstance(content, dict):
            raise ValueError("'settings' must be a JSON object")
    for key, value in content.items():
        if key in ("mappings", "aliases"):
            raise ValueError(f"'{key}' is no index setting: it comes from the models")
        flat = flat_settings({key: value})
        twice = sorted(set(flat) & set(result))
        if twice:
            raise ValueError(f"'{twice[0]}' is set twice")
        result.update(flat)
    result.path = text
    return result


def analyzer(text: str) -> str:
    """The name of an analyzer; empty for the index's own default."""
    if text and not _ANALYZER.match(text):
        raise ValueError("must be the name of an analyzer")
    return text


def required_analyzer(text: str) -> str:
    """The same where a name is needed."""
    if not text:
        raise ValueError("must be the name of an analyzer")
    return analyzer(text)


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of a JSON file; of a key that stands twice one value would be lost."""
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"'{key}' stands twice in one object")
        result[key] = value
    return result
