"""Which terms of a vocabulary fit a pattern, or lie within some edits of a word.

Patterns are Lucene's (RegExp, WildcardQuery), matched against the whole term. They run as
automata, never by backtracking, so that no pattern can take more time than terms times its
size; the sorted vocabulary is walked as a trie, so that a prefix is looked at once.

A regular expression is matched by its derivatives (Brzozowski 1964): the derivative of an
expression by a character is what the rest of the term must match. Complement and intersection,
which Lucene has, cost nothing extra this way.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Sequence
from typing import Any, Optional, Protocol

from nefertari_search_tween.backends.embedded.errors import refused

# Derivatives of one pattern; more is a pattern that explodes.
MAX_STATES = 10_000
_LAST = "\U0010ffff"


class Automaton(Protocol):
    """Reads a term character by character. A state is hashable, None is the dead one."""

    start: Any

    def step(self, state: Any, char: str) -> Any: ...

    def accepts(self, state: Any) -> bool: ...


def matching(vocabulary: Sequence[str], automaton: Automaton) -> list[str]:
    """The terms of the sorted *vocabulary* that *automaton* accepts."""
    found: list[str] = []
    states: list[Any] = [automaton.start]
    previous = ""
    index, end = 0, len(vocabulary)
    while index < end:
        term = vocabulary[index]
        shared = _shared(previous, term, len(states) - 1)
        del states[shared + 1 :]
        state = states[shared]
        dead = False
        for char in term[shared:]:
            state = automaton.step(state, char)
            if state is None:
                dead = True
                break
            states.append(state)
        previous = term
        if dead:
            # No term with this beginning can match.
            prefix = term[: len(states)]
            index = bisect_left(vocabulary, prefix + _LAST, index + 1)
            continue
        if automaton.accepts(state):
            found.append(term)
        index += 1
    return found


def _shared(left: str, right: str, most: int) -> int:
    count = 0
    for one, other in zip(left[:most], right):
        if one != other:
            break
        count += 1
    return count


class Edits:
    """Within *most* insertions, deletions, replacements and swaps of neighbours of *word*.

    A state is the last two rows of the optimal string alignment table, and the last character.
    """

    def __init__(self, word: str, most: int) -> None:
        self.word = word
        self.most = most
        self.start = (None, tuple(range(len(word) + 1)), "")

    def step(self, state: Any, char: str) -> Any:
        before, last, previous = state
        row = [last[0] + 1]
        word = self.word
        for column in range(1, len(last)):
            cost = word[column - 1] != char
            value = min(last[column] + 1, row[column - 1] + 1, last[column - 1] + cost)
            if (
                before is not None
                and column > 1
                and word[column - 1] == previous
                and word[column - 2] == char
            ):
                value = min(value, before[column - 2] + 1)
            row.append(value)
        if min(row) > self.most and min(last) > self.most - 1:
            return None
        return (last, tuple(row), char)

    def accepts(self, state: Any) -> bool:
        return bool(state[1][-1] <= self.most)

    def distance(self, term: str) -> int:
        """Edits between the word and *term* (which is within them)."""
        state = self.start
        for char in term:
            state = self.step(state, char)
        return int(state[1][-1])


# Regular expressions. An expression is a tuple: ("none",), ("empty",), ("set", chars, negated),
# ("seq", a, b), ("or", frozenset), ("and", frozenset), ("not", a), ("star", a).

Expression = tuple[Any, ...]
NONE: Expression = ("none",)
EMPTY: Expression = ("empty",)
ANY: Expression = ("set", (), True)
ALL: Expression = ("star", ANY)


class Pattern:
    """A wildcard pattern or regular expression.

    :param ignore_case: letters match both their cases.
    """

    def __init__(self, expression: Expression, ignore_case: bool = False) -> None:
        self.start: Hashable = expression
        self.ignore_case = ignore_case
        self._steps: dict[tuple[Any, str], Any] = {}
        self._accepting: dict[Any, bool] = {}

    def step(self, state: Any, char: str) -> Any:
        key = (state, char)
        if key not in self._steps:
            if len(self._steps) > MAX_STATES * 8:
                self._steps.clear()
            self._steps[key] = self._step(state, char)
        return self._steps[key]

    def _step(self, state: Any, char: str) -> Any:
        after = _derivative(state, char)
        if self.ignore_case:
            for other in {char.lower(), char.upper()} - {char}:
                if len(other) == 1:
                    after = _or(after, _derivative(state, other))
        return None if after == NONE else after

    def accepts(self, state: Any) -> bool:
        if state not in self._accepting:
            self._accepting[state] = _nullable(state)
        return self._accepting[state]


def wildcard(text: str) -> Expression:
    """``*`` any characters, ``?`` one, ``\\`` takes the next as it is."""
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
            parts.append(("set", ((char, char),), False))
    return _sequence(parts)


def literal_prefix(text: str, special: str) -> str:
    """The beginning of *text* before anything *special*."""
    for index, char in enumerate(text):
        if char in special:
            return text[:index]
    return text


def _sequence(parts: Sequence[Expression]) -> Expression:
    result = EMPTY
    for part in reversed(parts):
        result = _seq(part, result)
    return result


def _seq(first: Expression, second: Expression) -> Expression:
    if NONE in (first, second):
        return NONE
    if first == EMPTY:
        return second
    if second == EMPTY:
        return first
    if first[0] == "seq":
        return _seq(first[1], _seq(first[2], second))
    if first == ALL and second[0] == "seq" and second[1] == ALL:
        return second
    return ("seq", first, second)


def _or(first: Expression, second: Expression) -> Expression:
    parts: set[Expression] = set()
    for each in (first, second):
        parts |= each[1] if each[0] == "or" else {each}
    parts.discard(NONE)
    if ALL in parts:
        return ALL
    if not parts:
        return NONE
    return parts.pop() if len(parts) == 1 else ("or", frozenset(parts))


def _and(first: Expression, second: Expression) -> Expression:
    parts: set[Expression] = set()
    for each in (first, second):
        parts |= each[1] if each[0] == "and" else {each}
    if NONE in parts:
        return NONE
    parts.discard(ALL)
    if not parts:
        return ALL
    return parts.pop() if len(parts) == 1 else ("and", frozenset(parts))


def _not(inner: Expression) -> Expression:
    if inner[0] == "not":
        return inner[1]
    return ALL if inner == NONE else NONE if inner == ALL else ("not", inner)


def _star(inner: Expression) -> Expression:
    return inner if inner[0] == "star" else EMPTY if inner in (NONE, EMPTY) else ("star", inner)


def _nullable(part: Expression) -> bool:
    kind = part[0]
    if kind == "seq":
        return _nullable(part[1]) and _nullable(part[2])
    if kind == "or":
        return any(_nullable(each) for each in part[1])
    if kind == "and":
        return all(_nullable(each) for each in part[1])
    if kind == "not":
        return not _nullable(part[1])
    return kind in ("empty", "star")


def _derivative(part: Expression, char: str) -> Expression:
    kind = part[0]
    if kind == "set":
        inside = any(low <= char <= high for low, high in part[1])
        return EMPTY if inside != part[2] else NONE
    if kind == "seq":
        after = _seq(_derivative(part[1], char), part[2])
        return _or(after, _derivative(part[2], char)) if _nullable(part[1]) else after
    if kind == "star":
        return _seq(_derivative(part[1], char), part)
    if kind == "or":
        result = NONE
        for each in part[1]:
            result = _or(result, _derivative(each, char))
        return result
    if kind == "and":
        result = ALL
        for each in part[1]:
            result = _and(result, _derivative(each, char))
        return result
    if kind == "not":
        return _not(_derivative(part[1], char))
    return NONE


class _Parser:
    """Lucene's syntax of regular expressions, all of its optional operators included."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def parse(self) -> Expression:
        if not self.text:
            return EMPTY
        result = self.union()
        if self.at < len(self.text):
            raise self.wrong(f"unexpected '{self.text[self.at]}'")
        return result

    def wrong(self, problem: str) -> Exception:
        return refused(f"regular expression '{self.text[:80]}' at {self.at}: {problem}")

    def peek(self, chars: str) -> bool:
        return self.at < len(self.text) and self.text[self.at] in chars

    def take(self, char: str) -> bool:
        if self.peek(char):
            self.at += 1
            return True
        return False

    def next(self) -> str:
        if self.at >= len(self.text):
            raise self.wrong("it ends too early")
        self.at += 1
        return self.text[self.at - 1]

    def union(self) -> Expression:
        result = self.intersection()
        while self.take("|"):
            result = _or(result, self.intersection())
        return result

    def intersection(self) -> Expression:
        result = self.concatenation()
        while self.take("&"):
            result = _and(result, self.concatenation())
        return result

    def concatenation(self) -> Expression:
        parts = []
        while self.at < len(self.text) and not self.peek(")|&"):
            parts.append(self.repetition())
        return _sequence(parts)

    def repetition(self) -> Expression:
        result = self.complement()
        while self.peek("?*+{"):
            sign = self.next()
            if sign == "?":
                result = _or(result, EMPTY)
            elif sign == "*":
                result = _star(result)
            elif sign == "+":
                result = _seq(result, _star(result))
            else:
                result = self.times(result)
        return result

    def times(self, inner: Expression) -> Expression:
        least = self.number()
        most: Optional[int] = least
        if self.take(","):
            most = self.number() if self.peek("0123456789") else None
        if not self.take("}"):
            raise self.wrong("expected '}'")
        if least > 255 or (most or 0) > 255:
            raise self.wrong("more than 255 repetitions")
        tail: Expression = _star(inner) if most is None else EMPTY
        for _ in range((most or 0) - least):
            tail = _or(EMPTY, _seq(inner, tail))
        return _sequence([*[inner] * least, tail])

    def number(self) -> int:
        start = self.at
        while self.peek("0123456789"):
            self.at += 1
        if start == self.at:
            raise self.wrong("expected a number")
        return int(self.text[start : self.at])

    def complement(self) -> Expression:
        if self.take("~"):
            return _not(self.complement())
        return self.simple()

    def simple(self) -> Expression:
        if self.take("."):
            return ANY
        if self.take("#"):
            return NONE
        if self.take("@"):
            return ALL
        if self.take("("):
            if self.take(")"):
                return EMPTY
            inner = self.union()
            if not self.take(")"):
                raise self.wrong("expected ')'")
            return inner
        if self.take('"'):
            start = self.at
            while not self.peek('"'):
                self.next()
            self.at += 1
            return _sequence([_char(each) for each in self.text[start : self.at - 1]])
        if self.take("["):
            return self.char_class()
        if self.take("<"):
            return self.interval()
        return self.single()

    def single(self) -> Expression:
        if self.take("\\"):
            char = self.next()
            known = _CLASSES.get(char.lower())
            if known is not None:
                return ("set", known, char.isupper())
            return _char(char)
        return _char(self.next())

    def char_class(self) -> Expression:
        negated = self.take("^")
        ranges: list[tuple[str, str]] = []
        first = True
        while first or not self.peek("]"):
            first = False
            low = self.next()
            if low == "\\":
                low = self.next()
                if low in _CLASSES:
                    ranges.extend(_CLASSES[low])
                    continue
            high = low
            if self.peek("-") and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                high = self.next()
                if high == "\\":
                    high = self.next()
            ranges.append((low, high))
        self.at += 1
        return ("set", tuple(ranges), negated)

    def interval(self) -> Expression:
        end = self.text.find(">", self.at)
        body = self.text[self.at : end] if end > 0 else ""
        low, dash, high = body.partition("-")
        if not dash or not low.isdigit() or not high.isdigit():
            raise self.wrong("expected <number-number>")
        self.at = end + 1
        first, last = sorted((int(low), int(high)))
        if last - first > 1000:
            raise self.wrong("an interval of more than 1000 numbers")
        width = len(low) if len(low) == len(high) else 0
        result = NONE
        for number in range(first, last + 1):
            digits = str(number).zfill(width)
            result = _or(result, _sequence([_char(each) for each in digits]))
        return result


def _char(char: str) -> Expression:
    return ("set", ((char, char),), False)


_CLASSES: dict[str, tuple[tuple[str, str], ...]] = {
    "d": (("0", "9"),),
    "w": (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z")),
    "s": (("\t", "\n"), ("\r", "\r"), (" ", " ")),
}


def regular_expression(text: str) -> Expression:
    """*text* in Lucene's syntax: . ? + * {} | () [] "" ~ & @ # <> and \\d \\w \\s.

    :raises BackendRejected: it can't be read.
    """
    try:
        return _Parser(text).parse()
    except RecursionError as error:
        raise refused("regular expression: nested too deeply") from error
