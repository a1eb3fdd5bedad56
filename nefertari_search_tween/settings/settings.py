"""The settings of an application: texts of its ini file, converted by the table of settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Optional
from urllib.parse import urlsplit

from nefertari_search_tween.backends.connection import Connection
from nefertari_search_tween.documents.search_fields import WeightedName
from nefertari_search_tween.exceptions import ConfigurationError
from nefertari_search_tween.settings import connection as reach
from nefertari_search_tween.settings import index_files
from nefertari_search_tween.settings.secrets import masked, secrets_of
from nefertari_search_tween.settings.table import (
    FAMILIES,
    PREFIX,
    SETTINGS,
    SearchSettings,
    ServerSettings,
    Setting,
)


class Settings(SearchSettings, ServerSettings):
    """The converted settings of one application, one attribute per row of SETTINGS.

    ``nefertari_search.max_clauses`` is ``settings.max_clauses``,
    ``elasticsearch.index.settings_file`` is ``settings.index_settings_file``.
    """

    #: of one model, by its name
    model_index_settings: dict[str, index_files.IndexFile]
    #: of MODEL or MODEL.FIELD
    analyzers: dict[str, str]
    #: of one model, by its name
    search_fields: dict[str, tuple[WeightedName, ...]]
    connection: Connection

    def __init__(self, raw: Mapping[str, Any], package: str = "") -> None:
        """Convert *raw* (an application's ``registry.settings``).

        :param package: name of the application's package.
        :raises ConfigurationError: an unknown key with this package's prefix, or a bad value.
        """
        keys = {setting.key for setting in SETTINGS}
        unknown = sorted(
            key
            for key in raw
            if key.startswith(PREFIX) and key not in keys and _family(key) is None
        )
        if unknown:
            raise ConfigurationError(
                f"unknown setting {', '.join(unknown)}; known are: "
                + ", ".join(sorted(key for key in keys if key.startswith(PREFIX)))
                + ", "
                + ", ".join(family.key for family in FAMILIES)
            )
        for setting in SETTINGS:
            text = raw.get(setting.key, setting.default)
            setattr(self, setting.attribute, _converted(setting, setting.key, text))
        self._read_families(raw)
        if not self.index_name:
            row = ServerSettings.index_name
            self.index_name = _converted(row, row.key, package.lower())
        if not self.index_name:
            raise ConfigurationError("elasticsearch.index_name is not set")
        kind, directory = self.backend
        if not kind:
            kind = "elasticsearch" if self.hosts else "embedded"
        if kind != "embedded" and not self.hosts:
            raise ConfigurationError(
                f"nefertari_search.backend = {kind}: elasticsearch.hosts is not set (host:port "
                "of a server; or, without a server, "
                "nefertari_search.backend = embedded:%(here)s/search)"
            )
        if kind == "embedded":
            # The meaning must not change when a process changes its working directory.
            directory = os.path.abspath(directory or f"{self.index_name}-search")
        self.backend = kind, directory
        self.connection = reach.connection(self)

    @property
    def index_settings(self) -> index_files.IndexFile:
        """Those of the indices of all models."""
        return self.index_settings_file.with_window(self.max_result_window)

    def _read_families(self, raw: Mapping[str, Any]) -> None:
        self.model_index_settings, self.analyzers, self.search_fields = {}, {}, {}
        families: dict[str, dict[str, Any]] = {
            "index_settings": self.model_index_settings,
            "analyzer": self.analyzers,
            "search_fields": self.search_fields,
        }
        for key, text in raw.items():
            family = _family(key)
            if family is not None:
                value = _converted(family, key, text)
                kind, _, name = key[len(PREFIX) :].partition(".")
                families[kind][name] = value

    @property
    def where(self) -> str:
        """Where the search indices are, for messages: kind and location of the backend."""
        kind, directory = self.backend
        hosts = (urlsplit(host).netloc for host in self.hosts)
        return f"{kind} {directory or ', '.join(hosts)}"


def _family(key: str) -> Optional[Setting[Any]]:
    """Return the row of FAMILIES that *key* belongs to."""
    parts = key.split(".")
    for family in FAMILIES:
        pattern = family.key.split(".")
        if len(parts) == len(pattern) and all(
            want == part or (want.isupper() and part) for want, part in zip(pattern, parts)
        ):
            return family
    return None


def _converted(setting: Setting[Any], key: str, text: Any) -> Any:
    """Return the value of *text*, which is set as *key*.

    :raises ConfigurationError: a bad value; the message contains it unless it is secret.
    """
    try:
        return setting.convert(str(text).strip())
    except reach.Withheld as error:
        # Neither message nor traceback may contain the value, or an error that contains it.
        raise ConfigurationError(f"{key}: {error}") from None
    except ValueError as error:
        # An address with a password may have got into any of them.
        secrets = secrets_of({key: text})
        if setting.secret or masked(f"{text}{error}", secrets) != f"{text}{error}":
            raise ConfigurationError(f"{key} has a bad value") from None
        raise ConfigurationError(f"{key} = {text}: {error}") from error
