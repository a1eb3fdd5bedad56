"""Analyzers as index settings define them: what a name stands for, and how to try it out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Optional

PREFIX = "index.analysis."
ANALYZER = "analyzer"
#: the parts of a custom analyzer: parameter -> group that its names are defined in
PARTS = ("tokenizer", "filter", "char_filter")
#: what a text field has that names none: the analyzer of this name, or else
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
    """What *settings* define: (``analyzer``, ``tokenizer``, ..., name) -> parameters."""
    found: dict[tuple[str, str], Definition] = {}
    for key, value in flat_settings(settings).items():
        if key.startswith(PREFIX):
            group, _, rest = key[len(PREFIX) :].partition(".")
            name, _, parameter = rest.partition(".")
            found.setdefault((group, name), {})[parameter] = value
    return found


def used(settings: dict[str, Any], names: Iterable[str]) -> dict[str, Definition]:
    """The definitions that the analyzers *names* are made of: ``group.name`` -> parameters."""
    defined = definitions(settings)
    left = [(ANALYZER, name) for name in names]
    found: dict[str, Definition] = {}
    while left:
        key = left.pop()
        definition = defined.get(key)
        if definition is None or ".".join(key) in found:
            continue
        found[".".join(key)] = definition
        words = set(_words(definition))
        left.extend((group, name) for group, name in defined if group in PARTS and name in words)
    return found


def trial(settings: dict[str, Any], name: str) -> Optional[dict[str, Any]]:
    """The body of an ``_analyze`` request that fails where the analyzer *name* is not to be had.

    None when no such request can tell: the analyzer has parts that name other parts.
    """
    defined = definitions(settings)
    definition = defined.get((ANALYZER, name))
    if definition is None:
        return {"analyzer": name}
    if definition.get("type", "custom") != "custom":
        # Its parameters are looked at when an index is made.
        return {"analyzer": definition["type"]}
    body: dict[str, Any] = {}
    for part in PARTS:
        tried = []
        for each in _listed(definition.get(part, [])):
            inner = defined.get((part, each))
            if inner is not None and any(
                (group, word) in defined for group in PARTS for word in _words(inner)
            ):
                return None
            tried.append(each if inner is None else inner)
        if part == "tokenizer":
            body.update({part: tried[0]} if tried else {})
        elif tried:
            body[part] = tried
    return body


def _listed(value: Any) -> list[str]:
    names = value if isinstance(value, list) else str(value).split(",")
    return [str(name).strip() for name in names]


def _words(definition: Definition) -> list[str]:
    """Every text in *definition* that may be a name."""
    return [
        name
        for parameter, value in definition.items()
        if parameter != "type" and isinstance(value, (str, list))
        for name in _listed(value)
    ]
