"""``_after``: walks through all results, page by page, however many there are.

A page begins behind the sort keys of the one before it, the last of which is the primary key: so
rows that come and go move no other row, and each that is there throughout is on exactly one page,
if it keeps its keys. Nothing is kept between two pages. A cursor holds these keys and how the text
of a search box was looked for; the search itself is made of each request anew, with the rights of
its caller, so a cursor that somebody changes shows nothing that another request would not.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Optional
from urllib.parse import urlencode

from nefertari_search_tween.exceptions import BadQuery
from nefertari_search_tween.search.box.query import Attempt
from nefertari_search_tween.search.context import AFTER, FLAG
from nefertari_search_tween.search.query.clauses import ABSENT
from nefertari_search_tween.search.query.fields import FieldScope, SearchField
from nefertari_search_tween.search.query.sorting import SortKey

START = "start"
_VERSION = 1
# What may differ between two pages of one walk.
_OF_PAGES = frozenset({AFTER, FLAG, "_limit"})
_VALUES = (str, int, float, bool, type(None))


class Position(NamedTuple):
    """Where a page begins.

    :param keys: the sort keys of the last hit of each model; None: before its first one.
    :param attempt: how the text of a search box is looked for.
    """

    keys: tuple[Optional[list[Any]], ...]
    attempt: Attempt


def parse_after(params: Mapping[str, Any]) -> Optional[Position]:
    """Return where the page begins that *params* ask for; None at the beginning.

    :raises BadQuery: it is no cursor, or that of another search; or the page has no limit.
    """
    if params.get("_limit") is None:
        raise BadQuery(AFTER, "a walk has pages: _limit is missing")
    for name in ("_start", "_page"):
        if name in params:
            raise BadQuery(name, f"{AFTER} says where the page begins")
    text = params[AFTER]
    if not isinstance(text, str):
        raise BadQuery(AFTER, "given more than once")
    if text in ("", START):
        return None
    try:
        content = json.loads(base64.urlsafe_b64decode(text.encode("ascii")))
        version, digest, keys, attempt = content
        position = Position(tuple(keys), Attempt(*attempt))
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise BadQuery(AFTER, f"'{text[:40]}' is no cursor ({START} begins a walk)") from None
    if version != _VERSION or digest != _digest(params):
        raise BadQuery(AFTER, "the cursor is that of another search")
    if not _is_sound(position):
        raise BadQuery(AFTER, "the cursor has been changed")
    return position


def _is_sound(position: Position) -> bool:
    needed, counting, most_words, similar, joined, text = position.attempt
    numbers = all(type(each) is int and each > 0 for each in (needed or 1, most_words))
    flags = counting is False and isinstance(similar, bool) and isinstance(joined, bool)
    keys = all(
        each is None or (isinstance(each, list) and all(isinstance(key, _VALUES) for key in each))
        for each in position.keys
    )
    return numbers and flags and keys and text is None


def require_readable_order(
    keys: Iterable[SortKey], scope: FieldScope, readable: FieldScope
) -> None:
    """Check that a cursor, which holds the values that a page is sorted by, shows nothing hidden.

    :param keys: of the order.
    :param scope: the fields that the order may name.
    :param readable: those that the caller may see.
    :raises BadQuery: it would; the message names no field, which a view may have chosen.
    """
    for name, _ in keys:
        if _is_present(scope.get(name)) and not _is_present(readable.get(name)):
            raise BadQuery(AFTER, "not in this order, which is not visible: name one by _sort")


def _is_present(target: Optional[SearchField]) -> bool:
    return target is not None and target.kind != ABSENT


def behind(position: Position, parts: Sequence[Any]) -> list[Any]:
    """Return the searches *parts*, of one model each, for the hits behind *position*.

    :raises BadQuery: it is none of this search.
    """
    if len(position.keys) != len(parts):
        raise BadQuery(AFTER, "the cursor is that of another search")
    result = []
    for part, keys in zip(parts, position.keys):
        if keys is not None and len(keys) != len(part.body["sort"]):
            raise BadQuery(AFTER, "the cursor is that of another search")
        body = part.body if keys is None else {**part.body, "search_after": keys}
        result.append(replace(part, body=body))
    return result


def cursor_behind(
    params: Mapping[str, Any],
    hits: Sequence[dict[str, Any]],
    before: Optional[Position],
    models: int,
    attempt: Attempt,
) -> str:
    """Return the cursor behind the *hits* of a page.

    :param before: where the page began.
    :param models: number of the models that are searched.
    """
    keys = list(before.keys) if before is not None else [None] * models
    for hit in hits:
        keys[hit.get("part", 0)] = hit["sort"]
    content = [_VERSION, _digest(params), keys, list(attempt)]
    text = json.dumps(content, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode()


def next_link(http_request: Any, cursor: str) -> str:
    """Return the URL of the page at *cursor*, and add it to the headers of the response."""
    params = [(name, each) for name, each in http_request.GET.items() if name != AFTER]
    url = f"{http_request.path_url}?{urlencode([*params, (AFTER, cursor)])}"

    def add_link(request: Any, response: Any) -> None:
        response.headers.add("Link", f'<{url}>; rel="next"')

    http_request.add_response_callback(add_link)
    return url


def _digest(params: Mapping[str, Any]) -> str:
    texts = sorted((name, str(each)) for name, each in params.items() if name not in _OF_PAGES)
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]
