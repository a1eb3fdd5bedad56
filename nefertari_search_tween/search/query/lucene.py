"""Parses Lucene query syntax (with luqum), checks it, and builds a query from it.

None of the caller's input reaches the backend as syntax.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Callable, Optional

from luqum import tree
from luqum.exceptions import ParseError
from luqum.thread import parse

from nefertari_search_tween.exceptions import BadQuery
from nefertari_search_tween.search.context import EXISTS, PRESENCE
from nefertari_search_tween.search.query import clauses
from nefertari_search_tween.search.query.any_field import Weighted, any_field
from nefertari_search_tween.search.query.clauses import ABSENT, Query
from nefertari_search_tween.search.query.fields import FieldScope, SearchField
from nefertari_search_tween.settings.settings import Settings

# Elasticsearch rejects bool queries nested deeper than 30; a group is not always one.
MAX_DEPTH = 20
# Of all parameters of a request. Parsing time grows with the square of the length.
MAX_TEXT_LENGTH = 8192
MAX_EDITS = 2
MAX_SLOP = 100
MAX_BOOST = 1000
# Number of clauses that a fuzzy term or a pattern counts as: each reads many terms.
EXPANDING = 8
# Characters of a term or phrase that count as one clause.
CLAUSE_LENGTH = 255
# A pattern becomes an automaton in the server's memory, which a long one can exhaust.
MAX_PATTERN_LENGTH = 255
MAX_WILDCARDS = 10
# A moment with its zone, and arithmetic with a date: colons and || belong to them.
_DATE = (
    r"(?<![\w.])(?P<date>\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d(?::?\d\d)?)?)?"
    r"|\d{4}(?:-\d\d)?(?=\|\|))"
    r"(?:\|\|(?:[-+/]\d*[yMwdhHms])+)?(?=[\s)\]}^~]|\Z)"
)
# luqum knows AND, OR, NOT, + and -; nefertari documents these as well.
_SYMBOLS = re.compile(rf'"(?:[^"\\]|\\.)*"|\\.|{_DATE}|&&|\|\||(?:(?<=[\s(:])|^)!(?=\S)')
# A ^ that is not followed by a number, outside quotes.
_BOOSTS = re.compile(r'"(?:[^"\\]|\\.)*"|\\.|\^(?![0-9.])')
_WILDCARD = re.compile(r"(?<!\\)[*?]")
# With spaces: "a||b" is no word.
_SPELLED = {"&&": " AND ", "||": " OR ", "!": "-"}


class ClauseBudget:
    """Limits the number of clauses of one request, over all of its parameters."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.remaining = settings.max_clauses
        self.remaining_text = MAX_TEXT_LENGTH
        #: parameters with a regular expression
        self.expressions: list[str] = []

    def charge_text(self, parameter: str, text: str) -> None:
        """Count a text before it is parsed, which takes time whatever is in it.

        :raises BadQuery: the request has too much of it.
        """
        self.remaining_text -= len(text)
        if self.remaining_text < 0:
            raise BadQuery(parameter, f"longer than {MAX_TEXT_LENGTH} characters in all")

    def charge(self, parameter: str, node: Any) -> None:
        """Count a clause; a phrase counts by its words, a pattern as several clauses.

        :raises BadQuery: the request has too many clauses.
        """
        text = str(node)
        weight = EXPANDING if isinstance(node, (tree.Fuzzy, tree.Regex)) else 1
        if isinstance(node, tree.Word) and node.value != "*" and node.has_wildcard():
            weight = EXPANDING
        self.remaining -= weight * max(1, len(text.split()), len(text) // CLAUSE_LENGTH)
        if self.remaining < 0:
            raise BadQuery(
                parameter, f"more than {self.settings.max_clauses} words, ranges and patterns"
            )


def compile_lucene(
    text: str,
    parameter: str,
    scope: FieldScope,
    fields: list[Weighted],
    one_field: bool,
    budget: ClauseBudget,
) -> Query:
    """Return the query that *text* denotes.

    :param parameter: the query string parameter that contains it: ``_exists_`` and ``_missing_``
        contain names of fields, any other name is for messages.
    :param fields: the fields that a term without a field name is searched in.
    :param one_field: the parameter names one field (``title=...``): all terms must match, and a
        value that does not fit the field's type is an error. Otherwise (``q``) any term may
        match, and fields whose type a term does not fit are left out.
    :raises BadQuery: invalid syntax, an unknown field, a value that does not fit.
    """
    if not text.strip():
        raise BadQuery(parameter, "it is empty")
    budget.charge_text(parameter, text)
    if any(match[0] == "^" for match in _BOOSTS.finditer(text)):
        raise BadQuery(parameter, "a number follows ^ (a ^ that belongs to the text is \\^)")
    try:
        parsed = parse(_SYMBOLS.sub(_spelled, text))
        compiler = (
            _PresenceCompiler(parameter, scope, parameter, budget)
            if parameter in PRESENCE
            else _Compiler(parameter, scope, one_field, budget)
        )
        return compiler.compile(parsed, fields, 0)
    except ParseError as error:
        raise BadQuery(parameter, f"{error} (in: {text[:80]})") from error
    except RecursionError as error:
        raise BadQuery(parameter, f"nested deeper than {MAX_DEPTH} levels") from error
    except (ValueError, ArithmeticError) as error:
        # What follows ~ or ^ is no number.
        raise BadQuery(parameter, f"a number in it can't be read (in: {text[:80]})") from error


class _Compiler:
    def __init__(
        self, parameter: str, scope: FieldScope, one_field: bool, budget: ClauseBudget
    ) -> None:
        self.parameter = parameter
        self.scope = scope
        self.one_field = one_field
        self.budget = budget

    def compile(self, node: Any, fields: list[Weighted], depth: int) -> Query:
        if depth > MAX_DEPTH:
            raise BadQuery(self.parameter, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(node, (tree.Group, tree.FieldGroup, tree.Plus)):
            return self.compile(node.children[0], fields, depth + 1)
        if isinstance(node, tree.SearchField) and node.name in PRESENCE:
            names = _PresenceCompiler(self.parameter, self.scope, node.name, self.budget)
            return names.compile(node.children[0], [], depth + 1)
        if isinstance(node, tree.SearchField):
            target = self.scope.get(node.name)
            if target is None:
                raise BadQuery(
                    self.parameter,
                    f"{self.scope.document_cls.__name__} has no field '{node.name[:60]}' "
                    "(a colon that belongs to the text is written \\: or inside quotes)"
                    + self.scope.meant(node.name),
                )
            inner = _Compiler(self.parameter, self.scope, True, self.budget)
            return inner.compile(node.children[0], [(target, 1.0)], depth + 1)
        if isinstance(node, (tree.Not, tree.Prohibit)):
            return {"bool": {"must_not": [self.compile(node.children[0], fields, depth + 1)]}}
        if isinstance(node, tree.Boost):
            boost = float(node.force)
            if not 0 < boost <= MAX_BOOST:
                raise BadQuery(self.parameter, f"a boost is above 0 and at most {MAX_BOOST}")
            query = self.compile(node.children[0], fields, depth + 1)
            return {"bool": {"must": [query], "boost": boost}}
        if isinstance(node, tree.BaseOperation):
            return self._operation(node, fields, depth)
        return self._leaf(node, fields)

    def _operation(self, node: Any, fields: list[Weighted], depth: int) -> Query:
        occurrences: dict[str, list[Query]] = {"must": [], "should": [], "must_not": []}
        if isinstance(node, tree.AndOperation):
            default = "must"
        elif isinstance(node, tree.OrOperation):
            default = "should"
        else:
            default = "must" if self.one_field else "should"
        # A lone dash or ampersand is no term of the text.
        children = [child for child in node.children if not _wordless(child)]
        for child in children or node.children:
            # In `a OR -b` the minus belongs to its term; in `a -b` to the whole.
            implicit = not isinstance(node, tree.OrOperation)
            if implicit and isinstance(child, (tree.Prohibit, tree.Not)):
                query = self.compile(child.children[0], fields, depth + 1)
                occurrences["must_not"].append(query)
            elif implicit and isinstance(child, tree.Plus):
                occurrences["must"].append(self.compile(child.children[0], fields, depth + 1))
            else:
                occurrences[default].append(self.compile(child, fields, depth + 1))
        if len(occurrences["must"]) > 1:
            occurrences["must"] = clauses.all_of(occurrences["must"])
        body: dict[str, Any] = {name: queries for name, queries in occurrences.items() if queries}
        if occurrences["should"] and not occurrences["must"]:
            body["minimum_should_match"] = 1
        return {"bool": body}

    def _leaf(self, node: Any, fields: list[Weighted]) -> Query:
        self.budget.charge(self.parameter, node)
        query, problem = any_field(fields, self._maker(node))
        if query is not None:
            return query
        if problem is not None and (self.one_field or len(fields) == 1):
            refusal = BadQuery(self.parameter, str(problem))
            self.scope.reject(refusal, [target for target, _ in fields], self.budget.remaining)
        return clauses.MATCH_NONE

    def _maker(self, node: Any) -> Callable[[SearchField, float], Query]:
        """Return a function that makes the query of this leaf for a field and boost."""
        if isinstance(node, tree.Word):
            return self._word(node)
        if isinstance(node, tree.Phrase):
            text = _unescaped(node.value[1:-1])
            return lambda target, boost: clauses.phrase(target, text, 0, boost)
        if isinstance(node, tree.Proximity):
            text = _unescaped(node.term.value[1:-1])
            slop = int(node.degree)
            if slop > MAX_SLOP:
                raise BadQuery(self.parameter, f"words at most {MAX_SLOP} apart: ~{MAX_SLOP}")
            return lambda target, boost: clauses.phrase(target, text, slop, boost)
        if isinstance(node, tree.Fuzzy):
            return self._fuzzy(node)
        if isinstance(node, tree.From):
            low = self._bound(node.children[0])
            return lambda target, boost: clauses.range_query(
                target, low, None, node.include, False, boost
            )
        if isinstance(node, tree.To):
            high = self._bound(node.children[0])
            return lambda target, boost: clauses.range_query(
                target, None, high, False, node.include, boost
            )
        if isinstance(node, tree.Range):
            lower, upper = self._bound(node.low), self._bound(node.high)
            return lambda target, boost: clauses.range_query(
                target, lower, upper, node.include_low, node.include_high, boost
            )
        if isinstance(node, tree.Regex):
            if not self.budget.settings.allow_regular_expressions:
                raise BadQuery(
                    self.parameter,
                    "regular expressions are off (nefertari_search.allow_regular_expressions)",
                )
            self.budget.expressions.append(self.parameter)
            expression = self._bounded(node.value[1:-1])
            return lambda target, boost: clauses.pattern(target, "regexp", expression, boost)
        raise BadQuery(self.parameter, f"'{str(node)[:60]}' is not understood")

    def _word(self, node: Any) -> Callable[[SearchField, float], Query]:
        if node.value == "*":
            return lambda target, boost: clauses.exists(target)
        if node.has_wildcard():
            if node.value[0] in "*?" and not self.budget.settings.allow_leading_wildcards:
                raise BadQuery(
                    self.parameter,
                    f"'{node.value[:40]}' starts with a wildcard, which is off "
                    "(nefertari_search.allow_leading_wildcards)",
                )
            expression = self._bounded(re.sub(r"(?<!\\)\*{2,}", "*", node.value))
            if len(_WILDCARD.findall(expression)) > MAX_WILDCARDS:
                raise BadQuery(self.parameter, f"more than {MAX_WILDCARDS} wildcards in one word")
            return lambda target, boost: clauses.pattern(target, "wildcard", expression, boost)
        text = _unescaped(node.value)
        return lambda target, boost: clauses.term(target, text, boost)

    def _bounded(self, expression: str) -> str:
        if len(expression) > MAX_PATTERN_LENGTH:
            raise BadQuery(self.parameter, f"a pattern longer than {MAX_PATTERN_LENGTH} characters")
        return expression

    def _fuzzy(self, node: Any) -> Callable[[SearchField, float], Query]:
        text = _unescaped(node.term.value)
        degree = float(node.degree)
        # Old versions of Lucene took a similarity below one here, current ones a number of edits.
        edits = None if 0 < degree < 1 else int(degree)
        self._bounded(text)
        if edits is not None and edits > MAX_EDITS:
            raise BadQuery(self.parameter, f"at most {MAX_EDITS} edits: {text}~{MAX_EDITS}")
        return lambda target, boost: clauses.fuzzy(target, text, edits, boost)

    def _bound(self, node: Any) -> Optional[str]:
        if isinstance(node, tree.Prohibit) and isinstance(node.children[0], tree.Word):
            return "-" + _unescaped(node.children[0].value)
        if not isinstance(node, (tree.Word, tree.Phrase)):
            raise BadQuery(self.parameter, f"'{str(node)[:60]}' is no bound of a range")
        text = node.value[1:-1] if isinstance(node, tree.Phrase) else node.value
        return None if text == "*" else _unescaped(text)


class _PresenceCompiler(_Compiler):
    """Compiles the value of ``_exists_`` or ``_missing_``: names of fields, joined as terms are.

    :param name: which of them.
    """

    def __init__(self, parameter: str, scope: FieldScope, name: str, budget: ClauseBudget) -> None:
        super().__init__(parameter, scope, True, budget)
        self.name = name

    def _leaf(self, node: Any, fields: list[Weighted]) -> Query:
        if not isinstance(node, tree.Word):
            raise BadQuery(self.parameter, f"'{str(node)[:60]}' is not the name of a field")
        target = presence_field(_unescaped(node.value), self.parameter, self.scope)
        return presence(self.name, target, self.parameter, self.scope, self.budget)


def presence_field(name: str, parameter: str, scope: FieldScope) -> SearchField:
    """Return the field *name* whose presence a text asks for.

    :raises BadQuery: it is unknown.
    """
    target = scope.get(name)
    if target is None or target.kind == ABSENT:
        # Of nested documents as a whole: each has a key.
        keys = scope.get(f"{name}._pk")
        target = target if keys is None or keys.kind == ABSENT else keys
    if target is None:
        problem = f"{scope.document_cls.__name__} has no field '{name[:60]}'"
        raise BadQuery(parameter, problem + scope.meant(name))
    return target


def presence(
    name: str, target: SearchField, parameter: str, scope: FieldScope, budget: ClauseBudget
) -> Query:
    """Return the query for the objects with a value in *target* (``_exists_``), or without."""
    compiler = _Compiler(parameter, scope, True, budget)
    query = compiler.compile(tree.Word("*"), [(target, 1.0)], 0)
    return query if name == EXISTS else {"bool": {"must_not": [query]}}


def _spelled(match: re.Match[str]) -> str:
    """Return a symbol as luqum knows it, a date with its colons escaped."""
    if match["date"] is not None:
        return match[0].replace(":", "\\:")
    return _SPELLED.get(match[0], match[0])


def _wordless(node: Any) -> bool:
    """Return True for a word or phrase of punctuation only: no text field has a term for it."""
    if not isinstance(node, (tree.Word, tree.Phrase)) or node.value == "*":
        return False
    if isinstance(node, tree.Word) and node.has_wildcard():
        return False
    return all(unicodedata.category(each)[0] in "PZC" or each in "|+<>=~^$`" for each in node.value)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)
