"""Queries on texts: words, phrases, near words, patterns."""

from __future__ import annotations

from typing import Any

from nefertari_search_tween.backends.embedded.errors import rejected, unsupported
from nefertari_search_tween.backends.embedded.query.nodes import (
    Bool,
    MatchAll,
    MatchNone,
    Node,
    Phrase,
    Terms,
)
from nefertari_search_tween.backends.embedded.query.options import (
    escape_pattern,
    field_options,
    parse_fuzziness,
    parse_minimum,
    pop_boost,
    pop_fuzzy_options,
    reject_unknown,
    require_standard_analyzer,
    with_boost,
)
from nefertari_search_tween.backends.embedded.query.term_level import TermQueries
from nefertari_search_tween.backends.embedded.storage.fields import Field, Level, text_of
from nefertari_search_tween.backends.embedded.text import (
    automata,
    derivatives,
    regexp_parser,
    tokenizer,
)
from nefertari_search_tween.exceptions import BackendRejected


class FullText(TermQueries):
    """The full text queries."""

    def _parse_match_phrase(self, body: Any, level: Level) -> Node:
        name, options = field_options("match_phrase", body, "query")
        value = options.pop("query")
        slop = int(options.pop("slop", 0))
        boost = pop_boost(options)
        nothing = options.pop("zero_terms_query", "none")
        require_standard_analyzer(options)
        reject_unknown("match_phrase", options)
        field = self._field(name, level)
        if field is None:
            return self._special(name, [value], level)
        if field.kind != "text":
            return with_boost(self._exact(field, [value]), boost)
        return with_boost(self._phrase(field, text_of(value), slop, nothing), boost)

    def _phrase(self, field: Field, text: str, slop: int, nothing: str) -> Node:
        terms = tokenizer.terms(text)
        if not terms:
            return MatchAll(field.level) if nothing == "all" else MatchNone(field.level)
        self._record_terms(field, terms)
        if len(terms) == 1:
            return Terms(self.index, self.stats, field, [(terms[0], 1.0)])
        return Phrase(self.index, self.stats, field, terms, slop)

    def _parse_match_phrase_prefix(self, body: Any, level: Level) -> Node:
        raise unsupported("query 'match_phrase_prefix'")

    def _parse_match(self, body: Any, level: Level) -> Node:
        name, options = field_options("match", body, "query")
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
        boost = pop_boost(options)
        require_standard_analyzer(options)
        reject_unknown("match", options)
        field = self._field(name, level)
        if field is None:
            return self._special(name, [value], level)
        if field.kind != "text":
            if fuzziness is not None and field.kind == "keyword":
                return with_boost(self._fuzzy(field, text_of(value), fuzziness, fuzzy), boost)
            try:
                return with_boost(self._exact(field, [value]), boost)
            except BackendRejected:
                if lenient:
                    return MatchNone(level)
                raise
        terms = tokenizer.terms(text_of(value))
        if not terms:
            return MatchAll(level) if nothing == "all" else MatchNone(level)
        if fuzziness is None:
            self._record_terms(field, terms)
            nodes: list[Node] = [
                Terms(self.index, self.stats, field, [(term, 1.0)]) for term in terms
            ]
        else:
            nodes = [self._fuzzy(field, term, fuzziness, fuzzy) for term in terms]
        if len(nodes) == 1:
            return with_boost(nodes[0], boost)
        if every:
            return with_boost(Bool(level, nodes, [], [], [], 0), boost)
        needed = 1 if minimum is None else max(1, parse_minimum(minimum, len(nodes)))
        return with_boost(Bool(level, [], nodes, [], [], needed), boost)

    # Patterns

    def _parse_fuzzy(self, body: Any, level: Level) -> Node:
        name, options = field_options("fuzzy", body, "value")
        value = text_of(options.pop("value"))
        fuzziness = options.pop("fuzziness", "AUTO")
        fuzzy = pop_fuzzy_options(options)
        boost = pop_boost(options)
        reject_unknown("fuzzy", options)
        field = self._field(name, level)
        if field is None:
            return MatchNone(level)
        return with_boost(self._fuzzy(field, value, fuzziness, fuzzy), boost)

    def _fuzzy(self, field: Field, word: str, fuzziness: Any, options: tuple[int, int]) -> Node:
        prefix, expansions = options
        edits = parse_fuzziness(fuzziness, word)
        if edits == 0:
            return self._exact(field, [word])
        automaton = automata.Edits(word, edits)
        weighted_terms = []
        for term in automata.matching(self._vocabulary(field), automaton, self.check):
            if term[:prefix] != word[:prefix]:
                continue
            distance = automaton.distance(term)
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
        return Terms(self.index, self.stats, field, weighted_terms)

    def _parse_wildcard(self, body: Any, level: Level) -> Node:
        name, options = field_options("wildcard", body, "value")
        if "wildcard" in options:
            options["value"] = options.pop("wildcard")
        expression = derivatives.wildcard(text_of(options.pop("value")))
        return self._pattern_query("wildcard", name, options, expression, level)

    def _parse_prefix(self, body: Any, level: Level) -> Node:
        name, options = field_options("prefix", body, "value")
        value = escape_pattern(text_of(options.pop("value")))
        expression = derivatives.wildcard(value + "*")
        return self._pattern_query("prefix", name, options, expression, level)

    def _parse_regexp(self, body: Any, level: Level) -> Node:
        name, options = field_options("regexp", body, "value")
        value = text_of(options.pop("value"))
        if str(options.pop("flags", "ALL")).upper() not in ("ALL", ""):
            raise unsupported("flags of a regexp")
        options.pop("max_determinized_states", None)
        expression = regexp_parser.parse_regexp(value)
        return self._pattern_query("regexp", name, options, expression, level)

    def _pattern_query(
        self,
        query: str,
        name: str,
        options: dict[str, Any],
        expression: derivatives.Expression,
        level: Level,
    ) -> Node:
        ignore_case = bool(options.pop("case_insensitive", False))
        options.pop("rewrite", None)
        boost = pop_boost(options)
        reject_unknown(query, options)
        field = self._field(name, level)
        if field is None:
            return MatchNone(level)
        return with_boost(self._pattern(field, expression, ignore_case), boost)
