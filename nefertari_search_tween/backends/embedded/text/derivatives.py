"""Regular expressions as values, and their derivatives by a character.

The derivative of an expression by a character is what the rest of a text must match (Brzozowski,
Derivatives of Regular Expressions, 1964); complement and intersection, which Lucene has, cost
nothing extra this way.

Why no expression makes it explode. Equal expressions are one object, which is hashed and derived
once for each character. A derivative keeps its alternatives at the top, where equal ones fall
together: those of an expression of n characters are among n + 1 (Antimirov, Partial derivatives of
regular expressions, 1996). What is left to grow are the sets of alternatives, as in any
determinization; :class:`Expressions` counts what it makes, and refuses to make too much.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Callable

from nefertari_search_tween.backends.embedded.deadline import Deadline
from nefertari_search_tween.backends.embedded.errors import rejected

# What the expressions of one pattern may amount to: their number, that of the parts of unions and
# intersections, and that of their derivatives. Some 30 MB; Lucene gives up at 10,000 states.
MAX_SIZE = 100_000

Ranges = tuple[tuple[str, str], ...]


class Expression:
    """One expression; a pattern has no two that are equal. Made by :class:`Expressions` only.

    :ivar kind: none, empty, set, seq, or, and, not, star.
    :ivar parts: expressions, of a set its ranges and whether it is negated.
    :ivar nullable: whether it matches the empty text.
    :ivar after: its derivatives by character, as far as they are known.
    """

    __slots__ = ("after", "kind", "nullable", "parts")

    def __init__(self, kind: str, parts: Any, nullable: bool) -> None:
        self.kind = kind
        self.parts = parts
        self.nullable = nullable
        self.after: dict[str, Expression] = {}


class Expressions:
    """Makes the expressions of one pattern.

    :param ignore_case: letters match both their cases.
    :param max_size: how much it makes.
    """

    def __init__(
        self, deadline: Deadline, ignore_case: bool = False, max_size: int = MAX_SIZE
    ) -> None:
        self.deadline = deadline
        self.ignore_case = ignore_case
        self.max_size = max_size
        self.size = 0
        self._expressions: dict[Any, Expression] = {}
        self.none = self._make("none", (), False)
        self.empty = self._make("empty", (), True)
        self.any = self.set((), True)
        self.all = self.repeated(self.any)

    def _make(self, kind: str, parts: Any, nullable: bool, size: int = 1) -> Expression:
        self.deadline.step(size)
        expression = self._expressions.get((kind, parts))
        if expression is None:
            self._grow(size)
            expression = self._expressions[kind, parts] = Expression(kind, parts, nullable)
        return expression

    def _grow(self, size: int) -> None:
        self.size += size
        if self.size > self.max_size:
            raise rejected(f"the pattern makes an automaton larger than {self.max_size}")

    def set(self, ranges: Ranges, negated: bool) -> Expression:
        """Return the expression for one character that is in *ranges*, or in none of them."""
        return self._make("set", (ranges, negated), False)

    def character(self, char: str) -> Expression:
        return self.set(((char, char),), False)

    def sequence(self, parts: Sequence[Expression]) -> Expression:
        result = self.empty
        for part in reversed(parts):
            result = self.concatenated(part, result)
        return result

    def concatenated(self, first: Expression, second: Expression) -> Expression:
        # A sequence is a chain of firsts, so that equal ones are one object.
        firsts = [first]
        while firsts[-1].kind == "seq":
            head, rest = firsts.pop().parts
            firsts += [head, rest]
        for part in reversed(firsts):
            second = self._pair(part, second)
        return second

    def _pair(self, first: Expression, second: Expression) -> Expression:
        if self.none in (first, second):
            return self.none
        if first is self.empty:
            return second
        if second is self.empty:
            return first
        if first is self.all and (
            second is self.all or (second.kind == "seq" and second.parts[0] is self.all)
        ):
            return second
        return self._make("seq", (first, second), first.nullable and second.nullable)

    def union(self, alternatives: Iterable[Expression]) -> Expression:
        return self._combined("or", self.none, self.all, alternatives)

    def intersection(self, parts: Iterable[Expression]) -> Expression:
        return self._combined("and", self.all, self.none, parts)

    def _combined(
        self,
        kind: str,
        neutral: Expression,
        absorbing: Expression,
        members: Iterable[Expression],
    ) -> Expression:
        parts: set[Expression] = set()
        for each in members:
            self.deadline.step(len(each.parts))
            parts.update(each.parts if each.kind == kind else (each,))
        if absorbing in parts:
            return absorbing
        parts.discard(neutral)
        if len(parts) < 2:
            return parts.pop() if parts else neutral
        decides = any if kind == "or" else all
        return self._make(
            kind, frozenset(parts), decides(each.nullable for each in parts), len(parts)
        )

    def complement(self, inner: Expression) -> Expression:
        if inner.kind == "not":
            (negated,) = inner.parts
            return negated
        if inner is self.none:
            return self.all
        if inner is self.all:
            return self.none
        return self._make("not", (inner,), not inner.nullable)

    def repeated(self, inner: Expression) -> Expression:
        if inner.kind == "star":
            return inner
        if inner in (self.none, self.empty):
            return self.empty
        return self._make("star", (inner,), True)

    def wildcard(self, text: str) -> Expression:
        """Parse a wildcard pattern: ``*`` any characters, ``?`` one, ``\\`` escapes the next."""
        parts: list[Expression] = []
        chars = iter(text)
        for char in chars:
            if char == "*":
                parts.append(self.all)
            elif char == "?":
                parts.append(self.any)
            else:
                if char == "\\":
                    char = next(chars, "\\")
                parts.append(self.character(char))
        return self.sequence(parts)

    def derivative(self, part: Expression, char: str) -> Expression:
        """Return what must follow *char*."""
        self.deadline.step()
        after = part.after.get(char)
        if after is None:
            after = part.after[char] = self._derivative(part, char)
            self._grow(1)
        return after

    def _derivative(self, part: Expression, char: str) -> Expression:
        kind, parts, derivative = part.kind, part.parts, self.derivative
        if kind == "set":
            ranges, negated = parts
            inside = any(low <= c <= high for low, high in ranges for c in self._cases(char))
            return self.empty if inside != negated else self.none
        if kind == "seq":
            first, second = parts
            after = self._followed(derivative(first, char), second)
            return self.union((after, derivative(second, char))) if first.nullable else after
        if kind == "star":
            return self._followed(derivative(parts[0], char), part)
        if kind == "or":
            return self.union([derivative(each, char) for each in parts])
        if kind == "and":
            return self.intersection([derivative(each, char) for each in parts])
        if kind == "not":
            return self.complement(derivative(parts[0], char))
        return self.none

    def _followed(self, first: Expression, second: Expression) -> Expression:
        """Return *first* and then *second*, its alternatives kept at the top."""
        alternatives = first.parts if first.kind == "or" else (first,)
        return self.union([self.concatenated(each, second) for each in alternatives])

    def _cases(self, char: str) -> str:
        """Return *char*, or both its cases."""
        if not self.ignore_case:
            return char
        other = char.lower() if char != char.lower() else char.upper()
        return char + other if len(other) == 1 and other != char else char


#: makes an expression by what it is given
Build = Callable[[Expressions], Expression]
