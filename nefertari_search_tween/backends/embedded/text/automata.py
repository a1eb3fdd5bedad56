"""Find the terms of a vocabulary that match a pattern, or lie within some edits of a word.

Patterns are Lucene's (RegExp, WildcardQuery), matched against the whole term. They run as
automata, never by backtracking, so that no pattern can take more time than terms times its
size; the sorted vocabulary is walked as a trie, so that a prefix is read once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Callable, Optional, Protocol

from nefertari_search_tween.backends.embedded.errors import rejected
from nefertari_search_tween.backends.embedded.text.derivatives import (
    NONE,
    Expression,
    derivative,
    nullable,
)

# Derivatives of one pattern; a pattern with more explodes.
MAX_STATES = 10_000
# Terms between two checks of the clock.
CHECK_EVERY = 500
_LAST = "\U0010ffff"


class Automaton(Protocol):
    """Reads a term character by character. A state is hashable, None is the dead one."""

    start: Any

    def step(self, state: Any, char: str) -> Any: ...

    def accepts(self, state: Any) -> bool: ...


def matching(
    vocabulary: Sequence[str], automaton: Automaton, check: Callable[[], Any] = bool
) -> list[str]:
    """Return the terms of the sorted *vocabulary* that *automaton* accepts.

    :param check: called regularly; it may raise if this takes too long.
    """
    terms: list[str] = []
    states: list[Any] = [automaton.start]
    previous = ""
    index, end = 0, len(vocabulary)
    rounds = 0
    while index < end:
        term = vocabulary[index]
        rounds += 1
        if not rounds % CHECK_EVERY:
            check()
        shared = _shared_length(previous, term, len(states) - 1)
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
            terms.append(term)
        index += 1
    return terms


def _shared_length(first: str, second: str, limit: int) -> int:
    count = 0
    for one, other in zip(first[:limit], second):
        if one != other:
            break
        count += 1
    return count


class Edits:
    """Within *max_edits* insertions, deletions, replacements and swaps of neighbours of *word*.

    A state is the last two rows of the optimal string alignment table, and the last character.
    """

    def __init__(self, word: str, max_edits: int) -> None:
        self.word = word
        self.max_edits = max_edits
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
        if min(row) > self.max_edits and min(last) > self.max_edits - 1:
            return None
        return (last, tuple(row), char)

    def accepts(self, state: Any) -> bool:
        return bool(state[1][-1] <= self.max_edits)

    def distance(self, term: str) -> int:
        """Return the edits between the word and *term*, which the automaton accepts."""
        state = self.start
        for char in term:
            state = self.step(state, char)
        return int(state[1][-1])


class Pattern:
    """A wildcard pattern or regular expression.

    :param ignore_case: letters match both their cases.
    :param check: called for every new step; it may raise if this takes too long.
    """

    def __init__(
        self,
        expression: Expression,
        ignore_case: bool = False,
        check: Callable[[], Any] = bool,
    ) -> None:
        self.check = check
        self.ignore_case = ignore_case
        # States are numbers: an expression is hashed once, not at every step.
        self._numbers: dict[Expression, int] = {}
        self._expressions: list[Expression] = []
        self._steps: list[dict[str, Optional[int]]] = []
        self._accepting: list[bool] = []
        self.start = self._number(expression)

    def _number(self, expression: Expression) -> int:
        number = self._numbers.get(expression)
        if number is None:
            number = self._numbers[expression] = len(self._expressions)
            if number > MAX_STATES:
                raise rejected(f"a pattern of more than {MAX_STATES} states")
            self._expressions.append(expression)
            self._steps.append({})
            self._accepting.append(nullable(expression))
        return number

    def step(self, state: int, char: str) -> Optional[int]:
        steps = self._steps[state]
        if char not in steps:
            steps[char] = self._step(self._expressions[state], char)
        return steps[char]

    def _step(self, expression: Expression, char: str) -> Optional[int]:
        self.check()
        if self.ignore_case:
            other = char.lower() if char != char.lower() else char.upper()
            char += other if len(other) == 1 and other != char else ""
        after = derivative(expression, char)
        return None if after == NONE else self._number(after)

    def accepts(self, state: int) -> bool:
        return self._accepting[state]
