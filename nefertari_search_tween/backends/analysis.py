"""Analyzers as index settings define them: their parts, and how to check them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Optional

PREFIX = "index.analysis."
ANALYZER = "analyzer"
#: the parts of a custom analyzer: parameter -> group that its names are defined in
PARTS = ("tokenizer", "filter", "char_filter")
#: the analyzer of a text field that names none: the one of this name, or else
DEFAULT = "default"
STANDARD = "standard"

Definition = dict[str, Any]


def flat_settings(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return index settings by full name: ``{"index": {"a": 1}}`` is ``{"index.a": 1}``."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            flat.update(flat_settings(value, f"{name}."))
        else:
            flat[name if name.startswith("index.") else f"index.{name}"] = value
    return flat


def definitions(settings: dict[str, Any]) -> dict[tuple[str, str], Definition]:
    """Return what *settings* define: (``analyzer``, ``tokenizer``, ..., name) -> parameters."""
    defined: dict[tuple[str, str], Definition] = {}
    for key, value in flat_settings(settings).items():
        if key.startswith(PREFIX):
            group, _, rest = key[len(PREFIX) :].partition(".")
            name, _, parameter = rest.partition(".")
            defined.setdefault((group, name), {})[parameter] = value
    return defined


def used(settings: dict[str, Any], names: Iterable[str]) -> dict[str, Definition]:
    """Return the definitions that the analyzers *names* use: ``group.name`` -> parameters."""
    defined = definitions(settings)
    pending = [(ANALYZER, name) for name in names]
    result: dict[str, Definition] = {}
    while pending:
        key = pending.pop()
        definition = defined.get(key)
        if definition is None or ".".join(key) in result:
            continue
        result[".".join(key)] = definition
        names_used = set(_possible_names(definition))
        pending.extend(
            (group, name) for group, name in defined if group in PARTS and name in names_used
        )
    return result


def probe_body(settings: dict[str, Any], name: str) -> Optional[dict[str, Any]]:
    """Return the body of an ``_analyze`` request that fails if the analyzer *name* is unavailable.

    None if no such request can decide it, because the analyzer has parts that name other parts.
    """
    defined = definitions(settings)
    definition = defined.get((ANALYZER, name))
    if definition is None:
        return {"analyzer": name}
    if definition.get("type", "custom") != "custom":
        # Its parameters are checked when an index is created.
        return {"analyzer": definition["type"]}
    body: dict[str, Any] = {}
    for part in PARTS:
        parts = []
        for each in _listed(definition.get(part, [])):
            inner = defined.get((part, each))
            if inner is not None and any(
                (group, used) in defined for group in PARTS for used in _possible_names(inner)
            ):
                return None
            parts.append(each if inner is None else inner)
        if part == "tokenizer":
            body.update({part: parts[0]} if parts else {})
        elif parts:
            body[part] = parts
    return body


def _listed(value: Any) -> list[str]:
    names = value if isinstance(value, list) else str(value).split(",")
    return [str(name).strip() for name in names]


def _possible_names(definition: Definition) -> list[str]:
    """Return every text in *definition* that may be a name."""
    return [
        name
        for parameter, value in definition.items()
        if parameter != "type" and isinstance(value, (str, list))
        for name in _listed(value)
    ]
