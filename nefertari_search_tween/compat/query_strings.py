"""Parameters as texts: the helper functions of ``nefertari.elasticsearch``."""

from __future__ import annotations

import re
from typing import Any

from luqum import tree
from luqum.exceptions import ParseError
from luqum.thread import parse
from nefertari.utils import process_fields

_SPACE = re.compile(r"\s")


def process_fields_param(fields: Any) -> Any:
    """Return what to include of a document, ``_type`` always, or what to exclude, by ``_fields``.

    :returns: keyword arguments of a search; *fields* itself if it is empty.
    """
    if not fields:
        return fields
    only, exclude = process_fields(fields)
    if exclude and not only:
        return {"_source_exclude": exclude, "_source": True}
    included = only if "_type" in only else [*only, "_type"]
    params: dict[str, Any] = {"_source_include": included, "_source": True}
    if exclude:
        params["_source_exclude"] = exclude
    return params


def apply_sort(_sort: str) -> str:
    """Translate ``-year,title`` to ``year:desc,title:asc``."""
    clauses = []
    for each in (_sort or "").split(","):
        name = each.strip()
        if name:
            order = "desc" if name.startswith("-") else "asc"
            clauses.append(f"{name[1:] if name[0] in '+-' else name}:{order}")
    return ",".join(clauses)


def build_terms(name: str, values: Any, operator: str = "OR") -> str:
    """Return ``name:a OR name:b``."""
    return f" {operator} ".join(_term(name, value) for value in values)


def build_qs(params: Any, _raw_terms: str = "", operator: str = "AND") -> str:
    """Return *params* as one Lucene query string, each parameter in a group.

    :param params: a dictset; parameters whose value is ``_all`` are removed from it.
    :param _raw_terms: a separate query (``q``).
    """
    params.pop_by_values("_all")
    terms = []
    for name, value in params.items():
        if name.startswith("__"):
            continue
        if isinstance(value, list):
            alternatives = build_terms(name, value)
            terms.append(f"({alternatives})" if len(value) > 1 else alternatives)
        else:
            terms.append(_term(name, value))
    text = f" {operator} ".join(sorted(term for term in terms if term))
    if _raw_terms:
        text += f" AND ({_raw_terms})" if text else _raw_terms
    return text


def _term(name: str, value: Any) -> str:
    """Return ``name:value``, a value of several words in parentheses: otherwise all but the first
    would be searched in other fields."""
    term = f"{name}:{value}"
    if not _SPACE.search(str(value)):
        return term
    try:
        whole = isinstance(parse(term), tree.SearchField)
    except ParseError:
        # The server will say what is wrong with it.
        return term
    return term if whole else f"{name}:({value})"
