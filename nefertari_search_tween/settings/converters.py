"""Texts of an ini file -> values. Each raises ValueError with what is allowed."""

from __future__ import annotations

from typing import Any, Callable

from pyramid.settings import asbool, aslist


def one_of(*allowed: str) -> Callable[[str], str]:
    """A converter of words that takes *allowed* only."""

    def convert(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"must be one of: {', '.join(allowed)}")
        return text

    return convert


def flag(text: str) -> bool:
    """True or false, in the words that Pyramid takes."""
    if text.strip().lower() not in {"true", "false", "yes", "no", "on", "off", "1", "0", ""}:
        raise ValueError("must be true or false")
    return bool(asbool(text))


def number(kind: Callable[[str], Any], low: float, high: float) -> Callable[[str], Any]:
    """A converter of numbers between *low* and *high*.

    :param kind: int or float.
    """

    def convert(text: str) -> Any:
        value = kind(text)
        if not low <= value <= high:
            raise ValueError(f"must be between {low} and {high}")
        return value

    return convert


def names(text: str) -> tuple[str, ...]:
    """Words, separated by white space or commas."""
    return tuple(name.strip() for part in aslist(text) for name in part.split(",") if name.strip())
