"""Lucene's syntax of regular expressions."""

from __future__ import annotations

from typing import Optional

from nefertari_search_tween.backends.embedded.errors import rejected
from nefertari_search_tween.backends.embedded.text.derivatives import (
    Build,
    Expression,
    Expressions,
)


class _Parser:
    """Lucene's syntax of regular expressions, all of its optional operators included."""

    def __init__(self, text: str, make: Expressions) -> None:
        self.text = text
        self.make = make
        self.at = 0

    def parse(self) -> Expression:
        if not self.text:
            return self.make.empty
        result = self.parse_union()
        if self.at < len(self.text):
            raise self.failure(f"unexpected '{self.text[self.at]}'")
        return result

    def failure(self, problem: str) -> Exception:
        return rejected(f"regular expression '{self.text[:80]}' at {self.at}: {problem}")

    def peek(self, chars: str) -> bool:
        return self.at < len(self.text) and self.text[self.at] in chars

    def accept(self, char: str) -> bool:
        if self.peek(char):
            self.at += 1
            return True
        return False

    def read(self) -> str:
        if self.at >= len(self.text):
            raise self.failure("it ends too early")
        self.at += 1
        return self.text[self.at - 1]

    def parse_union(self) -> Expression:
        alternatives = [self.parse_intersection()]
        while self.accept("|"):
            alternatives.append(self.parse_intersection())
        return self.make.union(alternatives)

    def parse_intersection(self) -> Expression:
        parts = [self.parse_concatenation()]
        while self.accept("&"):
            parts.append(self.parse_concatenation())
        return self.make.intersection(parts)

    def parse_concatenation(self) -> Expression:
        parts = []
        while self.at < len(self.text) and not self.peek(")|&"):
            parts.append(self.parse_repetition())
        return self.make.sequence(parts)

    def parse_repetition(self) -> Expression:
        result = self.parse_complement()
        while self.peek("?*+{"):
            sign = self.read()
            if sign == "?":
                result = self.make.union((result, self.make.empty))
            elif sign == "*":
                result = self.make.repeated(result)
            elif sign == "+":
                result = self.make.concatenated(result, self.make.repeated(result))
            else:
                result = self.parse_repetition_count(result)
        return result

    def parse_repetition_count(self, inner: Expression) -> Expression:
        minimum = self.parse_number()
        maximum: Optional[int] = minimum
        if self.accept(","):
            maximum = self.parse_number() if self.peek("0123456789") else None
        if not self.accept("}"):
            raise self.failure("expected '}'")
        if minimum > 255 or (maximum or 0) > 255:
            raise self.failure("more than 255 repetitions")
        if maximum is not None and maximum < minimum:
            raise self.failure(f"from {minimum} to {maximum} repetitions")
        make = self.make
        tail: Expression = make.repeated(inner) if maximum is None else make.empty
        for _ in range((maximum or minimum) - minimum):
            tail = make.union((make.empty, make.concatenated(inner, tail)))
        return make.sequence([*[inner] * minimum, tail])

    def parse_number(self) -> int:
        start = self.at
        while self.peek("0123456789"):
            self.at += 1
        if start == self.at:
            raise self.failure("expected a number")
        return int(self.text[start : self.at])

    def parse_complement(self) -> Expression:
        if self.accept("~"):
            return self.make.complement(self.parse_complement())
        return self.parse_atom()

    def parse_atom(self) -> Expression:
        if self.peek(".#@"):
            return self.parse_special()
        if self.accept("("):
            if self.accept(")"):
                return self.make.empty
            inner = self.parse_union()
            if not self.accept(")"):
                raise self.failure("expected ')'")
            return inner
        if self.accept('"'):
            start = self.at
            while not self.peek('"'):
                self.read()
            self.at += 1
            return self.text_of(self.text[start : self.at - 1])
        if self.accept("["):
            return self.parse_class()
        if self.accept("<"):
            return self.parse_interval()
        if self.accept("\\"):
            char = self.read()
            ranges = _CLASSES.get(char.lower())
            if ranges is None:
                return self.make.character(char)
            return self.make.set(ranges, char.isupper())
        return self.make.character(self.read())

    def parse_class(self) -> Expression:
        negated = self.accept("^")
        ranges: list[tuple[str, str]] = []
        first = True
        while first or not self.peek("]"):
            first = False
            low = self.read()
            if low == "\\":
                low = self.read()
                if low in _CLASSES:
                    ranges.extend(_CLASSES[low])
                    continue
            high = low
            if self.peek("-") and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                high = self.read()
                if high == "\\":
                    high = self.read()
                if high < low:
                    raise self.failure(f"characters from '{low}' to '{high}'")
            ranges.append((low, high))
        self.at += 1
        return self.make.set(tuple(ranges), negated)

    def parse_interval(self) -> Expression:
        end = self.text.find(">", self.at)
        body = self.text[self.at : end] if end > 0 else ""
        low, dash, high = body.partition("-")
        if not dash or not low.isdigit() or not high.isdigit():
            raise self.failure("expected <number-number>")
        self.at = end + 1
        first, last = sorted((int(low), int(high)))
        if last - first > 1000:
            raise self.failure("an interval of more than 1000 numbers")
        width = len(low) if len(low) == len(high) else 0
        numbers = range(first, last + 1)
        return self.make.union([self.text_of(str(number).zfill(width)) for number in numbers])

    def parse_special(self) -> Expression:
        make = self.make
        return {".": make.any, "#": make.none, "@": make.all}[self.read()]

    def text_of(self, text: str) -> Expression:
        return self.make.sequence([self.make.character(each) for each in text])


_CLASSES: dict[str, tuple[tuple[str, str], ...]] = {
    "d": (("0", "9"),),
    "w": (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z")),
    "s": (("\t", "\n"), ("\r", "\r"), (" ", " ")),
}


def regexp(text: str) -> Build:
    """Return what parses *text* in Lucene's syntax: . ? + * {} | () [] "" ~ & @ # <> and \\d \\w
    \\s.

    It raises BackendRejected if the syntax is wrong.
    """
    return lambda make: _Parser(text, make).parse()
