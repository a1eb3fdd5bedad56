"""What a hit shows: its score, and the parts of its source that were asked for."""

from __future__ import annotations

import fnmatch
import math
import struct
from typing import Any, Callable


def single(score: float) -> float:
    """In single precision, as Lucene has it."""
    if not math.isfinite(score):
        return score
    return float(struct.unpack("f", struct.pack("f", score))[0])


def picker(chosen: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What ``_source`` asks for, as a function of the whole source."""
    if chosen is False:
        return lambda source: source
    excludes: list[str] = []
    if isinstance(chosen, str):
        includes = [chosen]
    elif isinstance(chosen, list):
        includes = chosen
    else:
        includes = _names(chosen.get("includes", chosen.get("include")))
        excludes = _names(chosen.get("excludes", chosen.get("exclude")))

    def pick(source: dict[str, Any]) -> dict[str, Any]:
        return _picked(source, "", includes, excludes, not includes)

    return pick


def _names(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or [])


def _fits(name: str, patterns: list[str]) -> bool:
    return any(name == each or fnmatch.fnmatchcase(name, each) for each in patterns)


def _picked(
    value: dict[str, Any], prefix: str, includes: list[str], excludes: list[str], all_in: bool
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, each in value.items():
        name = prefix + key
        if _fits(name, excludes):
            continue
        inside = all_in or _fits(name, includes)
        inner = any(
            pattern.startswith(name + ".") or "*" in pattern for pattern in includes + excludes
        )
        if isinstance(each, dict) and (inner or inside):
            part = _picked(each, name + ".", includes, excludes, inside) if inner else each
            if part or inside:
                result[key] = part
        elif isinstance(each, list) and any(isinstance(item, dict) for item in each) and inner:
            parts = [
                _picked(item, name + ".", includes, excludes, inside)
                if isinstance(item, dict)
                else item
                for item in each
            ]
            if inside or any(parts):
                result[key] = [part for part in parts if part or inside]
        elif inside:
            result[key] = each
    return result
