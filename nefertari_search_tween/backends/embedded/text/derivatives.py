"""Regular expressions as values, and their derivatives by a character.

An expression is a tuple: ``("none",)``, ``("empty",)``, ``("set", ranges, negated)``,
``("seq", a, b)``, ``("or", frozenset)``, ``("and", frozenset)``, ``("not", a)``,
``("star", a)``. The derivative of an expression by a character is what the rest of a text must
match (Brzozowski, Derivatives of Regular Expressions, 1964); complement and intersection, which
Lucene has, cost nothing extra this way.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

Expression = tuple[Any, ...]
NONE: Expression = ("none",)
EMPTY: Expression = ("empty",)
ANY: Expression = ("set", (), True)
ALL: Expression = ("star", ANY)


def character(char: str) -> Expression:
    return ("set", ((char, char),), False)


def wildcard(text: str) -> Expression:
    """Parse a wildcard pattern: ``*`` any characters, ``?`` one, ``\\`` escapes the next."""
    parts: list[Expression] = []
    chars = iter(text)
    for char in chars:
        if char == "*":
            parts.append(ALL)
        elif char == "?":
            parts.append(ANY)
        else:
            if char == "\\":
                char = next(chars, "\\")
            parts.append(character(char))
    return sequence(parts)


def sequence(parts: Sequence[Expression]) -> Expression:
    result = EMPTY
    for part in reversed(parts):
        result = concatenated(part, result)
    return result


def concatenated(first: Expression, second: Expression) -> Expression:
    if NONE in (first, second):
        return NONE
    if first == EMPTY:
        return second
    if second == EMPTY:
        return first
    if first[0] == "seq":
        return concatenated(first[1], concatenated(first[2], second))
    if first == ALL and second[0] == "seq" and second[1] == ALL:
        return second
    return ("seq", first, second)


def either(first: Expression, second: Expression) -> Expression:
    return _combined("or", NONE, ALL, (first, second))


def common(first: Expression, second: Expression) -> Expression:
    return _combined("and", ALL, NONE, (first, second))


def _combined(
    kind: str, neutral: Expression, absorbing: Expression, pair: tuple[Expression, Expression]
) -> Expression:
    parts: set[Expression] = set()
    for each in pair:
        parts |= each[1] if each[0] == kind else {each}
    if absorbing in parts:
        return absorbing
    parts.discard(neutral)
    if not parts:
        return neutral
    return parts.pop() if len(parts) == 1 else (kind, frozenset(parts))


def complement(inner: Expression) -> Expression:
    if inner[0] == "not":
        return inner[1]
    return ALL if inner == NONE else NONE if inner == ALL else ("not", inner)


def repeated(inner: Expression) -> Expression:
    return inner if inner[0] == "star" else EMPTY if inner in (NONE, EMPTY) else ("star", inner)


def nullable(part: Expression) -> bool:
    kind = part[0]
    if kind == "seq":
        return nullable(part[1]) and nullable(part[2])
    if kind == "or":
        return any(nullable(each) for each in part[1])
    if kind == "and":
        return all(nullable(each) for each in part[1])
    if kind == "not":
        return not nullable(part[1])
    return kind in ("empty", "star")


def derivative(part: Expression, chars: str) -> Expression:
    """Return what must follow one character.

    :param chars: the character, in one or both of its cases.
    """
    kind = part[0]
    if kind == "set":
        inside = any(low <= char <= high for low, high in part[1] for char in chars)
        return EMPTY if inside != part[2] else NONE
    if kind == "seq":
        after = concatenated(derivative(part[1], chars), part[2])
        return either(after, derivative(part[2], chars)) if nullable(part[1]) else after
    if kind == "star":
        return concatenated(derivative(part[1], chars), part)
    if kind == "or":
        return reduce(either, (derivative(each, chars) for each in part[1]), NONE)
    if kind == "and":
        return reduce(common, (derivative(each, chars) for each in part[1]), ALL)
    if kind == "not":
        return complement(derivative(part[1], chars))
    return NONE
