"""Pages of search reads, of one model or several (``_start``, ``_limit``, ``_page``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

from nefertari_search_tween.exceptions import BadQuery


class Page(NamedTuple):
    """The part of the results that is returned; all from *start* on if *limit* is None."""

    start: int
    limit: Optional[int]


def parse_page(params: Mapping[str, Any], window: int) -> Page:
    """Return the page that *params* specify.

    :param window: maximum of start + limit.
    :raises BadQuery: a value is no number or too large, or two parameters exclude each other.
    """
    limit, start, page = (_number(params, name) for name in ("_limit", "_start", "_page"))
    if start is not None and page is not None:
        raise BadQuery("_page", "_start and _page can't be given at the same time")
    if limit is None:
        return Page(start or 0, None)
    first = start if start is not None else (page or 0) * limit
    if first + limit > window:
        raise BadQuery(
            "_page" if page is not None else "_start" if start is not None else "_limit",
            f"a search shows its first {window} results only (nefertari_search.max_result_window)",
        )
    return Page(first, limit)


def _number(params: Mapping[str, Any], name: str) -> Optional[int]:
    value = params.get(name)
    if value is None:
        return None
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise BadQuery(name, f"'{str(value)[:40]}' is not a whole number") from None
    if number < 0:
        raise BadQuery(name, "it can't be negative")
    return number
