"""The contents of a hit: its score, and the requested parts of its source."""

from __future__ import annotations

import fnmatch
import math
import struct
from typing import Any, Callable


def single_precision(score: float) -> float:
    """Return *score* in single precision, as Lucene computes it."""
    if not math.isfinite(score):
        return score
    return float(struct.unpack("f", struct.pack("f", score))[0])


def filter_source(source_filter: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return the function that reduces a source to what ``_source`` requests."""
    if source_filter is False:
        return lambda source: source
    excludes: list[str] = []
    if isinstance(source_filter, str):
        includes = [source_filter]
    elif isinstance(source_filter, list):
        includes = source_filter
    else:
        includes = _names(source_filter.get("includes", source_filter.get("include")))
        excludes = _names(source_filter.get("excludes", source_filter.get("exclude")))

    def pick(source: dict[str, Any]) -> dict[str, Any]:
        return _filtered(source, "", includes, excludes, not includes)

    return pick


def _names(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or [])


def _matches(name: str, patterns: list[str]) -> bool:
    return any(name == each or fnmatch.fnmatchcase(name, each) for each in patterns)


def _filtered(
    value: dict[str, Any], prefix: str, includes: list[str], excludes: list[str], all_in: bool
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, each in value.items():
        name = prefix + key
        if _matches(name, excludes):
            continue
        inside = all_in or _matches(name, includes)
        inner = any(
            pattern.startswith(name + ".") or "*" in pattern for pattern in includes + excludes
        )
        if isinstance(each, dict) and (inner or inside):
            part = _filtered(each, name + ".", includes, excludes, inside) if inner else each
            if part or inside:
                result[key] = part
        elif isinstance(each, list) and any(isinstance(item, dict) for item in each) and inner:
            parts = [
                _filtered(item, name + ".", includes, excludes, inside)
                if isinstance(item, dict)
                else item
                for item in each
            ]
            if inside or any(parts):
                result[key] = [part for part in parts if part or inside]
        elif inside:
            result[key] = each
    return result
