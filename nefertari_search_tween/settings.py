"""Every setting in one table: key, converter, default, one line of documentation.

Settings that start with ``nefertari_search.`` are ours; an unknown one stops the
application. Those that start with ``elasticsearch.`` keep nefertari's names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable, Optional
from urllib.parse import urlsplit

from pyramid.settings import asbool, aslist

from nefertari_search_tween.exceptions import ConfigurationError

PREFIX = "nefertari_search."
SERVER_PREFIX = "elasticsearch."


@dataclass(frozen=True)
class Setting:
    """One row of the table.

    :param key: full name in the ini file.
    :param convert: string to value; raises ValueError with what is allowed.
    :param default: the ini text that stands when the key is absent.
    :param doc: one line for the documentation.
    """

    key: str
    convert: Callable[[str], Any]
    default: str
    doc: str

    @property
    def attribute(self) -> str:
        prefix = PREFIX if self.key.startswith(PREFIX) else SERVER_PREFIX
        return self.key[len(prefix) :].replace(".", "_")


def _one_of(*allowed: str) -> Callable[[str], str]:
    def convert(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"must be one of: {', '.join(allowed)}")
        return text

    return convert


def _flag(text: str) -> bool:
    if text.strip().lower() not in {"true", "false", "yes", "no", "on", "off", "1", "0", ""}:
        raise ValueError("must be true or false")
    return bool(asbool(text))


def _number(kind: Callable[[str], Any], low: float, high: float) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        value = kind(text)
        if not low <= value <= high:
            raise ValueError(f"must be between {low} and {high}")
        return value

    return convert


def _backend(text: str) -> tuple[str, Optional[str]]:
    """Kind (empty: not said) and, of an embedded one, directory."""
    kind, colon, place = text.partition(":")
    if kind == "embedded" and place:
        return kind, place
    if not colon and kind in ("", "elasticsearch", "opensearch"):
        return kind, None
    raise ValueError("must be elasticsearch, opensearch or embedded:DIRECTORY")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for part in aslist(text) for name in part.split(",") if name.strip())


def _hosts(text: str) -> tuple[str, ...]:
    hosts = []
    for each in _names(text):
        url = each if "://" in each else f"http://{each}"
        host, colon, port = url.partition("://")[2].rstrip("/").rpartition(":")
        if not host or not colon or not port.isdigit():
            raise ValueError(f"'{each}' must be host:port or a URL with a port")
        hosts.append(url)
    return tuple(hosts)


def _settings_file(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        with open(text, encoding="utf-8") as handle:
            content = json.load(handle)
    except (OSError, ValueError) as error:
        raise ValueError(f"can't read the index settings: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{text} must hold one JSON object of index settings")
    return content


SETTINGS: tuple[Setting, ...] = (
    Setting(
        PREFIX + "backend",
        _backend,
        "",
        "Where mirrors live: elasticsearch, opensearch, or embedded:DIRECTORY. Empty: "
        "elasticsearch when its hosts are set, else embedded:INDEX_NAME-search in the working "
        "directory.",
    ),
    Setting(
        PREFIX + "default",
        _one_of("mirror", "primary"),
        "mirror",
        "Where a collection read goes without a _search flag.",
    ),
    Setting(
        PREFIX + "models",
        _names,
        "",
        "Models to mirror: names, or * for all; empty: those with an index or marked @mirrored.",
    ),
    Setting(
        PREFIX + "sync",
        _one_of("inline"),
        "inline",
        "inline: right after commit, in the request's process.",
    ),
    Setting(
        PREFIX + "schema",
        _one_of("create", "validate", "none"),
        "create",
        "At start. create: make indices of empty tables, warn of others that are missing or of "
        "another schema; validate: make none, and do not start without them; none: do not look.",
    ),
    Setting(
        PREFIX + "consistency",
        _one_of("read_your_writes", "eventual"),
        "read_your_writes",
        "read_your_writes: a read sees every write that this process committed before it.",
    ),
    Setting(
        PREFIX + "fallback",
        _flag,
        "true",
        "A mirror that is down or behind: answer transparent reads from the primary, or 503.",
    ),
    Setting(
        PREFIX + "timeout", _number(float, 0.001, 3600), "5", "Seconds that a search may take."
    ),
    Setting(
        PREFIX + "hidden_fields",
        _one_of("deny", "allow"),
        "deny",
        "Searching and sorting on fields that the caller may not see.",
    ),
    Setting(
        PREFIX + "max_result_window",
        _number(int, 1, 10_000_000),
        "10000",
        "The largest _start + _limit of a search; transparent reads beyond it use the primary.",
    ),
    Setting(
        PREFIX + "max_query_string",
        _number(int, 256, 10_000_000),
        "65536",
        "The longest query string of a routed read, in bytes; longer ones are refused with 400.",
    ),
    Setting(
        PREFIX + "max_clauses",
        _number(int, 1, 100_000),
        "256",
        "The most words, ranges and patterns that one search read may hold.",
    ),
    Setting(
        PREFIX + "leading_wildcards",
        _flag,
        "false",
        "Allow patterns that start with * or ? (they read every term of a field).",
    ),
    Setting(
        PREFIX + "regular_expressions",
        _flag,
        "false",
        "Allow /regular expressions/ in search reads.",
    ),
    Setting(
        SERVER_PREFIX + "hosts", _hosts, "", "host:port or URL of each node, joined by commas."
    ),
    Setting(
        SERVER_PREFIX + "index_name",
        str,
        "",
        "Prefix of the names of all indices; empty: the name of the application's package.",
    ),
    Setting(
        SERVER_PREFIX + "chunk_size",
        _number(int, 1, 100_000),
        "500",
        "Documents in one bulk request.",
    ),
    Setting(SERVER_PREFIX + "sniff", _flag, "false", "Find the nodes of the cluster at start."),
    Setting(
        SERVER_PREFIX + "enable_refresh_query",
        _flag,
        "false",
        "Accept _refresh_index in the query string of writes.",
    ),
    Setting(SERVER_PREFIX + "enable_aggregations", _flag, "false", "nefertari's aggregations."),
    Setting(
        SERVER_PREFIX + "enable_polymorphic_query", _flag, "false", "nefertari's /users,stories."
    ),
    Setting(
        SERVER_PREFIX + "index.settings_file",
        _settings_file,
        "",
        "A JSON file of index settings (shards, replicas, analyzers).",
    ),
)


class Settings:
    """The converted settings of one application, one attribute per row of SETTINGS.

    ``nefertari_search.max_clauses`` is ``settings.max_clauses``,
    ``elasticsearch.index.settings_file`` is ``settings.index_settings_file``.
    """

    backend: tuple[str, Optional[str]]
    default: str
    models: tuple[str, ...]
    sync: str
    schema: str
    consistency: str
    fallback: bool
    timeout: float
    hidden_fields: str
    max_result_window: int
    max_query_string: int
    max_clauses: int
    leading_wildcards: bool
    regular_expressions: bool
    hosts: tuple[str, ...]
    index_name: str
    chunk_size: int
    sniff: bool
    enable_refresh_query: bool
    enable_aggregations: bool
    enable_polymorphic_query: bool
    index_settings_file: dict[str, Any]

    def __init__(self, raw: Mapping[str, Any], package: str = "") -> None:
        """Convert *raw* (an application's ``registry.settings``).

        :param package: name of the application's package.
        :raises ConfigurationError: an unknown key under our prefix or a bad value.
        """
        known = {setting.key for setting in SETTINGS}
        unknown = sorted(key for key in raw if key.startswith(PREFIX) and key not in known)
        if unknown:
            raise ConfigurationError(
                f"unknown setting {', '.join(unknown)}; known are: "
                + ", ".join(sorted(key for key in known if key.startswith(PREFIX)))
            )
        for setting in SETTINGS:
            text = raw.get(setting.key, setting.default)
            try:
                value = setting.convert(str(text).strip())
            except ValueError as error:
                raise ConfigurationError(f"{setting.key} = {text}: {error}") from error
            setattr(self, setting.attribute, value)
        if not self.index_name:
            self.index_name = package.lower()
        if not self.index_name:
            raise ConfigurationError("elasticsearch.index_name is not set")
        if self.index_name != self.index_name.lower() or not self.index_name[0].isalnum():
            raise ConfigurationError(
                f"elasticsearch.index_name = {self.index_name}: must be lower case and start "
                "with a letter or a digit"
            )
        kind, place = self.backend
        if not kind:
            kind = "elasticsearch" if self.hosts else "embedded"
        if kind != "embedded" and not self.hosts:
            raise ConfigurationError(
                f"nefertari_search.backend = {kind}: elasticsearch.hosts is not set (host:port "
                "of a server; or, without a server, "
                "nefertari_search.backend = embedded:%(here)s/search)"
            )
        if kind == "embedded":
            # What the setting means must not change when a process changes its directory.
            place = os.path.abspath(place or f"{self.index_name}-search")
        self.backend = kind, place

    @property
    def where(self) -> str:
        """Where mirrors live, for people: kind of the backend, and its place (no secrets)."""
        kind, place = self.backend
        hosts = (urlsplit(host).netloc.rpartition("@")[2] for host in self.hosts)
        return f"{kind} {place or ', '.join(hosts)}"
