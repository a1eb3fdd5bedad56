"""Options of queries: read, checked, and refused by name when they are not known."""

from __future__ import annotations

import math
from typing import Any, Optional

from nefertari_search_tween.backends.embedded.errors import refused, unsupported
from nefertari_search_tween.backends.embedded.query.nodes import Boost, Node

# Terms that a fuzzy word may stand for, as in Elasticsearch.
MAX_EXPANSIONS = 50


def field_options(query: str, body: dict[str, Any], short: Optional[str]) -> tuple[str, Any]:
    """Field name and options of a leaf query; ``{"field": value}`` is short for one option."""
    if len(body) != 1:
        raise refused(f"[{query}] query needs one field", "parsing_exception")
    ((name, options),) = body.items()
    if isinstance(options, dict):
        options = dict(options)
        if short is not None and short not in options and "wildcard" not in options:
            raise refused(f"[{query}] query needs a {short}", "parsing_exception")
        return name, options
    if short is None or isinstance(options, list):
        raise refused(f"[{query}] query malformed", "parsing_exception")
    return name, {short: options}


def boost_of(options: dict[str, Any]) -> float:
    options.pop("_name", None)
    boost = float(options.pop("boost", 1.0))
    if boost < 0:
        raise refused(f"negative [boost] are not allowed, got {boost}")
    return boost


def weighted(node: Node, boost: float) -> Node:
    return node if boost == 1.0 else Boost(node, boost)


def no_more(query: str, options: dict[str, Any]) -> None:
    if options:
        raise unsupported(f"option '{next(iter(options))}' of the query '{query}'")


def no_analyzer(options: dict[str, Any]) -> None:
    analyzer = options.pop("analyzer", "standard")
    if analyzer != "standard":
        raise unsupported(f"analyzer '{analyzer}'")
    options.pop("auto_generate_synonyms_phrase_query", None)


def fuzzy_options(options: dict[str, Any]) -> tuple[int, int]:
    if not options.pop("fuzzy_transpositions", options.pop("transpositions", True)):
        raise unsupported("fuzziness without transpositions")
    options.pop("fuzzy_rewrite", None)
    prefix = int(options.pop("prefix_length", 0))
    return prefix, min(int(options.pop("max_expansions", MAX_EXPANSIONS)), MAX_EXPANSIONS)


def edits_of(fuzziness: Any, word: str) -> int:
    text = str(fuzziness).upper()
    if text.startswith("AUTO"):
        low, high = 3, 6
        if ":" in text:
            low, high = (int(part) for part in text[5:].split(","))
        return 0 if len(word) < low else 1 if len(word) < high else 2
    edits = int(float(text))
    if not 0 <= edits <= 2:
        raise refused(f"fuzziness {fuzziness}: 0, 1, 2 or AUTO")
    return edits


def least_of(given: Any, count: int) -> int:
    """``minimum_should_match``: a number, a percentage, negative ones are what may fail."""
    text = str(given).strip()
    if "<" in text:
        raise unsupported(f"minimum_should_match '{text}'")
    if text.endswith("%"):
        share = math.trunc(count * abs(int(text[:-1])) / 100)
        return max(0, count - share if text.startswith("-") else share)
    number = int(text)
    return max(0, count + number if number < 0 else number)


def escaped(text: str) -> str:
    return "".join("\\" + char if char in "*?\\" else char for char in text)
