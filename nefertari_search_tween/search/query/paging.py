"""``_start``, ``_limit`` and ``_page``: read once, for searches of one model and of several."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

from nefertari_search_tween.exceptions import BadQuery


class Page(NamedTuple):
    """Which results a search shows; a *limit* of None: all from *start* on."""

    start: int
    limit: Optional[int]


def parse_page(params: dict[str, Any], window: int) -> Page:
    """The page that *params* ask for.

    :param window: largest start + limit that one search may ask for.
    :raises BadQuery: a number that is none, or too large; two that contradict each other.
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


def _number(params: dict[str, Any], name: str) -> Optional[int]:
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
