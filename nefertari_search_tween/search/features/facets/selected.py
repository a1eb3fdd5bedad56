"""Which values of a facet the request filters by."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from nefertari_search_tween.search.context import as_values
from nefertari_search_tween.search.query.search_request import SearchRequest

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def selected_texts(request: SearchRequest, names: Iterable[str]) -> set[str]:
    """Return the values of the filters *names*, alternatives apart."""
    texts = [str(each) for name in names for each in as_values(request.params[name])]
    return {part for text in texts for part in _alternatives(text.strip())}


def _alternatives(text: str) -> set[str]:
    text = " ".join(text.split())
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1].strip()
    # Inside of quotes OR is a word: the text is also taken as a whole.
    return {_plain(part) for part in (text, *text.split(" OR "))}


def _plain(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    return _ESCAPED.sub(r"\1", text).lower()


def is_selected(value: Any, texts: set[str]) -> bool:
    """Return True if the facet's *value* is one of *texts*, the values of filters: upper and lower
    case are the same, as for the filter."""
    if str(value).lower() in texts:
        return True
    return not isinstance(value, (bool, str)) and any(_is_number(value, text) for text in texts)


def _is_number(value: float, text: str) -> bool:
    try:
        return float(text) == value
    except ValueError:
        return False
