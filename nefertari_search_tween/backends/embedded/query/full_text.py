"""Queries on texts: words, phrases, near words, patterns."""

from __future__ import annotations

from typing import Any

from nefertari_search_tween.backends.embedded.errors import rejected, unsupported
from nefertari_search_tween.backends.embedded.query.nodes import (
    MAX_JOINED,
    Bool,
    MatchAll,
    MatchNone,
    Node,
)
from nefertari_search_tween.backends.embedded.query.options import (
    escape_pattern,
    parse_fuzziness,
    parse_minimum,
    pop_fuzzy_options,
    require_standard_analyzer,
)
from nefertari_search_tween.backends.embedded.query.term_level import TermQueries, wildcard
from nefertari_search_tween.backends.embedded.query.text_nodes import (
    Beginnings,
    Phrase,
    PhraseBeginning,
    Terms,
)
from nefertari_search_tween.backends.embedded.storage.fields import Field, Level, text_of
from nefertari_search_tween.backends.embedded.text import derivatives, regexp_parser, tokenizer
from nefertari_search_tween.backends.embedded.text.similar import similar
from nefertari_search_tween.exceptions import BackendRejected


class FullText(TermQueries):
    """The full text queries."""

    def _parse_match_phrase(self, name: str, options: Any, level: Level) -> Node:
        value = options.pop("query")
        slop = int(options.pop("slop", 0))
        nothing = options.pop("zero_terms_query", "none")
        require_standard_analyzer(options)
        field = self._field(name, level)
        if field is None:
            return self._special(name, [value], level)
        if field.kind != "text":
            return self._exact(field, [value])
        terms = tokenizer.terms(text_of(value))
        if not terms:
            return MatchAll(field.level) if nothing == "all" else MatchNone(field.level)
        if len(terms) == 1:
            return self._terms(field, terms)
        if slop:
            self._record_terms(field, terms)
        else:
            self.searched_terms.setdefault(field.name, []).append(tuple(terms))
        return Phrase(self.stats, field, terms, slop, self.deadline)

    def _parse_match_phrase_prefix(self, name: str, options: Any, level: Level) -> Node:
        value = options.pop("query")
        slop = int(options.pop("slop", 0))
        # Servers read so many terms at most; here they are a range.
        options.pop("max_expansions", None)
        options.pop("zero_terms_query", "none")
        require_standard_analyzer(options)
        field = self._field(name, level)
        if field is None:
            return MatchNone(level)
        if field.kind != "text":
            raise rejected(
                f"Can only use phrase prefix queries on text fields - not on [{name}] which is of "
                f"type [{field.type}]",
                "query_shard_exception",
            )
        terms = tokenizer.terms(text_of(value))
        if not terms:
            return MatchNone(field.level)
        self._record_terms(field, terms[:-1])
        last = terms[-1]
        self.searched_terms[field.name].append(lambda term: term.startswith(last))
        if len(terms) == 1:
            return Beginnings(self.stats, field, last)
        if len(terms) > MAX_JOINED:
            raise unsupported(f"a phrase prefix of more than {MAX_JOINED} words")
        return PhraseBeginning(self.stats, field, terms, slop, self.deadline)

    def _parse_match(self, name: str, options: Any, level: Level) -> Node:
        value = options.pop("query")
        operator = str(options.pop("operator", "or")).lower()
        if operator not in ("and", "or"):
            raise rejected(f"operator needs to be either AND or OR, but not [{operator}]")
        every = operator == "and"
        fuzziness = options.pop("fuzziness", None)
        fuzzy = pop_fuzzy_options(options)
        minimum = options.pop("minimum_should_match", None)
        lenient = options.pop("lenient", False)
        nothing = options.pop("zero_terms_query", "none")
        require_standard_analyzer(options)
        field = self._field(name, level)
        if field is None:
            return self._special(name, [value], level)
        if field.kind != "text":
            if fuzziness is not None and field.kind == "keyword":
                return self._fuzzy(field, text_of(value), fuzziness, fuzzy)
            try:
                return self._exact(field, [value])
            except BackendRejected:
                if lenient:
                    return MatchNone(level)
                raise
        terms = tokenizer.terms(text_of(value))
        if not terms:
            return MatchAll(level) if nothing == "all" else MatchNone(level)
        if fuzziness is None:
            nodes = [self._terms(field, [term]) for term in terms]
        else:
            nodes = [self._fuzzy(field, term, fuzziness, fuzzy) for term in terms]
        if len(nodes) == 1:
            return nodes[0]
        if every:
            return Bool(level, nodes, [], [], [], 0)
        needed = 1 if minimum is None else max(1, parse_minimum(minimum, len(nodes)))
        return Bool(level, [], nodes, [], [], needed)

    # Patterns

    def _parse_fuzzy(self, name: str, options: Any, level: Level) -> Node:
        value = text_of(options.pop("value"))
        fuzziness = options.pop("fuzziness", "AUTO")
        fuzzy = pop_fuzzy_options(options)
        field = self._field(name, level)
        if field is None:
            return MatchNone(level)
        return self._fuzzy(field, value, fuzziness, fuzzy)

    def _fuzzy(self, field: Field, word: str, fuzziness: Any, options: tuple[int, int]) -> Node:
        prefix, expansions = options
        edits = parse_fuzziness(fuzziness, word)
        if edits == 0:
            return self._exact(field, [word])
        weighted_terms = []
        for term, distance in similar(
            self._vocabulary(field), word, edits, min(prefix, len(word)), self.deadline
        ):
            shortest = min(len(term), len(word))
            share = 1.0 if distance == 0 else 1.0 - distance / shortest if shortest else 0.0
            if share > 0:
                weighted_terms.append((term, share))
        weighted_terms.sort(key=lambda pair: (-pair[1], pair[0]))
        del weighted_terms[expansions:]
        if not weighted_terms:
            return MatchNone(field.level)
        if field.kind != "text":
            return self._exact(field, [term for term, _ in weighted_terms])
        self._record_terms(field, [term for term, _ in weighted_terms])
        return Terms(self.stats, field, weighted_terms)

    def _parse_wildcard(self, name: str, options: Any, level: Level) -> Node:
        value = options.pop("value", None)
        build = wildcard(text_of(options.pop("wildcard", value)))
        return self._pattern_query(name, options, build, level)

    def _parse_prefix(self, name: str, options: Any, level: Level) -> Node:
        value = text_of(options.pop("value"))
        field = self._field(name, level)
        if field is not None and field.kind == "text" and not options.get("case_insensitive"):
            options.pop("case_insensitive", None)
            options.pop("rewrite", None)
            self.searched_terms.setdefault(field.name, []).append(
                lambda term: term.startswith(value)
            )
            return Beginnings(self.stats, field, value)
        pattern = wildcard(escape_pattern(value) + "*")
        return self._pattern_query(name, options, pattern, level)

    def _parse_regexp(self, name: str, options: Any, level: Level) -> Node:
        value = text_of(options.pop("value"))
        if str(options.pop("flags", "ALL")).upper() not in ("ALL", ""):
            raise unsupported("flags of a regexp")
        options.pop("max_determinized_states", None)
        return self._pattern_query(name, options, regexp_parser.regexp(value), level)

    def _pattern_query(
        self, name: str, options: Any, build: derivatives.Build, level: Level
    ) -> Node:
        ignore_case = bool(options.pop("case_insensitive", False))
        options.pop("rewrite", None)
        field = self._field(name, level)
        if field is None:
            return MatchNone(level)
        return self._pattern(field, build, ignore_case)
