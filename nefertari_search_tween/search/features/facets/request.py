"""Reads ``_facets``: ``genres.name,year:5,released:month,box_office:ranges(..1000,1000..)``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, Optional

from nefertari_search_tween.exceptions import BadQuery
from nefertari_search_tween.search.context import FACETS
from nefertari_search_tween.settings.settings import Settings

#: values of a facet that does not say how many
DEFAULT_SIZE = 10
#: parts of dates that dates are counted by, with the format of the values: filters take these
INTERVALS = {"year": "yyyy", "month": "yyyy-MM", "day": "yyyy-MM-dd"}
DEFAULT_INTERVAL = "year"
_PART = re.compile(r"(?P<name>[^:(),]+)(?::(?P<option>[^:(),]+)(?:\((?P<ranges>[^()]*)\))?)?\Z")


class Range(NamedTuple):
    """A range of values, with its bounds as they are written.

    :param low: included; None for no bound.
    :param high: excluded; None for no bound.
    """

    low: Optional[str]
    high: Optional[str]

    @property
    def filter_text(self) -> str:
        """Return the range as the value of a filter."""
        return f"[{self.low or '*'} TO {self.high or '*'}{']' if self.high is None else '}'}"


class Facet(NamedTuple):
    """A requested facet.

    :param name: of the field, as the caller writes it.
    :param size: number of values, at most; None if it is not said.
    :param interval: a key of :data:`INTERVALS`, for dates.
    :param ranges: to count instead of values.
    """

    name: str
    size: Optional[int] = None
    interval: str = ""
    ranges: tuple[Range, ...] = ()

    @property
    def limit(self) -> int:
        """Return the maximum number of values."""
        return self.size or DEFAULT_SIZE


def parse_facets(value: object, settings: Settings) -> list[Facet]:
    """Return the facets that the parameter asks for, each field once.

    :raises BadQuery: it is malformed, or asks for more buckets than are allowed.
    """
    if not isinstance(value, str):
        raise BadQuery(FACETS, "given more than once")
    facets: dict[str, Facet] = {}
    for facet in map(_facet, _parts(value)):
        if facets.setdefault(facet.name, facet) != facet:
            raise BadQuery(FACETS, f"'{facet.name[:60]}' is counted in two ways: one is expected")
    if not facets:
        raise BadQuery(FACETS, "names of fields are expected")
    if sum(len(each.ranges) or each.limit for each in facets.values()) > settings.max_buckets:
        raise BadQuery(
            FACETS, f"more than {settings.max_buckets} values (nefertari_search.max_buckets)"
        )
    return list(facets.values())


def _parts(text: str) -> Iterator[str]:
    """Yield the parts of *text* between commas outside of parentheses."""
    for match in re.finditer(r"(?:[^,(]|\([^)]*\)?)+", text):
        if match[0].strip():
            yield match[0].strip()


def _facet(text: str) -> Facet:
    match = _PART.match(text)
    if match is None:
        raise BadQuery(
            FACETS,
            f"'{text[:60]}' is none (genres.name, year:5, released:month, "
            "box_office:ranges(..1000,1000..5000,5000..))",
        )
    name, option, ranges = match["name"].strip(), match["option"], match["ranges"]
    if option is None:
        return Facet(name)
    if option == "ranges" and ranges is not None:
        return Facet(name, ranges=tuple(_range(each) for each in ranges.split(",")))
    if option in INTERVALS and ranges is None:
        return Facet(name, interval=option)
    if option.isdecimal() and ranges is None and int(option) > 0:
        return Facet(name, size=int(option))
    raise BadQuery(
        FACETS,
        f"'{text[:60]}': after the colon, a number of values, {', '.join(INTERVALS)} or "
        "ranges(..1000,1000..) are expected",
    )


def _range(text: str) -> Range:
    low, dots, high = text.strip().partition("..")
    if not dots or not (low or high):
        raise BadQuery(FACETS, f"'{text[:40]}' is no range (..1000, 1000..5000, 5000..)")
    return Range(low.strip() or None, high.strip() or None)
