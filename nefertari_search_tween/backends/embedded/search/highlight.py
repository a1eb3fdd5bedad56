"""Highlights: the searched terms of a text, between tags.

Fragments end at words, not at sentences; phrases are highlighted word by word, where all of their
words are next to each other; of sloppy ones, each word anywhere.
"""

from __future__ import annotations

import fnmatch
import html
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from nefertari_search_tween.backends.embedded.deadline import Deadline
from nefertari_search_tween.backends.embedded.errors import reject_unknown
from nefertari_search_tween.backends.embedded.query.term_level import SearchedTerms
from nefertari_search_tween.backends.embedded.storage.mapping import Index
from nefertari_search_tween.backends.embedded.text import tokenizer

_OPTIONS = (
    *("fields", "pre_tags", "post_tags", "fragment_size", "number_of_fragments", "type", "order"),
    *("require_field_match", "no_match_size", "encoder", "max_analyzed_offset"),
    "highlight_query",
)


class Highlighter:
    """Highlights documents of one search.

    :param options: the ``highlight`` part of a search.
    :param searched_terms: field name -> tests for terms that were searched, or the terms of
        phrases.
    :param deadline: of the search.
    """

    def __init__(
        self,
        options: dict[str, Any],
        index: Index,
        searched_terms: Mapping[str, Sequence[SearchedTerms]],
        deadline: Deadline,
    ) -> None:
        self.deadline = deadline
        reject_unknown(options, _OPTIONS, "highlight")
        self.pre_tag = (options.get("pre_tags") or ["<em>"])[0]
        self.post_tag = (options.get("post_tags") or ["</em>"])[0]
        self.encode = _html if options.get("encoder") == "html" else str
        fields = options.get("fields", {})
        if isinstance(fields, list):
            fields = {name: spec for each in fields for name, spec in each.items()}
        same_field = options.get("require_field_match", True)
        every = [test for tests in searched_terms.values() for test in tests]
        self.fields: dict[str, tuple[dict[str, Any], Sequence[SearchedTerms]]] = {}
        for pattern, spec in fields.items():
            for name, field in index.fields.items():
                if field.kind == "text" and fnmatch.fnmatchcase(name, pattern):
                    tests = searched_terms.get(name, []) if same_field else every
                    if tests:
                        self.fields[name] = {**options, **spec}, tests

    def fragments(self, source: dict[str, Any]) -> dict[str, list[str]]:
        """Return the highlighted parts of a document, by field name."""
        fragments = {}
        for name, (options, tests) in self.fields.items():
            parts: list[str] = []
            count = int(options.get("number_of_fragments", 5))
            for text in _texts(source, name.split(".")):
                parts.extend(self._fragments(text, options, tests, count))
            if parts:
                fragments[name] = parts if count == 0 else parts[:count]
        return fragments

    def _fragments(
        self, text: str, options: dict[str, Any], tests: Sequence[SearchedTerms], count: int
    ) -> list[str]:
        words = list(self.deadline.each(tokenizer.tokens(text)))
        phrased = self._words_of_phrases(words, tests)
        hits = [
            token
            for number, token in enumerate(words)
            if number in phrased or self._is_hit(token.term, tests)
        ]
        if not hits:
            return []
        if count == 0:
            return [self._mark(text, hits, 0, len(text))]
        size = int(options.get("fragment_size", 100))
        parts: list[str] = []
        starts = [token.start for token in hits]
        start = 0
        while start < len(words) and len(parts) < count:
            self.deadline.step()
            end = start
            while end + 1 < len(words) and words[end + 1].end - words[start].start <= size:
                end += 1
            first = 0 if start == 0 else words[start].start
            last = len(text) if end + 1 == len(words) else words[end].end
            inside = [
                token
                for token in hits[bisect_left(starts, first) : bisect_left(starts, last)]
                if token.end <= last
            ]
            if inside:
                parts.append(self._mark(text, inside, first, last))
            start = end + 1
        return parts

    def _is_hit(self, term: str, tests: Sequence[SearchedTerms]) -> bool:
        self.deadline.step(len(tests))
        return any(test(term) for test in tests if not isinstance(test, tuple))

    def _words_of_phrases(
        self, words: list[tokenizer.Token], tests: Sequence[SearchedTerms]
    ) -> set[int]:
        """Return the numbers of the *words* that are part of a phrase in *tests*."""
        numbers: set[int] = set()
        for phrase in tests:
            if not isinstance(phrase, tuple):
                continue
            self.deadline.step(len(words))
            for start, token in enumerate(words):
                # Its first term is rare: most starts need no slice.
                if token.term == phrase[0]:
                    row = words[start : start + len(phrase)]
                    self.deadline.step(len(row))
                    if tuple(each.term for each in row) == phrase:
                        numbers.update(range(start, start + len(phrase)))
        return numbers

    def _mark(self, text: str, tokens: list[tokenizer.Token], first: int, last: int) -> str:
        pieces = []
        at = first
        for token in tokens:
            pieces += [self.encode(text[at : token.start]), self.pre_tag]
            pieces += [self.encode(text[token.start : token.end]), self.post_tag]
            at = token.end
        pieces.append(self.encode(text[at:last]))
        return "".join(pieces)


def _html(text: str) -> str:
    return html.escape(text).replace("'", "&#x27;").replace("/", "&#x2F;")


def _texts(value: Any, path: list[str]) -> list[str]:
    if isinstance(value, list):
        return [text for each in value for text in _texts(each, path)]
    if isinstance(value, dict):
        return _texts(value.get(path[0]), path[1:]) if path else []
    return [value] if isinstance(value, str) else []
