"""Find the terms of a vocabulary that match a pattern.

Patterns are Lucene's (RegExp, WildcardQuery), matched against the whole term. They run as
automata, never by backtracking, so that no pattern can take more time than terms times its
size; the sorted vocabulary is walked as a trie, so that a prefix is read once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Optional, Protocol

from nefertari_search_tween.backends.embedded.deadline import Deadline
from nefertari_search_tween.backends.embedded.text.derivatives import (
    Build,
    Expression,
    Expressions,
)

_LAST = "\U0010ffff"


class Automaton(Protocol):
    """Reads a term character by character. A state is hashable, None is the dead one."""

    start: Any

    def step(self, state: Any, char: str) -> Any: ...

    def accepts(self, state: Any) -> bool: ...


def matching(vocabulary: Sequence[str], automaton: Automaton, deadline: Deadline) -> list[str]:
    """Return the terms of the sorted *vocabulary* that *automaton* accepts."""
    terms: list[str] = []
    states: list[Any] = [automaton.start]
    previous = ""
    index, end = 0, len(vocabulary)
    while index < end:
        term = vocabulary[index]
        deadline.step()
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


class Pattern:
    """A wildcard pattern or regular expression; a state is what the rest of a term must match.

    :param build: makes its expression.
    :param ignore_case: letters match both their cases.
    :raises BackendRejected: it is too large.
    """

    def __init__(self, build: Build, deadline: Deadline, ignore_case: bool = False) -> None:
        self._expressions = Expressions(deadline, ignore_case)
        self.start = build(self._expressions)

    def step(self, state: Expression, char: str) -> Optional[Expression]:
        after = self._expressions.derivative(state, char)
        return None if after is self._expressions.none else after

    def accepts(self, state: Expression) -> bool:
        return state.nullable
