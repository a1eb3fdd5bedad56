"""Converters of texts in an ini file. Each raises ValueError with the allowed values."""

from __future__ import annotations

import re
from typing import Callable, Optional, TypeVar

from pyramid.settings import asbool, aslist

Number = TypeVar("Number", int, float)


def one_of(*allowed: str) -> Callable[[str], str]:
    """Return a converter that accepts *allowed* words only."""

    def convert(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"must be one of: {', '.join(allowed)}")
        return text

    return convert


def flag(text: str) -> bool:
    """Convert true or false, in the words that Pyramid accepts."""
    if text.strip().lower() not in {"true", "false", "yes", "no", "on", "off", "1", "0", ""}:
        raise ValueError("must be true or false")
    return bool(asbool(text))


def number(kind: Callable[[str], Number], low: Number, high: Number) -> Callable[[str], Number]:
    """Return a converter of numbers between *low* and *high*.

    :param kind: int or float.
    """

    def convert(text: str) -> Number:
        value = kind(text)
        if not low <= value <= high:
            raise ValueError(f"must be between {low} and {high}")
        return value

    return convert


def optional(convert: Callable[[str], Number]) -> Callable[[str], Optional[Number]]:
    """Return *convert* with an empty text for None."""
    return lambda text: convert(text) if text else None


def names(text: str) -> tuple[str, ...]:
    """Convert words that are separated by white space or commas."""
    return tuple(name.strip() for part in aslist(text) for name in part.split(",") if name.strip())


def members(text: str) -> tuple[str, ...]:
    """Convert the same to names of members of models."""
    result = names(text)
    if not all(re.fullmatch(r"\w+\.\w+", name) for name in result):
        raise ValueError("must be members of models (Shelf.boxes), joined by commas")
    return result


def dotted_names(text: str) -> tuple[str, ...]:
    """Convert the same to dotted names of code, as :mod:`logging` and tracebacks write them."""
    result = names(text)
    if not all(re.fullmatch(r"[\w.<>]+", name) for name in result):
        raise ValueError("must be dotted names (package.module.Class.method), joined by commas")
    return result


def tags(text: str) -> tuple[str, str]:
    """Convert the text before a match and that behind it, which are joined by a bar."""
    before, bar, after = text.partition("|")
    if not bar or "|" in after:
        raise ValueError("must be two texts joined by a bar (<em>|</em>)")
    return before, after
