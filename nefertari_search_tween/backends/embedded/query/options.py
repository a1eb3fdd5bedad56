"""Options of queries: read, checked, and rejected by name if they are unknown."""

from __future__ import annotations

import math
from typing import Any, Optional

from nefertari_search_tween.backends.embedded.errors import rejected, unsupported
from nefertari_search_tween.backends.embedded.query.nodes import Boost, Node

# Terms that a fuzzy word may expand to, as in Elasticsearch.
MAX_EXPANSIONS = 50


def field_options(query: str, body: dict[str, Any], short: Optional[str]) -> tuple[str, Any]:
    """Return field name and options of a leaf query.

    ``{"field": value}`` is the short form of the option *short*.
    """
    if len(body) != 1:
        raise rejected(f"[{query}] query needs one field", "parsing_exception")
    ((name, options),) = body.items()
    if isinstance(options, dict):
        options = dict(options)
        if short is not None and short not in options and "wildcard" not in options:
            raise rejected(f"[{query}] query needs a {short}", "parsing_exception")
        return name, options
    if short is None or isinstance(options, list):
        raise rejected(f"[{query}] query malformed", "parsing_exception")
    return name, {short: options}


def pop_boost(options: dict[str, Any]) -> float:
    options.pop("_name", None)
    boost = float(options.pop("boost", 1.0))
    if boost < 0:
        raise rejected(f"negative [boost] are not allowed, got {boost}")
    return boost


def with_boost(node: Node, boost: float) -> Node:
    return node if boost == 1.0 else Boost(node, boost)


def require_standard_analyzer(options: dict[str, Any]) -> None:
    analyzer = options.pop("analyzer", "standard")
    if analyzer != "standard":
        raise unsupported(f"analyzer '{analyzer}'")
    options.pop("auto_generate_synonyms_phrase_query", None)


def pop_fuzzy_options(options: dict[str, Any]) -> tuple[int, int]:
    if not options.pop("fuzzy_transpositions", options.pop("transpositions", True)):
        raise unsupported("fuzziness without transpositions")
    options.pop("fuzzy_rewrite", None)
    prefix = int(options.pop("prefix_length", 0))
    return prefix, min(int(options.pop("max_expansions", MAX_EXPANSIONS)), MAX_EXPANSIONS)


def parse_fuzziness(fuzziness: Any, word: str) -> int:
    text = str(fuzziness).upper()
    if text.startswith("AUTO"):
        low, high = 3, 6
        if ":" in text:
            low, high = (int(part) for part in text[5:].split(","))
        return 0 if len(word) < low else 1 if len(word) < high else 2
    edits = int(float(text))
    if not 0 <= edits <= 2:
        raise rejected(f"fuzziness {fuzziness}: 0, 1, 2 or AUTO")
    return edits


def parse_minimum(minimum: Any, count: int) -> int:
    """Return ``minimum_should_match`` of *count* clauses: a number or a percentage.

    A negative one says how many may fail.
    """
    text = str(minimum).strip()
    if "<" in text:
        raise unsupported(f"minimum_should_match '{text}'")
    if text.endswith("%"):
        share = math.trunc(count * abs(int(text[:-1])) / 100)
        return max(0, count - share if text.startswith("-") else share)
    number = int(text)
    return max(0, count + number if number < 0 else number)


def escape_pattern(text: str) -> str:
    return "".join("\\" + char if char in "*?\\" else char for char in text)
