"""Which analyzer each text field has: settings choose one for all, for a model, for a field."""

from __future__ import annotations

from nefertari_search_tween.backends.analysis import STANDARD
from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.exceptions import ConfigurationError


def choose_analyzers(
    documents: dict[str, type[BaseDocument]],
    everywhere: str,
    analyzers: dict[str, str],
    default_defined: bool,
) -> None:
    """Set the analyzer of every text field of *documents*.

    The most specific setting counts. One for all texts, or for those of a model, does not apply to
    primary keys: they are no language.

    :param documents: document classes by name of the model; all that mirrors are made of.
    :param everywhere: the analyzer of all texts, empty for none.
    :param analyzers: by ``MODEL`` or ``MODEL.FIELD``.
    :param default_defined: index settings define what an analyzer that is not chosen is; if
        not, it is ``standard``, which mappings need not name.
    :raises ConfigurationError: a field that does not exist, or holds no text.
    """
    for key in analyzers:
        name, _, field_name = key.partition(".")
        if field_name:
            _check(documents[name], field_name, f"nefertari_search.analyzer.{key}")
    for name, document_cls in documents.items():
        general = analyzers.get(name, everywhere)
        for field_name, field in document_cls.fields().items():
            analyzer = analyzers.get(f"{name}.{field_name}", "" if field.primary_key else general)
            if analyzer == STANDARD and not default_defined:
                analyzer = ""
            field.analyzer = analyzer if analyzer and field.analyzable else None
            field.analyzed = field.analyzer is not None or default_defined


def _check(document_cls: type[BaseDocument], field_name: str, key: str) -> None:
    field = document_cls.fields().get(field_name)
    if field is None:
        raise ConfigurationError(f"{key}: {document_cls.__name__} has no field '{field_name}'")
    if not field.analyzable:
        kind = type(field).__name__
        raise ConfigurationError(f"{key}: the {kind} '{field.name}' has no text to analyze")
