"""The mapping of a mirror, generated from its fields, and its fingerprint."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Optional

from nefertari_search_tween.backends.analysis import DEFAULT, definitions, used
from nefertari_search_tween.documents.fields import KEYWORD, Relationship, is_text
from nefertari_search_tween.documents.format import COMPOSED, EXACT, FOLDED, INEXACT, REJECTED
from nefertari_search_tween.documents.mirror_document import BaseDocument

# Raised when documents of an older release of this package can't be read by this one.
FORMAT = 3


def properties(document_cls: type[BaseDocument], depth: int) -> dict[str, Any]:
    """Return the mapping properties of *document_cls*.

    :param depth: how many more levels of nested relationships to include.
    """
    mapped: dict[str, Any] = {}
    exact: dict[str, Any] = {}
    forms: dict[str, Any] = {}
    for name, field in document_cls.fields().items():
        if isinstance(field, Relationship):
            related = document_cls.related(name)
            if document_cls.nests(name) and depth > 0:
                mapped[name] = {"type": "nested", "properties": properties(related, depth - 1)}
            else:
                mapped[name] = related.fields()[related.pk_field()].mapping()
            continue
        mapped[name] = field.mapping()
        if is_text(field):
            forms[name] = {key: each for key, each in mapped[name].items() if key != "fields"}
        if field.exact_type is not None:
            exact[name] = {"type": field.exact_type}
    mapped["_pk"] = dict(KEYWORD)
    mapped["_type"] = dict(KEYWORD)
    if exact:
        mapped[EXACT] = {"properties": exact}
    if forms:
        mapped[COMPOSED] = mapped[FOLDED] = {"properties": forms}
    return mapped


def index_mapping(
    document_cls: type[BaseDocument], settings: Optional[dict[str, Any]] = None
) -> dict[str, Any]:
    """Return the whole mapping of the index of *document_cls*, with its fingerprint in ``_meta``.

    :param settings: of the index; what they define of its analyzers belongs to the schema.
    """
    body = properties(document_cls, document_cls._nesting_depth)
    body[INEXACT] = dict(KEYWORD)
    body[REJECTED] = {"type": "object", "enabled": False}
    # A model that overrides to_dict may add keys: these can be searched, too.
    dynamic = document_cls.custom_to_dict()
    mapping = {"dynamic": dynamic, "properties": body}
    mapping["_meta"] = {
        "model": document_cls.__name__,
        "format": FORMAT,
        "fingerprint": fingerprint(mapping, used(settings or {}, analyzers(mapping, settings))),
    }
    return mapping


def analyzers(mapping: dict[str, Any], settings: Optional[dict[str, Any]]) -> set[str]:
    """Return the names of the analyzers of *mapping*, and of defaults that *settings* define."""
    names = {name for _, name in definitions(settings or {}) if name.startswith(DEFAULT)}
    names &= {DEFAULT, f"{DEFAULT}_search"}
    for spec in mapping.get("properties", {}).values():
        if "analyzer" in spec:
            names.add(spec["analyzer"])
        names |= analyzers(spec, None)
    return names


def fingerprint(mapping: dict[str, Any], analysis: dict[str, Any]) -> str:
    """Return the SHA-256 of mapping, document format and analyzers.

    Two equal ones mean the same documents and terms.

    :param analysis: the definitions of the analyzers that are used.
    """
    return digest([FORMAT, mapping, analysis] if analysis else [FORMAT, mapping])


def digest(value: Any) -> str:
    """Return the SHA-256 of *value* as JSON, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def mapping_diff(expected: dict[str, Any], actual: dict[str, Any], path: str = "") -> list[str]:
    """Return a line for each difference of the mapping *actual* of an index from *expected*."""
    lines = []
    expected_fields, actual_fields = expected.get("properties", {}), actual.get("properties", {})
    # Other forms of texts are mapped as their fields are.
    for name in sorted((expected_fields.keys() | actual_fields.keys()) - {COMPOSED, FOLDED}):
        where = f"{path}{name}"
        if name not in actual_fields:
            lines.append(f"+ {where}: {expected_fields[name].get('type', 'object')}")
        elif name not in expected_fields:
            lines.append(f"- {where}: {actual_fields[name].get('type', 'object')}")
        else:
            expected_type = expected_fields[name].get("type", "object")
            actual_type = actual_fields[name].get("type", "object")
            if expected_type != actual_type:
                lines.append(f"! {where}: {actual_type} in the index, {expected_type} by the model")
            expected_analyzer = expected_fields[name].get("analyzer", "the default")
            actual_analyzer = actual_fields[name].get("analyzer", "the default")
            if expected_analyzer != actual_analyzer:
                lines.append(
                    f"! {where}: analyzer {actual_analyzer} in the index, "
                    f"{expected_analyzer} by the settings"
                )
            lines.extend(mapping_diff(expected_fields[name], actual_fields[name], where + "."))
    if not lines and _fingerprint(expected) != _fingerprint(actual):
        lines.append("! built with other definitions of analyzers, or by another release")
    return lines


def _fingerprint(mapping: dict[str, Any]) -> Any:
    return mapping.get("_meta", {}).get("fingerprint")
