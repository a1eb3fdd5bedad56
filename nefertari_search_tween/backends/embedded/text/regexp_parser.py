"""Lucene's syntax of regular expressions."""

from __future__ import annotations

from typing import Optional

from nefertari_search_tween.backends.embedded.errors import rejected
from nefertari_search_tween.backends.embedded.text.derivatives import (
    ALL,
    ANY,
    EMPTY,
    NONE,
    Expression,
    character,
    common,
    complement,
    concatenated,
    either,
    repeated,
    sequence,
)


class _Parser:
    """Lucene's syntax of regular expressions, all of its optional operators included."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def parse(self) -> Expression:
        if not self.text:
            return EMPTY
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
        result = self.parse_intersection()
        while self.accept("|"):
            result = either(result, self.parse_intersection())
        return result

    def parse_intersection(self) -> Expression:
        result = self.parse_concatenation()
        while self.accept("&"):
            result = common(result, self.parse_concatenation())
        return result

    def parse_concatenation(self) -> Expression:
        parts = []
        while self.at < len(self.text) and not self.peek(")|&"):
            parts.append(self.parse_repetition())
        return sequence(parts)

    def parse_repetition(self) -> Expression:
        result = self.parse_complement()
        while self.peek("?*+{"):
            sign = self.read()
            if sign == "?":
                result = either(result, EMPTY)
            elif sign == "*":
                result = repeated(result)
            elif sign == "+":
                result = concatenated(result, repeated(result))
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
        tail: Expression = repeated(inner) if maximum is None else EMPTY
        for _ in range((maximum or minimum) - minimum):
            tail = either(EMPTY, concatenated(inner, tail))
        return sequence([*[inner] * minimum, tail])

    def parse_number(self) -> int:
        start = self.at
        while self.peek("0123456789"):
            self.at += 1
        if start == self.at:
            raise self.failure("expected a number")
        return int(self.text[start : self.at])

    def parse_complement(self) -> Expression:
        if self.accept("~"):
            return complement(self.parse_complement())
        return self.parse_atom()

    def parse_atom(self) -> Expression:
        if self.peek(".#@"):
            return _ATOMS[self.read()]
        if self.accept("("):
            if self.accept(")"):
                return EMPTY
            inner = self.parse_union()
            if not self.accept(")"):
                raise self.failure("expected ')'")
            return inner
        if self.accept('"'):
            start = self.at
            while not self.peek('"'):
                self.read()
            self.at += 1
            return sequence([character(each) for each in self.text[start : self.at - 1]])
        if self.accept("["):
            return self.parse_class()
        if self.accept("<"):
            return self.parse_interval()
        if self.accept("\\"):
            char = self.read()
            ranges = _CLASSES.get(char.lower())
            return character(char) if ranges is None else ("set", ranges, char.isupper())
        return character(self.read())

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
        return ("set", tuple(ranges), negated)

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
        result = NONE
        for number in range(first, last + 1):
            digits = str(number).zfill(width)
            result = either(result, sequence([character(each) for each in digits]))
        return result


_ATOMS = {".": ANY, "#": NONE, "@": ALL}
_CLASSES: dict[str, tuple[tuple[str, str], ...]] = {
    "d": (("0", "9"),),
    "w": (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z")),
    "s": (("\t", "\n"), ("\r", "\r"), (" ", " ")),
}


def parse_regexp(text: str) -> Expression:
    """Parse *text* in Lucene's syntax: . ? + * {} | () [] "" ~ & @ # <> and \\d \\w \\s.

    :raises BackendRejected: its syntax is wrong.
    """
    try:
        return _Parser(text).parse()
    except RecursionError as error:
        raise rejected("regular expression: nested too deeply") from error
